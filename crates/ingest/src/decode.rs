//! Access units in, frames out: libavcodec with one thread, no more delay than the stream's own reordering.

mod budget;
mod hardware;
mod thread;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ffmpeg_next::codec::{self, Context, Flags, Id, decoder};
use ffmpeg_next::color::{Range, Space};
use ffmpeg_next::error::EAGAIN;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;
use ffmpeg_next::{Dictionary, Discard, Error, Packet};

use budget::Budget;
pub use hardware::Hardware;
pub(crate) use thread::{DecodeThread, SpawnError};

use crate::coded;
use crate::ffi::{Converter, Picture};
use crate::frame::{ColorMatrix, ColorRange, Frame, FrameInfo};
use crate::queue::{Codec, MAX_BYTES};

/// 4096x4096. A larger picture is refused before memory is spent on it.
pub(crate) const MAX_PIXELS: u32 = 16 * 1024 * 1024;

/// Slices as small as a packet make 1,500 NAL units of a key frame of 2 MB.
const MAX_PARTS: usize = 2_048;

/// More frames than any reordering buffer holds; past it a decoder that never says "again" is left alone until the
/// next access unit.
const MAX_FRAMES_PER_UNIT: usize = 32;

/// One session's decoder.
pub(crate) struct Decoder {
    codec: Codec,
    decoder: decoder::Video,
    converter: Converter,
    /// What packets' pts count from, in microseconds: pictures come out in another order than they went in, and the
    /// pts is what libavcodec hands through.
    epoch: Instant,
    /// Where the next frame goes; handed out once it is filled.
    empty: Video,
    budget: Budget,
    /// What was asked for; the budget may allow less.
    wanted: Effort,
    /// What libavcodec was told.
    effort: Effort,
    /// The last parameter sets are of a picture that is too large.
    too_large: Option<(u32, u32)>,
}

/// How much of a picture is decoded. Below [`Effort::Full`] pictures are worth looking at only when they are shown much
/// smaller than they are; none is ever called damaged for it. Back at full effort, pictures are perfect from the next
/// key frame on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Effort {
    /// No loop filter, and no picture that others do not refer to.
    ReferencesOnly,
    /// Every picture, without the loop filter.
    NoLoopFilter,
    /// Everything.
    #[default]
    Full,
}

/// Why there is no decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("this FFmpeg has no decoder {name}")]
    Missing { name: &'static str },
    #[error("the decoder {name} does not open: {error}")]
    Refused { name: &'static str, error: Error },
}

/// What one access unit led to.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// In output order; usually one.
    pub(crate) frames: Vec<Arc<Frame>>,
    /// Damaged or unusable access units and pictures.
    pub(crate) errors: u32,
    /// The access unit was not decoded on purpose. Not an error: whoever owns the decoder counts it by reason and
    /// tells [`Refused::to_string`] as the camera's reason while nothing else decodes.
    pub(crate) refused: Option<Refused>,
}

/// Why an access unit was kept from the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Its own parameter sets or headers say so, or the last ones before it.
    #[error("pictures of {width}x{height} are too large, expected at most 16 megapixels")]
    TooLarge { width: u32, height: u32 },
    #[error("a coded picture of {bytes} bytes is too large, expected at most 8 MiB")]
    TooManyBytes { bytes: usize },
    /// libavcodec keeps some kilobytes for every NAL unit, however small it is.
    #[error("a coded picture of {parts} NAL units is too large, expected at most 2048")]
    TooManyParts { parts: usize },
    /// Decoding took more than its budget again and again, even with the least effort (see [`budget`]): what is not a key
    /// frame, or comes too early, is passed over.
    #[error("decoding takes {spent_ms} ms of CPU time a picture, expected at most {budget_ms} ms")]
    OverBudget { spent_ms: u32, budget_ms: u32 },
}

