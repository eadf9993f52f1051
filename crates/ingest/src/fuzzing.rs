//! What parses foreign bytes, for the fuzz targets in `fuzz/`, for `tests/malformed.rs` and for the benches. Not a part of
//! the crate's interface: anything here may change at any time.

use std::sync::Arc;
use std::time::Instant;

use crate::coded::{self, nal::Splitter};
use crate::decode::{Decoder, Effort, Hardware};
use crate::frame::Frame;
use crate::gate::fuzzing as gate;
use crate::queue::{Codec, MAX_BYTES};

/// Returns, whatever the bytes.
pub type Target = fn(&[u8]);

/// Every target by name, as in `fuzz/fuzz_targets` and `fuzz/seeds`.
pub const TARGETS: &[(&str, Target)] = &[
    ("access_units", target_access_units),
    ("parameter_sets", target_parameter_sets),
    ("jpeg_header", target_jpeg_header),
    ("rtsp_head", gate::rtsp_head),
    ("rtsp_wire", gate::rtsp_wire),
    ("session_description", gate::session_description),
    ("challenges", gate::challenges),
    ("rtp_continuity", gate::rtp_continuity),
    ("rtp_reorder", gate::rtp_reorder),
];

/// Runs the target of this name.
///
/// # Panics
/// If it finds something.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    target.unwrap_or_else(|| panic!("no fuzz target {name}")).1(data);
}

/// The first byte says the codec and how large the pieces are that the rest comes in.
fn target_access_units(data: &[u8]) {
    let Some((&first, stream)) = data.split_first() else { return };
    let codec = if first & 1 == 0 { Codec::H264 } else { Codec::H265 };
    let whole = split(codec, stream, stream.len());
    assert_eq!(whole, split(codec, stream, usize::from(first >> 1) + 1), "pieces make no difference");
    assert!(whole.iter().map(Vec::len).sum::<usize>() <= stream.len());
    for unit in whole {
        coded::headers(codec, &unit);
    }
}

/// The first byte says the codec.
fn target_parameter_sets(data: &[u8]) {
    let Some((&first, unit)) = data.split_first() else { return };
    let codec = if first & 1 == 0 { Codec::H264 } else { Codec::H265 };
    let Some((width, height)) = coded::picture_size(codec, unit) else { return };
    assert!(width > 0 && height > 0);
}

/// One JPEG picture.
fn target_jpeg_header(data: &[u8]) {
    let Some((width, height)) = coded::picture_size(Codec::Jpeg, data) else { return };
    assert!((1..=65_535).contains(&width) && (1..=65_535).contains(&height));
}

/// The access units of a whole stream of the codec `h264` or `h265`; of `jpeg` the stream itself.
#[must_use]
pub fn access_units(codec: &str, stream: &[u8]) -> Vec<Vec<u8>> {
    match codec_named(codec) {
        Codec::Jpeg => vec![stream.to_vec()],
        codec => split(codec, stream, stream.len()),
    }
}

/// One decoder, as a camera's session has it.
pub struct Decoding {
    decoder: Decoder,
    sequence: u64,
}

/// What one access unit led to.
pub struct Outcome {
    /// In output order.
    pub frames: Vec<Arc<Frame>>,
    /// Damaged or unusable access units and pictures.
    pub errors: u32,
    /// Why the access unit was not decoded on purpose.
    pub refused: Option<String>,
}

impl Decoding {
    /// For the codec `h264`, `h265` or `jpeg`, in software.
    ///
    /// # Panics
    /// If this FFmpeg cannot.
    #[must_use]
    pub fn open(codec: &str) -> Self {
        let decoder = Decoder::open(codec_named(codec), Hardware::None);
        Self { decoder: decoder.unwrap_or_else(|error| panic!("{error}")), sequence: 0 }
    }

    /// 0: all of it, 1: no loop filter, 2: and no pictures that others do not refer to.
    pub fn save_effort(&mut self, steps: u8) {
        self.decoder.set_effort(match steps {
            0 => Effort::Full,
            1 => Effort::NoLoopFilter,
            _ => Effort::ReferencesOnly,
        });
    }

    /// One access unit of a picture taken at `captured`.
    pub fn decode(&mut self, unit: &[u8], captured: Instant) -> Outcome {
        let decoded = self.decoder.decode(unit, captured, &mut self.sequence);
        let refused = decoded.refused.map(|refused| refused.to_string());
        Outcome { frames: decoded.frames, errors: decoded.errors, refused }
    }
}

fn codec_named(name: &str) -> Codec {
    match name {
        "h264" => Codec::H264,
        "h265" => Codec::H265,
        "jpeg" => Codec::Jpeg,
        _ => panic!("found the codec {name}, expected h264, h265 or jpeg"),
    }
}

fn split(codec: Codec, stream: &[u8], piece: usize) -> Vec<Vec<u8>> {
    let mut splitter = Splitter::new(codec);
    let mut units = Vec::new();
    for piece in stream.chunks(piece.max(1)) {
        splitter.handle(piece);
        units.extend(std::iter::from_fn(|| splitter.poll()));
        assert!(splitter.held() <= MAX_BYTES + piece.len());
    }
    let dropped = splitter.dropped();
    units.extend(splitter.flush());
    assert!(dropped <= stream.len() as u64 / MAX_BYTES as u64);
    units
}
