//! `/api/v1/walls/{name}/promote`: a camera large for a while, then back. Made for webhooks, which differ in what they can
//! send: JSON of any content type, a form, or nothing but a query.

use std::time::{Duration, Instant, SystemTime};

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::config::a_while;
use crate::http::problem::Problem;
use crate::http::{Shared, body};
use crate::stage::Stage;

const MAX_BYTES: usize = 64 * 1024;
/// How long a camera is large if nothing is said.
const USUALLY: Duration = Duration::from_secs(30);
const EXPECTED: &str = "camera and for, such as {\"camera\": \"gate\", \"for\": \"30s\"}";
const EXPECTED_TIME: &str = "a time from 1s to 60m, such as 30s, 2m, or a number of seconds";

/// `POST`: shows a camera large from now on, or longer.
pub(super) async fn promote(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, Problem> {
    let stage = &shared.wall(&name)?.stage;
    let text = body::read(body, MAX_BYTES, "JSON, or no body").await?;
    let asked = Asked::of(&text)?.or(Asked::of_form(query.as_deref().unwrap_or_default()));
    let mut problems = Vec::new();
    let mut wrong = |path: &str, found: String, expected: String| {
        problems.push(json!({ "path": path, "found": found, "expected": expected }));
    };
    match &asked.camera {
        None => wrong("camera", "no camera".to_owned(), EXPECTED.to_owned()),
        Some(camera) if stage.camera(camera).is_none() => {
            let found = if camera.len() <= 64 { format!("{camera:?}") } else { "a long text".to_owned() };
            wrong("camera", found, format!("a camera: {}", stage.camera_names().join(", ")));
        }
        Some(_) => {}
    }
    let length = match &asked.length {
        None => Some(USUALLY),
        Some(text) => a_while(text),
    };
    if length.is_none() {
        let found = asked.length.clone().filter(|text| text.len() <= 32).map(|text| format!("{text:?}"));
        wrong("for", found.unwrap_or_else(|| "a long text".to_owned()), EXPECTED_TIME.to_owned());
    }
    let (Some(camera), Some(length), true) = (asked.camera, length, problems.is_empty()) else {
        let (found, expected) = match &problems[..] {
            [one] => (text_of(&one["found"]), text_of(&one["expected"])),
            more => (format!("{} problems", more.len()), EXPECTED.to_owned()),
        };
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, found, expected)
            .member("problems", Value::Array(problems)));
    };
    let until = stage.promote(&camera, length);
    stage.settled().await;
    Ok(Json(described(&camera, until, Instant::now(), SystemTime::now())).into_response())
}

/// `GET`: who is large for a while, and until when; the one in the largest place first.
pub(super) async fn list(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({ "promoted": promoted(&shared.wall(&name)?.stage) })))
}

/// `DELETE`: everybody goes back.
pub(super) async fn end_all(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let stage = &shared.wall(&name)?.stage;
    stage.end_promotions(None);
    stage.settled().await;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE` of one: it goes back. 404 when it is back already.
pub(super) async fn end(
    State(shared): State<Shared>,
    Path((name, camera)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let stage = &shared.wall(&name)?.stage;
    if stage.end_promotions(Some(&camera)) == 0 {
        let found = format!("the camera {camera:?}");
        return Err(Problem::new(StatusCode::NOT_FOUND, found, "one that is promoted"));
    }
    stage.settled().await;
    Ok(StatusCode::NO_CONTENT)
}

/// For answers: who is large, and until when.
pub(super) fn promoted(stage: &Stage) -> Vec<Value> {
    let (now, wall_clock) = (Instant::now(), SystemTime::now());
    let promotions = stage.promotions();
    promotions
        .iter()
        .map(|promotion| described(&promotion.camera, promotion.until, now, wall_clock))
        .collect()
}

fn described(camera: &str, until: Instant, now: Instant, wall_clock: SystemTime) -> Value {
    let left = until.saturating_duration_since(now);
    let until = wall_clock.checked_add(left).and_then(|time| jiff::Timestamp::try_from(time).ok());
    let until = until.and_then(|time| time.round(jiff::Unit::Millisecond).ok());
    json!({
        "camera": camera,
        "until": until.map(|time| time.to_string()),
        "seconds": (left.as_secs_f64() * 10.0).round() / 10.0,
    })
}

/// What somebody asked for, as it was written.
#[derive(Default)]
struct Asked {
    camera: Option<String>,
    length: Option<String>,
}

impl Asked {
    /// Of a body: JSON, or a form. Keys that are not ours are what a webhook sends besides.
    fn of(text: &str) -> Result<Asked, Problem> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Asked::default());
        }
        if !text.starts_with(['{', '[', '"']) && text.contains('=') {
            return Ok(Asked::of_form(text));
        }
        let not_json = || Problem::new(StatusCode::BAD_REQUEST, "a body that is not JSON", EXPECTED);
        let body: Value = serde_json::from_str(text).map_err(|_| not_json())?;
        let written = |key: &str| match body.get(key) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        };
        match body.is_object() {
            true => Ok(Asked { camera: written("camera"), length: written("for") }),
            false => {
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "something else than an object", EXPECTED))
            }
        }
    }

    fn of_form(text: &str) -> Asked {
        let value = |key: &str| {
            let mut pairs = url::form_urlencoded::parse(text.as_bytes());
            pairs.find(|(name, _)| name == key).map(|(_, value)| value.into_owned())
        };
        Asked { camera: value("camera"), length: value("for") }
    }

    fn or(self, other: Asked) -> Asked {
        Asked { camera: self.camera.or(other.camera), length: self.length.or(other.length) }
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
