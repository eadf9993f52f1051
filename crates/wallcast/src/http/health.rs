//! `GET /livez`: does the process make progress? Free of tokens, because a supervisor has none.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::http::Shared;

/// 200 while every wall ticks, and delivers where somebody watches; 503 otherwise. Strangers may ask, so walls are counted, not named.
pub(super) async fn livez(State(shared): State<Shared>) -> Response {
    let now = Instant::now();
    let standing_still = shared.running.walls.iter().filter(|wall| !wall.is_alive(now)).count();
    let status = if standing_still == 0 { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({ "alive": standing_still == 0, "walls_standing_still": standing_still });
    (status, Json(body)).into_response()
}
