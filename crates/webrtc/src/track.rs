//! One peer's RTP stream: RFC 3550 headers around the shared payloads, with the extensions the peer negotiated.

use bytes::Bytes;
use rand::Rng;
use rtc_rtp::{Header, Packet};

use crate::packetise::PacketisedFrame;

/// RTP header extensions we write, each under the id the offer gave it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Extension {
    /// Asks the receiver to show frames at once instead of building a buffer.
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

/// Two 12-bit numbers of 10 ms: minimum 0; maximum 0 too, which makes browsers render as soon as a frame is decoded.
const PLAYOUT_DELAY_NONE: [u8; 3] = [0, 0, 0];

/// The identity of a peer's track, chosen before the answer is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrackIds {
    pub(crate) ssrc: u32,
    /// SSRC of retransmissions, RFC 4588.
    pub(crate) rtx_ssrc: u32,
    pub(crate) payload_type: u8,
}

impl TrackIds {
    pub(crate) fn random(payload_type: u8) -> Self {
        let mut rng = rand::rng();
        let ssrc: u32 = rng.random();
        let rtx_ssrc = std::iter::repeat_with(|| rng.random()).find(|&rtx| rtx != ssrc).unwrap_or(!ssrc);
        Self { ssrc, rtx_ssrc, payload_type }
    }
}

/// Numbers packets.
pub(crate) struct Track {
    ids: TrackIds,
    extensions: Vec<(Extension, u8)>,
    sequence_number: u16,
    time_offset: u32,
}

impl Track {
    pub(crate) fn new(ids: TrackIds, extensions: Vec<(Extension, u8)>) -> Self {
        let mut rng = rand::rng();
        // RFC 3711 section 3.3.1: a start in the lower half keeps a loss at the very start from being taken for a wrap.
        let sequence_number = rng.random_range(0..1 << 15);
        Self { ids, extensions, sequence_number, time_offset: rng.random() }
    }

    /// The packets of `frame`, numbered on from the last one.
    pub(crate) fn packets<'a>(&'a mut self, frame: &'a PacketisedFrame) -> impl Iterator<Item = Packet> + 'a {
        let last = frame.payloads.len().saturating_sub(1);
        frame.payloads.iter().enumerate().map(move |(index, payload)| {
            let mut header = Header {
                version: 2,
                marker: index == last,
                payload_type: self.ids.payload_type,
                sequence_number: self.sequence_number,
                timestamp: frame.rtp_time.wrapping_add(self.time_offset),
                ssrc: self.ids.ssrc,
                ..Header::default()
            };
            self.sequence_number = self.sequence_number.wrapping_add(1);
            // Receivers take both from a frame's first packet, and keep a playout delay until told otherwise.
            if index == 0 {
                self.extend(&mut header, frame);
            }
            Packet { header, payload: payload.clone() }
        })
    }

    fn extend(&self, header: &mut Header, frame: &PacketisedFrame) {
        for &(extension, id) in &self.extensions {
            let value = match extension {
                Extension::PlayoutDelay if frame.key => Bytes::from_static(&PLAYOUT_DELAY_NONE),
                Extension::PlayoutDelay => continue,
                Extension::AbsCaptureTime => Bytes::copy_from_slice(&frame.captured_ntp.to_be_bytes()),
            };
            header
                .set_extension(id, value)
                .expect("ids are 1 to 14 and values at most 16 bytes, checked in the offer");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn frame(key: bool, rtp_time: u32) -> PacketisedFrame {
        let payloads = vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")];
        PacketisedFrame { payloads, key, rtp_time, captured_ntp: 0x0102_0304_0506_0708 }
    }

    fn track() -> Track {
        let ids = TrackIds { ssrc: 7, rtx_ssrc: 8, payload_type: 102 };
        Track::new(ids, vec![(Extension::PlayoutDelay, 5), (Extension::AbsCaptureTime, 9)])
    }

    #[test]
    fn sequence_numbers_continue_across_frames_and_the_last_packet_is_marked() {
        let mut track = track();
        track.sequence_number = u16::MAX;
        let packets: Vec<_> = track.packets(&frame(true, 0)).collect();
        let next: Vec<_> = track.packets(&frame(false, 3600)).collect();
        let header = |packet: &Packet| (packet.header.sequence_number, packet.header.marker);
        assert_eq!([header(&packets[0]), header(&packets[1])], [(u16::MAX, false), (0, true)]);
        assert_eq!(header(&next[0]), (1, false));
        assert_eq!(next[0].header.timestamp.wrapping_sub(packets[0].header.timestamp), 3600);
    }

    #[test]
    fn a_key_frame_says_play_at_once_and_every_frame_when_it_was_taken() {
        let mut track = track();
        let key: Vec<_> = track.packets(&frame(true, 0)).collect();
        assert_eq!(key[0].header.get_extension(5).unwrap().as_ref(), [0, 0, 0]);
        assert_eq!(key[0].header.get_extension(9).unwrap().as_ref(), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert!(!key[1].header.extension, "only the first packet carries them");
        let delta: Vec<_> = track.packets(&frame(false, 0)).collect();
        assert!(delta[0].header.get_extension(5).is_none());
        assert!(delta[0].header.get_extension(9).is_some());
    }
}
