//! One HTTP request, as a client that does not mind status codes.

use std::time::Duration;
use ureq::http::{HeaderMap, Request};

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Reply {
    /// A header's value, or "" when it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Sends a request with these headers, and a body of any bytes. Panics when no HTTP answer comes within 5 s.
pub fn request(method: &str, url: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Reply {
    let agent = ureq::Agent::new_with_config(
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(5)))
            .build(),
    );
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    // A GET with a body is not HTTP as anybody speaks it.
    let answer = if matches!(method, "GET" | "HEAD" | "DELETE") {
        agent.run(request.body(()).unwrap())
    } else {
        agent.run(request.body(body.as_ref()).unwrap())
    };
    let mut answer = answer.unwrap_or_else(|error| panic!("{method} {url}: {error}"));
    Reply {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        body: answer.body_mut().read_to_string().unwrap(),
    }
}
