//! One access unit into RTP payloads, once for all peers: RFC 6184, packetization-mode 1.
//!
//! The fragments of a NAL unit are all of one size (the last may be shorter), so that a frame is one segmented send for
//! each peer. Headers do not belong here: every peer has its own (`track`).

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

/// Largest RTP payload in bytes. With the RTP header, our extensions, SRTP's tag, UDP and IPv6 it stays below the
/// 1280 bytes every IPv6 path carries.
pub(crate) const MAX_PAYLOAD: usize = 1180;
/// What the capture time adds to a header without extensions; see [`Shape::Stamped`].
pub(crate) const STAMP: usize = 16;

/// Seconds between the epochs of NTP (1900) and Unix (1970).
const NTP_UNIX_OFFSET: u64 = 2_208_988_800;

const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// An access unit in the form every peer sends it.
#[derive(Debug)]
pub(crate) struct PacketisedFrame {
    nals: Vec<Bytes>,
    shapes: [OnceLock<Vec<Payload>>; Shape::COUNT],
    /// Decodable without any earlier frame: SPS, PPS and an IDR.
    pub(crate) key: bool,
    /// No other frame needs it: `nal_ref_idc` of every slice is 0 (H.264 section 7.4.1).
    pub(crate) disposable: bool,
    /// What the stream takes now.
    pub(crate) rates: Rates,
    /// 90 kHz, before the peer's own offset.
    pub(crate) rtp_time: u32,
    /// When the picture was taken.
    pub(crate) captured: Instant,
    /// The same in NTP's 32.32 fixed point, for abs-capture-time and sender reports.
    pub(crate) captured_ntp: u64,
}

/// What a stream takes, in bits of video a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rates {
    pub(crate) all_bps: u64,
    /// Without the disposable frames.
    pub(crate) kept_bps: u64,
}

impl Rates {
    pub(crate) fn kept_percent(self) -> u64 {
        (self.kept_bps * 100).checked_div(self.all_bps).unwrap_or(100)
    }
}

/// How a frame is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// For peers whose headers are all of one size.
    Plain,
    /// For peers whose first packet carries the capture time: its payload is shorter by as much, so that the packets
    /// are of one size again.
    Stamped,
    /// The same for peers whose packets carry a number of their own anyway, beside which the capture time takes less.
    StampedNumbered,
}

impl Shape {
    const COUNT: usize = 3;

    /// What the first packet's header has more than others'.
    const fn stamp(self) -> usize {
        match self {
            Self::Plain => 0,
            Self::Stamped => STAMP,
            Self::StampedNumbered => STAMP - 8,
        }
    }
}

/// One RTP payload: up to two bytes of fragmentation header, and a part of the access unit, shared.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    prefix: [u8; 2],
    prefix_len: u8,
    data: Bytes,
}

impl Payload {
    pub(crate) fn len(&self) -> usize {
        usize::from(self.prefix_len) + self.data.len()
    }

    pub(crate) fn write_to(&self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(&self.prefix[..usize::from(self.prefix_len)]);
        buffer.extend_from_slice(&self.data);
    }

    fn whole(data: Bytes) -> Self {
        Self { prefix: [0; 2], prefix_len: 0, data }
    }
}

impl PacketisedFrame {
    /// `None` when `annex_b` holds nothing to send (empty, or only delimiters and filler).
    pub(crate) fn new(
        annex_b: &Bytes,
        key: bool,
        rtp_time: u32,
        captured: Instant,
        captured_at: SystemTime,
    ) -> Option<Self> {
        let nals: Vec<_> = nal_units(annex_b).filter(|nal| !matches!(nal[0] & 0x1f, 9 | 12)).collect();
        let captured_ntp = ntp(captured_at);
        let mut slices = nals.iter().filter(|nal| matches!(nal[0] & 0x1f, 1..=5)).peekable();
        let disposable = slices.peek().is_some() && slices.all(|nal| nal[0] & 0x60 == 0);
        (!nals.is_empty()).then(|| Self {
            nals,
            shapes: Default::default(),
            key,
            disposable,
            rates: Rates::default(),
            rtp_time,
            captured,
            captured_ntp,
        })
    }

    /// RTP payloads in order; the last one gets the marker bit. Never empty. Cut when the first peer asks.
    pub(crate) fn payloads(&self, shape: Shape) -> &[Payload] {
        self.shapes[shape as usize].get_or_init(|| cut(&self.nals, shape))
    }

    /// Bytes of video.
    pub(crate) fn len(&self) -> usize {
        self.nals.iter().map(Bytes::len).sum()
    }
}

