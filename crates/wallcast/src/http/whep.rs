//! WHEP (draft-ietf-wish-whep; the HTTP rules are RFC 9725's): an offer in, an answer out, a session to delete.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use wallcast_webrtc::{OfferError, PatchError, Patched, SessionId};

use crate::client::network;
use crate::http::problem::Problem;
use crate::http::{Shared, body};

/// Seconds after which a client that found the house full should ask again.
const RETRY_AFTER_SECONDS: u64 = 10;
/// An offer is a few KiB; a browser's largest is below 20.
const MAX_OFFER_BYTES: usize = 64 * 1024;
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

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
            // Has not the whole id in it: knowing that is the right to end the session.
            let etag = format!("\"{}\"", answer.ice_session);
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

/// `PATCH /whep/{name}/{session}` (RFC 9725 section 4.3): 204 for further candidates, 200 with our fragment for a restart
/// of ICE, 412 when `If-Match` names an ICE session that is no more.
pub(super) async fn patch(
    State(shared): State<Shared>,
    Path((_name, session)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if let Err(problem) = body::require(&headers, FRAGMENT) {
        return problem.into_response();
    }
    let fragment = match body::read(body, MAX_OFFER_BYTES, "an SDP fragment").await {
        Ok(fragment) => fragment,
        Err(problem) => return problem.into_response(),
    };
    let expected = headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok()).map(str::trim);
    let expected = expected.filter(|value| *value != "*").map(|value| value.trim_matches('"'));
    let patched = session
        .parse::<SessionId>()
        .map_err(|_| PatchError::Gone)
        .and_then(|id| shared.running.peers.patch(&id, &fragment, expected));
    match patched {
        Ok(Patched::Trickled) => StatusCode::NO_CONTENT.into_response(),
        Ok(Patched::Restarted { fragment, ice_session }) => {
            let etag = format!("\"{ice_session}\"");
            ([(header::CONTENT_TYPE, FRAGMENT.to_owned()), (header::ETAG, etag)], fragment).into_response()
        }
        Err(error) => not_patched(&error).into_response(),
    }
}

/// `DELETE /whep/{name}/{session}`: 200, or 404 when it is gone already.
pub(super) async fn delete(
    State(shared): State<Shared>,
    Path((_name, session)): Path<(String, String)>,
) -> Response {
    match session.parse::<SessionId>() {
        Ok(id) if shared.running.peers.close(&id).await => StatusCode::OK.into_response(),
        _ => gone().into_response(),
    }
}

fn gone() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no such session", "one that has not ended")
}

fn not_patched(error: &PatchError) -> Problem {
    match error {
        PatchError::Gone => gone(),
        PatchError::Unreadable => Problem::new(
            StatusCode::BAD_REQUEST,
            "no fragment of SDP",
            "one with the lines a=ice-ufrag and a=ice-pwd",
        ),
        PatchError::Stale => Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "the name of an ICE session that has ended",
            "the newest ETag of this session, or * with a restart",
        ),
        PatchError::Internal(_) => {
            tracing::warn!(%error, "could not restart ICE for a viewer");
            let found = "a failure of the server, which its log names";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, found, "new ICE credentials")
        }
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
