//! Who looks at a camera, and how large. Walls look at every tick while somebody watches them, and not at all otherwise.

use std::time::{Duration, Instant};

use crate::shown::TileSize;

/// A look counts for so long: a wall ticks at least once a second.
const COUNTS_FOR: Duration = Duration::from_secs(2);
/// Two looks no further apart belong to one stretch of watching.
const STILL_WATCHED: Duration = Duration::from_millis(1_500);
/// Walls whose tiles have more different sizes than this are remembered by the sizes that looked last.
const SIZES: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct Looks {
    /// One entry a size, with the time until which it counts.
    sizes: Vec<(TileSize, Instant)>,
    /// Somebody looked or is about to.
    wanted_at: Option<Instant>,
    last: Option<Instant>,
    /// Frames that a newer one replaced unseen since the last look.
    overwritten: u64,
}

impl Looks {
    /// Somebody looks. Returns how many frames this one missed since it looked last: frames that nobody could have wanted
    /// are not missed, so only those between two looks of one stretch.
    pub(crate) fn look(&mut self, now: Instant, size: TileSize) -> u64 {
        self.announce(now, now + COUNTS_FOR, size);
        let last = self.last.replace(now);
        let overwritten = std::mem::take(&mut self.overwritten);
        let is_watched = last.is_some_and(|last| now.saturating_duration_since(last) <= STILL_WATCHED);
        if is_watched { overwritten } else { 0 }
    }

    /// Somebody will look before `until`.
    pub(crate) fn announce(&mut self, now: Instant, until: Instant, size: TileSize) {
        self.wanted_at = Some(now);
        match self.sizes.iter_mut().find(|(known, _)| *known == size) {
            Some((_, known)) => *known = until.max(*known),
            None => {
                self.sizes.retain(|(_, until)| now < *until);
                if self.sizes.len() == SIZES {
                    self.sizes.remove(0);
                }
                self.sizes.push((size, until));
            }
        }
    }

    pub(crate) fn missed_one(&mut self) {
        self.overwritten += 1;
    }

    /// The largest tile that somebody looks at.
    pub(crate) fn largest(&self, now: Instant) -> Option<TileSize> {
        let counting = self.sizes.iter().filter(|(_, until)| now < *until);
        counting.map(|(size, _)| *size).max_by_key(|size| size.area())
    }

    /// Whether somebody looked or was announced in the last `within`.
    pub(crate) fn were_within(&self, now: Instant, within: Duration) -> bool {
        self.wanted_at.is_some_and(|at| now.saturating_duration_since(at) < within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_look_of_the_last_two_seconds_decides() {
        let (mut looks, start) = (Looks::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let (small, large) = (TileSize::new(480, 270), TileSize::new(1920, 1080));
        assert_eq!(looks.largest(start), None);
        looks.look(at(0), large);
        looks.look(at(1_000), small);
        assert_eq!(looks.largest(at(1_999)), Some(large));
        assert_eq!(looks.largest(at(2_000)), Some(small));
        assert_eq!(looks.largest(at(3_000)), None);
        looks.announce(at(4_000), at(9_000), large);
        looks.look(at(4_000), large);
        assert_eq!(looks.largest(at(8_999)), Some(large));
    }

    #[test]
    fn sizes_without_end_are_not_remembered_without_end() {
        let (mut looks, now) = (Looks::default(), Instant::now());
        (1..1_000).for_each(|width| {
            looks.look(now, TileSize::new(width, 100));
        });
        assert_eq!(looks.sizes.len(), SIZES);
        assert_eq!(looks.largest(now), Some(TileSize::new(999, 100)));
    }
}
