//! HTTP: the pages, WHEP, `/stats`, `/livez`. Which role each asks for is the table in [`guard::access`].

pub mod guard;
pub mod problem;
pub mod serve;

mod health;
mod pages;
mod stats;
mod whep;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
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
        .fallback(no_such_page)
        .method_not_allowed_fallback(no_such_method)
        .with_state(Shared { running })
}

async fn no_such_page(method: Method, uri: Uri) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("{method} {:?}", uri.path()),
        "GET / , /wall/{name}, /stats or /livez, or POST /whep/{name}",
    )
}

/// What the page does take is in the answer's `Allow`.
async fn no_such_method(method: Method) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("the method {method}"), "one that `Allow` lists")
}
