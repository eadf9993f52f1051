//! Samples of the last few seconds, for statistics: how many, their sum, their percentiles. Memory is bounded.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The 50th and 99th percentile of some durations, in milliseconds; 0 where there was none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Percentiles {
    /// Half of them took at most this long.
    pub p50: f64,
    /// 99 of 100 took at most this long.
    pub p99: f64,
}

/// The samples of the last `span`, at most `capacity` of them: the oldest goes first.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    span: Duration,
    capacity: usize,
    samples: VecDeque<(Instant, f64)>,
}

impl Window {
    pub(crate) fn new(span: Duration, capacity: usize) -> Window {
        Window { span, capacity, samples: VecDeque::with_capacity(capacity) }
    }

    pub(crate) fn push(&mut self, now: Instant, value: f64) {
        while self.samples.len() >= self.capacity
            || self.samples.front().is_some_and(|&(at, _)| self.is_old(at, now))
        {
            self.samples.pop_front();
        }
        self.samples.push_back((now, value));
    }

    /// How many samples are not older than the span.
    pub(crate) fn count(&self, now: Instant) -> usize {
        self.recent(now).count()
    }

    /// Their sum.
    pub(crate) fn sum(&self, now: Instant) -> f64 {
        self.recent(now).sum()
    }

    /// Their percentiles, by the nearest rank.
    pub(crate) fn percentiles(&self, now: Instant) -> Percentiles {
        let mut values: Vec<f64> = self.recent(now).collect();
        values.sort_by(f64::total_cmp);
        let rank =
            |percent: usize| values.get((values.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Percentiles { p50: rank(50).unwrap_or_default(), p99: rank(99).unwrap_or_default() }
    }

    fn recent(&self, now: Instant) -> impl Iterator<Item = f64> {
        self.samples.iter().filter(move |&&(at, _)| !self.is_old(at, now)).map(|&(_, value)| value)
    }

    fn is_old(&self, at: Instant, now: Instant) -> bool {
        now.saturating_duration_since(at) >= self.span
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_span_counts() {
        let start = Instant::now();
        let mut window = Window::new(Duration::from_secs(5), 1_000);
        for second in 0..60 {
            window.push(start + Duration::from_secs(second), second as f64);
        }
        let now = start + Duration::from_secs(59);
        assert_eq!((window.count(now), window.sum(now)), (5, 55.0 + 56.0 + 57.0 + 58.0 + 59.0));
        assert_eq!(window.samples.len(), 5);
        assert_eq!(window.percentiles(now + Duration::from_secs(10)), Percentiles::default());
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank_and_memory_is_bounded() {
        let now = Instant::now();
        let mut window = Window::new(Duration::from_secs(5), 100);
        (0..1_000).for_each(|value| window.push(now, f64::from(value)));
        assert_eq!(window.percentiles(now), Percentiles { p50: 949.0, p99: 998.0 });
        assert_eq!(window.samples.len(), 100);
    }
}
