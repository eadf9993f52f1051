//! An answer, and how it is written.

use rtsp_types::{HeaderName, Response, StatusCode, Version, headers};

/// What the server can do (RFC 2326 section 10).
pub(super) const METHODS: &str =
    "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, GET_PARAMETER, SET_PARAMETER, TEARDOWN";

/// An answer to one request.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    headers: Vec<(HeaderName, String)>,
    challenges: Vec<String>,
    body: Vec<u8>,
}

impl Reply {
    pub(super) fn new(status: StatusCode) -> Self {
        let mut headers = Vec::new();
        if matches!(status, StatusCode::MethodNotAllowed | StatusCode::MethodNotValidInThisState) {
            headers.push((headers::ALLOW, METHODS.to_owned()));
        }
        Self { status, headers, challenges: Vec::new(), body: Vec::new() }
    }

    pub(super) fn ok() -> Self {
        Self::new(StatusCode::Ok)
    }

    /// 401 with everything the client may choose from.
    pub(super) fn unauthorized(challenges: [String; 3]) -> Self {
        Self { challenges: challenges.into(), ..Self::new(StatusCode::Unauthorized) }
    }

    pub(super) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn body(mut self, content_type: &str, body: Vec<u8>) -> Self {
        self.headers.push((headers::CONTENT_TYPE, content_type.to_owned()));
        self.body = body;
        self
    }

    /// Appends the answer to `output`.
    pub(super) fn write(&self, cseq: Option<&str>, output: &mut Vec<u8>) {
        let mut response = Response::builder(Version::V1_0, self.status);
        if self.status == StatusCode::Ok {
            // The library says "Ok"; the specification and whoever compares text say otherwise.
            response = response.reason_phrase("OK");
        }
        if let Some(cseq) = cseq {
            response = response.header(headers::CSEQ, cseq);
        }
        response = response.header(headers::SERVER, concat!("Wallcast/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &self.headers {
            response = response.header(name.clone(), value.as_str());
        }
        let start = output.len();
        let written = match self.body.is_empty() {
            true => response.empty().write(output),
            false => response.build(&self.body).write(output),
        };
        written.expect("a vector takes everything");
        self.write_challenges(start, output);
    }

    /// `rtsp-types` keeps one value for each header and would join the challenges with commas; many clients
    /// read no more than one challenge from a line.
    fn write_challenges(&self, start: usize, output: &mut Vec<u8>) {
        let Some(line_end) = output[start..].windows(2).position(|end| end == b"\r\n") else { return };
        let lines: String =
            self.challenges.iter().map(|challenge| format!("WWW-Authenticate: {challenge}\r\n")).collect();
        let after_status = start + line_end + 2;
        output.splice(after_status..after_status, lines.into_bytes());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn text(reply: &Reply, cseq: Option<&str>) -> String {
        let mut output = b"before".to_vec();
        reply.write(cseq, &mut output);
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn the_sequence_number_is_echoed_and_the_body_measured() {
        let reply = Reply::ok().body("application/sdp", b"v=0\r\n".to_vec());
        assert_eq!(
            text(&reply, Some("17")),
            format!(
                "beforeRTSP/1.0 200 OK\r\nContent-Length: 5\r\nContent-Type: application/sdp\r\nCSeq: 17\r\n\
                Server: Wallcast/{}\r\n\r\nv=0\r\n",
                env!("CARGO_PKG_VERSION")
            )
        );
    }

    #[test]
    fn every_challenge_has_a_line_of_its_own() {
        let reply = Reply::unauthorized(["Digest a".into(), "Digest b".into(), "Basic c".into()]);
        let text = text(&reply, None);
        let start = "beforeRTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Digest a\r\n\
            WWW-Authenticate: Digest b\r\nWWW-Authenticate: Basic c\r\nServer:";
        assert!(text.starts_with(start), "{text}");
    }

    #[test]
    fn a_refused_method_is_told_what_is_allowed() {
        let reply = Reply::new(StatusCode::MethodNotValidInThisState);
        assert!(text(&reply, Some("1")).contains("Allow: OPTIONS, DESCRIBE"));
    }
}
