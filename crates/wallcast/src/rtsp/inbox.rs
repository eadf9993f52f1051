//! What has arrived on a connection, cut into messages (RFC 2326 sections 4 and 10.12).
//!
//! Every byte is looked at once, and a message is parsed when it is whole: a client that sends a long head byte by
//! byte costs no more than one that sends it at once.

use bytes::{Buf, BytesMut};
use rtsp_types::{Message, ParseError};

/// The most lines after the first one in a head. Players send about ten.
const MOST_HEADERS: usize = 64;
const FRAME_HEAD: usize = 4;

/// Why what has arrived is no message; where the next one begins nobody can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejected {
    /// Not RTSP.
    Malformed,
    /// More bytes or headers than a message may have.
    TooLong,
}

/// Bytes that wait to become messages.
#[derive(Debug)]
pub(super) struct Inbox {
    bytes: BytesMut,
    largest: usize,
    /// How much of the head has been looked at, and the lines in it.
    scanned: usize,
    lines: usize,
    /// So many bytes the message has at least, once its head, or its frame's, is whole.
    length: Option<usize>,
}

impl Inbox {
    /// Takes messages of up to `largest` bytes.
    pub(super) fn new(largest: usize) -> Self {
        Self { bytes: BytesMut::with_capacity(4096), largest, scanned: 0, lines: 0, length: None }
    }

