//! What the simulated cameras show, and the RTP packets it is cut into.

use std::time::Duration;

use super::annexb::{self, nal_type};
use super::server::{base64, payloads};

/// Pictures that are shown again and again.
#[derive(Clone)]
pub(crate) struct Film {
    pub(crate) codec: Codec,
    /// NAL units, or one whole JPEG file each.
    pub(crate) pictures: Vec<Vec<Vec<u8>>>,
    pub(crate) every: Duration,
    /// The parameters of `a=fmtp` without the first semicolon; empty for none.
    pub(crate) fmtp: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    H264,
    H265,
    Jpeg,
}

pub(crate) const BASELINE: &[u8] = include_bytes!("../fixtures/baseline.h264");
pub(crate) const SMALL: &[u8] = include_bytes!("../fixtures/small.h264");
pub(crate) const B_FRAMES: &[u8] = include_bytes!("../fixtures/bframes.h264");
pub(crate) const B_FRAMES_H265: &[u8] = include_bytes!("../fixtures/bframes.h265");
pub(crate) const PLAIN_H265: &[u8] = include_bytes!("../fixtures/plain.h265");

impl Film {
    /// 25 pictures a second of 320x180, a key frame a second.
    pub(crate) fn h264() -> Self {
        Self::of(Codec::H264, BASELINE)
    }

    pub(crate) fn h265() -> Self {
        Self::of(Codec::H265, PLAIN_H265)
    }

    pub(crate) fn of(codec: Codec, bytes: &[u8]) -> Self {
        let units = annexb::access_units(bytes, codec == Codec::H265);
        let pictures = units.into_iter().map(|unit| unit.into_iter().map(<[u8]>::to_vec).collect()).collect();
        let fmtp = if codec == Codec::H264 { "packetization-mode=1" } else { "" };
        Self { codec, pictures, every: Duration::from_millis(40), fmtp: fmtp.into() }
    }

    pub(crate) fn at(self, every: Duration) -> Self {
        Self { every, ..self }
    }

    pub(crate) fn with_fmtp(self, fmtp: impl Into<String>) -> Self {
        Self { fmtp: fmtp.into(), ..self }
    }

    /// Only the pictures in this range.
    pub(crate) fn cut(mut self, range: std::ops::Range<usize>) -> Self {
        self.pictures = self.pictures[range].to_vec();
        self
    }

    /// First this film, then another one.
    pub(crate) fn then(mut self, other: Film) -> Self {
        self.pictures.extend(other.pictures);
        self
    }

    fn is_h265(&self) -> bool {
        self.codec == Codec::H265
    }

    /// The first NAL unit of this type.
    pub(crate) fn nal(&self, wanted: u8) -> &[u8] {
        let mut nals = self.pictures.iter().flatten();
        nals.find(|nal| nal_type(nal, self.is_h265()) == wanted).expect("in the film")
    }

    /// Leaves out NAL units of these types.
    pub(crate) fn without(mut self, unwanted: &[u8]) -> Self {
        let is_h265 = self.is_h265();
        let keeps = |nal: &Vec<u8>| !unwanted.contains(&nal_type(nal, is_h265));
        self.pictures.iter_mut().for_each(|picture| picture.retain(keeps));
        self
    }

    /// Parameter sets are in the description instead of the stream.
    pub(crate) fn with_parameters_in_sdp_only(self) -> Self {
        let fmtp = self.sprop();
        let is_h265 = self.is_h265();
        self.without(if is_h265 { &[32, 33, 34] } else { &[7, 8] }).with_fmtp(fmtp)
    }

    /// Parameters for `a=fmtp` with the film's own parameter sets.
    pub(crate) fn sprop(&self) -> String {
        let set = |wanted| base64(self.nal(wanted));
        match self.codec {
            Codec::H264 => format!("packetization-mode=1;sprop-parameter-sets={},{}", set(7), set(8)),
            Codec::H265 => format!("sprop-vps={};sprop-sps={};sprop-pps={}", set(32), set(33), set(34)),
            Codec::Jpeg => String::new(),
        }
    }

    fn payload_type(&self) -> u8 {
        match self.codec {
            Codec::H264 => 96,
            Codec::H265 => 97,
            Codec::Jpeg => 26,
        }
    }

    pub(crate) fn media_description(&self) -> String {
        let number = self.payload_type();
        let name = match self.codec {
            Codec::H264 => "H264",
            Codec::H265 => "H265",
            Codec::Jpeg => "JPEG",
        };
        let fmtp =
            if self.fmtp.is_empty() { String::new() } else { format!("a=fmtp:{number} {}\r\n", self.fmtp) };
        format!("m=video 0 RTP/AVP {number}\r\na=rtpmap:{number} {name}/90000\r\n{fmtp}a=control:track1\r\n")
    }

    pub(crate) fn sdp(&self) -> String {
        format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n{}",
            self.media_description()
        )
    }
}

/// Writes RTP packets (RFC 3550). Every field may be changed between two pictures.
#[derive(Debug, Clone)]
pub(crate) struct Rtp {
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) time: u32,
    /// How much later the next picture is, in units of 1/90000 s; else by the film's own pace.
    pub(crate) step: Option<u32>,
    /// Number of the next picture.
    pub(crate) next: usize,
    /// The interleaved channel.
    pub(crate) channel: u8,
    pub(crate) marks: Marks,
}

/// Which packets of a picture carry the marker bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marks {
    OnTheLast,
    Nowhere,
    /// The last of every NAL unit: parameter sets and SEI, too.
    OnEveryNal,
}

impl Default for Rtp {
    fn default() -> Self {
        let (sequence, time) = (65_500, 0xfff0_0000);
        Self { ssrc: 0xcafe_0001, sequence, time, step: None, next: 0, channel: 0, marks: Marks::OnTheLast }
    }
}

impl Rtp {
    /// The next picture's packets.
    pub(crate) fn picture(&mut self, film: &Film) -> Vec<Vec<u8>> {
        let picture = &film.pictures[self.next % film.pictures.len()];
        let payloads: Vec<Vec<u8>> = match film.codec {
            Codec::Jpeg => picture.iter().flat_map(|file| super::jpeg::payloads(file)).collect(),
            codec => picture.iter().flat_map(|nal| payloads(nal, codec == Codec::H265)).collect(),
        };
        let last = payloads.len() - 1;
        let is_marked = |i: usize| match self.marks {
            Marks::OnTheLast => i == last,
            Marks::Nowhere => false,
            Marks::OnEveryNal => ends_a_nal(film.codec, &payloads[i]),
        };
        let marks: Vec<bool> = (0..payloads.len()).map(is_marked).collect();
        let packets = marks.into_iter().zip(&payloads);
        let packets = packets.map(|(mark, payload)| self.packet(film, mark, payload)).collect();
        self.next += 1;
        let step = self.step.unwrap_or((film.every.as_micros() * 9 / 100) as u32);
        self.time = self.time.wrapping_add(step);
        packets
    }

    pub(crate) fn packet(&mut self, film: &Film, mark: bool, payload: &[u8]) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut packet = vec![0x80, u8::from(mark) << 7 | film.payload_type()];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.time.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(payload);
        packet
    }
}

fn ends_a_nal(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::H264 => payload[0] & 0x1f != 28 || payload[1] & 0x40 != 0,
        Codec::H265 => payload[0] >> 1 & 0x3f != 49 || payload[2] & 0x40 != 0,
        Codec::Jpeg => false,
    }
}
