//! Access units in, frames out: libavcodec with one thread, no more delay than the stream's own reordering.

mod budget;
mod colour;
mod hardware;
mod thread;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ffmpeg_next::error::EAGAIN;
use ffmpeg_next::frame::Video;
use ffmpeg_next::{Discard, Error, Packet};

use budget::{Budget, OverBudget};
pub use hardware::Hardware;
use hardware::{Opened, Trial, Way, Ways};
pub(crate) use thread::{DecodeThread, SpawnError};

use crate::coded;
use crate::ffi::{Converter, Picture};
use crate::frame::{Frame, FrameInfo};
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
    opened: Opened,
    /// Of hardware; software needs none.
    trial: Option<Box<Trial>>,
    ways: Ways,
    converter: Converter,
    /// What packets' pts count from, in microseconds: pictures come out in another order than they went in, and the
    /// pts is what libavcodec hands through.
    epoch: Instant,
    /// Where the next frame goes; handed out once it is filled.
    empty: Video,
    budget: Budget,
    /// What was asked for; the budget may allow less.
    wanted: Effort,
    /// What is done.
    effort: Effort,
    /// Access units since the last key frame.
    since_key: u32,
    /// The last parameter sets are of a picture that is too large.
    too_large: Option<(u32, u32)>,
}

