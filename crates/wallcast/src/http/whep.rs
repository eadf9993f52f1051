//! WHEP (draft-ietf-wish-whep; the HTTP rules are RFC 9725's): `/whep/{name}` takes an offer and answers it; what follows is the
//! [`session`]'s. Pages of other sites are the guard's business.

pub(super) mod session;

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use wallcast_webrtc::OfferError;

use crate::brake::Brake;
use crate::client::network;
use crate::http::problem::Problem;
use crate::http::{Shared, body};
use crate::ice_servers;

/// Seconds after which a client that found the house full should ask again.
const RETRY_AFTER_SECONDS: u64 = 10;
/// An offer is a few KiB; a browser's largest is below 20.
const MAX_SDP_BYTES: usize = 64 * 1024;
const SDP: &str = "application/sdp";
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const METHODS: &str = "GET, HEAD, POST, OPTIONS";
/// Offers that one address may make at once, at least: 200 people behind one router come within a second.
const OFFERS: usize = 256;
/// In which time as many again are let through.
const OFFERS_WITHIN: Duration = Duration::from_secs(16);

/// What an address may offer. All viewers that it may have can leave and come back at once, twice over; and those that then
/// try again and again, as players do, still stay below the rate that is left.
pub(super) fn brake(max_viewers_per_address: usize) -> Brake {
    let burst = u32::try_from(OFFERS.max(2 * max_viewers_per_address)).unwrap_or(u32::MAX);
    Brake::new(burst, OFFERS_WITHIN / burst)
}

/// `GET`, `HEAD` and `OPTIONS /whep/{name}`: 204 and what may be sent there, with the ICE servers for clients that have to know
/// them before they make their offer.
pub(super) async fn endpoint(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    shared.wall(&name)?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static(METHODS));
    headers.insert(ACCEPT_POST, HeaderValue::from_static(SDP));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    tell_ice_servers(&shared, headers);
    Ok(response)
}

/// `POST /whep/{name}`: 201 with the answer, the session's address and the ICE servers.
pub(super) async fn create(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    // Read before anything is refused: a client that still writes does not see the answer.
    let offer = body::read(body, MAX_SDP_BYTES, "an SDP offer").await;
    let wall = shared.wall(&name)?;
    body::require(&headers, SDP)
        .map_err(|problem| problem.header(ACCEPT_POST, HeaderValue::from_static(SDP)))?;
    let offer = offer?;
    slow_down(&shared, client)?;
    let answered = shared.running.peers.answer(&wall.source, &offer, network(client.ip())).await;
    let answer = answered.map_err(|error| refusal(&error))?;
    // Not for whoever gets no answer: cameras are opened for it.
    wall.watched.wake();
    let headers = [
        (header::CONTENT_TYPE, SDP.to_owned()),
        (header::LOCATION, format!("/whep/{}/{}", path_segment(&name), answer.id)),
        // Has not the whole id in it: knowing that is the right to end the session.
        (header::ETAG, etag(&answer.ice_session)),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    let mut response = (StatusCode::CREATED, headers, answer.sdp).into_response();
    tell_ice_servers(&shared, response.headers_mut());
    Ok(response)
}

fn tell_ice_servers(shared: &Shared, headers: &mut HeaderMap) {
    for link in ice_servers::links(&shared.running.webrtc.ice_servers, SystemTime::now()) {
        headers.append(header::LINK, link);
    }
}

/// An offer costs more than a refusal, and holds a place for ten seconds.
fn slow_down(shared: &Shared, client: SocketAddr) -> Result<(), Problem> {
    let (now, mut offers) = (Instant::now(), shared.offers.lock());
    if let Some(pause) = offers.wait(client.ip(), now) {
        let pause = pause.as_secs();
        let found = "too many offers from this address";
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, found, format!("a pause of {pause} s"));
        return Err(problem.retry_after(pause));
    }
    offers.count(client.ip(), now);
    Ok(())
}

/// Strong (RFC 9725 section 4.3.1).
fn etag(ice_session: &str) -> String {
    format!("\"{ice_session}\"")
}

/// The one place where a refused offer becomes an answer; what a stranger reads differs from what the log says.
fn refusal(error: &OfferError) -> Problem {
    match error {
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
    }
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
    fn two_hundred_viewers_behind_one_router_come_at_once_and_a_flood_does_not() {
        let (client, start) = ("192.0.2.9".parse().unwrap(), Instant::now());
        for most in [64, 1000] {
            let mut brake = brake(most);
            let mut let_through = 0;
            for millis in 0..10_000 {
                let now = start + Duration::from_millis(millis);
                if brake.wait(client, now).is_none() {
                    brake.count(client, now);
                    let_through += 1;
                }
                if millis == 200 {
                    assert_eq!(let_through, 201, "one in each millisecond");
                }
            }
            let burst = OFFERS.max(2 * most);
            assert!((burst..2 * burst).contains(&let_through), "{let_through} of 10000 within 10 s");
        }
    }

    #[test]
    fn what_was_found_and_expected_is_said_once() {
        let (found, expected) = ("\"v=0\"".to_owned(), "an SDP offer".to_owned());
        let unreadable = OfferError::Unreadable { found: found.clone(), expected: expected.clone() };
        let no_h264 = OfferError::NoH264 { found, expected };
        for (error, status) in [(unreadable, 400), (no_h264, 406)] {
            let response = refusal(&error).into_response();
            assert_eq!(response.status(), status);
            let read = axum::body::to_bytes(response.into_body(), 1 << 16);
            let body = futures::executor::block_on(read).unwrap();
            let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(problem["detail"], "found \"v=0\", expected an SDP offer");
        }
    }
}
