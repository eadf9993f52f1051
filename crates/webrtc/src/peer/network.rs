//! A network between a viewer and us in virtual time: delay, jitter (and with it reordering), loss, bursts, outages,
//! duplicates, and a narrow place with a queue before it. The same seed loses the same packets.

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
    pub(super) cap: Option<Cap>,
}

/// A narrow place: what does not fit into the queue before it is lost.
#[derive(Clone, Copy)]
pub(super) struct Cap {
    pub(super) bps: u64,
    pub(super) queue: usize,
}

impl Link {
    /// Half of a round trip of 50 ms.
    pub(super) const GOOD: Self = Self {
        delay: Duration::from_millis(25),
        jitter: Duration::ZERO,
        lost: 0,
        duplicated: 0,
        burst: None,
        cap: None,
    };

    pub(super) const fn losing(per_mille: u64) -> Self {
        Self { lost: per_mille, ..Self::GOOD }
    }

    /// As `tc qdisc add … tbf rate … latency …` makes it.
    pub(super) const fn capped(bps: u64, queue: Duration) -> Self {
        let queue = (bps / 8 * queue.as_millis() as u64 / 1000) as usize;
        Self { cap: Some(Cap { bps, queue }), ..Self::GOOD }
    }
}

pub(super) struct Network<T> {
    pub(super) link: Link,
    /// When the narrow place is through with what it has.
    through: Option<Instant>,
    seed: u64,
    in_burst: bool,
    queue: BTreeMap<(Instant, u64), T>,
    number: u64,
    pub(super) is_cut: bool,
    pub(super) lost: u64,
}

impl<T: Clone + AsRef<[u8]>> Network<T> {
    pub(super) fn new(link: Link, seed: u64) -> Self {
        Self {
            link,
            through: None,
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
        let mut leaves = now;
        if let Some(Cap { bps, queue }) = self.link.cap {
            let waiting = self.queued(now);
            let size = datagram.as_ref().len() + 28;
            if waiting.as_micros() as usize * bps as usize / 8_000_000 + size > queue {
                self.lost += 1;
                return;
            }
            leaves = now + waiting + Duration::from_micros(size as u64 * 8_000_000 / bps);
            self.through = Some(leaves);
        }
        let copies = 1 + u64::from(self.random(1000) < self.link.duplicated);
        for _ in 0..copies {
            let jitter = self.random(self.link.jitter.as_micros() as u64 + 1);
            self.number += 1;
            let at = leaves + self.link.delay + Duration::from_micros(jitter);
            self.queue.insert((at, self.number), datagram.clone());
        }
    }

    /// How long what is sent now waits before the narrow place.
    pub(super) fn queued(&self, now: Instant) -> Duration {
        self.through.map_or(Duration::ZERO, |through| through.saturating_duration_since(now))
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
