//! One direction of a network in the way, without sockets and clocks: delay, jitter (and with it reordering), random
//! loss, bursts of loss (Gilbert-Elliott), duplicates, a rate with a bounded queue before it (`tc`'s tbf), outages.
//!
//! What happens to a datagram depends on the seed and on how many went before it, not on when it came.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// What a direction does to datagrams; as it comes, nothing at all.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Conditions {
    pub(crate) delay_ms: f64,
    /// Up to this much more, evenly spread, so that datagrams overtake each other.
    pub(crate) jitter_ms: f64,
    /// Shares of 1, of each datagram by itself.
    pub(crate) loss: f64,
    pub(crate) duplicates: f64,
    pub(crate) bursts: Option<Bursts>,
    pub(crate) rate: Option<Rate>,
}

/// Gilbert-Elliott with two states: in the bad one everything is lost. The means count datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bursts {
    pub(crate) mean_between: f64,
    pub(crate) mean_length: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rate {
    pub(crate) bits_per_second: f64,
    /// What waits for longer than this has no room: the end of the queue is dropped.
    pub(crate) queue_ms: f64,
}

/// What has become of the datagrams so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Tally {
    pub(crate) offered: u64,
    pub(crate) passed: u64,
    pub(crate) lost: u64,
    pub(crate) bursts: u64,
    pub(crate) duplicated: u64,
    /// Passed on after one that was offered later.
    pub(crate) overtaken: u64,
    pub(crate) overflowed: u64,
    pub(crate) cut: u64,
    /// The longest wait for the rate since this was asked for last.
    pub(crate) longest_wait_ms: f64,
}

pub(crate) struct Path<T> {
    conditions: Conditions,
    random: StdRng,
    in_burst: bool,
    cut_until: Option<Instant>,
    /// When everything that waits for the rate has left.
    free_at: Option<Instant>,
    under_way: BTreeMap<(Instant, u64), T>,
    last_passed: u64,
    tally: Tally,
}

impl<T: Clone> Path<T> {
    pub(crate) fn new(conditions: Conditions, seed: u64) -> Self {
        Self {
            conditions,
            random: StdRng::seed_from_u64(seed),
            in_burst: false,
            cut_until: None,
            free_at: None,
            under_way: BTreeMap::new(),
            last_passed: 0,
            tally: Tally::default(),
        }
    }

