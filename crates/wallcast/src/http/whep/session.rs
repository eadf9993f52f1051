//! `/whep/{name}/{session}`: what a viewer does with the session it has (RFC 9725 sections 4.2 and 4.3).

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use wallcast_webrtc::{PatchError, Patched, SessionId};

use super::{MAX_SDP_BYTES, etag};
use crate::http::problem::Problem;
use crate::http::{Shared, body};

const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
const METHODS: &str = "GET, HEAD, PATCH, DELETE, OPTIONS";

/// A session that is there.
struct Session {
    id: SessionId,
    /// Its ICE session, as its ETag has it.
    ice_session: String,
}

impl Session {
    /// The session of this name, if it watches the wall of that name: it has one address only.
    fn find(shared: &Shared, (wall, session): &(String, String)) -> Result<Self, Problem> {
        let source = &shared.wall(wall)?.source;
        let id: SessionId = session.parse().map_err(|_| gone())?;
        let ice_session = shared.running.peers.ice_session(&id, source).ok_or_else(gone)?;
        Ok(Self { id, ice_session })
    }
}

/// `GET`, `HEAD` and `OPTIONS`: 204 and what may be done with it, or 404 when it is gone.
pub(in crate::http) async fn show(
    State(shared): State<Shared>,
    Path(path): Path<(String, String)>,
) -> Result<Response, Problem> {
    let Session { ice_session, .. } = Session::find(&shared, &path)?;
    let headers = [
        (header::ALLOW, METHODS.to_owned()),
        (ACCEPT_PATCH, FRAGMENT.to_owned()),
        (header::ETAG, etag(&ice_session)),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((StatusCode::NO_CONTENT, headers).into_response())
}

/// `PATCH`: 204 for further candidates, 200 with our fragment for a restart of ICE. `If-Match` has to name the ICE session that
/// candidates belong to, or to be `*`, as it is for a restart: 428 where it is missing, 412 where that session is no more.
pub(in crate::http) async fn patch(
    State(shared): State<Shared>,
    Path(path): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    // Read before anything is refused: a client that still writes does not see the answer.
    let fragment = body::read(body, MAX_SDP_BYTES, "an SDP fragment").await;
    let session = Session::find(&shared, &path)?;
    body::require(&headers, FRAGMENT)
        .map_err(|problem| problem.header(ACCEPT_PATCH, HeaderValue::from_static(FRAGMENT)))?;
    let fragment = fragment?;
    let expected = match IfMatch::read(&headers).ok_or_else(no_precondition)? {
        IfMatch::Any => None,
        // Whatever it becomes in the meantime, it is not what the viewer meant.
        IfMatch::Named(names) if names.contains(&session.ice_session) => Some(session.ice_session),
        IfMatch::Named(_) => return Err(not_patched(&PatchError::Stale)),
    };
    match shared.running.peers.patch(&session.id, &fragment, expected.as_deref()) {
        Ok(Patched::Trickled) => Ok(StatusCode::NO_CONTENT.into_response()),
        Ok(Patched::Restarted { fragment, ice_session }) => {
            let headers = [
                (header::CONTENT_TYPE, FRAGMENT.to_owned()),
                (header::ETAG, etag(&ice_session)),
                (header::CACHE_CONTROL, "no-store".to_owned()),
            ];
            Ok((headers, fragment).into_response())
        }
        Err(error) => Err(not_patched(&error)),
    }
}

/// `DELETE`: 200, or 404 when it is gone already. `If-Match` is not looked at (RFC 9725 section 4.3.1).
pub(in crate::http) async fn delete(
    State(shared): State<Shared>,
    Path(path): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let Session { id, .. } = Session::find(&shared, &path)?;
    if shared.running.peers.close(&id).await { Ok(StatusCode::OK) } else { Err(gone()) }
}

/// RFC 9110 section 13.1.1.
#[derive(Debug, PartialEq, Eq)]
enum IfMatch {
    Any,
    /// Strong tags without their quotes; weak ones never match.
    Named(Vec<String>),
}

impl IfMatch {
    /// `None`: there is no such header.
    fn read(headers: &HeaderMap) -> Option<Self> {
        let values: Vec<&str> = headers
            .get_all(header::IF_MATCH)
            .iter()
            .map(|value| value.to_str().unwrap_or_default())
            .collect();
        if values.is_empty() {
            return None;
        }
        let tags: Vec<&str> = values.iter().flat_map(|value| value.split(',')).map(str::trim).collect();
        // RFC 9725 itself writes the asterisk in quotes in its examples, and so do clients.
        if tags.iter().any(|tag| matches!(*tag, "*" | "\"*\"")) {
            return Some(Self::Any);
        }
        // Clients leave the quotes out, too.
        let strong = tags.iter().filter(|tag| !tag.starts_with("W/")).map(|tag| tag.trim_matches('"'));
        Some(Self::Named(strong.filter(|tag| !tag.is_empty()).map(str::to_owned).collect()))
    }
}

fn gone() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no such session of this wall", "one that has not ended")
}

fn no_precondition() -> Problem {
    Problem::new(
        StatusCode::PRECONDITION_REQUIRED,
        "no If-Match",
        "If-Match with the newest ETag of this session, or * with a restart",
    )
}

fn not_patched(error: &PatchError) -> Problem {
    match error {
        PatchError::Gone => gone(),
        PatchError::Unreadable => Problem::new(
            StatusCode::BAD_REQUEST,
            "no fragment of SDP",
            "one with the lines a=ice-ufrag and a=ice-pwd, of 256 characters at most",
        ),
        PatchError::Stale => Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "the name of an ICE session that has ended",
            "the newest ETag of this session, or * with a restart",
        ),
        PatchError::TooOften => Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "another restart of ICE less than a second ago",
            "a pause of 1 s",
        )
        .retry_after(1),
        PatchError::Internal(_) => {
            tracing::warn!(%error, "could not restart ICE for a viewer");
            let found = "a failure of the server, which its log names";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, found, "new ICE credentials")
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[&str], expected: Option<IfMatch>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::IF_MATCH, value.parse().unwrap());
        }
        assert_eq!(IfMatch::read(&headers), expected, "{values:?}");
    }

    #[test]
    fn if_match_is_read_as_clients_write_it() {
        let named =
            |names: &[&str]| Some(IfMatch::Named(names.iter().map(|&name| name.to_owned()).collect()));
        check(&[], None);
        check(&["*"], Some(IfMatch::Any));
        check(&["\"*\""], Some(IfMatch::Any));
        check(&["\"a-0\""], named(&["a-0"]));
        check(&["a-0"], named(&["a-0"]));
        check(&["\"a-0\", \"a-1\""], named(&["a-0", "a-1"]));
        check(&["\"a-0\"", "\"a-1\""], named(&["a-0", "a-1"]));
        check(&["W/\"a-0\""], named(&[]));
        check(&[""], named(&[]));
    }
}
