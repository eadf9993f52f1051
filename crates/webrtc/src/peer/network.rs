//! A network between a viewer and us in virtual time: delay, jitter (and with it reordering), loss, bursts, outages,
//! duplicates. The same seed loses the same packets.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What one direction does to datagrams.
#[derive(Clone, Copy)]
pub(super) struct Link {
    pub(super) delay: Duration,
    /// Up to this much more, so that datagrams overtake each other.
    pub(super) jitter: Duration,
    /// Of a thousand.
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    /// Of a thousand: that a burst begins, and that it ends, at each datagram. Within, everything is lost.
    pub(super) burst: Option<(u64, u64)>,
}

impl Link {
    /// Half of a round trip of 50 ms.
    pub(super) const GOOD: Self = Self {
        delay: Duration::from_millis(25),
        jitter: Duration::ZERO,
        lost: 0,
        duplicated: 0,
        burst: None,
    };

    pub(super) const fn losing(per_mille: u64) -> Self {
        Self { lost: per_mille, ..Self::GOOD }
    }
}

pub(super) struct Network<T> {
    link: Link,
    seed: u64,
    in_burst: bool,
    queue: BTreeMap<(Instant, u64), T>,
    number: u64,
    pub(super) is_cut: bool,
    pub(super) lost: u64,
}

impl<T: Clone> Network<T> {
    pub(super) fn new(link: Link, seed: u64) -> Self {
        Self {
            link,
            seed: seed | 1,
            in_burst: false,
            queue: BTreeMap::new(),
            number: 0,
            is_cut: false,
            lost: 0,
        }
    }

    pub(super) fn send(&mut self, now: Instant, datagram: T) {
        if let Some((begins, ends)) = self.link.burst {
            let per_mille = if self.in_burst { ends } else { begins };
            self.in_burst ^= self.random(1000) < per_mille;
        }
        if self.is_cut || self.in_burst || self.random(1000) < self.link.lost {
            self.lost += 1;
            return;
        }
        let copies = 1 + u64::from(self.random(1000) < self.link.duplicated);
        for _ in 0..copies {
            let jitter = self.random(self.link.jitter.as_micros() as u64 + 1);
            self.number += 1;
            let at = now + self.link.delay + Duration::from_micros(jitter);
            self.queue.insert((at, self.number), datagram.clone());
        }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.queue.keys().next().map(|&(at, _)| at)
    }

    pub(super) fn receive(&mut self, now: Instant) -> Option<T> {
        self.due().filter(|&due| due <= now)?;
        self.queue.pop_first().map(|(_, datagram)| datagram)
    }

    fn random(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        // The low bits of xorshift are weak.
        (self.seed >> 11) % below
    }
}
