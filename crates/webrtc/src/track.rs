//! One peer's RTP stream: RFC 3550 headers around the shared payloads, with the extensions the peer negotiated, and the
//! memory of what was sent (RFC 4588).
//!
//! Frames of several renditions make one stream: numbers go on, and time never steps back.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;
use rtc::shared::error::Error;

use crate::packetise::{PacketisedFrame, Payload, STAMP, Shape, ntp_duration};
use crate::playout::Playout;
use crate::srtp::{PacketId, Srtp};
use crate::transport_cc::{Arrivals, SentLog};

/// A frame is remembered for so long: whatever a viewer asks for later would come too late.
const REMEMBERED: Duration = Duration::from_secs(1);
const MAX_REMEMBERED: usize = 128;
/// Packets that may be sent again at once; each packet sent the first time adds a half.
const MAX_CREDIT: u32 = 400;
/// Of packets sent again it is remembered when, by their number modulo this.
const AGAIN: usize = 512;
/// A packet is sent again so often at most, and from the third copy on after twice the time: some receivers ask every
/// 100 ms for what they got long ago (webrtc-rs/rtc, whose list of what is missing knows nothing of copies), while
/// Chromium, which asks once a round trip, is to get its third.
const MAX_COPIES: u8 = 4;
/// Packets of a train.
const MAX_TRAIN: usize = 64;
/// Frames that a train is taken from: half a second at 25 a second.
const RECENT: usize = 12;
/// Between two frames at least, 90 kHz. A rendition may lag behind another by more than a frame's time.
const MIN_STEP: u32 = 90;

/// RTP header extensions we write, each under the id the offer gave it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Extension {
    /// Asks the receiver to show frames at once instead of building a buffer, or how long to hold them back.
    PlayoutDelay,
    /// Tells when the picture was taken.
    AbsCaptureTime,
    /// Numbers every packet, whatever stream it is of.
    TransportCc,
}

impl Extension {
    pub(crate) const ALL: [Self; 3] = [Self::PlayoutDelay, Self::AbsCaptureTime, Self::TransportCc];

    pub(crate) const fn uri(self) -> &'static str {
        match self {
            Self::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            Self::AbsCaptureTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
            Self::TransportCc => "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
        }
    }
}

/// The identity of a peer's track, chosen before the answer is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrackIds {
    pub(crate) ssrc: u32,
    pub(crate) payload_type: u8,
    /// SSRC and payload type of retransmissions, RFC 4588. Without, lost packets are sent again as they were.
    pub(crate) rtx: Option<(u32, u8)>,
}

impl TrackIds {
    pub(crate) fn random(payload_type: u8, rtx_payload_type: Option<u8>) -> Self {
        let mut rng = rand::rng();
        let ssrc: u32 = rng.random();
        let rtx_ssrc = std::iter::repeat_with(|| rng.random()).find(|&rtx| rtx != ssrc).unwrap_or(!ssrc);
        Self { ssrc, payload_type, rtx: rtx_payload_type.map(|payload_type| (rtx_ssrc, payload_type)) }
    }
}

/// Sealed packets, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Burst {
    pub(crate) bytes: Vec<u8>,
    /// The length of each.
    pub(crate) sizes: Vec<usize>,
}

impl Burst {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.sizes.clear();
    }

    pub(crate) fn packets(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes.as_slice();
        self.sizes.iter().map_while(move |&size| {
            let (packet, after) = rest.split_at_checked(size)?;
            rest = after;
            Some(packet)
        })
    }
}

/// What a sender report says of a track (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) ntp: u64,
    pub(crate) rtp_time: u32,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
}

/// A frame whose packets have their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Begun {
    /// The first packet's sequence number with its rollovers.
    pub(crate) first: u64,
    pub(crate) packets: usize,
}

/// Numbers, seals and remembers packets.
pub(crate) struct Track {
    ids: TrackIds,
    /// Of a frame's first packet.
    extensions: Vec<(Extension, u8)>,
    /// Of every packet: under which id its number for the viewer's reports stands, and what is kept for these.
    log: Option<(u8, SentLog)>,
    shape: Shape,
    time_offset: u32,
    newest_time: Option<u32>,
    /// The next packet's sequence number with its rollovers.
    next: u64,
    next_rtx: u64,
    /// The newest last.
    history: VecDeque<Remembered>,
    credit: u32,
    /// Allocated when something is first asked for again.
    again: Vec<Copied>,
    start: Instant,
    /// Packets before this one are not sent again.
    again_from: u64,
    playout: Playout,
    octets: u64,
    first: u64,
}