/// How much of a picture is decoded. Below [`Effort::Full`] pictures are worth looking at only when they are shown much
/// smaller than they are; none is ever called damaged for it. Back at full effort, pictures are perfect from the next
/// key frame on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Effort {
    /// The same, and no picture that others do not refer to.
    ReferencesOnly,
    /// Every picture, without the loop filter where that shows least.
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
    #[error("no device: {error}")]
    NoDevice { error: Error },
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
    /// Opens the first way of decoding that can be had: `hardware` if possible, else software.
    pub(crate) fn open(codec: Codec, hardware: Hardware) -> Result<Self, OpenError> {
        Self::open_one_of(codec, hardware.ways())
    }

    fn open_one_of(codec: Codec, ways: &'static [Way]) -> Result<Self, OpenError> {
        crate::ffmpeg::silence();
        let mut ways = Ways::new(codec, ways);
        let (opened, trial) = ways.open_next()?;
        Ok(Self {
            codec,
            opened,
            trial,
            ways,
            converter: Converter::new(),
            epoch: Instant::now(),
            empty: Video::empty(),
            budget: Budget::new(),
            wanted: Effort::Full,
            effort: Effort::Full,
            since_key: 0,
            too_large: None,
        })
    }

    /// At any time between two access units.
    pub(crate) fn set_effort(&mut self, effort: Effort) {
        self.wanted = effort;
        self.apply_effort();
    }

    /// What it really decodes with, for /stats; `None` is software.
    pub(crate) fn hardware(&self) -> Option<&'static str> {
        self.trial.as_ref().and_then(|trial| trial.way().name())
    }

    /// Once after hardware was asked for and software took its place, at opening or later: why, in words. Every session
    /// tries the hardware again, so whoever owns the decoders of a camera warns of the first one and not of the others.
    pub(crate) fn fell_back(&mut self) -> Option<String> {
        self.ways.fell_back()
    }

    /// Decodes one access unit (Annex B, or one JPEG picture) of a picture taken at `captured`. `next_sequence` numbers the
    /// frames.
    pub(crate) fn decode(&mut self, unit: &[u8], captured: Instant, next_sequence: &mut u64) -> Decoded {
        let mut decoded = Decoded::default();
        if unit.is_empty() {
            // An empty packet would mean "end of stream" to libavcodec.
            decoded.errors += 1;
            return decoded;
        }
        let is_key = match self.admit(unit, captured) {
            Ok(is_key) => is_key,
            Err(refused) => return Decoded { refused: Some(refused), ..decoded },
        };
        let began = thread_cpu_time();
        let mut packet = Packet::copy(unit);
        packet.set_pts(Some(self.pts(captured)));
        let failure = self.run(&packet, is_key, &mut decoded, next_sequence).err();
        if let Some(trial) = &mut self.trial {
            trial.keep(packet, is_key);
            if let Some(reason) = failure.or_else(|| trial.verdict()) {
                self.fall_back(reason, &mut decoded, next_sequence);
            }
        }
        self.budget.spent(thread_cpu_time().saturating_sub(began));
        self.apply_effort();
        decoded
    }

    /// Everything that keeps an access unit from the decoder.
    /// Says whether it is a key frame.
    fn admit(&mut self, unit: &[u8], captured: Instant) -> Result<bool, Refused> {
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
        let result = self.budget.admits(captured, headers.key);
        self.apply_effort();
        let ms = |duration: Duration| duration.as_millis().try_into().unwrap_or(u32::MAX);
        let refused = |over: OverBudget| Refused::OverBudget {
            spent_ms: ms(over.average),
            budget_ms: ms(over.allowance),
        };
        result.map(|()| headers.key).map_err(refused)
    }

    fn apply_effort(&mut self) {
        self.effort = self.wanted.min(self.budget.effort());
        let frame = match self.effort {
            Effort::Full | Effort::NoLoopFilter => Discard::Default,
            Effort::ReferencesOnly => Discard::NonReference,
        };
        self.opened.decoder.skip_frame(frame);
    }

    /// Whether the next picture gets its loop filter. What one picture lacks the next ones inherit, up to the next key frame:
    /// without any, pictures at the end of a group of 60 were 33.8 dB from what they should be at half their size; with
    /// two in five none was below 35 (`benches/README.md`). Five, because no stream repeats its kinds of pictures so.
    fn apply_loop_filter(&mut self, is_key: bool) {
        self.since_key = if is_key { 0 } else { self.since_key.wrapping_add(1) };
        let is_filtered = self.effort == Effort::Full || matches!(self.since_key % 5, 0 | 2);
        self.opened.decoder.skip_loop_filter(if is_filtered { Discard::Default } else { Discard::All });
    }

    /// Gives one packet to libavcodec and takes what comes out. The error says why hardware is not to be trusted further.
    fn run(
        &mut self,
        packet: &Packet,
        is_key: bool,
        decoded: &mut Decoded,
        next_sequence: &mut u64,
    ) -> Result<(), String> {
        if let Some(trial) = &mut self.trial {
            trial.handle(is_key);
        }
        self.apply_loop_filter(is_key);
        match self.opened.decoder.send_packet(packet) {
            Err(Error::Other { errno: EAGAIN }) => {
                self.receive(decoded, next_sequence)?;
                if self.opened.decoder.send_packet(packet).is_err() {
                    decoded.errors += 1;
                }
            }
            Err(_) => decoded.errors += 1,
            Ok(()) => {}
        }
        self.receive(decoded, next_sequence)
    }

    /// Goes on with the next way of decoding, from the last key frame on. Of what the failed one had not shown yet only the
    /// newest picture is worth anything.
    fn fall_back(&mut self, mut reason: String, decoded: &mut Decoded, next_sequence: &mut u64) {
        while let Some(failed) = self.trial.take() {
            self.ways.failed(failed.way(), reason);
            let group = failed.into_group();
            // Software is the last way and was there when the program started. Without it every access unit is an error.
            let Ok((opened, trial)) = self.ways.open_next() else { return };
            (self.opened, self.trial) = (opened, trial);
            self.apply_effort();
            let again = (0..).zip(&group).try_for_each(|(n, packet)| {
                let result = self.run(packet, n == 0, decoded, next_sequence);
                decoded.frames.drain(..decoded.frames.len().saturating_sub(1));
                result
            });
            if let Some(trial) = &mut self.trial {
                trial.resume(group);
            }
            match again {
                Ok(()) => return,
                Err(another) => reason = another,
            }
        }
    }

    fn receive(&mut self, decoded: &mut Decoded, next_sequence: &mut u64) -> Result<(), String> {
        for _ in 0..MAX_FRAMES_PER_UNIT {
            match self.opened.decoder.receive_frame(&mut self.empty) {
                Ok(()) => {}
                Err(Error::Other { errno: EAGAIN } | Error::Eof) => return Ok(()),
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
                matrix: colour::matrix(self.codec, &raw),
                range: colour::range(self.codec, &raw),
                sample_aspect_ratio: colour::sample_aspect_ratio(&raw),
            };
            match self.picture(raw)? {
                Some(picture) => {
                    *next_sequence += 1;
                    decoded.frames.push(Arc::new(Frame::new(picture, info)));
                }
                None => decoded.errors += 1,
            }
        }
        Ok(())
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

    /// A picture that everybody may hold as long as he likes: hardware's are copied, because it has only a few.
    fn picture(&mut self, raw: Video) -> Result<Option<Picture>, String> {
        match &mut self.trial {
            None if Picture::is_native(raw.format()) => Ok(Picture::new(raw)),
            None => Ok(self.converter.convert(&raw).ok()),
            Some(trial) => Ok(self.converter.convert(trial.fetch(&raw)?).ok()),
        }
    }
}

fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests;
