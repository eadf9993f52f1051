//! When between two of the cameras' pictures a wall had best tick: just after they come. Pure logic, in canvas time.
//!
//! A picture waits for the tick, and a clock that knows nothing of cameras makes it wait half a period on average. Where
//! a tile's pictures come at the same point of the period again and again, that point is worth something; such tiles are
//! looked at together, each by its size on the canvas, and the tick goes where the mean of the waits is least. A tick just
//! before a picture costs that picture a whole period, so the least is just after a cluster, behind its jitter.
//!
//! Tiles whose pictures come at any point (another frame rate, a clock that is too far off, a bad network) are left out, and
//! where no tile is left the tick stays where it is. A camera whose clock drifts is followed: by a tick more or
//! fewer in hours, of which canvas time knows nothing (see [`crate::tick`]). The tick moves by [`SLEW`] at most, which
//! no viewer sees.

use crate::geometry::FrameRate;
use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::time::{Duration, Instant};

/// A tick comes so much earlier or later than a period after the one before, at most.
const SLEW: Duration = Duration::from_millis(1);
/// Between the moment for which a picture is expected and the tick: what waking up early, or drift since, may cost.
const MARGIN: Duration = Duration::from_millis(1);
/// What is known of a tile: its last pictures, but none older than this.
const PICTURES: usize = 64;
const REMEMBERED_FOR: Duration = Duration::from_secs(4);
/// Fewer than this could lie side by side by chance.
const FEWEST: usize = 8;
/// A tile's pictures are scattered around their usual moment by so much (standard deviation), or there is none. Pictures
/// of a camera that is twice or three times as fast as the wall are seen only if they come in the last part of a
/// period: that alone is no reason to move, and more scattered than this.
const SCATTER: Duration = Duration::from_micros(4_500);
/// Of a period, in parts. The mean wait is known for the tick at the end of each part.
const PARTS: usize = 128;
/// The neighbourhood of the tick, to either side, in parts: a cluster is followed wherever it goes.
const NEARBY: usize = PARTS / 8;
/// In periods. For so much less of a wait the tick goes to another cluster, and for so much less it moves a little.
const WORTH_A_JUMP: f64 = 0.05;
const WORTH_A_STEP: f64 = 0.008;

/// When a tile's picture came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// The tile's number, the same at every tick.
    pub(crate) tile: usize,
    /// How large it is on the canvas.
    pub(crate) samples: u32,
    pub(crate) came: Instant,
}

/// What is known of when pictures come to one wall.
#[derive(Debug)]
pub(crate) struct Phase {
    /// Where canvas time is zero.
    origin: Instant,
    fps: FrameRate,
    tiles: Vec<Tile>,
    /// Where in a period the tick should be, from 0 to 1.
    target: Option<f64>,
}

#[derive(Debug)]
struct Tile {
    samples: u32,
    /// The newest last.
    pictures: VecDeque<Picture>,
}

#[derive(Clone, Copy, Debug)]
struct Picture {
    /// When it came, in canvas time.
    at: Duration,
    /// Where in its period that was, from 0 to 1.
    part: f64,
    /// The same as a point on a circle.
    point: (f64, f64),
}

impl Phase {
    /// Nothing is known yet. Another frame rate needs another one.
    pub(crate) fn new(origin: Instant, fps: FrameRate) -> Phase {
        Phase { origin, fps, tiles: Vec::new(), target: None }
    }

    /// The tiles are others from now on. The tick stays where it is until these are known.
    pub(crate) fn forget(&mut self) {
        self.tiles.clear();
        self.target = None;
    }

    /// What the tick at `now` shows, which is due at `due`. Returns how long the pictures have waited that it is the first
    /// to show: the mean, by their sizes.
    pub(crate) fn handle_tick(
        &mut self,
        now: Instant,
        due: Duration,
        arrivals: impl Iterator<Item = Arrival>,
    ) -> Option<Duration> {
        let (mut waited, mut samples) = (0.0, 0.0);
        for Arrival { tile, samples: size, came } in arrivals {
            self.tiles.resize_with(self.tiles.len().max(tile + 1), Tile::default);
            let at = came.saturating_duration_since(self.origin);
            let part = self.part_of_period(at);
            let tile = &mut self.tiles[tile];
            if tile.pictures.back().is_some_and(|last| last.at >= at) {
                continue;
            }
            tile.samples = size;
            tile.add(Picture { at, part, point: (part * TAU).sin_cos() });
            waited += f64::from(size) * now.saturating_duration_since(came).as_secs_f64();
            samples += f64::from(size);
        }
        self.tiles.iter_mut().for_each(|tile| tile.forget(due));
        self.target = self.best(self.part_of_period(due));
        (samples > 0.0).then(|| Duration::from_secs_f64(waited / samples))
    }

