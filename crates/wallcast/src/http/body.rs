//! The body of a request: read whole, within a size and a time.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt;

use crate::http::problem::Problem;

const MAX_FORGOTTEN_BYTES: usize = 1024 * 1024;
const READ_WITHIN: Duration = Duration::from_secs(10);

/// The whole body as text; `expected` is what it should be. Of one that is larger than `most` bytes the rest is read and
/// forgotten, within reason: a client that is cut off while it still writes sees a broken connection instead of the answer.
pub(super) async fn read(body: Body, most: usize, expected: &str) -> Result<String, Problem> {
    match tokio::time::timeout(READ_WITHIN, read_whole(body, most, expected)).await {
        Ok(read) => read,
        Err(_) => {
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "a body that was not complete in time", expected))
        }
    }
}

async fn read_whole(body: Body, most: usize, expected: &str) -> Result<String, Problem> {
    let mut chunks = body.into_data_stream();
    let (mut read, mut length) = (Vec::new(), 0);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "a body cut short", expected))?;
        length += chunk.len();
        if length <= most {
            read.extend_from_slice(&chunk);
        } else if length > MAX_FORGOTTEN_BYTES {
            break;
        }
    }
    if length > most {
        let expected = format!("{expected} of at most {most} bytes");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "a larger body", expected));
    }
    String::from_utf8(read)
        .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "bytes that are not UTF-8", expected))
}

/// Refuses a body of another media type than `expected`.
pub(super) fn require(headers: &HeaderMap, expected: &str) -> Result<(), Problem> {
    let found =
        headers.get(header::CONTENT_TYPE).map_or("none", |value| value.to_str().unwrap_or("unreadable"));
    let essence = found.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("the content type {found:?}"), expected))
}
