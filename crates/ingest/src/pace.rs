//! How fast a camera's pictures come.

use std::time::{Duration, Instant};

/// The last few intervals between frames.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Intervals {
    last: [Duration; 5],
    count: usize,
}

impl Intervals {
    pub(crate) fn add(&mut self, interval: Duration) {
        self.last[self.count % self.last.len()] = interval;
        self.count = self.count.wrapping_add(1);
    }

    /// The camera's pace: one stall does not change it, a camera that really became slower is believed after three
    /// frames.
    pub(crate) fn median(&self) -> Duration {
        let known = self.count.min(self.last.len());
        let mut sorted = self.last;
        sorted[..known].sort_unstable();
        sorted[..known].get(known / 2).copied().unwrap_or_default()
    }

    fn longest(&self) -> Duration {
        self.last.into_iter().max().unwrap_or_default()
    }

    fn is_full(&self) -> bool {
        self.count >= self.last.len()
    }
}

/// The frames that one session decoded; there is at least one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionFrames {
    pub(crate) first: Instant,
    pub(crate) last: Instant,
    intervals: Intervals,
}

impl SessionFrames {
    pub(crate) fn begin(first: Instant) -> Self {
        Self { first, last: first, intervals: Intervals::default() }
    }

    pub(crate) fn add(&mut self, at: Instant) {
        self.intervals.add(at.saturating_duration_since(self.last));
        self.last = at;
    }

    /// The longest of the last few intervals; zero after a single frame.
    pub(crate) fn longest_interval(&self) -> Duration {
        self.intervals.longest()
    }

    /// Whether there were enough frames to tell how fast they come.
    pub(crate) fn show_a_pace(&self) -> bool {
        self.intervals.is_full()
    }
}