impl Decoder {
    pub(crate) fn open(codec: Codec, _hardware: Hardware) -> Result<Self, OpenError> {
        crate::ffmpeg::silence();
        // By name: by id a build may prefer a decoder that needs hardware.
        let (id, name) = match codec {
            Codec::H264 => (Id::H264, "h264"),
            Codec::H265 => (Id::HEVC, "hevc"),
            Codec::Jpeg => (Id::MJPEG, "mjpeg"),
        };
        let found = codec::decoder::find_by_name(name).ok_or(OpenError::Missing { name })?;
        debug_assert_eq!(found.id(), id);
        let mut context = Context::new_with_codec(found);
        // A stream that reorders says so in its parameter sets or is found out by the decoder, which then begins to
        // wait as long as needed: the flag only forbids waiting just in case.
        context.set_flags(Flags::LOW_DELAY);
        let mut options = Dictionary::new();
        // Cameras decode in parallel to each other. A frame thread would be a frame of delay and of memory.
        options.set("threads", "1");
        options.set("max_pixels", &MAX_PIXELS.to_string());
        let decoder = context
            .decoder()
            .open_as_with(found, options)
            .and_then(decoder::Opened::video)
            .map_err(|error| OpenError::Refused { name, error })?;
        Ok(Self {
            codec,
            decoder,
            converter: Converter::new(),
            epoch: Instant::now(),
            empty: Video::empty(),
            budget: Budget::new(),
            wanted: Effort::Full,
            effort: Effort::Full,
            too_large: None,
        })
    }

    /// At any time between two access units.
    pub(crate) fn set_effort(&mut self, effort: Effort) {
        self.wanted = effort;
        self.apply_effort();
    }

