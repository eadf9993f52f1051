//! The newest pictures of one camera, kept only while a wall that aligns looks: a picture refers to the decoder's
//! buffer, and 1080p takes 3 MB.
//!
//! A picture goes when no wall can want it any more: another one is nearer to every instant that is still to come. When
//! there is no room, the one goes whose neighbours are closest together, so that a fast camera reaches back as far as a
//! slow one, in larger steps.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// 640 ms at 25 frames a second.
const CAPACITY: usize = 16;
/// A wall ticks at least once a second while somebody watches it.
const FORGET_AFTER: Duration = Duration::from_millis(1_500);
/// What "how late are its pictures" is measured on.
const MEASURED: usize = 64;
/// Older measurements tell nothing of now.
const MEASURED_FOR: Duration = Duration::from_secs(5);
/// Fewer are chance.
const MEASURED_AT_LEAST: usize = 5;

/// The pictures `F` of one camera. One that nobody looks at costs nothing.
#[derive(Debug)]
pub(crate) struct Ring<F> {
    /// In the order in which they were decoded.
    kept: VecDeque<Kept<F>>,
    looks: Option<Looks>,
    arrivals: VecDeque<Arrival>,
}

/// One picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept<F> {
    pub(crate) captured: Instant,
    /// Rises with every picture.
    pub(crate) sequence: u64,
    pub(crate) frame: F,
}

/// How a camera's pictures come, as far as it matters to a wall that waits for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timing {
    /// From being taken to being decoded; all but one picture in twenty are quicker.
    pub(crate) delay: Duration,
    /// From one picture to the next, on average.
    pub(crate) interval: Duration,
}

/// Walls look back from now.
#[derive(Debug, Clone, Copy)]
struct Looks {
    last: Instant,
    /// How far back the wall looked that looked back furthest of late, and when.
    furthest: (Duration, Instant),
}

#[derive(Debug, Clone, Copy)]
struct Arrival {
    captured: Instant,
    decoded: Instant,
}

impl<F> Default for Ring<F> {
    fn default() -> Self {
        Self { kept: VecDeque::new(), looks: None, arrivals: VecDeque::new() }
    }
}

impl<F: Clone> Ring<F> {
    /// A wall looks, and wants the picture that was taken nearest to `back` ago, of `sequence` or later: a tile never
    /// goes back. `None` when none is kept yet.
    pub(crate) fn look(&mut self, now: Instant, back: Duration, sequence: u64) -> Option<Kept<F>> {
        let furthest = match self.looks {
            Some(Looks { furthest, .. }) if furthest.0 > back && !is_over(furthest.1, now) => furthest,
            _ => (back, now),
        };
        self.looks = Some(Looks { last: now, furthest });
        let instant = now.checked_sub(back)?;
        let candidates = self.kept.iter().filter(|kept| kept.sequence >= sequence);
        candidates.min_by_key(|kept| apart(kept.captured, instant)).cloned()
    }

    /// A picture was decoded. Returns what is not kept any more, so that it can be freed when no lock is held.
    #[must_use = "what is not kept is to be freed outside of the lock"]
    pub(crate) fn push(&mut self, now: Instant, picture: Kept<F>) -> VecDeque<Kept<F>> {
        let Some(Looks { furthest: (back, _), .. }) = self.looks.filter(|looks| !is_over(looks.last, now))
        else {
            self.looks = None;
            self.arrivals = VecDeque::new();
            return std::mem::take(&mut self.kept);
        };
        self.measure(Arrival { captured: picture.captured, decoded: now });
        let mut gone = VecDeque::new();
        // Anything before a picture that is too old itself: nearer to every instant to come.
        let is_over = |kept: &Kept<F>| now.checked_sub(back).is_some_and(|instant| kept.captured <= instant);
        while self.kept.get(1).is_some_and(is_over) {
            gone.extend(self.kept.pop_front());
        }
        if self.kept.len() == CAPACITY {
            gone.extend(self.kept.remove(self.least_missed()));
        }
        self.kept.push_back(picture);
        gone
    }

    /// Nobody looks, nothing is kept.
    pub(crate) fn is_idle(&self) -> bool {
        self.looks.is_none()
    }

    /// The sequence number of the newest picture.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.kept.back().map(|kept| kept.sequence)
    }

    /// `None` before there were enough pictures, and when they stop coming.
    pub(crate) fn timing(&self, now: Instant) -> Option<Timing> {
        let mut delays = [Duration::ZERO; MEASURED];
        let recent = self
            .arrivals
            .iter()
            .filter(|arrival| now.saturating_duration_since(arrival.decoded) < MEASURED_FOR);
        let count = delays.iter_mut().zip(recent).map(|(delay, arrival)| *delay = arrival.delay()).count();
        if count < MEASURED_AT_LEAST {
            return None;
        }
        let (_, delay, _) = delays[..count].select_nth_unstable(count * 19 / 20);
        // By arrival, of which camera clocks know nothing.
        let newest = self.arrivals.len() - 1;
        let span = self.arrivals[newest]
            .decoded
            .saturating_duration_since(self.arrivals[newest + 1 - count].decoded);
        Some(Timing { delay: *delay, interval: span / (count as u32 - 1) })
    }

    fn measure(&mut self, arrival: Arrival) {
        if self.arrivals.len() == MEASURED {
            self.arrivals.pop_front();
        }
        self.arrivals.push_back(arrival);
    }

    /// Never the first or the last one.
    fn least_missed(&self) -> usize {
        let gap = |index: &usize| apart(self.kept[index - 1].captured, self.kept[index + 1].captured);
        (1..self.kept.len() - 1).min_by_key(gap).unwrap_or(0)
    }
}

