//! The common instant of the tiles of one wall, and how well they keep to it.
//!
//! A wall that aligns looks back: far enough for the slowest of its live cameras, and for all of them alike. How far, is
//! [`LookBack`]'s to decide, at every tick; here it is found out what the cameras need, who cannot be waited for, and
//! what was shown.

mod look_back;

use std::time::{Duration, Instant};

use super::ring::Timing;
use crate::stats::{Percentiles, Window};
use look_back::{LookBack, Phase};

/// A wall waits so much longer for a slow camera than it was told to look back.
const PATIENCE: Duration = Duration::from_millis(500);
/// A camera that was given up must be so much quicker than that to be waited for again.
const SECOND_CHANCE: Duration = Duration::from_millis(100);
/// Of slower cameras, waiting for the next picture would cost more than it is worth.
const LONGEST_INTERVAL: Duration = Duration::from_millis(100);
/// A tile that was not asked for so long is not shown.
const FORGET_AFTER: Duration = Duration::from_millis(1_500);

/// Pure: one for each wall, told what happens at each tick.
#[derive(Debug)]
pub(crate) struct Group {
    align: Duration,
    look_back: LookBack,
    tick: Option<Instant>,
    /// None where a tile is gone: the next one takes its number.
    places: Vec<Option<Place>>,
    /// Milliseconds, one sample a tick.
    skew_ms: Window,
}

/// One tile.
#[derive(Debug, Default)]
struct Place {
    shown: Option<Shown>,
    is_given_up: bool,
}

/// What a live tile showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    /// At the tick.
    pub(crate) at: Instant,
    /// When the picture was taken.
    pub(crate) captured: Instant,
    /// How the camera's pictures come, when that is known.
    pub(crate) timing: Option<Timing>,
}

/// How well a wall keeps its tiles in step.
#[derive(Debug, Clone, PartialEq)]
pub struct AlignmentStats {
    /// How old the pictures are that are shown, in milliseconds; 0 while nobody watches.
    pub delay_ms: f64,
    /// Between the oldest and the newest picture that live tiles show at the same tick, by the time they were taken, in
    /// milliseconds, over the last 5 s.
    pub skew_ms: Percentiles,
    /// By the tiles' numbers, which are given in order, and those of tiles that are gone again.
    pub tiles: Vec<TileAlignment>,
}

/// How well one tile keeps in step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TileAlignment {
    /// When the picture that is shown was taken, after the common instant, in milliseconds. `None` when the tile is not
    /// live, or nobody watches.
    pub skew_ms: Option<f64>,
    /// The camera's pictures come so late that the wall does not wait for them: the tile shows the newest one.
    pub too_late: bool,
}

impl Group {
    /// A wall that ticks every `tick` and looks back `align` at least.
    pub(crate) fn new(align: Duration, tick: Duration) -> Self {
        let look_back = LookBack::new(align, tick);
        Self { align, look_back, tick: None, places: Vec::new(), skew_ms: Window::default() }
    }

    /// One more tile. Its number is how it is called in the other methods.
    pub(crate) fn add_place(&mut self) -> usize {
        let number = self.places.iter().position(Option::is_none).unwrap_or(self.places.len());
        if number == self.places.len() {
            self.places.push(None);
        }
        self.places[number] = Some(Place::default());
        number
    }

    /// The tile is gone.
    pub(crate) fn remove_place(&mut self, number: usize) {
        if let Some(place) = self.places.get_mut(number) {
            *place = None;
        }
    }

    fn place(&self, number: usize) -> Option<&Place> {
        self.places.get(number)?.as_ref()
    }

    /// How far back a tile is to look at the tick of `now`: the same for all. `None`: this one shows its newest picture.
    pub(crate) fn look_back(&mut self, place: usize, now: Instant) -> Option<Duration> {
        if self.tick != Some(now) {
            self.finish_tick();
            let floor = self.needed(now);
            self.look_back.advance(now, floor, self.phase(now));
            self.tick = Some(now);
        }
        let is_given_up = self.place(place).is_some_and(|place| place.is_given_up);
        (!is_given_up).then(|| self.look_back.now())
    }

    /// What the tile shows at this tick; `None` when it is not live.
    pub(crate) fn handle_shown(&mut self, place: usize, shown: Option<Shown>) {
        let most = self.align + PATIENCE;
        let Some(Some(place)) = self.places.get_mut(place) else { return };
        place.shown = shown;
        let needs = shown.and_then(|shown| shown.timing).map(needs);
        let most = if place.is_given_up { most.saturating_sub(SECOND_CHANCE) } else { most };
        place.is_given_up = needs.is_some_and(|needs| needs > most);
    }

    pub(crate) fn stats(&self, now: Instant) -> AlignmentStats {
        let tick = self.tick.filter(|tick| now.saturating_duration_since(*tick) < FORGET_AFTER);
        let gone = Place::default();
        let tile = |place: &Option<Place>| {
            let place = place.as_ref().unwrap_or(&gone);
            let shown = place.shown.filter(|_| tick.is_some());
            TileAlignment {
                skew_ms: shown.map(|shown| 1e3 * self.after_the_instant(&shown)),
                too_late: place.is_given_up,
            }
        };
        AlignmentStats {
            delay_ms: tick.map_or(0.0, |_| self.look_back.now().as_secs_f64() * 1e3),
            skew_ms: Percentiles::of(self.skew_ms.recent(now).collect()),
            tiles: self.places.iter().map(tile).collect(),
        }
    }

    fn finish_tick(&mut self) {
        let Some(tick) = self.tick else { return };
        let captured = || self.in_step(tick).filter(|shown| shown.at == tick).map(|shown| shown.captured);
        if let (Some(oldest), Some(newest)) = (captured().min(), captured().max()) {
            self.skew_ms.add(tick, (newest - oldest).as_secs_f64() * 1e3);
        }
    }

    /// What the slowest camera needs that is live and not given up.
    fn needed(&self, now: Instant) -> Duration {
        let needs = self.in_step(now).filter_map(|shown| shown.timing).map(needs);
        needs.max().unwrap_or_default().clamp(self.align, self.align + PATIENCE)
    }

    /// Where the instant lies between the pictures of the slowest camera.
    fn phase(&self, now: Instant) -> Option<Phase> {
        let timed = self.in_step(now).filter_map(|shown| Some((shown, shown.timing?)));
        let (shown, timing) = timed.max_by_key(|(_, timing)| timing.delay)?;
        Some(Phase {
            picture_after_instant: self.after_the_instant(&shown),
            interval: timing.interval.as_secs_f64(),
        })
    }

    fn in_step(&self, now: Instant) -> impl Iterator<Item = Shown> + '_ {
        let places =
            self.places.iter().flatten().filter(|place| !place.is_given_up).filter_map(|place| place.shown);
        places.filter(move |shown| now.saturating_duration_since(shown.at) < FORGET_AFTER)
    }

    /// In seconds.
    fn after_the_instant(&self, shown: &Shown) -> f64 {
        let ago = shown.at.saturating_duration_since(shown.captured).as_secs_f64();
        let ahead = shown.captured.saturating_duration_since(shown.at).as_secs_f64();
        self.look_back.now().as_secs_f64() - ago + ahead
    }
}

/// How far back one has to look to find the picture nearest to an instant: until it is decoded, and half-way to the next.
fn needs(timing: Timing) -> Duration {
    timing.delay + timing.interval.min(LONGEST_INTERVAL) / 2
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
