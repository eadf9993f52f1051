//! What a wall counts, and how it tells.

use super::view::Figures;
use super::{EncoderFailure, Stall, WallConfig};
use crate::window::{Percentiles, Window};
use std::time::{Duration, Instant};

/// Rates and percentiles are over so much of the past.
const SPAN: Duration = Duration::from_secs(5);

/// How a wall is doing. Counters are since it started, rates and percentiles over the last 5 s.
#[derive(Clone, Debug, PartialEq)]
pub struct WallStats {
    /// Width and height of the canvas.
    pub resolution: (u32, u32),
    /// Ticks kept on time, a second; the clock never stops, so this is about `target_fps` with nobody watching too.
    pub fps: f64,
    /// Ticks a second as they should be.
    pub target_fps: u32,
    /// What encodes.
    pub encoder: &'static str,
    /// Bits a second that came out of the encoder.
    pub bitrate_bps: u64,
    /// Ticks kept on time: run less than a period late.
    pub ticks: u64,
    /// Ticks left out because the wall was a period late or more.
    pub ticks_missed: u64,
    /// Access units that came out of the encoder.
    pub frames_encoded: u64,
    /// IDRs among them.
    pub keyframes: u64,
    /// How often somebody asked for an IDR.
    pub keyframe_requests: u64,
    /// Canvases that the encoder left out or failed at, failures to open it again included.
    pub encode_errors: u64,
    /// Ticks at which somebody watched and the canvas was as it had been: nothing was encoded.
    pub canvases_unchanged: u64,
    /// How often the encoder stalled and was replaced: see [`Stall`].
    pub encoder_stalls: u64,
    /// Panics in a tile, the encoder or a sink, caught.
    pub panics: u64,
    /// Pictures that were not I420 as declared; their tiles were black.
    pub pictures_refused: u64,
    /// How long new pictures had waited for the tick that showed them, in milliseconds: the mean of a tick's, by their sizes.
    /// Only of tiles that tell when their pictures came (see [`Shown::came`](crate::Shown::came)).
    pub tick_wait_ms: Percentiles,
    /// Composing one canvas, in milliseconds.
    pub compose_ms: Percentiles,
    /// Encoding one canvas, in milliseconds.
    pub encode_ms: Percentiles,
    /// When a tick last ended as it should: see [`WallView::last_progress`](super::WallView::last_progress).
    pub last_progress: Instant,
}

/// The counters and windows behind [`WallStats`].
#[derive(Clone, Debug)]
pub(super) struct Meters {
    started: Instant,
    /// The name of the one there is, or was last.
    pub(super) encoder: &'static str,
    pub(super) last_progress: Instant,
    pub(super) ticks: u64,
    pub(super) ticks_missed: u64,
    pub(super) keyframes: u64,
    pub(super) frames_encoded: u64,
    pub(super) encode_errors: u64,
    pub(super) canvases_unchanged: u64,
    pub(super) encoder_stalls: u64,
    /// Stalls since an encoder last made a key frame, and what the last one was.
    pub(super) stalls_in_a_row: (u32, Option<Stall>),
    pub(super) panics: u64,
    pub(super) pictures_refused: u64,
    pub(super) tick_window: Window,
    pub(super) byte_window: Window,
    pub(super) tick_wait_ms: Window,
    pub(super) compose_ms: Window,
    pub(super) encode_ms: Window,
}

/// So many samples fit into a window whatever the frame rate is changed to. A late tick may crowd into the window of the
/// one before: one second's worth to spare.
const MOST_SAMPLES: usize = 60 * (SPAN.as_secs() as usize + 1);

impl Meters {
    pub(super) fn new(now: Instant, encoder: &'static str) -> Meters {
        let window = || Window::new(SPAN, MOST_SAMPLES);
        Meters {
            started: now,
            encoder,
            last_progress: now,
            ticks: 0,
            ticks_missed: 0,
            keyframes: 0,
            frames_encoded: 0,
            encode_errors: 0,
            canvases_unchanged: 0,
            encoder_stalls: 0,
            stalls_in_a_row: (0, None),
            panics: 0,
            pictures_refused: 0,
            tick_window: window(),
            byte_window: window(),
            tick_wait_ms: window(),
            compose_ms: window(),
            encode_ms: window(),
        }
    }

    /// Why the wall needs help, if it does.
    pub(super) fn failure(&self) -> Option<EncoderFailure> {
        match self.stalls_in_a_row {
            (times @ 2.., Some(stall)) => Some(EncoderFailure { encoder: self.encoder, stall, times }),
            _ => None,
        }
    }

    /// Sums and sorts, which takes its time: of a copy, so it cannot be called with the wall's lock held.
    pub(super) fn stats(
        self,
        now: Instant,
        config: &WallConfig,
        figures: Figures,
        keyframe_requests: u64,
    ) -> WallStats {
        let seconds = now.saturating_duration_since(self.started).min(SPAN).as_secs_f64();
        let per_second = |sum: f64| if seconds > 0.0 { sum / seconds } else { 0.0 };
        WallStats {
            resolution: (config.size.width(), config.size.height()),
            fps: per_second(self.tick_window.count(now) as f64),
            target_fps: figures.fps.get(),
            encoder: self.encoder,
            bitrate_bps: per_second(self.byte_window.sum(now) * 8.0) as u64,
            ticks: self.ticks,
            ticks_missed: self.ticks_missed,
            frames_encoded: self.frames_encoded,
            keyframes: self.keyframes,
            keyframe_requests,
            encode_errors: self.encode_errors,
            canvases_unchanged: self.canvases_unchanged,
            encoder_stalls: self.encoder_stalls,
            panics: self.panics,
            pictures_refused: self.pictures_refused,
            tick_wait_ms: self.tick_wait_ms.percentiles(now),
            compose_ms: self.compose_ms.percentiles(now),
            encode_ms: self.encode_ms.percentiles(now),
            last_progress: self.last_progress,
        }
    }
}