    /// How many nanoseconds later than a period after the tick at `due` the next one should be; earlier where it is
    /// negative.
    pub(crate) fn correction(&self, due: Duration) -> i64 {
        let Some(target) = self.target else { return 0 };
        // The shorter way round.
        let off = (target - self.part_of_period(due) + 1.5).fract() - 0.5;
        let slew = SLEW.as_secs_f64();
        ((off * self.period()).clamp(-slew, slew) * 1e9) as i64
    }

    /// In seconds.
    fn period(&self) -> f64 {
        1.0 / f64::from(self.fps.get())
    }

    /// Where in its period a moment is, from 0 to 1, exactly: periods are no whole number of nanoseconds.
    fn part_of_period(&self, at: Duration) -> f64 {
        let billionths = at.as_nanos() * u128::from(self.fps.get()) % 1_000_000_000;
        billionths as f64 / 1e9
    }

    /// Where the tick should be that is `here`, if that can be said.
    fn best(&self, here: f64) -> Option<f64> {
        let waits = self.mean_waits()?;
        let here = (here * PARTS as f64) as usize % PARTS;
        let least = |a: &usize, b: &usize| waits[*a].total_cmp(&waits[*b]);
        let nearby = (0..=2 * NEARBY).map(|step| (here + PARTS - NEARBY + step) % PARTS).min_by(least)?;
        let anywhere = (0..PARTS).min_by(least)?;
        let goal = match waits[anywhere] + WORTH_A_JUMP < waits[nearby] {
            true => anywhere,
            false if waits[nearby] + WORTH_A_STEP < waits[here] => nearby,
            false => here,
        };
        // On the way to a goal that is as good as before, one goes on.
        let on_the_way = self.target.map(|target| (target * PARTS as f64) as usize % PARTS);
        let goal = on_the_way.filter(|on| waits[*on] <= waits[goal] + WORTH_A_STEP).unwrap_or(goal);
        Some((goal as f64 + 0.5) / PARTS as f64)
    }

    /// By the part of a period in which the tick is, in periods. None where no tile's pictures come at a usual moment.
    fn mean_waits(&self) -> Option<[f64; PARTS]> {
        let mut shares = [0.0; PARTS];
        let mut all = 0.0;
        let margin = MARGIN.as_secs_f64() / self.period();
        for tile in &self.tiles {
            if tile.pictures.len() < FEWEST || tile.scatter() * self.period() > SCATTER.as_secs_f64() {
                continue;
            }
            let share = f64::from(tile.samples) / tile.pictures.len() as f64;
            for Picture { part, .. } in &tile.pictures {
                shares[((part + margin) * PARTS as f64) as usize % PARTS] += share;
            }
            all += f64::from(tile.samples);
        }
        if all == 0.0 {
            return None;
        }
        // A picture of the tick's own part may come after the tick, so it counts as waiting for the next one. From one part
        // to the next everybody waits a part longer, but for those of the part before, who are just in time.
        let mut wait: f64 = (0..PARTS).map(|part| shares[part] * (PARTS - part) as f64).sum();
        let waits = std::array::from_fn(|part| {
            let mean = wait / all / PARTS as f64;
            wait += all - shares[part] * PARTS as f64;
            mean
        });
        Some(waits)
    }
}

impl Default for Tile {
    fn default() -> Tile {
        Tile { samples: 0, pictures: VecDeque::with_capacity(PICTURES) }
    }
}

impl Tile {
    fn add(&mut self, picture: Picture) {
        if self.pictures.len() == PICTURES {
            self.pictures.pop_front();
        }
        self.pictures.push_back(picture);
    }

    /// But for the newest, which says whether the next one is new.
    fn forget(&mut self, now: Duration) {
        while self.pictures.len() > 1 && self.pictures[0].at + REMEMBERED_FOR < now {
            self.pictures.pop_front();
        }
    }

    /// The standard deviation of its pictures' moments, in periods (on a circle: the root of -2 ln R, over a turn).
    fn scatter(&self) -> f64 {
        let sum = |sum: (f64, f64), picture: &Picture| (sum.0 + picture.point.0, sum.1 + picture.point.1);
        let (sine, cosine) = self.pictures.iter().fold((0.0, 0.0), sum);
        // Rounding may make it a little more than 1, whose logarithm has no root.
        let concentration = (f64::hypot(sine, cosine) / self.pictures.len() as f64).min(1.0);
        (-2.0 * concentration.ln()).sqrt() / TAU
    }
}

#[cfg(test)]
mod tests;