/// The last copies of a packet.
#[derive(Clone, Copy, Default)]
struct Copied {
    at_ms: u32,
    sequence_number: u16,
    count: u8,
}

struct Remembered {
    first: u64,
    at: Instant,
    rtp_time: u32,
    frame: Arc<PacketisedFrame>,
    /// How long the viewer is told with it to hold frames back: a copy says the same.
    playout: Option<[u8; 3]>,
}

impl Track {
    /// For a stream of about `bitrate_bps`.
    pub(crate) fn new(
        now: Instant,
        ids: TrackIds,
        mut extensions: Vec<(Extension, u8)>,
        bitrate_bps: u64,
    ) -> Self {
        let mut rng = rand::rng();
        // RFC 3711 section 3.3.1: a start in the lower half keeps a loss at the very start from being taken for a wrap.
        let [next, next_rtx] = [0, 1].map(|_| rng.random_range(0..1 << 15));
        // Without a stream for copies a copy must be the same packet to the byte: another header sealed under the same
        // number would use AES-GCM's nonce twice (RFC 7714 section 8), which gives away the key of its checksums.
        extensions.retain(|&(extension, _)| ids.rtx.is_some() || extension != Extension::TransportCc);
        let stamped = extensions.iter().any(|&(extension, _)| extension == Extension::AbsCaptureTime);
        let numbered = extensions.extract_if(.., |(extension, _)| *extension == Extension::TransportCc);
        let log = numbered.last().map(|(_, id)| (id, SentLog::new(now, bitrate_bps)));
        let shape = match (stamped, &log) {
            (false, _) => Shape::Plain,
            (true, None) => Shape::Stamped,
            (true, Some(_)) => Shape::StampedNumbered,
        };
        let (history, credit, octets, first) = (VecDeque::new(), MAX_CREDIT / 4, 0, next);
        Self {
            ids,
            extensions,
            log,
            shape,
            time_offset: rng.random(),
            newest_time: None,
            next,
            next_rtx,
            history,
            credit,
            again: Vec::new(),
            start: now,
            again_from: next,
            playout: Playout::default(),
            octets,
            first,
        }
    }

    /// Every packet has a number that the viewer is to report on.
    pub(crate) fn is_numbered(&self) -> bool {
        self.log.is_some()
    }

    /// Reads the viewer's report on packets by their transport-wide numbers.
    pub(crate) fn read_report(&mut self, now: Instant, report: &[u8]) -> Option<Arrivals> {
        self.log.as_mut()?.1.read(now, report)
    }

    /// Gives numbers to the packets of `frame`. To be sent by [`Track::write`].
    pub(crate) fn begin(&mut self, now: Instant, frame: &Arc<PacketisedFrame>) -> Begun {
        let too_old = |sent: &Remembered| sent.at + REMEMBERED < now;
        while self.history.len() >= MAX_REMEMBERED || self.history.front().is_some_and(too_old) {
            self.history.pop_front();
        }
        let packets = frame.payloads(self.shape).len();
        let tells_playout = self.playout.handle_frame(now) || frame.key;
        let playout = tells_playout.then(|| self.playout.value());
        let (first, rtp_time, frame) = (self.next, self.time_of(frame), Arc::clone(frame));
        self.history.push_back(Remembered { first, at: now, rtp_time, frame, playout });
        self.next += packets as u64;
        self.credit = (self.credit + packets as u32 / 2 + 1).min(MAX_CREDIT);
        Begun { first, packets }
    }

    /// Seals packets of a frame that was begun.
    pub(crate) fn write(
        &mut self,
        now: Instant,
        begun: Begun,
        range: Range<usize>,
        srtp: &mut Srtp,
        burst: &mut Burst,
    ) -> Result<(), Error> {
        // Nearly always the last; two frames are on their way at once where one rendition follows another.
        let found = self.history.iter().rev().find(|sent| sent.first == begun.first);
        let Some(sent) = found else { return Ok(()) };
        let Remembered { first, frame, .. } = sent;
        let payloads = frame.payloads(self.shape);
        let numbered = payloads.iter().enumerate().skip(range.start).take(range.len());
        for (position, payload) in numbered {
            let index = first + position as u64;
            let start = burst.bytes.len();
            let header = self.header(sent, position, payloads.len());
            let (ssrc, payload_type) = (self.ids.ssrc, self.ids.payload_type);
            let header_len = header.write_to(&mut burst.bytes, payload_type, index as u16, ssrc);
            payload.write_to(&mut burst.bytes);
            self.octets += payload.len() as u64;
            srtp.seal(&mut burst.bytes, start, header_len, PacketId { ssrc, index })?;
            let size = burst.bytes.len() - start;
            burst.sizes.push(size);
            if let Some((_, log)) = &mut self.log {
                log.sent(now, size);
            }
        }
        Ok(())
    }

