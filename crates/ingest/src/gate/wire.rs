//! The bytes of an RTSP connection cut into messages and interleaved packets (RFC 2326 section 10.12), without I/O.
//!
//! Servers write junk between packets, stop in the middle of one, or write an answer into one (old live555:
//! <https://github.com/scottlamb/retina/issues/17>). So a packet that is not followed by a beginning is not believed,
//! and what makes no sense is skipped up to bytes that do: a packet on a channel of ours, with an RTP header, that ends
//! where something else begins; or an answer. What is skipped is counted, and too much of it is an error.
//!
//! Reads are bounded by what one message or packet may have: the caller reads only after [`Wire::poll`] has returned
//! `None`, and then at most one message is waiting for its rest.

use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};

use super::message::{HeadScan, Inside, Message, Scanned, TooLarge, find_response};

/// Junk without anything that makes sense in between. A packet may have 64 KiB, and a server may lose the
/// beginnings of a few.
const MAX_JUNK: usize = 256 * 1024;
/// Junk for so long, without anything that makes sense in between, will not end by itself.
const MAX_JUNK_TIME: Duration = Duration::from_secs(1);
/// `$`, channel, length.
const PACKET_HEAD: usize = 4;

/// One connection's incoming bytes. Fill [`Wire::buffer`], then call [`Wire::poll`] until it returns `None`.
pub(crate) struct Wire {
    buffer: BytesMut,
    /// Bytes at the beginning that the last [`Item::Packet`] stands for.
    handed_out: usize,
    head: HeadScan,
    channels: Option<Channels>,
    awaiting: Option<u32>,
    /// A message was read: this is an RTSP server.
    has_spoken: bool,
    lost: Option<Lost>,
    junk: u64,
}

/// Where our stream comes (RFC 2326 section 12.39, `interleaved`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Channels {
    pub(crate) rtp: u8,
    pub(crate) rtcp: u8,
}

/// The next thing in the connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Message(Message),
    /// [`Wire::packet`] has it, until the next poll.
    Packet {
        channel: u8,
    },
}

/// Why reading cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("found bytes that begin no RTSP message, expected an answer")]
    NotRtsp,
    #[error("found bytes between packets that make no sense, for too long")]
    Junk,
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

struct Lost {
    since: Instant,
    bytes: usize,
}

impl Wire {
    pub(crate) fn new() -> Self {
        Self {
            buffer: BytesMut::new(),
            handed_out: 0,
            head: HeadScan::default(),
            channels: None,
            awaiting: None,
            has_spoken: false,
            lost: None,
            junk: 0,
        }
    }

    /// To append what was read.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Which packets are ours, from SETUP on.
    pub(crate) fn set_channels(&mut self, channels: Option<Channels>) {
        self.channels = channels;
    }

    /// The number of the request that is not answered yet.
    pub(crate) fn set_awaiting(&mut self, cseq: Option<u32>) {
        self.awaiting = cseq;
    }

    /// Bytes skipped since the last call.
    pub(crate) fn take_junk(&mut self) -> u64 {
        std::mem::take(&mut self.junk)
    }

    /// The packet that was found last.
    pub(crate) fn packet(&mut self) -> &mut [u8] {
        let end = self.handed_out;
        &mut self.buffer[PACKET_HEAD.min(end)..end]
    }

    /// The next message or packet, `None` when more bytes are needed.
    pub(crate) fn poll(&mut self, now: Instant) -> Result<Option<Item>, Broken> {
        self.buffer.advance(std::mem::take(&mut self.handed_out));
        loop {
            if self.lost.is_some() && !self.find_again(now)? {
                return Ok(None);
            }
            let found = match self.buffer.first() {
                None => return Ok(None),
                Some(b'\r' | b'\n') => {
                    self.buffer.advance(1);
                    continue;
                }
                Some(b'$') => self.read_packet(),
                Some(_) if begins_message(&self.buffer) => self.read_message()?,
                Some(_) => Found::Junk(1),
            };
            match found {
                Found::Item(item) => {
                    self.lost = None;
                    return Ok(Some(item));
                }
                Found::NeedsMore => return Ok(None),
                Found::Junk(_) if !self.has_spoken => return Err(Broken::NotRtsp),
                Found::Junk(bytes) => {
                    self.lost.get_or_insert(Lost { since: now, bytes: 0 });
                    self.skip(bytes, now)?;
                }
            }
        }
    }