impl Arrival {
    fn delay(self) -> Duration {
        self.decoded.saturating_duration_since(self.captured)
    }
}

fn is_over(look: Instant, now: Instant) -> bool {
    now.saturating_duration_since(look) > FORGET_AFTER
}

fn apart(one: Instant, other: Instant) -> Duration {
    one.max(other) - one.min(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A camera whose picture `n` is taken at `n` intervals and decoded 20 ms later.
    struct Virtual {
        ring: Ring<()>,
        start: Instant,
        interval: u64,
        next: u64,
    }

    impl Virtual {
        fn every(interval: u64) -> Self {
            Self { ring: Ring::default(), start: Instant::now() + ms(1_000_000), interval, next: 0 }
        }

        fn decode(&mut self) -> usize {
            let captured = self.start + ms(self.next * self.interval);
            let gone = self.ring.push(captured + ms(20), Kept { captured, sequence: self.next, frame: () });
            self.next += 1;
            gone.len()
        }

        /// Everything decoded until then, and a look back.
        fn look(&mut self, at: u64, back: u64, sequence: u64) -> Option<u64> {
            while self.next * self.interval + 20 <= at {
                self.decode();
            }
            self.ring.look(self.start + ms(at), ms(back), sequence).map(|kept| kept.sequence)
        }
    }

    #[test]
    fn nothing_is_kept_while_nobody_looks_or_nobody_looks_any_more() {
        let mut camera = Virtual::every(40);
        (0..100).for_each(|_| assert_eq!(camera.decode(), 0));
        assert_eq!(camera.ring.kept.len(), 0);
        assert_eq!(camera.look(4_020, 200, 0), None);
        camera.look(5_020, 200, 0);
        assert!(camera.ring.kept.len() > 5);
        let gone: usize = (0..60).map(|_| camera.decode()).sum();
        assert!(gone > 40, "{gone}");
        assert_eq!((camera.ring.kept.len(), camera.ring.timing(camera.start)), (0, None));
    }

    #[test]
    fn the_picture_nearest_to_the_instant_is_chosen() {
        let mut camera = Virtual::every(40);
        camera.look(0, 200, 0);
        // 200 ms before it was 800 ms, which is picture 20.
        assert_eq!(camera.look(1_000, 200, 0), Some(20));
        assert_eq!(camera.look(1_019, 200, 0), Some(20));
        assert_eq!(camera.look(1_021, 200, 0), Some(21));
        assert_eq!(camera.look(1_025, 0, 0), Some(25), "the newest there is");
    }

    #[test]
    fn a_tile_never_goes_back() {
        let mut camera = Virtual::every(40);
        camera.look(0, 400, 0);
        assert_eq!(camera.look(1_000, 200, 0), Some(20));
        assert_eq!(camera.look(1_001, 400, 20), Some(20));
        assert_eq!(camera.look(1_240, 400, 20), Some(21));
    }

    #[test]
    fn only_what_can_still_be_wanted_is_kept() {
        let mut camera = Virtual::every(40);
        (0..5_000).step_by(40).for_each(|at| assert!(camera.look(at, 200, 0).is_some() || at < 60));
        // From 200 ms ago to 20 ms ago, and one before.
        assert!((5..=7).contains(&camera.ring.kept.len()), "{}", camera.ring.kept.len());
    }

    #[test]
    fn the_wall_that_looks_back_furthest_decides_until_it_looks_no_more() {
        let mut camera = Virtual::every(40);
        for at in (0..5_000).step_by(40) {
            camera.look(at, 100, 0);
            camera.look(at, 500, 0);
        }
        assert!(camera.ring.kept.len() >= 12, "{}", camera.ring.kept.len());
        (5_000..8_000).step_by(40).for_each(|at| assert!(camera.look(at, 100, 0).is_some()));
        assert!(camera.ring.kept.len() <= 5, "{}", camera.ring.kept.len());
    }

    #[test]
    fn a_fast_camera_reaches_back_as_far_in_larger_steps() {
        let mut camera = Virtual::every(10);
        let mut worst = 0;
        for at in (0..20_000).step_by(40) {
            if let Some(found) = camera.look(at, 600, 0).filter(|_| at > 2_000) {
                worst = worst.max((found * 10).abs_diff(at - 600));
            }
            assert!(camera.ring.kept.len() <= CAPACITY);
        }
        assert!(worst <= 40, "{worst} ms");
    }

    #[test]
    fn delay_and_pace_are_measured_on_the_newest_pictures() {
        let mut camera = Virtual::every(50);
        camera.look(0, 200, 0);
        assert_eq!(camera.ring.timing(camera.start), None);
        for at in (0..5_000).step_by(40) {
            camera.look(at, 200, 0);
        }
        let timing = Some(Timing { delay: ms(20), interval: ms(50) });
        assert_eq!(camera.ring.timing(camera.start + ms(5_000)), timing);
        assert_eq!(camera.ring.timing(camera.start + ms(10_000)), None, "it has stopped");
    }
}
