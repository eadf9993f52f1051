//! `/api/v1/walls/{name}/layout`: how a wall is arranged, to be read, replaced, and taken back to the configuration.
//!
//! The ETag is of the arrangement, not of what is on the wall at a moment: an alarm that makes a camera large for a while
//! is no reason to refuse what somebody is editing. Preconditions are RFC 9110's (sections 13.1.1 and 13.1.2).

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::arrangement::Arrangement;
use crate::config::Unusable;
use crate::http::problem::Problem;
use crate::http::{Shared, body};
use crate::pipeline::WallOutput;
use crate::stage::Current;

/// 64 tiles with masks are some 20 KiB.
const MAX_BYTES: usize = 64 * 1024;

/// `GET`: the arrangement, its places and its ETag.
pub(super) async fn get(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let current = shared.wall(&name)?.stage.current();
    let document = current.arrangement.document();
    let etag = etag(&document, current.version);
    if names(&headers, header::IF_NONE_MATCH).is_some_and(|tags| tags.matches_weakly(&etag)) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    Ok(answer(document, etag))
}

/// `PUT`: all of the new arrangement, or nothing.
pub(super) async fn put(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let wall = shared.wall(&name)?;
    body::require(&headers, "application/json")?;
    let text = body::read(body, MAX_BYTES, "a layout").await?;
    let arrangement = wall.rules.read(&text).map_err(|unusable| refusal(&unusable))?;
    change(&shared, wall, &headers, arrangement, false).await
}

/// `DELETE`: back to the configuration's arrangement, which is answered.
pub(super) async fn delete(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wall = shared.wall(&name)?;
    change(&shared, wall, &headers, wall.entry.arrangement.clone(), true).await
}

async fn change(
    shared: &Shared,
    wall: &WallOutput,
    headers: &HeaderMap,
    arrangement: Arrangement,
    is_configured: bool,
) -> Result<Response, Problem> {
    let (wanted, unwanted) = (names(headers, header::IF_MATCH), names(headers, header::IF_NONE_MATCH));
    let agrees = |current: &Current| {
        if wanted.is_none() && unwanted.is_none() {
            return true;
        }
        let etag = etag(&current.arrangement.document(), current.version);
        wanted.as_ref().is_none_or(|tags| tags.matches(&etag))
            && unwanted.as_ref().is_none_or(|tags| !tags.matches_weakly(&etag))
    };
    let changed = wall.stage.arrange(arrangement, agrees).map_err(|current| {
        let etag = etag(&current.arrangement.document(), current.version);
        let found = format!("a layout with the ETag {etag}");
        Problem::new(StatusCode::PRECONDITION_FAILED, found, "the one that the request names")
    })?;
    let saving = async {
        match &shared.running.state {
            Some(state) => {
                let arrangement = (!is_configured).then_some(&*changed.arrangement);
                state.save(&wall.entry, changed.version, arrangement).await
            }
            None => Ok(()),
        }
    };
    let (saved, ()) = tokio::join!(saving, wall.stage.settled());
    let mut document = changed.arrangement.document();
    let etag = etag(&document, changed.version);
    if let Err(not_saved) = saved {
        document.insert("warning".to_owned(), json!(not_saved.to_string()));
    }
    Ok(answer(document, etag))
}

fn answer(document: Map<String, Value>, etag: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::ETAG, etag),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
    ];
    (headers, Value::Object(document).to_string()).into_response()
}

/// By content, so that one from before a restart never means another layout; and by number, so that of two who replace
/// the same one with the same thing only one does.
fn etag(document: &Map<String, Value>, version: u64) -> String {
    let text = serde_json::to_string(document).unwrap_or_default();
    let hash = Sha256::digest(text.as_bytes());
    let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hash}-{version}\"")
}

/// What a precondition names.
struct Tags(String);

fn names(headers: &HeaderMap, header: HeaderName) -> Option<Tags> {
    let values: Vec<&str> =
        headers.get_all(header).iter().map(|value| value.to_str().unwrap_or_default()).collect();
    (!values.is_empty()).then(|| Tags(values.join(",")))
}

impl Tags {
    /// Our tags hold no comma.
    fn each(&self) -> impl Iterator<Item = &str> {
        self.0.split(',').map(str::trim)
    }

    fn matches(&self, etag: &str) -> bool {
        self.each().any(|tag| tag == "*" || tag == etag)
    }

    fn matches_weakly(&self, etag: &str) -> bool {
        self.each().any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
    }
}

fn refusal(unusable: &Unusable) -> Problem {
    match unusable {
        Unusable::NotJson { line, column } => {
            let found = format!("something that is not JSON at line {line}, column {column}");
            Problem::new(StatusCode::BAD_REQUEST, found, "a layout in JSON")
        }
        Unusable::Wrong(problems) => {
            let each = |problem: &crate::config::Problem| json!({ "path": problem.path, "found": problem.found, "expected": problem.expected });
            let found = match &problems[..] {
                [one] => one.found.clone(),
                more => format!("{} problems", more.len()),
            };
            let expected = match &problems[..] {
                [one] => one.expected.clone(),
                _ => "a layout that can be; `problems` has them all".to_owned(),
            };
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, found, expected)
                .member("problems", problems.iter().map(each).collect())
        }
    }
}