    fn read_packet(&mut self) -> Found {
        let [_, channel, high, low, ..] = self.buffer[..] else { return Found::NeedsMore };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let end = PACKET_HEAD + length;
        // All that is sent like this is RTP or RTCP, version 2. What is not has a length that says nothing; it may be an
        // answer, though, that was written between the head of a packet and its rest.
        let begins_wrong = |first: &u8| first >> 6 != 2 && (self.awaiting.is_none() || *first != b'R');
        if self.channels.is_some() && length > 0 && self.buffer.get(PACKET_HEAD).is_some_and(begins_wrong) {
            return Found::Junk(1);
        }
        if self.buffer.len() < end {
            // Two packets in a row where there should be a part of this one: there is none of this length.
            let (inside, is_sure) = search(&self.buffer[1..], self.channels, Proof::Followed);
            return if is_sure { Found::Junk(inside + 1) } else { Found::NeedsMore };
        }
        if let Some(cseq) = self.awaiting {
            match find_response(&self.buffer[PACKET_HEAD..], length, cseq) {
                Inside::No => {}
                Inside::Incomplete => return Found::NeedsMore,
                Inside::Yes(range, message) => {
                    self.cut_out(PACKET_HEAD + range.start, range.len());
                    return Found::Item(Item::Message(message));
                }
            }
        }
        let rest = &self.buffer[end..];
        if !rest.is_empty() && !begins(rest) {
            // Its own end was never sent, and the packets that follow were taken for it.
            let (inside, is_sure) = search(&self.buffer[1..], self.channels, Proof::Any);
            if is_sure && inside + 1 < end {
                return Found::Junk(inside + 1);
            }
        }
        self.handed_out = end;
        Found::Item(Item::Packet { channel })
    }

    fn read_message(&mut self) -> Result<Found, TooLarge> {
        let head = match self.head.handle(&self.buffer)? {
            Scanned::Complete(head) => head,
            Scanned::NeedsMore => return Ok(Found::NeedsMore),
            Scanned::CutOff(bytes) => {
                self.head = HeadScan::default();
                return Ok(Found::Junk(bytes));
            }
        };
        let Some(mut message) = Message::parse_head(&self.buffer[..head]) else {
            self.head = HeadScan::default();
            return Ok(Found::Junk(head));
        };
        let length = message.content_length()?;
        if self.buffer.len() - head < length {
            return Ok(Found::NeedsMore);
        }
        self.head = HeadScan::default();
        self.has_spoken = true;
        self.buffer.advance(head);
        message.body = self.buffer.split_to(length).to_vec();
        Ok(Found::Item(Item::Message(message)))
    }

    /// Skips to where something seems to begin. Whether that is sure enough to go on.
    fn find_again(&mut self, now: Instant) -> Result<bool, Broken> {
        let (bytes, is_sure) = search(&self.buffer, self.channels, Proof::Any);
        self.skip(bytes, now)?;
        if is_sure {
            self.lost = None;
        }
        Ok(is_sure)
    }

