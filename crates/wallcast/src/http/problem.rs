//! RFC 9457 `application/problem+json`: every error answer of the HTTP server.
//!
//! `detail` says what was found and what was expected, which are also there as members of their own. A stranger reads
//! this: no secret, no path of the file system, no error text of a library.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// An error answer, to be returned from a handler.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    found: String,
    expected: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    more: Map<String, Value>,
}

impl Problem {
    /// `status` because of what was `found` instead of what was `expected`; both are parts of a sentence.
    pub fn new(status: StatusCode, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Problem {
            status,
            found: found.into(),
            expected: expected.into(),
            headers: Vec::new(),
            more: Map::new(),
        }
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds a member to the answer (RFC 9457, section 3.2).
    #[must_use]
    pub fn member(mut self, name: &str, value: Value) -> Self {
        self.more.insert(name.to_owned(), value);
        self
    }

    /// `Retry-After` in whole seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Problem { status, found, expected, headers, mut more } = self;
        let mut body = json!({
            // The status says it all; "about:blank" is RFC 9457's word for that.
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            "detail": format!("found {found}, expected {expected}"),
            "found": found,
            "expected": expected,
        });
        if let Some(body) = body.as_object_mut() {
            body.append(&mut more);
        }
        let mut response = (status, body.to_string()).into_response();
        let all = response.headers_mut();
        all.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        all.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in headers {
            all.append(name, value);
        }
        response
    }
}
