//! `GET /livez`: does the process make progress? Free of tokens, because a supervisor has none.
//!
//! A stranger may ask too. He learns nothing while all is well, and the name and the state of a wall when it is not: whoever
//! is called at night must not need a token to read why.

use std::time::Instant;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use crate::http::Shared;

/// A wall that needs help from outside.
#[derive(Debug, Serialize)]
struct Trouble {
    wall: String,
    reason: String,
}

/// 200 while every wall ticks, and delivers where somebody watches; 503 otherwise, or when two encoders of a wall have stalled
/// one after the other.
pub(super) async fn livez(State(shared): State<Shared>) -> Response {
    let now = Instant::now();
    let troubles = shared.running.walls.iter().filter_map(|wall| {
        let reason = match wall.view.health() {
            Err(failure) => failure.to_string(),
            Ok(()) if wall.is_alive(now) => return None,
            Ok(()) => "it keeps no ticks, or has viewers and nothing for them".to_owned(),
        };
        Some(Trouble { wall: wall.view.name().to_owned(), reason })
    });
    answer(&troubles.collect::<Vec<_>>())
}

fn answer(troubles: &[Trouble]) -> Response {
    let (status, content_type, mut body) = match troubles.first() {
        None => (StatusCode::OK, "application/json", json!({})),
        Some(first) => {
            let detail = format!("the wall {} stands still: {}", first.wall, first.reason);
            let problem = json!({
                "type": "about:blank",
                "title": "Service Unavailable",
                "status": 503,
                "detail": detail,
                "walls": troubles,
            });
            (StatusCode::SERVICE_UNAVAILABLE, "application/problem+json", problem)
        }
    };
    body["alive"] = troubles.is_empty().into();
    body["walls_standing_still"] = troubles.len().into();
    let mut response = (status, body.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    async fn read(troubles: &[Trouble]) -> (u16, String, Value) {
        let response = answer(troubles);
        let content_type = response.headers()[header::CONTENT_TYPE].to_str().expect("ASCII").to_owned();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.expect("a body");
        (status, content_type, serde_json::from_slice(&body).expect("JSON"))
    }

    #[tokio::test]
    async fn all_is_well() {
        let expected = json!({ "alive": true, "walls_standing_still": 0 });
        assert_eq!(read(&[]).await, (200, "application/json".to_owned(), expected));
    }

    #[tokio::test]
    async fn a_wall_that_stands_still_is_named_with_its_reason() {
        let trouble = |wall: &str, reason: &str| Trouble { wall: wall.to_owned(), reason: reason.to_owned() };
        let troubles = [trouble("lobby", "the encoder stalled"), trouble("yard", "it keeps no ticks")];
        let (status, content_type, body) = read(&troubles).await;
        assert_eq!((status, content_type.as_str()), (503, "application/problem+json"));
        assert_eq!(body["detail"], "the wall lobby stands still: the encoder stalled");
        assert_eq!((&body["alive"], &body["walls_standing_still"]), (&json!(false), &json!(2)));
        assert_eq!(body["walls"][1], json!({ "wall": "yard", "reason": "it keeps no ticks" }));
    }
}
