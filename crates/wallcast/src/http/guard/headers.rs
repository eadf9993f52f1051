//! The security headers of every answer.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// Only our own scripts, styles and connections; video from MediaSource is a `blob:`, a still may be a `data:`.
const POLICY: &str = "default-src 'self'; connect-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; \
     object-src 'none'; base-uri 'none'; form-action 'self'";

/// Pages with buttons are not shown inside other sites' pages, so that nobody is led to press them unseen.
const NO_FOREIGN_FRAMES: &str = "; frame-ancestors 'self'";

/// Adds what the handler has not set itself.
///
/// `/wall/…` is the bare display that kiosks and home automation embed, so any page may frame it.
pub(super) fn secure(path: &str, headers: &mut HeaderMap) {
    let policy = match path.starts_with("/wall/") {
        true => POLICY.to_owned(),
        false => format!("{POLICY}{NO_FOREIGN_FRAMES}"),
    };
    let policy = HeaderValue::from_str(&policy).expect("visible ASCII");
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
    let fixed: [(HeaderName, &'static str); 2] =
        [(header::X_CONTENT_TYPE_OPTIONS, "nosniff"), (header::REFERRER_POLICY, "no-referrer")];
    for (name, value) in fixed {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}
