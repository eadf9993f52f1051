//! Pages of other sites that may watch (the Fetch standard's CORS protocol), by WHEP alone.
//!
//! A page elsewhere may use `/whep/` when it is listed under `origins`, or when tokens are set: then it has to send one, which
//! nothing in a browser does by itself, so that whoever lured somebody onto his page gets nowhere. Without tokens, being able to
//! reach us is the only right there is, and a visitor's browser would lend it to any page: there, and for everything but
//! `/whep/`, pages of other sites are refused.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::origin::Host;

/// What WHEP players read of our answers (RFC 9725 section 4.4).
const EXPOSED: HeaderValue = HeaderValue::from_static("Location, Link, ETag, Retry-After");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PATCH, DELETE, OPTIONS");
const HEADERS: HeaderValue = HeaderValue::from_static("Authorization, Content-Type, If-Match");
/// For how long browsers need not ask again, in seconds; Chromium's own limit.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// A page of another site that is served all the same.
pub(super) struct ForeignPage(HeaderValue);

impl ForeignPage {
    /// The page that sent `request` to `host`, if it is another site's and may watch.
    pub(super) fn of(request: &Request, host: &Host, origins: &[String], has_tokens: bool) -> Option<Self> {
        if !request.uri().path().starts_with("/whep/") {
            return None;
        }
        let mut all = request.headers().get_all(header::ORIGIN).iter();
        let (Some(origin), None) = (all.next(), all.next()) else { return None };
        let text = origin.to_str().ok()?;
        let may_watch = has_tokens || origins.iter().any(|known| known == text);
        (may_watch && !host.is_origin(text)).then(|| Self(origin.clone()))
    }

    /// Lets the page read an answer.
    pub(super) fn show(self, headers: &mut HeaderMap) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, self.0);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        headers.append(header::VARY, HeaderValue::from(header::ORIGIN));
    }
}

/// A browser asks before it sends what a page wants sent; it cannot send a token along.
pub(super) fn is_preflight(request: &Request) -> bool {
    *request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

pub(super) fn answer_to_preflight() -> Response {
    let headers: [(HeaderName, HeaderValue); 3] = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}
