//! How far back a wall looks: no less than its cameras need, and steadily.
//!
//! Quick to grow, slow to shrink: every change makes time on the wall run slower or faster than it does. Between what is
//! needed and one picture more it stays, or, where the wall ticks at the rate of its cameras, moves to where ticks fall
//! *on* pictures. Half-way between two of them, each millisecond of noise would show one picture twice and leave
//! another one out.

use std::time::{Duration, Instant};

/// Time on the wall runs at three quarters of its speed until a slower camera can follow.
const GROWTH: f64 = 0.25;
/// And a hundredth faster while there is less to wait for than there was,
const SHRINKING: f64 = 0.01;
/// which must have been so for so long, in seconds.
const HOLD: f64 = 5.0;
/// To bring ticks and pictures together.
const STEERING: f64 = 0.025;
/// After such a pause, in seconds, nobody remembers what was shown.
const PAUSE: f64 = 1.0;
/// Cameras that differ so much from the wall's rate, or a multiple of it, cannot be steered to.
const SAME_RATE: f64 = 0.02;

/// In seconds inside.
#[derive(Debug)]
pub(super) struct LookBack {
    now: f64,
    tick: f64,
    last: Option<Instant>,
    /// When this much was last needed.
    needed: Option<Instant>,
}

/// Where ticks fall between the pictures of a camera, in seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Phase {
    /// From the instant that was wanted to the picture that was nearest.
    pub(super) picture_after_instant: f64,
    /// From picture to picture.
    pub(super) interval: f64,
}

impl LookBack {
    pub(super) fn new(align: Duration, tick: Duration) -> Self {
        Self { now: align.as_secs_f64(), tick: tick.as_secs_f64(), last: None, needed: None }
    }

    pub(super) fn now(&self) -> Duration {
        Duration::try_from_secs_f64(self.now).unwrap_or_default()
    }

    /// The next tick, at which no less than `floor` will do.
    pub(super) fn advance(&mut self, now: Instant, floor: Duration, phase: Option<Phase>) {
        let floor = floor.as_secs_f64();
        let seconds = |since: Instant| now.saturating_duration_since(since).as_secs_f64();
        let Some(passed) = self.last.replace(now).map(seconds).filter(|passed| *passed < PAUSE) else {
            (self.now, self.needed) = (floor, Some(now));
            return;
        };
        let phase = phase.filter(|phase| self.can_be_steered_to(phase.interval));
        let ceiling = floor + phase.map_or(self.tick, |phase| phase.interval.max(self.tick));
        if self.now < floor {
            self.now = floor.min(self.now + GROWTH * passed);
            self.needed = Some(now);
        } else if self.now > ceiling {
            if self.needed.is_none_or(|needed| seconds(needed) > HOLD) {
                self.now = ceiling.max(self.now - SHRINKING * passed);
            }
        } else {
            self.needed = Some(now);
            if let Some(phase) = phase {
                let step = phase.target(self.now, floor) - self.now;
                self.now += step.clamp(-STEERING * passed, STEERING * passed);
            }
        }
    }

    /// The wall's ticks always fall at the same place between the camera's pictures.
    fn can_be_steered_to(&self, interval: f64) -> bool {
        let pictures = self.tick / interval;
        interval > 0.0 && pictures > 0.5 && (pictures - pictures.round()).abs() < SAME_RATE
    }
}

impl Phase {
    /// The nearest place that is not below `floor`, from where ticks fall on pictures.
    fn target(&self, look_back: f64, floor: f64) -> f64 {
        let nearest = look_back - self.picture_after_instant;
        match nearest {
            too_little if too_little < floor => too_little + self.interval,
            too_much if too_much > floor + self.interval => too_much - self.interval,
            enough => enough,
        }
    }
}
