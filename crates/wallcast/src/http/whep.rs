//! WHEP (draft-ietf-wish-whep; the HTTP rules are RFC 9725's): an offer in, an answer out, a session to delete.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use wallcast_webrtc::{OfferError, SessionId};

use crate::client::network;
use crate::http::problem::Problem;
use crate::http::{Shared, body};

/// Seconds after which a client that found the house full should ask again.
const RETRY_AFTER_SECONDS: u64 = 10;
/// An offer is a few KiB; a browser's largest is below 20.
const MAX_OFFER_BYTES: usize = 64 * 1024;

/// `POST /whep/{name}`: 201 with the answer and the session's address.
pub(super) async fn create(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let wall = match shared.wall(&name) {
        Ok(wall) => wall,
        Err(problem) => return problem.into_response(),
    };
    if let Err(problem) = require_sdp(&headers) {
        return problem.into_response();
    }
    let offer = match body::read(body, MAX_OFFER_BYTES, "an SDP offer").await {
        Ok(offer) => offer,
        Err(problem) => return problem.into_response(),
    };
    wall.watched.wake();
    match shared.running.peers.answer(&wall.source, &offer, network(client.ip())).await {
        Ok(answer) => {
            let location = format!("/whep/{}/{}", path_segment(&name), answer.id);
            // Not the whole id: knowing that is the right to end the session.
            let etag = format!("\"{}\"", answer.id.label());
            (
                StatusCode::CREATED,
                [
                    (header::CONTENT_TYPE, "application/sdp".to_owned()),
                    (header::LOCATION, location),
                    (header::ETAG, etag),
                    (header::CACHE_CONTROL, "no-store".to_owned()),
                ],
                answer.sdp,
            )
                .into_response()
        }
        Err(error) => refusal(&error),
    }
}

/// `DELETE /whep/{name}/{session}`: 200, or 404 when it is gone already.
pub(super) async fn delete(
    State(shared): State<Shared>,
    Path((_name, session)): Path<(String, String)>,
) -> Response {
    match session.parse::<SessionId>() {
        Ok(id) if shared.running.peers.close(&id).await => StatusCode::OK.into_response(),
        _ => Problem::new(StatusCode::NOT_FOUND, "no such session", "one that has not ended").into_response(),
    }
}

fn require_sdp(headers: &HeaderMap) -> Result<(), Problem> {
    body::require(headers, "application/sdp")
}

/// The one place where a refused offer becomes an answer; what a stranger reads differs from what the log says.
fn refusal(error: &OfferError) -> Response {
    let problem = match error {
        OfferError::Unreadable { found, expected } => Problem::new(StatusCode::BAD_REQUEST, found, expected),
        OfferError::NoH264 { found, expected } => Problem::new(StatusCode::NOT_ACCEPTABLE, found, expected),
        OfferError::Full { max_peers } => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{max_peers} viewers, as many as are allowed together or from one address"),
            "a free place; try again later",
        )
        .retry_after(RETRY_AFTER_SECONDS),
        OfferError::Internal(_) => {
            tracing::warn!(%error, "could not answer a viewer's offer");
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "a failure of the server, which its log names",
                "an answer to the offer",
            )
        }
    };
    problem.into_response()
}

/// A name as one segment of a path: names may hold spaces, nothing else that needs escaping.
fn path_segment(name: &str) -> String {
    name.replace(' ', "%20")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_and_expected_is_said_once() {
        let (found, expected) = ("\"v=0\"".to_owned(), "an SDP offer".to_owned());
        let unreadable = OfferError::Unreadable { found: found.clone(), expected: expected.clone() };
        let no_h264 = OfferError::NoH264 { found, expected };
        for (error, status) in [(unreadable, 400), (no_h264, 406)] {
            let response = refusal(&error);
            assert_eq!(response.status(), status);
            let read = axum::body::to_bytes(response.into_body(), 1 << 16);
            let body = futures::executor::block_on(read).unwrap();
            let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(problem["detail"], "found \"v=0\", expected an SDP offer");
        }
    }
}