    /// Seals the packet of this sequence number once more. `false` when it is too old, or too much was asked for, or the
    /// last copy may yet be on its way: a round trip takes `rtt`.
    pub(crate) fn write_again(
        &mut self,
        now: Instant,
        sequence_number: u16,
        rtt: Duration,
        srtp: &mut Srtp,
        burst: &mut Burst,
    ) -> Result<bool, Error> {
        let behind = (self.next as u16).wrapping_sub(sequence_number);
        let index = self.next.checked_sub(u64::from(behind)).filter(|_| behind > 0);
        let Some(index) = index.filter(|&index| index >= self.again_from) else { return Ok(false) };
        let Some(sent_at) = self.remembered(index).map(|sent| sent.at).filter(|at| *at + REMEMBERED >= now)
        else {
            return Ok(false);
        };
        self.again.resize(AGAIN, Copied::default());
        let at_ms = now.saturating_duration_since(self.start).as_millis() as u32;
        let last = self.again[usize::from(sequence_number) % AGAIN];
        // What stands there may be of a packet 65,536 before.
        let since_ms = at_ms.wrapping_sub(last.at_ms);
        let is_same = last.sequence_number == sequence_number && since_ms <= REMEMBERED.as_millis() as u32;
        let count = if is_same { last.count } else { 0 };
        let too_soon =
            count > 0 && since_ms < (rtt.as_millis() as u32) << count.saturating_sub(2).min(MAX_COPIES);
        if self.credit == 0 || count >= MAX_COPIES || too_soon {
            return Ok(false);
        }
        let sent = self.copy(now, index, srtp, burst)?;
        if sent {
            self.credit -= 1;
            self.playout.handle_late(now, now.saturating_duration_since(sent_at));
            self.again[usize::from(sequence_number) % AGAIN] =
                Copied { at_ms, sequence_number, count: count + 1 };
        }
        Ok(sent)
    }

    /// Seals copies of the packets sent last, about `bytes` together, so that the way can be seen to carry them; nothing
    /// for a viewer that has no stream for copies. As a train, it is measured how fast they come through.
    pub(crate) fn write_padding(
        &mut self,
        now: Instant,
        bytes: usize,
        srtp: &mut Srtp,
        burst: &mut Burst,
    ) -> Result<(), Error> {
        // Of a large frame, and not its last packet, so that they are large even where a picture hardly changes.
        let recent = self.history.iter().rev().take(RECENT).max_by_key(|sent| sent.frame.len());
        let Some(Remembered { first, frame, .. }) = recent.filter(|_| self.ids.rtx.is_some()) else {
            return Ok(());
        };
        let payloads = frame.payloads(self.shape);
        let (first, whole) = (*first, payloads.len().saturating_sub(1).max(1) as u64);
        let largest = payloads.iter().map(Payload::len).max().unwrap_or(0).max(100);
        let copies = bytes.div_ceil(largest).min(MAX_TRAIN);
        if let Some((_, log)) = &mut self.log {
            log.expect_train(copies);
        }
        for copy in 0..copies as u64 {
            self.copy(now, first + copy % whole, srtp, burst)?;
        }
        Ok(())
    }

    /// What was sent so far is not sent again any more: the frame that comes next needs none before it.
    pub(crate) fn leave_behind(&mut self) {
        self.again_from = self.next;
    }

    /// Seals a packet once more, whoever asked for it; `false` when it is not remembered any more.
    fn copy(&mut self, now: Instant, index: u64, srtp: &mut Srtp, burst: &mut Burst) -> Result<bool, Error> {
        let sequence_number = index as u16;
        let Some(sent) = self.remembered(index) else { return Ok(false) };
        let (position, payloads) = ((index - sent.first) as usize, sent.frame.payloads(self.shape));
        let Some(payload) = payloads.get(position) else { return Ok(false) };
        let (start, header) = (burst.bytes.len(), self.header(sent, position, payloads.len()));
        let next_rtx = self.next_rtx;
        let (id, header_len) = match self.ids.rtx {
            Some((ssrc, payload_type)) => {
                let id = PacketId { ssrc, index: next_rtx };
                let header_len = header.write_to(&mut burst.bytes, payload_type, id.index as u16, ssrc);
                burst.bytes.extend_from_slice(&sequence_number.to_be_bytes());
                (id, header_len)
            }
            None => {
                let (ssrc, payload_type) = (self.ids.ssrc, self.ids.payload_type);
                let header_len = header.write_to(&mut burst.bytes, payload_type, sequence_number, ssrc);
                (PacketId { ssrc, index }, header_len)
            }
        };
        payload.write_to(&mut burst.bytes);
        self.next_rtx += u64::from(self.ids.rtx.is_some());
        srtp.seal(&mut burst.bytes, start, header_len, id)?;
        let size = burst.bytes.len() - start;
        burst.sizes.push(size);
        if let Some((_, log)) = &mut self.log {
            log.sent(now, size);
        }
        Ok(true)
    }