    /// For datagrams from now on. What waits for the rate that was goes as it would have gone.
    pub(crate) fn change(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// Nothing that is sent before `until` arrives.
    pub(crate) fn cut(&mut self, until: Instant) {
        self.cut_until = Some(until);
    }

    pub(crate) fn send(&mut self, now: Instant, size: usize, datagram: T) {
        self.tally.offered += 1;
        // All dice are thrown for every datagram: its fate is not to hang on that of others.
        let [turn, loss, duplicate] = [0; 3].map(|_| self.random.random::<f64>());
        let jitters = [0; 2].map(|_| self.conditions.jitter_ms * self.random.random::<f64>());
        if let Some(Bursts { mean_between, mean_length }) = self.conditions.bursts
            && turn * if self.in_burst { mean_length } else { mean_between } < 1.0
        {
            self.in_burst = !self.in_burst;
            self.tally.bursts += u64::from(self.in_burst);
        }
        if self.cut_until.is_some_and(|until| now < until) {
            self.tally.cut += 1;
            return;
        }
        if self.in_burst || loss < self.conditions.loss {
            self.tally.lost += 1;
            return;
        }
        let Some(leaves) = self.queue(now, size) else {
            self.tally.overflowed += 1;
            return;
        };
        let copies = if duplicate < self.conditions.duplicates { 2 } else { 1 };
        self.tally.duplicated += copies as u64 - 1;
        for (copy, jitter) in (0..).zip(&jitters[..copies]) {
            let at = leaves + millis(self.conditions.delay_ms + jitter);
            self.under_way.insert((at, self.tally.offered * 2 + copy), datagram.clone());
        }
    }

    /// When a datagram sent now has passed the rate; `None`: it finds no room.
    fn queue(&mut self, now: Instant, size: usize) -> Option<Instant> {
        let Some(Rate { bits_per_second, queue_ms }) = self.conditions.rate else { return Some(now) };
        let begins = self.free_at.map_or(now, |free| free.max(now));
        let leaves = begins + Duration::from_secs_f64(size as f64 * 8.0 / bits_per_second);
        let wait = leaves.duration_since(now).as_secs_f64() * 1000.0;
        if wait > queue_ms {
            return None;
        }
        self.tally.longest_wait_ms = self.tally.longest_wait_ms.max(wait);
        self.free_at = Some(leaves);
        Some(leaves)
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.under_way.keys().next().map(|&(at, _)| at)
    }

    pub(crate) fn receive(&mut self, now: Instant) -> Option<T> {
        self.due().filter(|&due| due <= now)?;
        let ((_, number), datagram) = self.under_way.pop_first()?;
        self.tally.passed += 1;
        self.tally.overtaken += u64::from(number < self.last_passed);
        self.last_passed = self.last_passed.max(number);
        Some(datagram)
    }

    pub(crate) fn tell(&mut self) -> Tally {
        let tally = self.tally;
        self.tally.longest_wait_ms = 0.0;
        tally
    }
}

fn millis(milliseconds: f64) -> Duration {
    Duration::from_secs_f64(milliseconds / 1000.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// Sends `count` datagrams of 1,250 bytes, one each `every`; what arrived, with when after the first was sent.
    fn arrivals(path: &mut Path<u32>, count: u32, every: Duration) -> Vec<(u32, Duration)> {
        let start = Instant::now();
        let mut arrived = Vec::new();
        for number in 0..count {
            let now = start + every * number;
            while let Some(due) = path.due().filter(|&due| due <= now) {
                arrived.push((path.receive(due).unwrap(), due - start));
            }
            path.send(now, 1250, number);
        }
        while let Some(due) = path.due() {
            arrived.push((path.receive(due).unwrap(), due - start));
        }
        arrived
    }

    fn path(conditions: Conditions) -> Path<u32> {
        Path::new(conditions, 7)
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_delay_is_the_same_for_all() {
        let arrived = arrivals(&mut path(Conditions { delay_ms: 25.0, ..Conditions::default() }), 3, MS);
        assert_eq!(arrived, [(0, 25 * MS), (1, 26 * MS), (2, 27 * MS)]);
    }

    #[test]
    fn the_same_seed_loses_the_same_datagrams_and_as_many_as_it_says() {
        let lossy = Conditions { loss: 0.05, ..Conditions::default() };
        let run = |seed| arrivals(&mut Path::new(lossy.clone(), seed), 20_000, MS);
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        let lost = 20_000 - run(1).len();
        assert!((800..1200).contains(&lost), "{lost}");
    }

    #[test]
    fn whether_others_are_lost_changes_nothing_for_a_datagram() {
        let lost = |loss| {
            let arrived = arrivals(&mut path(Conditions { loss, ..Conditions::default() }), 10_000, MS);
            (0..10_000).filter(|n| arrived.iter().all(|(number, _)| number != n)).collect::<Vec<u32>>()
        };
        let (few, many) = (lost(0.005), lost(0.02));
        assert!(few.iter().all(|number| many.contains(number)), "{few:?}");
    }

    #[test]
    fn bursts_are_as_long_and_as_rare_as_asked_for() {
        let bursts = Some(Bursts { mean_between: 300.0, mean_length: 10.0 });
        let mut path = path(Conditions { bursts, ..Conditions::default() });
        let arrived = arrivals(&mut path, 200_000, MS);
        let (tally, lost) = (path.tell(), 200_000 - arrived.len() as u64);
        assert_eq!(tally.lost, lost);
        let length = lost as f64 / tally.bursts as f64;
        assert!((8.0..12.0).contains(&length), "{length}");
        assert!((0.025..0.04).contains(&(lost as f64 / 200_000.0)), "{lost}");
    }

    #[test]
    fn jitter_lets_datagrams_overtake_and_loses_none() {
        let mut path = path(Conditions { delay_ms: 10.0, jitter_ms: 20.0, ..Conditions::default() });
        let arrived = arrivals(&mut path, 1_000, MS);
        assert_eq!(arrived.len(), 1_000);
        assert!(path.tell().overtaken > 500, "{:?}", path.tell());
        let late = |&(number, at): &(u32, Duration)| at - MS * number;
        assert!(arrived.iter().map(late).all(|late| (10 * MS..=30 * MS).contains(&late)));
    }

    #[test]
    fn duplicates_come_besides() {
        let mut path = path(Conditions { duplicates: 0.1, ..Conditions::default() });
        let arrived = arrivals(&mut path, 1_000, MS).len() as u64;
        assert_eq!(arrived, 1_000 + path.tell().duplicated);
        assert!((70..130).contains(&path.tell().duplicated));
    }

    #[test]
    fn a_rate_spreads_what_comes_at_once_and_drops_what_would_wait_too_long() {
        // 1,250 bytes take 10 ms.
        let rate = Some(Rate { bits_per_second: 1_000_000.0, queue_ms: 50.0 });
        let mut path = path(Conditions { rate, ..Conditions::default() });
        let arrived = arrivals(&mut path, 8, Duration::ZERO);
        assert_eq!(arrived, [(0, 10 * MS), (1, 20 * MS), (2, 30 * MS), (3, 40 * MS), (4, 50 * MS)]);
        let tally = path.tell();
        assert_eq!((tally.overflowed, tally.longest_wait_ms), (3, 50.0));
        assert_eq!(path.tell().longest_wait_ms, 0.0, "since it was asked for last");
    }

    #[test]
    fn in_an_outage_nothing_arrives_that_is_sent_meanwhile() {
        let mut path = path(Conditions { delay_ms: 5.0, ..Conditions::default() });
        let start = Instant::now();
        path.send(start, 100, 1);
        path.cut(start + 100 * MS);
        path.send(start + 99 * MS, 100, 2);
        path.send(start + 100 * MS, 100, 3);
        let later = start + 200 * MS;
        assert_eq!([path.receive(later), path.receive(later), path.receive(later)], [Some(1), Some(3), None]);
        assert_eq!(path.tell().cut, 1);
    }
}
