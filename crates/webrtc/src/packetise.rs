//! One access unit into RTP payloads, once for all peers: RFC 6184, packetization-mode 1.
//!
//! Headers do not belong here: every peer has its own (`track`).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rtc_rtp::codec::h264::H264Payloader;
use rtc_rtp::packetizer::Payloader;

/// Largest RTP payload in bytes. With the RTP header, our extensions, SRTP's tag, UDP and IPv6 it stays below the
/// 1280 bytes every IPv6 path carries.
pub(crate) const MAX_PAYLOAD: usize = 1180;

/// Seconds between the epochs of NTP (1900) and Unix (1970).
const NTP_UNIX_OFFSET: u64 = 2_208_988_800;

/// An access unit in the form every peer sends it.
#[derive(Debug)]
pub(crate) struct PacketisedFrame {
    /// RTP payloads in order; the last one gets the marker bit. Never empty.
    pub(crate) payloads: Vec<Bytes>,
    /// Decodable without any earlier frame: SPS, PPS and an IDR.
    pub(crate) key: bool,
    /// 90 kHz, before the peer's own offset.
    pub(crate) rtp_time: u32,
    /// When the picture was taken, in NTP's 32.32 fixed point, for abs-capture-time.
    pub(crate) captured_ntp: u64,
}

/// Splits access units; holds the library's payloader, which keeps SPS and PPS for the NAL unit that follows them.
#[derive(Default)]
pub(crate) struct Packetiser {
    payloader: H264Payloader,
}

impl Packetiser {
    /// `None` when `annex_b` holds nothing to send (empty, or only delimiters and filler).
    pub(crate) fn packetise(
        &mut self,
        annex_b: &Bytes,
        key: bool,
        rtp_time: u32,
        captured: SystemTime,
    ) -> Option<PacketisedFrame> {
        let payloads = self.payloader.payload(MAX_PAYLOAD, annex_b).ok()?;
        (!payloads.is_empty()).then(|| PacketisedFrame {
            payloads,
            key,
            rtp_time,
            captured_ntp: ntp(captured),
        })
    }
}

fn ntp(time: SystemTime) -> u64 {
    let since_unix = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let fraction = (u64::from(since_unix.subsec_nanos()) << 32) / 1_000_000_000;
    (since_unix.as_secs().wrapping_add(NTP_UNIX_OFFSET) << 32) | fraction
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use rtc_rtp::codec::h264::H264Packet;
    use rtc_rtp::packetizer::Depacketizer;

    use super::*;

    fn nal(header: u8, len: usize) -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 1, header];
        bytes.extend((0..len).map(|i| (i % 251) as u8 | 1));
        bytes
    }

    fn reassemble(frame: &PacketisedFrame) -> Vec<u8> {
        let mut depacketiser = H264Packet::default();
        frame.payloads.iter().flat_map(|payload| depacketiser.depacketize(payload).unwrap()).collect()
    }

    fn packetise(annex_b: Vec<u8>) -> Option<PacketisedFrame> {
        Packetiser::default().packetise(&annex_b.into(), true, 0, UNIX_EPOCH)
    }

    #[test]
    fn a_key_frame_starts_with_its_parameter_sets_and_comes_back_whole() {
        let access_unit = [nal(0x67, 12), nal(0x68, 4), nal(0x65, 40_000)].concat();
        let frame = packetise(access_unit.clone()).unwrap();
        assert_eq!(frame.payloads[0][0] & 0x1f, 24, "SPS and PPS in one STAP-A");
        assert_eq!(reassemble(&frame), access_unit);
    }

    #[test]
    fn no_payload_is_larger_than_the_limit() {
        for len in [2, MAX_PAYLOAD - 2, MAX_PAYLOAD - 1, MAX_PAYLOAD, 3 * MAX_PAYLOAD] {
            let access_unit = nal(0x41, len);
            let frame = packetise(access_unit.clone()).unwrap();
            assert!(frame.payloads.iter().all(|payload| payload.len() <= MAX_PAYLOAD), "{len}");
            assert_eq!(reassemble(&frame), access_unit, "{len}");
        }
    }

    #[test]
    fn nothing_to_send_is_no_frame() {
        assert!(packetise(vec![]).is_none());
        assert!(packetise(vec![0, 0, 0, 1, 9, 0xf0]).is_none(), "an access unit delimiter alone");
    }

    #[test]
    fn capture_time_is_ntp() {
        assert_eq!(ntp(UNIX_EPOCH), NTP_UNIX_OFFSET << 32);
        assert_eq!(ntp(UNIX_EPOCH + Duration::from_millis(500)) as u32, 1 << 31);
    }
}