    /// What it really decodes with: none is software.
    #[allow(dead_code, reason = "the decode thread tells /stats")]
    pub(crate) fn hardware(&self) -> Option<&'static str> {
        None
    }

    /// Decodes one access unit (Annex B, or one JPEG picture) of a picture taken at `captured`. `next_sequence` numbers the
    /// frames.
    pub(crate) fn decode(&mut self, unit: &[u8], captured: Instant, next_sequence: &mut u64) -> Decoded {
        let mut decoded = Decoded { refused: self.admit(unit, captured).err(), ..Decoded::default() };
        if decoded.refused.is_some() {
            return decoded;
        }
        if unit.is_empty() {
            // An empty packet would mean "end of stream" to libavcodec.
            decoded.errors += 1;
            return decoded;
        }
        let began = thread_cpu_time();
        let mut packet = Packet::copy(unit);
        packet.set_pts(Some(self.pts(captured)));
        match self.decoder.send_packet(&packet) {
            Err(Error::Other { errno: EAGAIN }) => {
                self.receive(&mut decoded, next_sequence);
                if self.decoder.send_packet(&packet).is_err() {
                    decoded.errors += 1;
                }
            }
            Err(_) => decoded.errors += 1,
            Ok(()) => {}
        }
        self.receive(&mut decoded, next_sequence);
        self.budget.spent(thread_cpu_time().saturating_sub(began));
        self.apply_effort();
        decoded
    }

    /// Everything that keeps an access unit from the decoder.
    fn admit(&mut self, unit: &[u8], captured: Instant) -> Result<(), Refused> {
        if unit.len() > MAX_BYTES {
            return Err(Refused::TooManyBytes { bytes: unit.len() });
        }
        let headers = coded::headers(self.codec, unit);
        if headers.parts > MAX_PARTS {
            return Err(Refused::TooManyParts { parts: headers.parts });
        }
        if let Some(size) = headers.size {
            let (width, height) = size.coded;
            let is_too_large = u64::from(width) * u64::from(height) > u64::from(MAX_PIXELS);
            self.too_large = is_too_large.then_some((width, height));
        }
        if let Some((width, height)) = self.too_large {
            return Err(Refused::TooLarge { width, height });
        }
        let result = self.budget.admits(captured, headers.key).map_err(|over| Refused::OverBudget {
            spent_ms: over.average.as_millis().try_into().unwrap_or(u32::MAX),
            budget_ms: over.allowance.as_millis().try_into().unwrap_or(u32::MAX),
        });
        self.apply_effort();
        result
    }

    fn apply_effort(&mut self) {
        let effort = self.wanted.min(self.budget.effort());
        if effort == std::mem::replace(&mut self.effort, effort) {
            return;
        }
        let (loop_filter, frame) = match effort {
            Effort::Full => (Discard::Default, Discard::Default),
            Effort::NoLoopFilter => (Discard::All, Discard::Default),
            Effort::ReferencesOnly => (Discard::All, Discard::NonReference),
        };
        self.decoder.skip_loop_filter(loop_filter);
        self.decoder.skip_frame(frame);
    }

    fn receive(&mut self, decoded: &mut Decoded, next_sequence: &mut u64) {
        for _ in 0..MAX_FRAMES_PER_UNIT {
            match self.decoder.receive_frame(&mut self.empty) {
                Ok(()) => {}
                Err(Error::Other { errno: EAGAIN } | Error::Eof) => return,
                Err(_) => {
                    decoded.errors += 1;
                    continue;
                }
            }
            let raw = std::mem::replace(&mut self.empty, Video::empty());
            if raw.is_corrupt() || raw.has_decode_errors() {
                decoded.errors += 1;
            }
            let decoded_at = Instant::now();
            let info = FrameInfo {
                decoded_at,
                captured_at: raw.pts().and_then(|pts| self.captured(pts)).unwrap_or(decoded_at),
                sequence: *next_sequence,
                matrix: matrix(self.codec, &raw),
                range: range(self.codec, &raw),
                sample_aspect_ratio: sample_aspect_ratio(&raw),
            };
            match self.picture(raw) {
                Some(picture) => {
                    *next_sequence += 1;
                    decoded.frames.push(Arc::new(Frame::new(picture, info)));
                }
                None => decoded.errors += 1,
            }
        }
    }

    /// Microseconds from the epoch; pictures may have been taken before it.
    fn pts(&self, captured: Instant) -> i64 {
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        match captured.checked_duration_since(self.epoch) {
            Some(after) => micros(after),
            None => -micros(self.epoch.saturating_duration_since(captured)),
        }
    }

    fn captured(&self, pts: i64) -> Option<Instant> {
        let distance = Duration::from_micros(pts.unsigned_abs());
        if pts < 0 { self.epoch.checked_sub(distance) } else { self.epoch.checked_add(distance) }
    }

    fn picture(&mut self, raw: Video) -> Option<Picture> {
        match Picture::is_native(raw.format()) {
            true => Picture::new(raw),
            false => self.converter.convert(&raw).ok(),
        }
    }
}

fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

fn matrix(codec: Codec, raw: &Video) -> ColorMatrix {
    match raw.color_space() {
        Space::BT709 => ColorMatrix::Bt709,
        Space::BT2020NCL | Space::BT2020CL => ColorMatrix::Bt2020,
        Space::BT470BG | Space::SMPTE170M | Space::FCC => ColorMatrix::Bt601,
        // JFIF knows no other.
        _ if codec == Codec::Jpeg => ColorMatrix::Bt601,
        _ if raw.width() >= 1280 || raw.height() >= 720 => ColorMatrix::Bt709,
        _ => ColorMatrix::Bt601,
    }
}

fn range(codec: Codec, raw: &Video) -> ColorRange {
    let is_j_format =
        matches!(raw.format(), Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ444P | Pixel::YUVJ440P);
    match raw.color_range() {
        Range::JPEG => ColorRange::Full,
        // JFIF knows no other range, and says so for pictures of three components only.
        _ if is_j_format || codec == Codec::Jpeg => ColorRange::Full,
        _ => ColorRange::Limited,
    }
}

fn sample_aspect_ratio(raw: &Video) -> (u32, u32) {
    let ratio = raw.aspect_ratio();
    match (u32::try_from(ratio.numerator()), u32::try_from(ratio.denominator())) {
        (Ok(width), Ok(height)) if width > 0 && height > 0 => (width, height),
        _ => (1, 1),
    }
}

#[cfg(test)]
mod tests;
