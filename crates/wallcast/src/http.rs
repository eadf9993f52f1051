//! HTTP: the pages, WHEP, `/stats`, `/livez`. Which role each asks for is the table in [`guard::access`].

pub mod guard;
pub mod problem;
pub mod serve;

mod health;
mod pages;
mod stats;
mod whep;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{delete, get, post};

use crate::http::problem::Problem;
use crate::pipeline::Running;

/// What every handler reads.
#[derive(Clone)]
pub struct Shared {
    running: Running,
}

/// Every route of the server, without the guard around it (see [`guard`]).
pub fn router(running: Running) -> Router {
    Router::new()
        .route("/", get(pages::index))
        .route("/wall/{name}", get(pages::wall))
        .route("/assets/{file}", get(pages::asset))
        .route("/whep/{name}", post(whep::create))
        .route("/whep/{name}/{session}", delete(whep::delete))
        .route("/stats", get(stats::stats))
        .route("/livez", get(health::livez))
        .fallback(|| async {
            Problem::new(StatusCode::NOT_FOUND, "no such page", "one of those in the README")
        })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "a method that this page does not take", "another")
        })
        .with_state(Shared { running })
}
