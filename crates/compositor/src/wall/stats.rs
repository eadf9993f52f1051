//! What a wall counts, and how it tells.

use super::view::{Figures, Shared, Told};
use super::{EncoderFailure, Stall};
use crate::window::{Percentiles, Window};
use std::sync::atomic::Ordering;
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
    /// The wall's own encoding first, of which most is said above too; then the smaller ones, as they were configured.
    pub renditions: Vec<RenditionStats>,
}

/// How one encoding of the wall is doing. Counters are since the wall started, rates and percentiles over the last 5 s.
#[derive(Clone, Debug, PartialEq)]
pub struct RenditionStats {
    /// Its name; the wall's own has that of its height, such as `1080p`.
    pub name: String,
    /// Width and height of its pictures.
    pub resolution: (u32, u32),
    /// What encodes it, or did last; `None` before it was first needed.
    pub encoder: Option<&'static str>,
    /// Whether it has an encoder now.
    pub running: bool,
    /// Bits a second that came out of the encoder.
    pub bitrate_bps: u64,
    /// Bits a second that the encoder aims at.
    pub target_bps: u32,
    /// Access units that came out of the encoder.
    pub frames_encoded: u64,
    /// IDRs among them.
    pub keyframes: u64,
    /// How often somebody asked for an IDR.
    pub keyframe_requests: u64,
    /// Canvases that it should have shown and did not, because the one before was still being encoded. The wall's own
    /// never does: the wall waits for it.
    pub canvases_missed: u64,
    /// Canvases that the encoder left out or failed at, failures to open it again included.
    pub encode_errors: u64,
    /// How often the encoder stalled and was replaced: see [`Stall`].
    pub encoder_stalls: u64,
    /// Scaling one canvas, in milliseconds; the wall's own is not scaled.
    pub scale_ms: Percentiles,
    /// Encoding one canvas, in milliseconds.
    pub encode_ms: Percentiles,
}

/// The counters and windows behind [`WallStats`].
#[derive(Clone, Debug)]
pub(super) struct Meters {
    started: Instant,
    pub(super) last_progress: Instant,
    pub(super) ticks: u64,
    pub(super) ticks_missed: u64,
    pub(super) canvases_unchanged: u64,
    pub(super) panics: u64,
    pub(super) pictures_refused: u64,
    pub(super) tick_window: Window,
    pub(super) tick_wait_ms: Window,
    pub(super) compose_ms: Window,
}

/// The counters and windows behind [`RenditionStats`].
#[derive(Clone, Debug)]
pub(super) struct RenditionMeters {
    started: Instant,
    /// The name of the one there is, or was last.
    pub(super) encoder: Option<&'static str>,
    pub(super) running: bool,
    pub(super) keyframes: u64,
    pub(super) frames_encoded: u64,
    pub(super) canvases_missed: u64,
    pub(super) encode_errors: u64,
    pub(super) encoder_stalls: u64,
    /// Stalls since an encoder last proved that it works, and what the last one was.
    pub(super) stalls_in_a_row: (u32, Option<Stall>),
    pub(super) byte_window: Window,
    pub(super) scale_ms: Window,
    pub(super) encode_ms: Window,
}

/// So many samples fit into a window whatever the frame rate is changed to. A late tick may crowd into the window of the
/// one before: one second's worth to spare.
const MOST_SAMPLES: usize = 60 * (SPAN.as_secs() as usize + 1);

fn window() -> Window {
    Window::new(SPAN, MOST_SAMPLES)
}

impl Meters {
    pub(super) fn new(now: Instant) -> Meters {
        Meters {
            started: now,
            last_progress: now,
            ticks: 0,
            ticks_missed: 0,
            canvases_unchanged: 0,
            panics: 0,
            pictures_refused: 0,
            tick_window: window(),
            tick_wait_ms: window(),
            compose_ms: window(),
        }
    }

    /// Sums and sorts, which takes its time: of a copy, so it cannot be called with the wall's lock held.
    pub(super) fn stats(self, now: Instant, shared: &Shared, figures: Figures) -> WallStats {
        let renditions: Vec<RenditionStats> =
            shared.renditions.iter().map(|told| told.stats(now, figures)).collect();
        let own = &renditions[0];
        WallStats {
            resolution: own.resolution,
            fps: a_second(self.started, now, self.tick_window.count(now) as f64),
            target_fps: figures.fps.get(),
            encoder: own.encoder.unwrap_or_default(),
            bitrate_bps: own.bitrate_bps,
            ticks: self.ticks,
            ticks_missed: self.ticks_missed,
            frames_encoded: own.frames_encoded,
            keyframes: own.keyframes,
            keyframe_requests: own.keyframe_requests,
            encode_errors: own.encode_errors,
            canvases_unchanged: self.canvases_unchanged,
            encoder_stalls: own.encoder_stalls,
            panics: self.panics,
            pictures_refused: self.pictures_refused,
            tick_wait_ms: self.tick_wait_ms.percentiles(now),
            compose_ms: self.compose_ms.percentiles(now),
            encode_ms: own.encode_ms,
            last_progress: self.last_progress,
            renditions,
        }
    }
}

impl RenditionMeters {
    pub(super) fn new(now: Instant, encoder: Option<&'static str>) -> RenditionMeters {
        RenditionMeters {
            started: now,
            encoder,
            running: encoder.is_some(),
            keyframes: 0,
            frames_encoded: 0,
            canvases_missed: 0,
            encode_errors: 0,
            encoder_stalls: 0,
            stalls_in_a_row: (0, None),
            byte_window: window(),
            scale_ms: window(),
            encode_ms: window(),
        }
    }

    /// Why it needs help, if it does.
    pub(super) fn failure(&self) -> Option<EncoderFailure> {
        match self.stalls_in_a_row {
            (times @ 2.., Some(stall)) => {
                Some(EncoderFailure { encoder: self.encoder.unwrap_or_default(), stall, times })
            }
            _ => None,
        }
    }
}

impl Told {
    fn stats(&self, now: Instant, figures: Figures) -> RenditionStats {
        let meters = self.meters.lock().clone();
        RenditionStats {
            name: self.name.clone(),
            resolution: (self.size.width(), self.size.height()),
            encoder: meters.encoder,
            running: meters.running,
            bitrate_bps: a_second(meters.started, now, meters.byte_window.sum(now) * 8.0) as u64,
            target_bps: self.of(figures).bitrate.bps(),
            frames_encoded: meters.frames_encoded,
            keyframes: meters.keyframes,
            keyframe_requests: self.key_frame_requests.load(Ordering::Relaxed),
            canvases_missed: meters.canvases_missed,
            encode_errors: meters.encode_errors,
            encoder_stalls: meters.encoder_stalls,
            scale_ms: meters.scale_ms.percentiles(now),
            encode_ms: meters.encode_ms.percentiles(now),
        }
    }
}

/// The rate of something of which there was so much within [`SPAN`], or since the start.
fn a_second(started: Instant, now: Instant, sum: f64) -> f64 {
    let seconds = now.saturating_duration_since(started).min(SPAN).as_secs_f64();
    if seconds > 0.0 { sum / seconds } else { 0.0 }
}