    /// Where to read to, with room for `room` bytes.
    pub(super) fn buffer(&mut self, room: usize) -> &mut BytesMut {
        self.bytes.reserve(room);
        &mut self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next whole message; `None` as long as some of it is missing.
    pub(super) fn next(&mut self) -> Result<Option<Message<Vec<u8>>>, Rejected> {
        if self.length.is_none() {
            self.length = self.least_length()?;
        }
        if self.length.unwrap_or(self.bytes.len()) > self.largest {
            return Err(Rejected::TooLong);
        }
        if self.length.is_none_or(|length| self.bytes.len() < length) {
            return Ok(None);
        }
        match Message::<Vec<u8>>::parse(&self.bytes[..]) {
            Ok((message, length)) => {
                self.bytes.advance(length);
                (self.scanned, self.lines, self.length) = (0, 0, None);
                Ok(Some(message))
            }
            // With a whole head, only of the body something can be missing, and then it is known how much.
            Err(ParseError::Incomplete(Some(missing))) => {
                let length = self.bytes.len().saturating_add(missing.get());
                self.length = Some(length);
                if length > self.largest { Err(Rejected::TooLong) } else { Ok(None) }
            }
            Err(_) => Err(Rejected::Malformed),
        }
    }

    /// The length of an interleaved frame, or of a head up to the empty line that ends it.
    fn least_length(&mut self) -> Result<Option<usize>, Rejected> {
        if self.scanned == 0 {
            // Empty lines before a message mean nothing.
            while self.bytes.starts_with(b"\r\n") {
                self.bytes.advance(2);
            }
        }
        match *self.bytes {
            [] | [b'\r'] => Ok(None),
            [b'$', _, high, low, ..] => Ok(Some(FRAME_HEAD + usize::from(u16::from_be_bytes([high, low])))),
            [b'$', ..] => Ok(None),
            _ => self.head_length(),
        }
    }

    fn head_length(&mut self) -> Result<Option<usize>, Rejected> {
        for index in self.scanned..self.bytes.len() {
            let so_far = &self.bytes[..=index];
            match self.bytes[index] {
                b'\n' if so_far.ends_with(b"\r\n\r\n") => return Ok(Some(so_far.len())),
                b'\n' if so_far.ends_with(b"\r\n") => {
                    self.lines += 1;
                    if self.lines > 1 + MOST_HEADERS {
                        return Err(Rejected::TooLong);
                    }
                }
                b'\r' | b'\t' => {}
                // Whoever speaks TLS here is told at once.
                control if control.is_ascii_control() => return Err(Rejected::Malformed),
                _ => {}
            }
        }
        self.scanned = self.bytes.len();
        Ok(None)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    type Told = Result<Option<Message<Vec<u8>>>, Rejected>;

    const REQUEST: &[u8] = b"SET_PARAMETER * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 4\r\n\r\nbody";

    /// What becomes of `bytes`, one arriving after the other: how many it took until there was something to tell.
    fn drip(bytes: &[u8]) -> (usize, Told) {
        let mut inbox = Inbox::new(1000);
        for (index, byte) in bytes.iter().enumerate() {
            inbox.buffer(1).extend_from_slice(&[*byte]);
            match inbox.next() {
                Ok(None) => {}
                told => return (index + 1, told),
            }
        }
        (bytes.len(), Ok(None))
    }

    #[test]
    fn a_message_is_judged_when_its_head_is_whole_and_not_for_every_byte() {
        let wrong = b"OPTIONS * RTSP/1.0\r\nno colon\r\nCSeq: 1\r\n\r\n";
        assert_eq!(drip(wrong), (wrong.len(), Err(Rejected::Malformed)));
        assert_eq!(drip(&wrong[..wrong.len() - 1]), (wrong.len() - 1, Ok(None)));
    }

    #[test]
    fn every_byte_of_a_head_is_looked_at_once() {
        let mut inbox = Inbox::new(1000);
        inbox.buffer(1).extend_from_slice(b"OPTIONS * RTSP/1.0\r\nX: ");
        for _ in 0..100 {
            inbox.buffer(1).extend_from_slice(b"x");
            assert_eq!(inbox.next(), Ok(None));
            assert_eq!((inbox.scanned, inbox.lines), (inbox.bytes.len(), 1));
        }
    }

    #[test]
    fn messages_come_out_whole_however_they_arrive() {
        let frame = b"$\x01\0\x03abc";
        let all = [b"\r\n\r\n", REQUEST, frame, b"\r\n", REQUEST, b"\r\n"].concat();
        let (expected, _) = Message::<Vec<u8>>::parse(REQUEST).unwrap();
        for piece in [1, 2, 7, all.len()] {
            let mut inbox = Inbox::new(1000);
            let mut messages = Vec::new();
            for piece in all.chunks(piece) {
                inbox.buffer(1).extend_from_slice(piece);
                while let Some(message) = inbox.next().unwrap() {
                    messages.push(message);
                }
            }
            let [first, Message::Data(data), third] = &messages[..] else { panic!("{messages:?}") };
            assert_eq!((first, third), (&expected, &expected));
            assert_eq!((data.channel_id(), data.as_slice()), (1, &b"abc"[..]));
            assert!(inbox.is_empty(), "empty lines are no beginning of a message");
        }
    }

    #[test]
    fn the_body_is_waited_for_without_parsing_again() {
        let mut inbox = Inbox::new(1000);
        inbox.buffer(1).extend_from_slice(&REQUEST[..REQUEST.len() - 3]);
        assert_eq!(inbox.next(), Ok(None));
        assert_eq!(inbox.length, Some(REQUEST.len()));
    }

    #[test]
    fn too_many_headers_and_announced_or_real_bytes_are_refused() {
        let with = |headers: usize| format!("OPTIONS * RTSP/1.0\r\n{}\r\n", "a:b\r\n".repeat(headers));
        assert!(matches!(drip(with(64).as_bytes()).1, Ok(Some(_))));
        assert_eq!(drip(with(65).as_bytes()), (20 + 65 * 5, Err(Rejected::TooLong)));
        let endless = [&b"OPTIONS * RTSP/1.0\r\nX: "[..], &[b'x'; 2000]].concat();
        assert_eq!(drip(&endless), (1001, Err(Rejected::TooLong)));
        let announced = b"OPTIONS * RTSP/1.0\r\nContent-Length: 18446744073709551615\r\n\r\n";
        assert_eq!(drip(announced), (announced.len(), Err(Rejected::TooLong)));
        assert_eq!(drip(b"$\0\xff\xff"), (4, Err(Rejected::TooLong)));
    }

    #[test]
    fn what_cannot_become_a_head_is_refused_at_once() {
        assert_eq!(drip(b"\x16\x03\x01\x02").0, 1);
        assert_eq!(drip(b"OPTIONS * RTSP/1.0\n"), (19, Err(Rejected::Malformed)));
        assert_eq!(drip(b"OPTIONS * RTSP/1.0\r\nX: \x1b[31m"), (24, Err(Rejected::Malformed)));
    }
}