fn cut(nals: &[Bytes], shape: Shape) -> Vec<Payload> {
    let mut payloads = Vec::with_capacity(nals.iter().map(Bytes::len).sum::<usize>() / 1000 + nals.len());
    // Parameter sets before the picture share a packet: SPS, PPS, SEI.
    let heading = nals.iter().take_while(|nal| matches!(nal[0] & 0x1f, 6..=8)).count();
    let size = 1 + nals[..heading].iter().map(|nal| 2 + nal.len()).sum::<usize>();
    let aggregated = if heading >= 2 && size <= MAX_PAYLOAD - STAMP { heading } else { 0 };
    if aggregated > 0 {
        let reference = nals[..aggregated].iter().map(|nal| nal[0] & 0x60).max().unwrap_or(0);
        let mut together = vec![reference | STAP_A];
        for nal in &nals[..aggregated] {
            together.extend_from_slice(&(nal.len() as u16).to_be_bytes());
            together.extend_from_slice(nal);
        }
        payloads.push(Payload::whole(together.into()));
    }
    for nal in &nals[aggregated..] {
        let stamp = if payloads.is_empty() { shape.stamp() } else { 0 };
        if nal.len() + stamp <= MAX_PAYLOAD {
            payloads.push(Payload::whole(nal.clone()));
        } else {
            fragment(nal, stamp, &mut payloads);
        }
    }
    payloads
}

/// FU-A. The first fragment is shorter by `stamp`.
fn fragment(nal: &Bytes, stamp: usize, payloads: &mut Vec<Payload>) {
    let (header, body) = (nal[0], nal.slice(1..));
    let count = (body.len() + stamp).div_ceil(MAX_PAYLOAD - 2);
    let size = (body.len() + stamp).div_ceil(count);
    let mut start = 0;
    while start < body.len() {
        let room = if start == 0 { size - stamp } else { size };
        let end = (start + room).min(body.len());
        let first_and_last = u8::from(start == 0) << 7 | u8::from(end == body.len()) << 6;
        let prefix = [header & 0x60 | FU_A, first_and_last | header & 0x1f];
        payloads.push(Payload { prefix, prefix_len: 2, data: body.slice(start..end) });
        start = end;
    }
}

/// The NAL units of a byte stream (H.264 annex B), without start codes and trailing zeros.
fn nal_units(annex_b: &Bytes) -> impl Iterator<Item = Bytes> + '_ {
    let mut starts = memchr::memmem::find_iter(annex_b, &[0, 0, 1]).map(|at| at + 3).peekable();
    std::iter::from_fn(move || {
        let start = starts.next()?;
        let end = starts.peek().map_or(annex_b.len(), |next| next - 3);
        let zeros = annex_b[start..end].iter().rev().take_while(|&&byte| byte == 0).count();
        Some(annex_b.slice(start..end - zeros))
    })
    .filter(|nal| !nal.is_empty())
}

fn ntp(time: SystemTime) -> u64 {
    let since_unix = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    (since_unix.as_secs().wrapping_add(NTP_UNIX_OFFSET) << 32) | ntp_fraction(since_unix.subsec_nanos())
}

/// A length of time in NTP's 32.32 fixed point.
pub(crate) fn ntp_duration(duration: Duration) -> u64 {
    duration.as_secs() << 32 | ntp_fraction(duration.subsec_nanos())
}

fn ntp_fraction(nanos: u32) -> u64 {
    (u64::from(nanos) << 32) / 1_000_000_000
}

