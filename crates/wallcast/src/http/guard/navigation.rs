//! Error answers for people: a browser that navigates gets a page instead of `application/problem+json`.
//!
//! The page loads itself again now and then, so that a display nobody touches recovers once its wall exists or its
//! token is valid. Programs, `fetch` in a page among them, ask for no HTML and get none.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use serde_json::Value;

use crate::http::pages;

/// Far above any problem of ours, which are a few hundred bytes.
const MAX_PROBLEM_BYTES: usize = 64 * 1024;

/// Whether `Accept` (RFC 9110, section 12.5.1) likes `text/html` by name better than JSON.
pub(super) fn wants_html(headers: &HeaderMap) -> bool {
    let quality = |media_types: &[&str]| {
        let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let ranges = values.flat_map(|value| value.split(','));
        let named = ranges.filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next()?;
            let q = parts.find_map(|parameter| parameter.strip_prefix("q="));
            let named = media_types.iter().any(|named| named.eq_ignore_ascii_case(media_type));
            named.then(|| q.map_or(1.0, |q| q.parse().unwrap_or(0.0)))
        });
        named.fold(0.0_f32, f32::max)
    };
    quality(&["text/html"]) > quality(&["application/problem+json", "application/json"])
}

/// `response` as a page with the same status and headers if it is a problem; any other is left as it is.
pub(super) async fn for_people(response: Response) -> Response {
    let is_problem =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|found| found == "application/problem+json");
    if !is_problem {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let json = to_bytes(body, MAX_PROBLEM_BYTES).await.unwrap_or_default();
    // The answer to HEAD has no body to turn into anything.
    let Ok(problem) = serde_json::from_slice::<Value>(&json) else {
        return Response::from_parts(parts, Body::from(json));
    };
    let text = |member: &str| problem[member].as_str().unwrap_or_default();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    Response::from_parts(parts, Body::from(pages::problem(text("title"), text("detail"))))
}
