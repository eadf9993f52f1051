//! HTTP: the pages, WHEP, `/stats`, `/livez`, and `/api/v1`, which `docs/api.md` describes. Which role each asks for is the table in [`guard::access`].

pub mod guard;
pub mod problem;
pub mod serve;

mod body;
mod health;
mod layout;
mod pages;
mod promote;
mod stats;
mod stream;
mod tiles;
mod whep;

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::{delete, get};
use parking_lot::Mutex;

use crate::brake::Brake;
use crate::http::problem::Problem;
use crate::http::whep::session;
use crate::pipeline::{Running, WallOutput};

/// What every handler reads.
#[derive(Clone)]
pub struct Shared {
    running: Running,
    /// Offers of one address.
    offers: Arc<Mutex<Brake>>,
}

impl Shared {
    fn wall(&self, name: &str) -> Result<&WallOutput, Problem> {
        self.running.wall(name).ok_or_else(|| {
            let known: Vec<&str> = self.running.walls.iter().map(|wall| wall.view.name()).collect();
            let expected = format!("the name of a wall: {}", known.join(", "));
            Problem::new(StatusCode::NOT_FOUND, format!("the name {name:?}"), expected)
        })
    }
}

/// Every route of the server, without the guard around it (see [`guard`]).
pub fn router(running: Running) -> Router {
    let offers = Arc::new(Mutex::new(whep::brake(running.webrtc.max_viewers_per_address)));
    Router::new()
        .route("/", get(pages::index))
        .route("/wall/{name}", get(pages::wall))
        .route("/assets/{file}", get(pages::asset))
        .route("/whep/{name}", get(whep::endpoint).post(whep::create).options(whep::endpoint))
        .route(
            "/whep/{name}/{session}",
            get(session::show).patch(session::patch).delete(session::delete).options(session::show),
        )
        .route("/stats", get(stats::stats))
        .route("/livez", get(health::livez))
        .route("/api/v1/walls/{name}/layout", get(layout::get).put(layout::put).delete(layout::delete))
        .route(
            "/api/v1/walls/{name}/promote",
            get(promote::list).post(promote::promote).delete(promote::end_all),
        )
        .route("/api/v1/walls/{name}/promote/{camera}", delete(promote::end))
        .route("/api/v1/walls/{name}/tiles", get(tiles::tiles))
        .route("/api/v1/walls/{name}/stream", get(stream::get).patch(stream::patch))
        .fallback(no_such_page)
        .method_not_allowed_fallback(no_such_method)
        .with_state(Shared { running, offers })
}

async fn no_such_page(method: Method, uri: Uri) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("{method} {:?}", uri.path()),
        "GET / , /wall/{name}, /stats or /livez, POST /whep/{name}, or a path under /api/v1/walls/{name}: layout, promote, tiles, stream",
    )
}

/// What the page does take is in the answer's `Allow`.
async fn no_such_method(method: Method) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("the method {method}"), "one that `Allow` lists")
}
