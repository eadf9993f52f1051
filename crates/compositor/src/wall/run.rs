//! The wall's thread: sleep, compose, have encoded, hand over.

use super::Stall;
use super::encoding::{Answer, Handed};
use super::fault::Fault;
use super::rendition::{Outcome, Readiness, Rendition};
use super::smaller::Smaller;
use super::view::{Figures, Shared};
use crate::compose::{Compositor, TileSource};
use crate::phase::Phase;
use crate::tick::{CanvasTime, Due, TickClock};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the wall's end waits for its encoders' ends.
const ENDS_WITHIN: Duration = Duration::from_millis(500);

/// What the wall's thread owns.
pub(super) struct Worker {
    shared: Arc<Shared>,
    tiles: Vec<Box<dyn TileSource>>,
    compositor: Compositor,
    /// The wall's own rendition, which is waited for.
    own: Rendition,
    /// The others, which are not.
    smaller: Vec<Smaller>,
    phase: Phase,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        tiles: Vec<Box<dyn TileSource>>,
        own: Rendition,
        smaller: Vec<Smaller>,
    ) -> Worker {
        Worker {
            compositor: Compositor::new(&shared.config.layout),
            phase: Phase::new(Instant::now(), shared.config.fps),
            shared,
            tiles,
            own,
            smaller,
        }
    }

    /// Runs until the wall is stopped; tick 0 is at `origin`.
    pub(super) fn run(mut self, origin: Instant) {
        let _span = tracing::error_span!("wall", name = self.shared.config.name).entered();
        let mut figures = *self.shared.figures.lock();
        let mut clock = TickClock::new(origin, figures.fps);
        self.phase = Phase::new(origin, figures.fps);
        while !self.shared.bell.is_stopping() {
            let now = Instant::now();
            let wanted = *self.shared.figures.lock();
            if wanted.fps != figures.fps {
                self.shared.meters.lock().ticks_missed += clock.set_fps(now, wanted.fps);
                self.phase = Phase::new(origin, wanted.fps);
            }
            figures = wanted;
            match clock.poll(now) {
                Due::At(due) => {
                    let is_changed = || self.shared.figures.lock().fps != figures.fps;
                    let smaller = &mut self.smaller;
                    let mut look = || is_changed() || smaller.iter_mut().any(Smaller::has_news);
                    self.shared.bell.wait_until(due, || look().then_some(()));
                    self.smaller.iter_mut().for_each(Smaller::collect);
                }
                Due::Now { tick, missed } => {
                    self.tick(tick, missed, figures);
                    clock.steer(self.phase.correction(tick.as_duration()));
                }
            }
        }
        self.end();
    }

    fn tick(&mut self, tick: CanvasTime, missed: u64, figures: Figures) {
        let now = Instant::now();
        {
            let mut meters = self.shared.meters.lock();
            meters.ticks += 1;
            meters.ticks_missed += missed;
            meters.tick_window.push(now, 1.0);
        }
        match catch_unwind(AssertUnwindSafe(|| self.work(now, tick, figures))) {
            Ok(Outcome::Idle | Outcome::Unchanged | Outcome::Delivered) => {
                self.shared.meters.lock().last_progress = Instant::now();
            }
            Ok(Outcome::Waiting) => {}
            Err(panic) => {
                self.shared.note_panic("the wall", &*panic);
                if self.compositor.is_lent() {
                    self.compositor.renew_canvas();
                }
            }
        }
    }

    /// One tick's work, if there is any; what came of it for the wall's own rendition.
    fn work(&mut self, now: Instant, tick: CanvasTime, figures: Figures) -> Outcome {
        let at = tick.as_duration();
        self.take_scene();
        let own = self.own.prepare(now, at, figures);
        let mut is_ready = own == Readiness::Ready;
        for smaller in &mut self.smaller {
            is_ready |= smaller.prepare(now, at, figures) == Readiness::Ready;
        }
        if is_ready {
            let composed_at = self.compose(now, at);
            let (outcome, is_whole) = match own {
                Readiness::Ready => self.encode(tick, composed_at, figures),
                Readiness::Unwanted | Readiness::NotYet => (None, true),
            };
            let mut is_due = outcome.is_some_and(|outcome| outcome != Outcome::Unchanged);
            if is_whole {
                // Afterwards: the wall's own rendition does not wait for a smaller one to be scaled.
                for smaller in &mut self.smaller {
                    is_due |= smaller.take(self.compositor.canvas(), tick, composed_at);
                }
            }
            if !is_due {
                self.shared.meters.lock().canvases_unchanged += 1;
            }
            if let Some(outcome) = outcome {
                return outcome;
            }
        }
        if own == Readiness::Unwanted { Outcome::Idle } else { Outcome::Waiting }
    }

    /// Paints what is new; the time at which the canvas was complete.
    fn compose(&mut self, now: Instant, at: Duration) -> Instant {
        let composed = self.compositor.compose(now, &mut self.tiles);
        let composed_at = Instant::now();
        {
            let mut meters = self.shared.meters.lock();
            meters.compose_ms.push(now, composed_at.duration_since(now).as_secs_f64() * 1_000.0);
            if let Some(waited) = self.phase.handle_tick(now, at, self.compositor.arrivals()) {
                meters.tick_wait_ms.push(now, waited.as_secs_f64() * 1_000.0);
            }
            meters.pictures_refused += composed.refused as u64;
            meters.panics += composed.panics as u64;
        }
        if composed.painted > 0 {
            self.own.handle_change(at);
            self.smaller.iter_mut().for_each(|smaller| smaller.handle_change(at));
        }
        composed_at
    }

    /// Has the canvas encoded for the wall's own rendition if it is worth it, and waits for it. Whether there is still a
    /// canvas of this tick comes with it.
    fn encode(
        &mut self,
        tick: CanvasTime,
        composed_at: Instant,
        figures: Figures,
    ) -> (Option<Outcome>, bool) {
        let Some(force_idr) = self.own.is_due(tick.as_duration()) else {
            return (Some(Outcome::Unchanged), true);
        };
        let canvas = self.compositor.lend_canvas();
        let handed = match self.own.give(canvas, force_idr, tick, composed_at, figures) {
            None => self.own.encoding().map_or(Handed::Stalled, |encoding| encoding.wait(&self.shared.bell)),
            Some(answer) => Handed::Back(answer),
        };
        match handed {
            Handed::Back(Answer { canvas, coded, took }) => {
                self.compositor.return_canvas(canvas);
                (Some(self.own.handle_coded(coded, took, figures)), true)
            }
            Handed::Stalled => {
                self.compositor.renew_canvas();
                self.own.handle_fault(Fault::Stall(Stall::NoAnswer));
                (Some(Outcome::Waiting), false)
            }
            Handed::Stopping => (Some(Outcome::Waiting), false),
        }
    }

    /// Changes to what was asked for since the last tick.
    fn take_scene(&mut self) {
        let mut scene = self.shared.scene.lock();
        let Some(tiles) = scene.next.take() else { return };
        let layout = Arc::clone(&scene.layout);
        drop(scene);
        self.compositor.rearrange(&layout);
        self.phase.forget();
        let before = std::mem::replace(&mut self.tiles, tiles);
        free(&self.shared, before);
    }

    /// Frees everything, in a bounded time.
    fn end(mut self) {
        self.own.retire();
        self.smaller.iter_mut().for_each(Smaller::retire);
        let mut scene = self.shared.scene.lock();
        scene.has_ended = true;
        let unseen = scene.next.take();
        drop(scene);
        free(&self.shared, unseen.unwrap_or_default());
        free(&self.shared, std::mem::take(&mut self.tiles));
        let until = Instant::now() + ENDS_WITHIN;
        self.own.join(until);
        self.smaller.into_iter().for_each(|smaller| smaller.join(until));
    }
}

/// With no lock held: what a source holds may take its time.
fn free(shared: &Shared, tiles: Vec<Box<dyn TileSource>>) {
    for tile in tiles {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(tile))) {
            shared.note_panic("a tile that was freed", &*panic);
        }
    }
}
