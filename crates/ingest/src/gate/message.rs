//! RTSP messages (RFC 2326 sections 4 to 7 and 12), read as tolerantly as cameras need it and never past a limit.
//!
//! Tolerated: line ends of LF alone, blank lines before a message, folded header lines, header lines without a colon, any
//! spelling of a header's name, no reason phrase, RTSP/2.0, bytes that are not UTF-8. What the headers mean is the
//! dialogue's business, where a message begins that of the wire.

use std::ops::Range;

/// Start line and header lines of one message together. Cameras need a few hundred bytes.
pub(crate) const MAX_HEAD: usize = 64 * 1024;
/// Header lines of one message.
pub(crate) const MAX_HEADERS: usize = 256;
/// One line.
pub(crate) const MAX_LINE: usize = 8 * 1024;
/// The largest body of a message; a session description of a camera has a few kilobytes.
pub(crate) const MAX_BODY: u64 = 1024 * 1024;

/// A request or a response with its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) start: Start,
    /// In the order in which they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Start {
    Request { method: String, uri: String },
    Response { status: u16 },
}

/// Why a message is not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooLarge {
    #[error("found a message with more than {} bytes before its body, expected at most that", MAX_HEAD)]
    Head,
    #[error("found a message with more than {} header lines, expected at most that", MAX_HEADERS)]
    Headers,
    #[error("found a line of more than {} bytes in a message, expected at most that", MAX_LINE)]
    Line,
    #[error("found a message with a body of {found} bytes, expected at most {}", MAX_BODY)]
    Body { found: u64 },
}

/// How far the head of a message that is still coming was looked through, so that one that comes byte by byte costs no
/// more than one that comes at once.
#[derive(Debug, Default)]
pub(crate) struct HeadScan {
    line_start: usize,
    lines: usize,
    /// The head was complete at the last call; what waits now is its body.
    is_complete: bool,
}

/// What [`HeadScan`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Scanned {
    /// The head has so many bytes, with its blank line.
    Complete(usize),
    NeedsMore,
    /// Interleaved data begins at this byte, before the head is complete: the rest of the head was never sent
    /// (<https://github.com/scottlamb/retina/issues/17>).
    CutOff(usize),
}

impl HeadScan {
    /// Looks for the end of the head at the beginning of `bytes`: those of the last call and what has come since.
    pub(crate) fn handle(&mut self, bytes: &[u8]) -> Result<Scanned, TooLarge> {
        while !self.is_complete {
            let line = bytes.get(self.line_start..).unwrap_or_default();
            if self.lines > 0 && matches!(line, [b'$', channel, ..] if *channel < b' ') {
                return Ok(Scanned::CutOff(self.line_start));
            }
            let Some(end) = memchr::memchr(b'\n', line) else {
                return match line.len() > MAX_LINE {
                    true => Err(TooLarge::Line),
                    false => Ok(Scanned::NeedsMore),
                };
            };
            if end > MAX_LINE {
                return Err(TooLarge::Line);
            }
            self.line_start += end + 1;
            if self.line_start > MAX_HEAD {
                return Err(TooLarge::Head);
            }
            self.is_complete = trim_line(&line[..end]).is_empty();
            self.lines += 1;
            if !self.is_complete && self.lines > MAX_HEADERS + 1 {
                return Err(TooLarge::Headers);
            }
        }
        Ok(Scanned::Complete(self.line_start))
    }
}