    fn skip(&mut self, bytes: usize, now: Instant) -> Result<(), Broken> {
        self.buffer.advance(bytes);
        self.junk += bytes as u64;
        match &mut self.lost {
            Some(lost) if bytes > 0 => {
                lost.bytes += bytes;
                let is_too_long = now.saturating_duration_since(lost.since) > MAX_JUNK_TIME;
                if lost.bytes > MAX_JUNK || is_too_long { Err(Broken::Junk) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    fn cut_out(&mut self, start: usize, length: usize) {
        let end = self.buffer.len();
        self.buffer.copy_within(start + length..end, start);
        self.buffer.truncate(end - length);
    }
}

enum Found {
    Item(Item),
    NeedsMore,
    /// So many bytes make no sense.
    Junk(usize),
}

/// Whether these bytes can be the beginning of anything, as far as they go.
fn begins(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(b'$' | b'\r' | b'\n')) || begins_message(bytes)
}

fn begins_message(bytes: &[u8]) -> bool {
    const STARTS: [&[u8]; 12] = [
        b"RTSP/",
        b"OPTIONS ",
        b"DESCRIBE ",
        b"ANNOUNCE ",
        b"SETUP ",
        b"PLAY ",
        b"PAUSE ",
        b"TEARDOWN ",
        b"GET_PARAMETER ",
        b"SET_PARAMETER ",
        b"REDIRECT ",
        b"RECORD ",
    ];
    STARTS.iter().any(|start| {
        let length = start.len().min(bytes.len());
        bytes[..length].eq_ignore_ascii_case(&start[..length])
    })
}

/// The first place where something surely begins; without one, the first where something may begin, and else the end.
fn search(bytes: &[u8], channels: Option<Channels>, proof: Proof) -> (usize, bool) {
    let mut maybe = None;
    for at in memchr::memchr2_iter(b'$', b'R', bytes) {
        match plausibility(&bytes[at..], channels, proof) {
            Plausibility::Sure => return (at, true),
            Plausibility::Maybe => maybe = maybe.or(Some(at)),
            Plausibility::No => {}
        }
    }
    (maybe.unwrap_or(bytes.len()), false)
}

/// What makes a packet a sure one.
#[derive(Clone, Copy, PartialEq)]
enum Proof {
    /// Something else begins behind it, or nothing has come behind it yet.
    Any,
    /// Another packet of ours begins behind it.
    Followed,
}

enum Plausibility {
    Sure,
    /// More bytes will tell.
    Maybe,
    No,
}

fn plausibility(bytes: &[u8], channels: Option<Channels>, proof: Proof) -> Plausibility {
    const ANSWER: &[u8] = b"RTSP/1.0 ";
    let is_answer = |bytes: &[u8]| {
        let length = ANSWER.len().min(bytes.len());
        bytes[..length] == ANSWER[..length]
    };
    let is_ours = |channel: u8| match channels {
        Some(ours) => channel == ours.rtp || channel == ours.rtcp,
        None => channel < 16,
    };
    if bytes.first() == Some(&b'R') && proof == Proof::Followed {
        return Plausibility::No;
    }
    if bytes.first() == Some(&b'R') {
        return match (is_answer(bytes), bytes.len() >= ANSWER.len()) {
            (true, true) => Plausibility::Sure,
            (true, false) => Plausibility::Maybe,
            (false, _) => Plausibility::No,
        };
    }
    if bytes.get(1).is_some_and(|channel| !is_ours(*channel)) {
        return Plausibility::No;
    }
    let [_, channel, high, low, first, second, ..] = *bytes else { return Plausibility::Maybe };
    let length = usize::from(u16::from_be_bytes([high, low]));
    // RFC 3550 sections 5.1 and 6.4: version 2; an RTP header has 12 bytes, an RTCP packet at least 8 and a type.
    let is_rtcp = channels.is_some_and(|ours| channel == ours.rtcp && channel != ours.rtp);
    let has_header = if is_rtcp { length >= 8 && (200..=207).contains(&second) } else { length >= 12 };
    if first >> 6 != 2 || !has_header {
        return Plausibility::No;
    }
    match bytes.get(PACKET_HEAD + length..) {
        None => Plausibility::Maybe,
        Some([b'$', channel, ..]) if is_ours(*channel) => Plausibility::Sure,
        Some([] | [b'$']) if proof == Proof::Any => Plausibility::Sure,
        Some([] | [b'$']) => Plausibility::Maybe,
        Some(rest) if proof == Proof::Any && is_answer(rest) => Plausibility::Sure,
        Some(_) => Plausibility::No,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const OURS: Channels = Channels { rtp: 0, rtcp: 1 };

    fn packet(channel: u8, mark: u8, length: usize) -> Vec<u8> {
        let mut packet = vec![b'$', channel, (length >> 8) as u8, length as u8, 0x80, 0x60];
        packet.resize(PACKET_HEAD + length, mark);
        packet
    }

    /// A connection that has been answered and set up.
    fn wire() -> Wire {
        let mut wire = Wire::new();
        assert_eq!(read(&mut wire, b"RTSP/1.0 200 OK\r\n\r\n"), ["message"]);
        wire.set_channels(Some(OURS));
        wire
    }

    /// What comes of these bytes: `message`, or the channel and the mark of a packet.
    #[track_caller]
    fn read(wire: &mut Wire, bytes: &[u8]) -> Vec<String> {
        wire.buffer().extend_from_slice(bytes);
        let mut found = Vec::new();
        while let Some(item) = wire.poll(Instant::now()).unwrap() {
            found.push(match item {
                Item::Message(_) => "message".to_owned(),
                Item::Packet { channel } => format!("{channel}:{}", wire.packet().last().unwrap_or(&0)),
            });
        }
        found
    }

    #[track_caller]
    fn check(stream: &[&[u8]], found: &[&str], junk: u64) {
        let stream = stream.concat();
        let mut at_once = wire();
        assert_eq!(read(&mut at_once, &stream), found);
        assert_eq!(at_once.take_junk(), junk);
    }

    #[test]
    fn messages_and_packets_are_told_apart_at_any_cut() {
        let answer = b"RTSP/1.0 200 OK\r\nContent-Length: 4\r\n\r\n$RTS";
        let request = b"\r\nOPTIONS * RTSP/1.0\nCSeq: 1\n\n";
        let stream = [
            &packet(0, 1, 20)[..],
            answer,
            &packet(1, 200, 8),
            request,
            &packet(9, 3, 1400),
            &packet(0, 4, 12),
        ]
        .concat();
        let expected = ["0:1", "message", "1:200", "message", "9:3", "0:4"];
        for size in [1, 2, 3, 7, 64, stream.len()] {
            let mut wire = wire();
            let found: Vec<String> = stream.chunks(size).flat_map(|chunk| read(&mut wire, chunk)).collect();
            assert_eq!((found.as_slice(), wire.take_junk()), (&expected.map(String::from)[..], 0), "{size}");
        }
    }

    #[test]
    fn junk_between_packets_is_skipped_and_counted() {
        let (a, b) = (packet(0, 1, 200), packet(0, 2, 300));
        check(&[&a, b"\x00\x01junk", &b], &["0:1", "0:2"], 6);
        check(&[&a, b"a dollar $ and an R", &b, &a], &["0:1", "0:2", "0:1"], 19);
        check(&[&a, &[b'$', 0, 0xff, 0xff, 0x80, 0x60][1..], &b, &a], &["0:1", "0:2", "0:1"], 5);
        check(&[&a, b"xyz", b"RTSP/1.0 200 OK\r\n\r\n", &b], &["0:1", "message", "0:2"], 3);
    }

    #[test]
    fn a_length_that_lies_keeps_nothing_waiting() {
        let (a, b) = (packet(0, 1, 200), packet(0, 2, 300));
        check(&[&a, b"$\x99\xff\xff", &b, &a], &["0:1", "0:2", "0:1"], 4);
        check(&[&a, b"$\x00\xff\xff\x80\x60", &b, &a], &["0:1", "0:2", "0:1"], 6);
        check(&[&a, b"$\x00\x00\x00", &b], &["0:1", "0:0", "0:2"], 0);
    }

    #[test]
    fn a_packet_that_was_cut_off_costs_only_itself() {
        let (a, b, c) = (packet(0, 1, 500), packet(0, 2, 600), packet(1, 200, 28));
        check(&[&a[..100], &b, &c, &b, &b], &["0:2", "1:200", "0:2", "0:2"], 100);
    }

    #[test]
    fn an_answer_that_was_cut_off_costs_only_itself() {
        let b = packet(0, 2, 600);
        check(&[b"RTSP/1.0 200 OK\r\nCSeq: 3\r\n", &b, &b], &["0:2", "0:2"], 26);
    }

    #[test]
    fn an_answer_inside_a_packet_is_taken_out_and_the_packet_is_whole_again() {
        let (a, b) = (packet(0, 1, 500), packet(0, 2, 600));
        let answer = b"RTSP/1.0 200 OK\r\nCSeq: 3\r\nSession: 1\r\n\r\n";
        for at in [4, 20, 470, 490] {
            let stream = [&a[..at], answer, &a[at..], &b].concat();
            for size in [1, 50, stream.len()] {
                let mut wire = wire();
                wire.set_awaiting(Some(3));
                let found: Vec<String> =
                    stream.chunks(size).flat_map(|chunk| read(&mut wire, chunk)).collect();
                assert_eq!(
                    (found.as_slice(), wire.take_junk()),
                    (&["message", "0:1", "0:2"].map(String::from)[..], 0)
                );
            }
        }
    }

    #[test]
    fn a_packet_without_anything_behind_it_is_not_kept_waiting() {
        let mut wire = wire();
        assert_eq!(read(&mut wire, b"junk"), [""; 0]);
        assert_eq!(read(&mut wire, &packet(0, 1, 100)), ["0:1"]);
        assert_eq!(read(&mut wire, &packet(0, 2, 100)), ["0:2"]);
    }

    #[test]
    fn what_was_never_rtsp_is_said_at_once() {
        for text in [
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            "SSH-2.0-OpenSSH\r\n",
            "\x15\x03\x01",
            "RTSP/1.0 what\r\n\r\n",
        ] {
            let mut wire = Wire::new();
            wire.buffer().extend_from_slice(text.as_bytes());
            assert_eq!(wire.poll(Instant::now()), Err(Broken::NotRtsp), "{text}");
        }
    }

    #[test]
    fn junk_has_an_end() {
        let mut wire = wire();
        wire.buffer().extend_from_slice(&vec![0x80; MAX_JUNK + 1]);
        assert_eq!(wire.poll(Instant::now()), Err(Broken::Junk));

        let mut wire = self::wire();
        let start = Instant::now();
        for (ms, last) in [(0, false), (900, false), (1_100, true)] {
            wire.buffer().extend_from_slice(&[0x80, 0x60, 0xff, 0x01].repeat(16));
            let polled = wire.poll(start + Duration::from_millis(ms));
            assert_eq!(polled, if last { Err(Broken::Junk) } else { Ok(None) }, "{ms}");
        }
    }

    #[test]
    fn a_little_junk_for_ever_is_borne() {
        let mut wire = wire();
        let mut now = Instant::now();
        for _ in 0..10_000 {
            wire.buffer().extend_from_slice(&[&[0; 100], &packet(0, 1, 100)[..]].concat());
            assert_eq!(wire.poll(now), Ok(Some(Item::Packet { channel: 0 })));
            assert_eq!(wire.poll(now), Ok(None));
            now += Duration::from_secs(1);
        }
        assert_eq!(wire.take_junk(), 1_000_000);
    }

    #[test]
    fn messages_past_a_limit_are_refused_without_waiting_for_their_end() {
        for (text, times) in
            [("RTSP/1.0 200 OK\r\nContent-Length: 4294967296\r\n\r\n", 1), ("RTSP/1.0 200 OK\r\n", 1_000)]
        {
            let mut wire = Wire::new();
            wire.buffer().extend_from_slice(text.repeat(times).as_bytes());
            assert!(matches!(wire.poll(Instant::now()), Err(Broken::TooLarge(_))));
        }
    }
}