/// Frames for tests of whatever comes after.
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) mod frames {
    use std::sync::Arc;

    use super::*;

    /// A picture of one slice of `len` bytes; a key frame has parameter sets before it.
    pub(crate) fn frame(key: bool, rtp_time: u32, len: usize) -> Arc<PacketisedFrame> {
        of_slice(if key { 0x65 } else { 0x41 }, rtp_time, len, Rates::default())
    }

    /// A picture that no other needs.
    pub(crate) fn disposable(rtp_time: u32, len: usize) -> Arc<PacketisedFrame> {
        of_slice(0x01, rtp_time, len, Rates::default())
    }

    /// The slice's NAL unit begins with `header`.
    pub(crate) fn of_slice(header: u8, rtp_time: u32, len: usize, rates: Rates) -> Arc<PacketisedFrame> {
        let key = header & 0x1f == 5;
        let mut unit = if key { vec![0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3] } else { Vec::new() };
        unit.extend([0, 0, 0, 1, header]);
        unit.extend((1..len).map(|i| (i % 251) as u8 | 1));
        let captured = Instant::now();
        let frame = PacketisedFrame::new(&unit.into(), key, rtp_time, captured, UNIX_EPOCH).unwrap();
        Arc::new(PacketisedFrame { rates, ..frame })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use rtc_rtp::codec::h264::H264Packet;
    use rtc_rtp::packetizer::Depacketizer;

    use super::*;

    const SHAPES: [Shape; 3] = [Shape::Plain, Shape::Stamped, Shape::StampedNumbered];

    fn nal(header: u8, len: usize) -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 1, header];
        bytes.extend((0..len).map(|i| (i % 251) as u8 | 1));
        bytes
    }

    fn bytes(payload: &Payload) -> Bytes {
        let mut bytes = Vec::new();
        payload.write_to(&mut bytes);
        bytes.into()
    }

    fn reassemble(frame: &PacketisedFrame, shape: Shape) -> Vec<u8> {
        let mut depacketiser = H264Packet::default();
        frame
            .payloads(shape)
            .iter()
            .flat_map(|payload| depacketiser.depacketize(&bytes(payload)).unwrap())
            .collect()
    }

    fn packetise(annex_b: Vec<u8>) -> Option<PacketisedFrame> {
        PacketisedFrame::new(&annex_b.into(), true, 0, Instant::now(), UNIX_EPOCH)
    }

    #[test]
    fn a_key_frame_starts_with_its_parameter_sets_and_comes_back_whole() {
        let access_unit = [nal(0x67, 12), nal(0x68, 4), nal(0x65, 40_000)].concat();
        let frame = packetise(access_unit.clone()).unwrap();
        for shape in SHAPES {
            assert_eq!(bytes(&frame.payloads(shape)[0])[0] & 0x1f, STAP_A, "SPS and PPS in one packet");
            assert_eq!(reassemble(&frame, shape), access_unit);
        }
    }

    #[test]
    fn no_payload_is_larger_than_the_limit_and_nothing_is_lost() {
        for len in
            [2, MAX_PAYLOAD - STAMP, MAX_PAYLOAD - 2, MAX_PAYLOAD - 1, MAX_PAYLOAD, 3 * MAX_PAYLOAD, 20_001]
        {
            let access_unit = nal(0x41, len);
            let frame = packetise(access_unit.clone()).unwrap();
            for shape in SHAPES {
                assert!(frame.payloads(shape).iter().all(|payload| payload.len() <= MAX_PAYLOAD), "{len}");
                assert_eq!(reassemble(&frame, shape), access_unit, "{len}");
            }
        }
    }

    #[test]
    fn with_their_headers_all_packets_of_a_frame_but_the_last_are_of_one_size() {
        for len in [1200, 5_000, 20_000, 99_999] {
            let frame = packetise(nal(0x41, len)).unwrap();
            for shape in SHAPES {
                let stamp = shape.stamp();
                let mut sizes: Vec<_> = frame.payloads(shape).iter().map(Payload::len).collect();
                sizes[0] += stamp;
                let last = sizes.pop().unwrap();
                assert!(sizes.iter().all(|&size| size == sizes[0] && last <= size), "{sizes:?} {last}");
                assert_eq!(
                    sizes.len() + 1,
                    (len + stamp).div_ceil(MAX_PAYLOAD - 2),
                    "no more packets than needed"
                );
            }
        }
    }

    #[test]
    fn a_frame_is_disposable_when_none_of_its_slices_is_referred_to() {
        for (unit, expected) in [
            (nal(0x01, 9), true),
            ([nal(0x01, 9), nal(0x01, 9)].concat(), true),
            ([nal(0x06, 9), nal(0x01, 9)].concat(), true),
            ([nal(0x01, 9), nal(0x21, 9)].concat(), false),
            (nal(0x65, 9), false),
            (nal(0x06, 9), false),
        ] {
            assert_eq!(packetise(unit.clone()).unwrap().disposable, expected, "{unit:x?}");
        }
    }

    #[test]
    fn nothing_to_send_is_no_frame() {
        assert!(packetise(vec![]).is_none());
        assert!(packetise(vec![0, 0, 0, 1, 9, 0xf0]).is_none(), "an access unit delimiter alone");
        assert!(packetise(vec![0, 0, 0, 1, 0, 0, 1]).is_none());
    }

    #[test]
    fn several_slices_and_short_start_codes_are_told_apart() {
        let access_unit = [nal(0x41, 100), nal(0x41, 3_000)].concat();
        let short = [&nal(0x41, 100)[1..], &[0, 0], &nal(0x41, 3_000)[1..]].concat();
        for unit in [access_unit.clone(), short] {
            assert_eq!(reassemble(&packetise(unit).unwrap(), Shape::Plain), access_unit);
        }
    }

    #[test]
    fn capture_time_is_ntp() {
        assert_eq!(ntp(UNIX_EPOCH), NTP_UNIX_OFFSET << 32);
        assert_eq!(ntp(UNIX_EPOCH + Duration::from_millis(500)) as u32, 1 << 31);
        assert_eq!(ntp_duration(Duration::from_millis(1500)), 3 << 31);
    }
}