impl Message {
    pub(crate) fn request(method: &str, uri: &str) -> Self {
        let start = Start::Request { method: method.to_owned(), uri: uri.to_owned() };
        Self { start, headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn response(status: u16) -> Self {
        Self { start: Start::Response { status }, headers: Vec::new(), body: Vec::new() }
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Reads a complete head. `None` if its first line is neither that of a request nor that of a response.
    pub(crate) fn parse_head(head: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(head);
        let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let start = Start::parse(lines.next()?)?;
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines {
            if line.starts_with([' ', '\t'])
                && let Some((_, value)) = headers.last_mut()
            {
                if !value.is_empty() {
                    value.push(' ');
                }
                value.push_str(line.trim());
            } else if let Some((name, value)) = line.split_once(':') {
                headers.push((name.trim().to_owned(), value.trim().to_owned()));
            }
        }
        Some(Self { start, headers, body: Vec::new() })
    }

    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every header of this name.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers
            .iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Bytes of the body that belongs to this head. A length that is no number is none.
    pub(crate) fn content_length(&self) -> Result<usize, TooLarge> {
        let Some(text) = self.header("Content-Length") else { return Ok(0) };
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(0);
        }
        let found: u64 = text.parse().unwrap_or(u64::MAX);
        match usize::try_from(found) {
            Ok(length) if found <= MAX_BODY => Ok(length),
            _ => Err(TooLarge::Body { found }),
        }
    }

    pub(crate) fn cseq(&self) -> Option<u32> {
        self.header("CSeq")?.parse().ok()
    }

    /// Appends the message as it is sent, with the length of its body.
    pub(crate) fn print(&self, output: &mut Vec<u8>) {
        let first = match &self.start {
            Start::Request { method, uri } => format!("{method} {uri} RTSP/1.0\r\n"),
            Start::Response { status } => format!("RTSP/1.0 {status} {}\r\n", reason(*status)),
        };
        output.extend_from_slice(first.as_bytes());
        for (name, value) in &self.headers {
            output.extend_from_slice(name.as_bytes());
            output.extend_from_slice(b": ");
            // A line break in a value would be another header, or another message.
            output.extend(value.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')));
            output.extend_from_slice(b"\r\n");
        }
        if !self.body.is_empty() {
            output.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        output.extend_from_slice(b"\r\n");
        output.extend_from_slice(&self.body);
    }
}

impl Start {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let first = words.next()?;
        if is_version(first) {
            let status = words.next()?.parse().ok().filter(|status| (100..1_000).contains(status))?;
            return Some(Self::Response { status });
        }
        let (method, uri, version) = (first, words.next()?, words.next()?);
        is_version(version).then(|| Self::Request { method: method.to_owned(), uri: uri.to_owned() })
    }
}

/// Where the value of `key` stands in a list like `a;key=value;b`, without the quotes around it. Names are compared
/// without regard to case.
pub(crate) fn parameter<'a>(list: &'a str, key: &str) -> Option<&'a str> {
    let parts = list.split(';').filter_map(|part| part.split_once('='));
    let mut values = parts.filter(|(name, _)| name.trim().eq_ignore_ascii_case(key)).map(|(_, value)| value);
    values.next().map(|value| value.trim().trim_matches('"'))
}

/// Whether an answer stands in the middle of other bytes: some servers write one into interleaved data
/// (<https://github.com/scottlamb/retina/issues/17>).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Inside {
    No,
    /// It may, when more bytes are there.
    Incomplete,
    Yes(Range<usize>, Message),
}

/// Looks for the answer with this `CSeq` that begins in the first `limit` bytes.
pub(crate) fn find_response(bytes: &[u8], limit: usize, cseq: u32) -> Inside {
    const START: &[u8] = b"RTSP/1.0 ";
    let window = &bytes[..bytes.len().min(limit.saturating_add(START.len() - 1))];
    let Some(start) = memchr::memmem::find(window, START) else { return Inside::No };
    let head = match HeadScan::default().handle(&bytes[start..]) {
        Ok(Scanned::Complete(head)) => start + head,
        Ok(Scanned::NeedsMore) => return Inside::Incomplete,
        _ => return Inside::No,
    };
    let parsed = Message::parse_head(&bytes[start..head]).filter(|message| message.cseq() == Some(cseq));
    let Some(mut message) = parsed else { return Inside::No };
    let Ok(length) = message.content_length() else { return Inside::No };
    let Some(body) = bytes.get(head..head + length) else { return Inside::Incomplete };
    message.body = body.to_vec();
    Inside::Yes(start..head + length, message)
}

fn is_version(word: &str) -> bool {
    word.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("RTSP/"))
}

