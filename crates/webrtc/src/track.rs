//! One peer's RTP stream: RFC 3550 headers around the shared payloads, with the extensions the peer negotiated, and the
//! memory of what was sent (RFC 4588).

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;
use rtc::shared::error::Error;

use crate::packetise::{PacketisedFrame, STAMP, Shape, ntp_duration};
use crate::playout::Playout;
use crate::srtp::{PacketId, Srtp};

/// A frame is remembered for so long: whatever a viewer asks for later would come too late.
const REMEMBERED: Duration = Duration::from_secs(1);
const MAX_REMEMBERED: usize = 128;
/// Packets that may be sent again at once; each packet sent the first time adds a half.
const MAX_CREDIT: u32 = 400;

/// RTP header extensions we write, each under the id the offer gave it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Extension {
    /// Asks the receiver to show frames at once instead of building a buffer, or how long to hold them back.
    PlayoutDelay,
    /// Tells when the picture was taken.
    AbsCaptureTime,
}

impl Extension {
    pub(crate) const ALL: [Self; 2] = [Self::PlayoutDelay, Self::AbsCaptureTime];

    pub(crate) const fn uri(self) -> &'static str {
        match self {
            Self::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            Self::AbsCaptureTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
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

/// Numbers, seals and remembers packets.
pub(crate) struct Track {
    ids: TrackIds,
    extensions: Vec<(Extension, u8)>,
    shape: Shape,
    time_offset: u32,
    /// The next packet's sequence number with its rollovers.
    next: u64,
    next_rtx: u64,
    /// The newest last.
    history: VecDeque<Remembered>,
    credit: u32,
    playout: Playout,
    octets: u64,
    first: u64,
}

struct Remembered {
    first: u64,
    at: Instant,
    frame: Arc<PacketisedFrame>,
    /// The viewer is told with it how long to hold frames back.
    tells_playout: bool,
}

impl Track {
    pub(crate) fn new(ids: TrackIds, extensions: Vec<(Extension, u8)>) -> Self {
        let mut rng = rand::rng();
        // RFC 3711 section 3.3.1: a start in the lower half keeps a loss at the very start from being taken for a wrap.
        let [next, next_rtx] = [0, 1].map(|_| rng.random_range(0..1 << 15));
        let stamped = extensions.iter().any(|&(extension, _)| extension == Extension::AbsCaptureTime);
        let shape = if stamped { Shape::Stamped } else { Shape::Plain };
        let (history, credit, octets, first) = (VecDeque::new(), MAX_CREDIT / 4, 0, next);
        Self {
            ids,
            extensions,
            shape,
            time_offset: rng.random(),
            next,
            next_rtx,
            history,
            credit,
            playout: Playout::default(),
            octets,
            first,
        }
    }

    /// Gives numbers to the packets of `frame`; how many there are. To be sent by [`Track::write`].
    pub(crate) fn begin(&mut self, now: Instant, frame: &Arc<PacketisedFrame>) -> usize {
        let too_old = |sent: &Remembered| sent.at + REMEMBERED < now;
        while self.history.len() >= MAX_REMEMBERED || self.history.front().is_some_and(too_old) {
            self.history.pop_front();
        }
        let count = frame.payloads(self.shape).len();
        let tells_playout = self.playout.handle_frame(now) || frame.key;
        let (first, frame) = (self.next, Arc::clone(frame));
        self.history.push_back(Remembered { first, at: now, frame, tells_playout });
        self.next += count as u64;
        self.credit = (self.credit + count as u32 / 2 + 1).min(MAX_CREDIT);
        count
    }

    /// Seals packets of the frame that was begun last.
    pub(crate) fn write(
        &mut self,
        range: Range<usize>,
        srtp: &mut Srtp,
        burst: &mut Burst,
    ) -> Result<(), Error> {
        let Some(sent) = self.history.back() else { return Ok(()) };
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
            burst.sizes.push(burst.bytes.len() - start);
        }
        Ok(())
    }

    /// Seals the packet of this sequence number once more; `false` when it is too old, or too much was asked for.
    pub(crate) fn write_again(
        &mut self,
        now: Instant,
        sequence_number: u16,
        srtp: &mut Srtp,
        burst: &mut Burst,
    ) -> Result<bool, Error> {
        let behind = (self.next as u16).wrapping_sub(sequence_number);
        let Some(index) = self.next.checked_sub(u64::from(behind)).filter(|_| behind > 0) else {
            return Ok(false);
        };
        let after = self.history.partition_point(|sent| sent.first <= index);
        let sent = after.checked_sub(1).map(|at| &self.history[at]);
        let Some(sent) = sent.filter(|sent| sent.at + REMEMBERED >= now) else { return Ok(false) };
        if self.credit == 0 {
            return Ok(false);
        }
        let (position, payloads) = ((index - sent.first) as usize, sent.frame.payloads(self.shape));
        let Some(payload) = payloads.get(position) else { return Ok(false) };
        let (start, header) = (burst.bytes.len(), self.header(sent, position, payloads.len()));
        self.playout.handle_late(now, now.saturating_duration_since(sent.at));
        let (id, header_len) = match self.ids.rtx {
            Some((ssrc, payload_type)) => {
                let id = PacketId { ssrc, index: self.next_rtx };
                let header_len = header.write_to(&mut burst.bytes, payload_type, id.index as u16, ssrc);
                burst.bytes.extend_from_slice(&sequence_number.to_be_bytes());
                self.next_rtx += 1;
                (id, header_len)
            }
            None => {
                let (ssrc, payload_type) = (self.ids.ssrc, self.ids.payload_type);
                let header_len = header.write_to(&mut burst.bytes, payload_type, sequence_number, ssrc);
                (PacketId { ssrc, index }, header_len)
            }
        };
        payload.write_to(&mut burst.bytes);
        srtp.seal(&mut burst.bytes, start, header_len, id)?;
        burst.sizes.push(burst.bytes.len() - start);
        self.credit -= 1;
        Ok(true)
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

    fn header(&self, sent: &Remembered, position: usize, count: usize) -> Header {
        let mut header = Header {
            marker: position + 1 == count,
            timestamp: sent.frame.rtp_time.wrapping_add(self.time_offset),
            extensions: [0; STAMP + 4],
            extensions_len: 0,
        };
        // Receivers take both from a frame's first packet, and keep a playout delay until told otherwise.
        if position == 0 {
            for &(extension, id) in &self.extensions {
                match extension {
                    Extension::PlayoutDelay if sent.tells_playout => header.extend(id, &self.playout.value()),
                    Extension::PlayoutDelay => {}
                    Extension::AbsCaptureTime => header.extend(id, &sent.frame.captured_ntp.to_be_bytes()),
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
    /// One-byte elements (RFC 8285 section 4.2); room for both of ours.
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
