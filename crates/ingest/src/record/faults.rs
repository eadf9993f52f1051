//! Panics of one camera: each starts it again, but a camera that panics again and again is left alone for a while.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const SO_MANY: usize = 5;
const WITHIN: Duration = Duration::from_secs(60);
const LEFT_ALONE: Duration = Duration::from_secs(5 * 60);

#[derive(Debug, Default)]
pub(crate) struct Faults {
    recent: VecDeque<Instant>,
    left_alone_until: Option<Instant>,
}

impl Faults {
    /// Returns for how long the camera is left alone, if it is from now on.
    pub(crate) fn add(&mut self, now: Instant) -> Option<Duration> {
        self.recent.retain(|at| now.saturating_duration_since(*at) < WITHIN);
        self.recent.push_back(now);
        if self.recent.len() < SO_MANY {
            return None;
        }
        self.recent.clear();
        self.left_alone_until = Some(now + LEFT_ALONE);
        Some(LEFT_ALONE)
    }

    pub(crate) fn is_left_alone(&self, now: Instant) -> bool {
        self.left_alone_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_panics_in_a_minute_are_five_minutes_of_rest() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut faults = Faults::default();
        assert!([0, 61, 70, 80, 90].into_iter().all(|second| faults.add(at(second)).is_none()));
        assert!(!faults.is_left_alone(at(90)));
        assert_eq!(faults.add(at(100)), Some(LEFT_ALONE));
        assert!(faults.is_left_alone(at(399)) && !faults.is_left_alone(at(400)));
        assert_eq!(faults.add(at(401)), None);
    }
}