    /// What a packet has, in bytes of video.
    pub(crate) fn usual_packet(&self) -> u64 {
        self.octets.checked_div(self.next - self.first).unwrap_or(0)
    }

    /// For a sender report at `now`; `None` before the first frame.
    pub(crate) fn sent(&self, now: Instant) -> Option<Sent> {
        let newest = &self.history.back()?.frame;
        let since = now.saturating_duration_since(newest.captured);
        let ticks = (since.as_micros() * 90 / 1000) as u32;
        Some(Sent {
            ntp: newest.captured_ntp.wrapping_add(ntp_duration(since)),
            rtp_time: newest.rtp_time.wrapping_add(self.time_offset).wrapping_add(ticks),
            packets: (self.next - self.first) as u32,
            octets: self.octets as u32,
        })
    }

    /// The frame that a packet is of.
    fn remembered(&self, index: u64) -> Option<&Remembered> {
        let after = self.history.partition_point(|sent| sent.first <= index);
        after.checked_sub(1).map(|at| &self.history[at])
    }

    /// A frame's own time, or just after the last one's where that is later already.
    fn time_of(&mut self, frame: &PacketisedFrame) -> u32 {
        let time = match self.newest_time.map(|newest| newest.wrapping_add(MIN_STEP)) {
            Some(least) if frame.rtp_time.wrapping_sub(least).cast_signed() < 0 => least,
            _ => frame.rtp_time,
        };
        self.newest_time = Some(time);
        time
    }

    fn header(&self, sent: &Remembered, position: usize, count: usize) -> Header {
        let mut header = Header {
            marker: position + 1 == count,
            timestamp: sent.rtp_time.wrapping_add(self.time_offset),
            extensions: [0; STAMP + 4],
            extensions_len: 0,
        };
        if let Some((id, log)) = &self.log {
            header.extend(*id, &log.number().to_be_bytes());
        }
        // Receivers take both from a frame's first packet, and keep a playout delay until told otherwise.
        if position == 0 {
            for &(extension, id) in &self.extensions {
                match extension {
                    Extension::PlayoutDelay => {
                        sent.playout.inspect(|value| header.extend(id, value));
                    }
                    Extension::AbsCaptureTime => header.extend(id, &sent.frame.captured_ntp.to_be_bytes()),
                    Extension::TransportCc => {}
                }
            }
        }
        header
    }
}

/// What differs between the packets of a stream.
struct Header {
    marker: bool,
    timestamp: u32,
    /// One-byte elements (RFC 8285 section 4.2); room for all of ours.
    extensions: [u8; STAMP + 4],
    extensions_len: usize,
}

impl Header {
    fn extend(&mut self, id: u8, value: &[u8]) {
        let at = self.extensions_len;
        self.extensions[at] = id << 4 | (value.len() - 1) as u8;
        self.extensions[at + 1..][..value.len()].copy_from_slice(value);
        self.extensions_len += 1 + value.len();
    }

    /// Appends the header; its length.
    fn write_to(&self, buffer: &mut Vec<u8>, payload_type: u8, sequence_number: u16, ssrc: u32) -> usize {
        let words = self.extensions_len.div_ceil(4);
        let mut fixed = [0; 12];
        fixed[0] = 0x80 | u8::from(words > 0) << 4;
        fixed[1] = u8::from(self.marker) << 7 | payload_type;
        fixed[2..4].copy_from_slice(&sequence_number.to_be_bytes());
        fixed[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        fixed[8..].copy_from_slice(&ssrc.to_be_bytes());
        buffer.extend_from_slice(&fixed);
        if words == 0 {
            return fixed.len();
        }
        buffer.extend_from_slice(&[0xbe, 0xde, 0, words as u8]);
        buffer.extend_from_slice(&self.extensions[..words * 4]);
        fixed.len() + 4 + words * 4
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
#[path = "track/tests.rs"]
mod tests;
