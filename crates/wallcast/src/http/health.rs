//! `GET /livez`: does the process make progress? Free of tokens, because a supervisor has none.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::http::Shared;

/// 200 while every wall's clock ticks; 503 and the names of those that stand still otherwise.
pub(super) async fn livez(State(shared): State<Shared>) -> Response {
    let now = Instant::now();
    let stuck: Vec<&str> =
        shared.running.walls.iter().filter(|wall| !wall.is_alive(now)).map(|wall| wall.view.name()).collect();
    if stuck.is_empty() {
        Json(json!({ "alive": true })).into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "alive": false, "walls_standing_still": stuck })))
            .into_response()
    }
}
