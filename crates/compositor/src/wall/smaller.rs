//! A smaller rendition of a wall: every canvas that is worth it is scaled into one of its own and encoded, while the wall
//! goes on. It has an encoder, and a canvas, only for as long as somebody needs it.
//!
//! It cannot hold the wall up: a canvas that comes while the one before is still being encoded is missed, and counted.

use super::Stall;
use super::encoding::{Answer, Heard};
use super::fault::Fault;
use super::rendition::{Readiness, Rendition};
use super::view::Figures;
use crate::canvas::Canvas;
use crate::shrink::Shrinker;
use crate::tick::CanvasTime;
use std::time::{Duration, Instant};

/// The encoder stays open for so long after the last viewer: one who comes and goes costs nothing.
const KEPT_FOR: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });
/// As long as the wall waits for its own encoder, in ticks that were run meanwhile: a process that is stopped encodes
/// nothing.
const STALLED_AFTER: Duration = super::encoding::STALLED_AFTER;

/// A smaller rendition, as the wall's thread owns it.
pub(super) struct Smaller {
    rendition: Rendition,
    readiness: Readiness,
    shrinker: Shrinker,
    /// Where it is scaled to; away while it is being encoded.
    canvas: Option<Canvas>,
    /// For how long the encoder has had a canvas.
    busy_for: Duration,
    /// Since when nobody has wanted it, in canvas time.
    unwanted_since: Option<Duration>,
    /// The last figures it was prepared for.
    figures: Figures,
}

impl Smaller {
    /// Of canvases that are as large as `shrinker` is made for.
    pub(super) fn new(rendition: Rendition, shrinker: Shrinker, figures: Figures) -> Smaller {
        Smaller {
            rendition,
            readiness: Readiness::Unwanted,
            shrinker,
            canvas: None,
            busy_for: Duration::ZERO,
            unwanted_since: None,
            figures,
        }
    }

    /// Sees to the last canvas, asks its sinks, and sees to an encoder. Whether it can be given a canvas for somebody.
    pub(super) fn prepare(&mut self, now: Instant, at: Duration, figures: Figures) -> Readiness {
        self.collect();
        self.figures = self.rendition.told().of(figures);
        if self.rendition.is_busy() {
            self.busy_for += figures.fps.time_of(1);
            if self.busy_for >= STALLED_AFTER {
                self.rendition.handle_fault(Fault::Stall(Stall::NoAnswer));
            }
        }
        self.readiness = self.rendition.prepare(now, at, self.figures);
        match self.readiness {
            Readiness::Unwanted => self.close_in_time(at),
            Readiness::NotYet | Readiness::Ready => self.unwanted_since = None,
        }
        self.readiness
    }

    /// Closes the encoder when it has not been needed for a while.
    fn close_in_time(&mut self, at: Duration) {
        let since = *self.unwanted_since.get_or_insert(at);
        if at.saturating_sub(since) >= KEPT_FOR && self.rendition.has_station() {
            self.rendition.retire();
            self.canvas = None;
        }
    }

    /// The canvas at `at` is not the one before.
    pub(super) fn handle_change(&mut self, at: Duration) {
        self.rendition.handle_change(at);
    }

    /// Takes what it needs of a canvas, which stays what it was. Whether there was anything to do.
    pub(super) fn take(&mut self, canvas: &Canvas, time: CanvasTime, composed_at: Instant) -> bool {
        let at = time.as_duration();
        if self.readiness != Readiness::Ready {
            return false;
        }
        let Some(force_idr) = self.rendition.is_due(at) else { return false };
        if self.rendition.is_busy() {
            self.rendition.handle_missed(at);
            self.rendition.told().meters.lock().canvases_missed += 1;
            return true;
        }
        let begun = Instant::now();
        let mut small = self.canvas.take().unwrap_or_else(|| Canvas::black(self.rendition.told().size));
        self.shrinker.shrink(canvas, &mut small);
        let now = Instant::now();
        self.rendition.told().meters.lock().scale_ms.push(now, (now - begun).as_secs_f64() * 1_000.0);
        self.busy_for = Duration::ZERO;
        if let Some(answer) = self.rendition.give(small, force_idr, time, composed_at, self.figures) {
            self.handle_back(answer);
        }
        true
    }

    /// Whether there is anything to [`Smaller::collect`].
    pub(super) fn has_news(&mut self) -> bool {
        self.rendition.is_busy() && self.rendition.encoding().is_some_and(|encoding| encoding.has_answered())
    }

    /// Hands on what came of the last canvas, if it is there.
    pub(super) fn collect(&mut self) {
        if !self.rendition.is_busy() {
            return;
        }
        let heard = self.rendition.encoding().map_or(Heard::Gone, |encoding| encoding.listen());
        match heard {
            Heard::Nothing => {}
            Heard::Back(answer) => self.handle_back(answer),
            Heard::Gone => self.rendition.handle_fault(Fault::Stall(Stall::NoAnswer)),
        }
    }

    fn handle_back(&mut self, Answer { canvas, coded, took }: Answer) {
        self.canvas = Some(canvas);
        self.rendition.handle_coded(coded, took, self.figures);
    }

    /// There is no encoder from now on.
    pub(super) fn retire(&mut self) {
        self.rendition.retire();
    }

    /// Joins its threads, after [`Smaller::retire`].
    pub(super) fn join(self, until: Instant) {
        self.rendition.join(until);
    }
}
