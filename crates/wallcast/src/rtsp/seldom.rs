//! A log line that strangers can cause, at most once a minute: what they do must not fill a disk.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

const EVERY: Duration = Duration::from_secs(60);

/// One such line. The totals in statistics count every time, logged or not.
#[derive(Debug, Default)]
pub(super) struct Seldom {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    logged: Option<Instant>,
    times: u64,
}

impl Seldom {
    /// It has happened at `now`. When it is to be logged: how many times since it last was, this one included.
    pub(super) fn times(&self, now: Instant) -> Option<u64> {
        let mut inner = self.inner.lock();
        inner.times += 1;
        if inner.logged.is_some_and(|logged| now.saturating_duration_since(logged) < EVERY) {
            return None;
        }
        inner.logged = Some(now);
        Some(std::mem::take(&mut inner.times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_logged_at_once_and_the_others_once_a_minute_with_their_number() {
        let line = Seldom::default();
        let start = Instant::now();
        let logged: Vec<_> = (0..=1200)
            .filter_map(|tenth| {
                let after = Duration::from_millis(100 * tenth);
                line.times(start + after).map(|times| (after.as_secs(), times))
            })
            .collect();
        assert_eq!(logged, [(0, 1), (60, 600), (120, 600)]);
        assert_eq!(line.times(start + Duration::from_secs(1000)), Some(1));
    }
}
