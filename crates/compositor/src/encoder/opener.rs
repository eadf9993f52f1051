//! Opens a wall's encoder, the first one and every one after a failure. `auto` is decided here.
//!
//! Hardware that was taken by `auto` and fails twice in a row is passed over from then on: a wall in software is better than
//! one that comes and goes. One that was asked for by name is opened again and again, because somebody wants that one.

use super::ffmpeg::Ffmpeg;
use super::trial::tried;
use super::{Encode, EncodeError, Encoded, EncoderChoice, EncoderConfig, OpenError, OpenH264};
use crate::canvas::Canvas;
use crate::geometry::Bitrate;
use crate::tick::CanvasTime;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// In which order `auto` tries: the fastest and most widely working first. Quick Sync is the same silicon as VA-API by
/// another way.
const HARDWARE: [EncoderChoice; 5] = [
    EncoderChoice::Nvenc,
    EncoderChoice::Vaapi,
    EncoderChoice::Qsv,
    EncoderChoice::V4l2m2m,
    EncoderChoice::Rkmpp,
];
/// A driver that has to start a GPU takes two or three seconds.
const TRIAL: Duration = Duration::from_secs(5);
/// Failures in a row after which `auto` passes hardware over.
const MOST_FAILURES: u32 = 2;
/// One that has given so many access units has worked; its next failure is the first one again.
const HAS_WORKED: u32 = 1_000;

/// Opens one of the encoders, for the tests to replace.
type Open = Box<dyn FnMut(EncoderChoice, EncoderConfig) -> Result<Box<dyn Encode>, OpenError> + Send>;

/// What opens the encoders of one wall, one after the other.
pub(crate) struct Opener {
    choice: EncoderChoice,
    open: Open,
    /// Hardware that `auto` may still take, the best first.
    hardware: Vec<EncoderChoice>,
    /// What became of the one that `auto` took last.
    watched: Option<Arc<Watched>>,
    failures: u32,
}

impl Opener {
    /// For a wall that is to use `choice`.
    pub(crate) fn new(choice: EncoderChoice) -> Opener {
        Opener::with(choice, Box::new(open_one))
    }

    /// For a smaller rendition of such a wall, which is worth having in software where the hardware does not take one more
    /// stream (some take three, some one).
    pub(crate) fn preferring(choice: EncoderChoice) -> Opener {
        let mut opener = Opener::new(EncoderChoice::Auto);
        match choice {
            EncoderChoice::Auto => {}
            EncoderChoice::OpenH264 => opener.hardware.clear(),
            named => opener.hardware = vec![named],
        }
        opener
    }

    fn with(choice: EncoderChoice, open: Open) -> Opener {
        Opener { choice, open, hardware: HARDWARE.to_vec(), watched: None, failures: 0 }
    }

    /// Opens an encoder. Its first access unit is an IDR. With hardware it takes up to 5 s, for each that is tried.
    pub(crate) fn open(&mut self, config: EncoderConfig) -> Result<Box<dyn Encode>, OpenError> {
        if self.choice != EncoderChoice::Auto {
            return (self.open)(self.choice, config);
        }
        let first = self.hardware.len() == HARDWARE.len() && self.watched.is_none();
        self.count_failures();
        while let Some(&choice) = self.hardware.first() {
            match (self.open)(choice, config) {
                Ok(encoder) => {
                    if first {
                        tracing::info!(encoder = choice.as_str(), "encoding in hardware");
                    }
                    let watched = Arc::default();
                    self.watched = Some(Arc::clone(&watched));
                    return Ok(Box::new(Watching { encoder, watched }));
                }
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "passed over");
                    self.hardware.remove(0);
                    self.failures = 0;
                }
            }
        }
        if self.watched.take().is_some() {
            tracing::warn!("no hardware encoder works any more; encoding with openh264");
        } else if first {
            tracing::info!("no hardware encoder works here (debug logs say why); encoding with openh264");
        }
        (self.open)(EncoderChoice::OpenH264, config)
    }

    /// How the last one ended, if it did: in a call that failed, in one that never came back, or without any result. One that
    /// was given no canvas says nothing about the hardware: the wall changed its mind.
    fn count_failures(&mut self) {
        let Some(watched) = &self.watched else { return };
        if !watched.was_asked.load(Ordering::Relaxed) {
            return;
        }
        let units = watched.units.load(Ordering::Relaxed);
        let ended_well = !watched.failed.load(Ordering::Relaxed) && units > 0;
        if ended_well || units >= HAS_WORKED {
            self.failures = 0;
        }
        if !ended_well {
            self.failures += 1;
        }
        if self.failures >= MOST_FAILURES && !self.hardware.is_empty() {
            let choice = self.hardware.remove(0);
            self.failures = 0;
            tracing::warn!(
                encoder = choice.as_str(),
                "failed {MOST_FAILURES} times in a row; it is passed over from now on"
            );
        }
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener")
            .field("choice", &self.choice)
            .field("hardware", &self.hardware)
            .finish_non_exhaustive()
    }
}

fn open_one(choice: EncoderChoice, config: EncoderConfig) -> Result<Box<dyn Encode>, OpenError> {
    let refused = |source| OpenError { encoder: choice.as_str(), config, source };
    match choice {
        EncoderChoice::Auto | EncoderChoice::OpenH264 => Ok(Box::new(OpenH264::new(config)?)),
        EncoderChoice::X264 => {
            Ok(Box::new(Ffmpeg::new(choice, config).map_err(|error| refused(error.into()))?))
        }
        hardware => {
            let open = move || Ok(Ffmpeg::new(hardware, config)?);
            let encoder = tried(hardware.as_str(), config, TRIAL, open);
            Ok(Box::new(encoder.map_err(|error| refused(error.into()))?))
        }
    }
}

/// What is known of a running encoder from outside.
#[derive(Debug, Default)]
struct Watched {
    /// It was given a canvas.
    was_asked: AtomicBool,
    /// A call has failed, or has not come back.
    failed: AtomicBool,
    /// Access units that it gave.
    units: AtomicU32,
}

/// An encoder that tells how it ends, even if that is in the middle of a call.
struct Watching {
    encoder: Box<dyn Encode>,
    watched: Arc<Watched>,
}

impl Encode for Watching {
    fn encode(
        &mut self,
        canvas: &Canvas,
        force_idr: bool,
        time: CanvasTime,
    ) -> Result<Option<Encoded>, EncodeError> {
        self.watched.was_asked.store(true, Ordering::Relaxed);
        self.watched.failed.store(true, Ordering::Relaxed);
        let encoded = self.encoder.encode(canvas, force_idr, time)?;
        self.watched.failed.store(false, Ordering::Relaxed);
        if encoded.is_some() {
            self.watched.units.fetch_add(1, Ordering::Relaxed);
        }
        Ok(encoded)
    }

    fn set_bitrate(&mut self, bitrate: Bitrate) -> bool {
        self.encoder.set_bitrate(bitrate)
    }

    fn set_halves(&mut self, halves: bool) {
        self.encoder.set_halves(halves);
    }

    fn name(&self) -> &'static str {
        self.encoder.name()
    }
}

#[cfg(test)]
mod tests;
