//! What a narrow place still has before it of what a viewer was sent: frames that come in a heap, because an encoder or this
//! machine had no time for them before, are not all sent there. It would lose the half of them, and what the viewer then
//! asks for again would be lost with what comes next.

use std::time::{Duration, Instant};

use crate::gate::Room;

/// What it takes at once: queues are often no longer.
const MOST: Duration = Duration::from_millis(400);
const DRAINED: Duration = Duration::from_millis(100);
/// A key frame counts for no more: it is as large as it must be, and what comes after is of no use without it.
const KEY: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(crate) struct Backlog {
    empty_at: Option<Instant>,
}

impl Backlog {
    /// A frame goes to a place that takes about `bps`.
    pub(crate) fn add(&mut self, now: Instant, bps: u64, key: bool, bytes: usize) {
        let takes = Duration::from_micros(bytes as u64 * 8_000_000 / bps.max(1));
        let takes = if key { takes.min(KEY) } else { takes };
        self.empty_at = Some(self.empty_at.map_or(now, |empty_at| empty_at.max(now)) + takes);
    }

    pub(crate) fn room(&self, now: Instant) -> Room {
        let left = self.empty_at.map_or(Duration::ZERO, |empty_at| empty_at.saturating_duration_since(now));
        match left {
            _ if left <= DRAINED => Room::Drained,
            _ if left <= MOST => Room::Some,
            _ => Room::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heap_of_frames_finds_no_room_and_the_same_frames_in_their_time_do() {
        let (mut now, mut backlog) = (Instant::now(), Backlog::default());
        let heap = (0..32).take_while(|_| {
            backlog.add(now, 1_500_000, false, 5_000);
            backlog.room(now) != Room::None
        });
        assert_eq!(heap.count(), 15);
        now += Duration::from_millis(350);
        assert_eq!(backlog.room(now), Room::Drained);
        for number in 0..100 {
            backlog.add(now, 1_500_000, number % 25 == 0, if number % 25 == 0 { 100_000 } else { 5_000 });
            now += Duration::from_millis(40);
            assert_ne!(backlog.room(now), Room::None, "frame {number}");
        }
    }
}
