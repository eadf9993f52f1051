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
mod tests;