fn trim_line(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        501 => "Not Implemented",
        _ => "Answer",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn parse(text: &str) -> Message {
        Message::parse_head(text.as_bytes()).unwrap()
    }

    #[test]
    fn heads_are_read_as_cameras_write_them() {
        let response = Start::Response { status: 200 };
        for text in [
            "RTSP/1.0 200 OK\r\nCSeq: 7\r\nSession: 1\r\n\r\n",
            "RTSP/1.0 200\ncseq:7\nSESSION:1\n\n",
            "rtsp/1.0  200  Alles gut\r\nCSeq : 7\r\nno colon\r\nSession:\r\n 1\r\n\r\n",
            "RTSP/2.0 200 OK\r\nX: \u{fffd}\r\nCSeq: 7\r\nSession: 1\r\n\r\n",
        ] {
            let message = parse(text);
            assert_eq!((&message.start, message.cseq()), (&response, Some(7)), "{text}");
            assert_eq!(message.header("session"), Some("1"), "{text}");
        }
        let request = parse("GET_PARAMETER * RTSP/1.0\r\nCSeq: 1\r\n\r\n");
        assert_eq!(request.start, Start::Request { method: "GET_PARAMETER".into(), uri: "*".into() });
        for text in
            ["HTTP/1.1 200 OK\r\n\r\n", "RTSP/1.0 OK\r\n\r\n", "RTSP/1.0 77\r\n\r\n", "\r\n", "", "a b"]
        {
            assert_eq!(Message::parse_head(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_end_of_a_head_is_found_however_it_arrives() {
        let text = b"RTSP/1.0 200 OK\r\nCSeq: 1\nX: y\r\n\r\nbody\r\n\r\n";
        let mut scan = HeadScan::default();
        for end in 0..text.len() - 8 {
            assert_eq!(scan.handle(&text[..end]).unwrap(), Scanned::NeedsMore);
        }
        assert_eq!(scan.handle(text).unwrap(), Scanned::Complete(text.len() - 8));
    }

    #[test]
    fn a_head_that_was_cut_off_ends_where_interleaved_data_begins() {
        let bytes = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n$\x00\x00\x04asdf";
        assert_eq!(HeadScan::default().handle(bytes).unwrap(), Scanned::CutOff(26));
    }

    #[test]
    fn heads_past_a_limit_are_refused_before_they_are_complete() {
        let check = |line: String, times: usize, refused: TooLarge| {
            let text = format!("RTSP/1.0 200 OK\r\n{}", line.repeat(times));
            assert_eq!(HeadScan::default().handle(text.as_bytes()), Err(refused));
        };
        check("A: b\r\n".into(), MAX_HEADERS + 1, TooLarge::Headers);
        check("A".repeat(MAX_LINE + 1), 1, TooLarge::Line);
        check(format!("A: {}\r\n", "b".repeat(MAX_LINE - 10)), 9, TooLarge::Head);
    }

    #[test]
    fn bodies_past_the_limit_are_refused_whatever_their_length_is_called() {
        let length = |text: &str| parse(&format!("RTSP/1.0 200 OK\r\n{text}\r\n\r\n")).content_length();
        assert_eq!(length("Content-length: 12"), Ok(12));
        assert_eq!(
            (length("X: 1"), length("Content-Length: x"), length("Content-Length: -1")),
            (Ok(0), Ok(0), Ok(0))
        );
        assert_eq!(length("Content-Length: 4294967296"), Err(TooLarge::Body { found: 4_294_967_296 }));
        assert_eq!(
            length(&format!("Content-Length: {}", "9".repeat(99))),
            Err(TooLarge::Body { found: u64::MAX })
        );
    }

    #[test]
    fn what_is_printed_is_read_again_and_a_value_cannot_begin_a_line() {
        let mut message = Message::request("SETUP", "rtsp://x/y").with("CSeq", "3").with("X", "a\r\nEvil: b");
        message.body = b"v=0".to_vec();
        let mut bytes = Vec::new();
        message.print(&mut bytes);
        let Scanned::Complete(head) = HeadScan::default().handle(&bytes).unwrap() else { panic!("complete") };
        let read = Message::parse_head(&bytes[..head]).unwrap();
        assert_eq!((read.header("X"), read.header("Evil")), (Some("aEvil: b"), None));
        assert_eq!((read.content_length(), &bytes[head..]), (Ok(3), &b"v=0"[..]));
    }

    #[test]
    fn parameters_are_found_in_lists_as_cameras_write_them() {
        let list = "RTP/AVP/TCP; unicast ;Interleaved=2-3;ssrc= d6d6627;mode=\"PLAY\"";
        assert_eq!(parameter(list, "interleaved"), Some("2-3"));
        assert_eq!((parameter(list, "ssrc"), parameter(list, "mode")), (Some("d6d6627"), Some("PLAY")));
        assert_eq!(parameter(list, "unicast"), None);
    }

    #[test]
    fn an_answer_inside_other_bytes_is_found_by_its_number() {
        let bytes = b"\x80\x60RTSP/1.0 200 OK\r\nCSeq: 5\r\nContent-Length: 2\r\n\r\nok\x01\x02";
        let Inside::Yes(range, message) = find_response(bytes, 9, 5) else { panic!("there") };
        assert_eq!((range, message.body.as_slice()), (2..bytes.len() - 2, &b"ok"[..]));
        assert_eq!(find_response(bytes, 2, 5), Inside::No, "it begins later");
        assert_eq!(find_response(bytes, 9, 6), Inside::No, "it answers something else");
        assert_eq!(find_response(&bytes[..bytes.len() - 3], 9, 5), Inside::Incomplete);
        assert_eq!(find_response(&bytes[..20], 9, 5), Inside::Incomplete);
    }
}
