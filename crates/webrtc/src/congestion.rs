//! Whether a path carries what is sent over it, judged by what the viewer reports: packets that wait longer and longer,
//! or losses beyond those of a bad radio link.
//!
//! Samples come from transport-wide reports (`transport_cc`), ten a second, or, without these, from receiver reports, one
//! a second. What is to be done about it is decided in `ladder`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Samples are looked at for so long.
const WINDOW: Duration = Duration::from_secs(2);
const MAX_SAMPLES: usize = 64;
const FEWEST_SAMPLES: usize = 4;
/// The shortest transit of at least this time, and at most twice of it, is what the way takes without waiting.
const BASE_WINDOW: Duration = Duration::from_secs(15);
/// A frame's packets leave together and wait for each other on any link; what remains in the shortest transit of several
/// frames is a queue that does not drain.
const QUEUED: Duration = Duration::from_millis(70);
/// A viewer that is held up itself for a moment has none: it sees everything late, and then nothing.
const QUEUED_FOR: Duration = Duration::from_millis(250);
const GROWING: Duration = Duration::from_millis(25);
/// A queue so long is to go even if it does not grow.
const LONG: Duration = Duration::from_millis(250);
/// With a queue, this is no accident of a radio link.
const LOSS_WITH_QUEUE: f64 = 0.03;
/// Without one, it may be up to here, and what chance makes of it.
const LOSS_ALONE: f64 = 0.12;
const SIGMAS: f64 = 4.0;
/// Losses of a burst are in few samples, those of a narrow path in most.
const SPREAD: f64 = 0.6;
/// Fewer samples do not show it, and then chance may take so many packets at once.
const ENOUGH_SAMPLES: usize = 8;
const BURST: f64 = 20.0;
/// Whatever is lost within less is a burst.
const LOSS_LASTS: Duration = Duration::from_millis(900);
const MIN_PACKETS: u64 = 40;
/// How long ago that is which a queue is compared with.
const BEFORE: (Duration, Duration) = (Duration::from_millis(600), Duration::from_millis(1800));
/// Over which what arrives is measured.
const DELIVERY: Duration = Duration::from_millis(450);

/// Why a viewer gets less than everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Its packets waited longer and longer on their way.
    Delay,
    /// Too many of them were lost.
    Loss,
    /// A rendition that suits it better gives no key frame.
    Rendition,
}

impl Limit {
    /// As `/stats` writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delay => "delay",
            Self::Loss => "loss",
            Self::Rendition => "rendition",
        }
    }
}

/// What was heard of some packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) packets: u32,
    pub(crate) bytes: u64,
    /// Negative when late ones turned up.
    pub(crate) missing: i32,
    /// When the last of them came, by any clock.
    pub(crate) last_us: i64,
    /// The shortest time that one took, or the round trip; only differences mean anything.
    pub(crate) transit_us: Option<i64>,
}

impl Sample {
    /// By the clock of the one who got the packets: reports that were held up come all at once.
    fn after(&self, other: &Self) -> Duration {
        Duration::from_micros((self.last_us - other.last_us).max(0) as u64)
    }
}

/// More is sent than the path carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overload {
    pub(crate) limit: Limit,
    /// What it does carry.
    pub(crate) carries_bps: u64,
}

#[derive(Default)]
pub(crate) struct Congestion {
    /// The newest last.
    samples: VecDeque<Sample>,
    /// The shortest transit of this window and of the one before.
    base: [Option<i64>; 2],
    base_since: Option<Instant>,
    carries_bps: u64,
}

impl Congestion {
    pub(crate) fn add(&mut self, sample: Sample) {
        let too_old = |kept: &Sample| kept.at + WINDOW < sample.at;
        // Some at least: receiver reports may come every five seconds.
        while self.samples.len() >= MAX_SAMPLES
            || self.samples.len() > FEWEST_SAMPLES && self.samples.front().is_some_and(too_old)
        {
            self.samples.pop_front();
        }
        if self.base_since.is_none_or(|since| since + BASE_WINDOW < sample.at) {
            self.base = [None, self.base[0]];
            self.base_since = Some(sample.at);
        }
        if let Some(transit_us) = sample.transit_us {
            self.base[0] = Some(self.base[0].map_or(transit_us, |base| base.min(transit_us)));
        }
        self.samples.push_back(sample);
        if let Some(measured) = self.measure() {
            self.carries_bps = measured;
        }
    }

    /// After an outage, or when something else is sent: what was heard before says nothing any more.
    pub(crate) fn forget(&mut self) {
        self.samples.clear();
    }

    /// What arrives, lately.
    pub(crate) fn carries_bps(&self) -> u64 {
        self.carries_bps
    }

    pub(crate) fn overload(&self) -> Option<Overload> {
        let limit = if self.is_delayed() { Limit::Delay } else { self.is_lossy().then_some(Limit::Loss)? };
        Some(Overload { limit, carries_bps: self.carries_bps })
    }

    /// Nothing speaks against sending more.
    pub(crate) fn is_clear(&self, now: Instant) -> bool {
        // A queue of which nothing was heard for so long has drained.
        let is_old = self.samples.back().is_none_or(|newest| newest.at + LOSS_LASTS < now);
        is_old || self.queue().is_none_or(|queue| queue < QUEUED) && !self.is_lossy()
    }

    /// How long packets wait at least, beyond what the way takes.
    pub(crate) fn queue(&self) -> Option<Duration> {
        let newest = self.samples.back()?;
        let recent = self.samples.iter().rev().enumerate();
        let recent =
            recent.take_while(|(position, sample)| *position < 2 || sample.at + QUEUED_FOR > newest.at);
        let waited = self.shortest(recent.map(|(_, sample)| sample))? - self.base()?;
        Some(Duration::from_micros(waited.max(0) as u64))
    }

    fn is_delayed(&self) -> bool {
        let Some(queue) = self.queue().filter(|queue| *queue > QUEUED) else { return false };
        let (Some(newest), Some(base)) = (self.samples.back(), self.base()) else { return false };
        let before = self.samples.iter().rev().enumerate().skip(2).filter(|(position, sample)| {
            let age = newest.after(sample);
            age > BEFORE.0 && (age < BEFORE.1 || *position < FEWEST_SAMPLES)
        });
        let before = self
            .shortest(before.map(|(_, sample)| sample))
            .map(|before| Duration::from_micros((before - base).max(0) as u64));
        let grows = before.is_none_or(|before| queue > before + GROWING);
        let stays = before.is_some_and(|before| queue > LONG && queue + GROWING > before);
        grows || stays || self.loss(Duration::from_secs(1)) > LOSS_WITH_QUEUE
    }

    fn is_lossy(&self) -> bool {
        let (missing, packets) = self.counted(WINDOW);
        let span = self.samples.back().zip(self.samples.front()).map(|(newest, oldest)| newest.after(oldest));
        if packets < MIN_PACKETS || span.is_none_or(|span| span < LOSS_LASTS) {
            return false;
        }
        let told = |sample: &&Sample| sample.packets > 0 || sample.missing > 0;
        let told = self.samples.iter().filter(told);
        let together = if told.clone().count() < ENOUGH_SAMPLES { BURST } else { 1.0 };
        let chance = SIGMAS * (LOSS_ALONE * (1.0 - LOSS_ALONE) * together / packets as f64).sqrt();
        if (missing as f64) < (LOSS_ALONE + chance) * packets as f64 {
            return false;
        }
        let losing = |sample: &&Sample| {
            f64::from(sample.missing)
                > LOSS_ALONE / 2.0 * f64::from(sample.packets as i32 + sample.missing.max(0))
        };
        told.clone().filter(losing).count() as f64 >= SPREAD * told.count() as f64
    }

    fn loss(&self, window: Duration) -> f64 {
        let (missing, packets) = self.counted(window);
        if packets < MIN_PACKETS { 0.0 } else { missing as f64 / packets as f64 }
    }

    /// What is missing, of how many.
    fn counted(&self, window: Duration) -> (u64, u64) {
        let Some(newest) = self.samples.back() else { return (0, 0) };
        let recent = self.samples.iter().rev().enumerate();
        let recent = recent.take_while(|(position, sample)| *position < 2 || newest.after(sample) < window);
        let (missing, arrived) = recent.fold((0, 0), |(missing, arrived), (_, sample)| {
            (missing + i64::from(sample.missing), arrived + u64::from(sample.packets))
        });
        let missing = u64::try_from(missing).unwrap_or(0);
        (missing, missing + arrived)
    }

    fn base(&self) -> Option<i64> {
        self.base.into_iter().flatten().min()
    }

    fn shortest<'a>(&self, samples: impl Iterator<Item = &'a Sample>) -> Option<i64> {
        samples.filter_map(|sample| sample.transit_us).min()
    }

    /// What came within the last samples, over the time between their ends.
    fn measure(&self) -> Option<u64> {
        let mut newest_first = self.samples.iter().rev().filter(|sample| sample.packets > 0);
        let newest = newest_first.next()?;
        let mut bytes = newest.bytes;
        for sample in newest_first {
            let span_us = newest.last_us - sample.last_us;
            if span_us >= DELIVERY.as_micros() as i64 {
                return Some((bytes as u128 * 8_000_000 / span_us as u128) as u64);
            }
            bytes += sample.bytes;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds samples of 100 ms each: waiting time in ms, packets, of these missing.
    fn feed(samples: impl IntoIterator<Item = (i64, u32, i32)>) -> (Congestion, Vec<Option<Limit>>) {
        let (start, mut congestion) = (Instant::now(), Congestion::default());
        let judged = samples.into_iter().enumerate().map(|(number, (wait_ms, packets, missing))| {
            let after = Duration::from_millis(100 * number as u64);
            congestion.add(Sample {
                at: start + after,
                packets: packets - missing as u32,
                bytes: 1200 * u64::from(packets - missing as u32),
                missing,
                last_us: after.as_micros() as i64,
                transit_us: Some(-7_000_000 + wait_ms * 1000),
            });
            congestion.overload().map(|overload| overload.limit)
        });
        let judged = judged.collect();
        (congestion, judged)
    }

    fn first(judged: &[Option<Limit>]) -> Option<(usize, Limit)> {
        judged.iter().enumerate().find_map(|(at, limit)| Some((at, (*limit)?)))
    }

    #[test]
    fn a_path_that_carries_everything_is_clear_and_its_rate_is_known() {
        let (congestion, judged) = feed((0..50).map(|number| (number % 3 * 10, 40, 0)));
        assert_eq!(first(&judged), None);
        assert!(congestion.is_clear(congestion.samples[0].at));
        assert!((3_700_000..3_900_000).contains(&congestion.carries_bps()), "{}", congestion.carries_bps());
    }

    #[test]
    fn a_queue_that_grows_is_seen_within_half_a_second() {
        let growing = (0..30).map(|number| (i64::max(number - 10, 0) * 60, 40, 0));
        let (_, judged) = feed(growing);
        let (at, limit) = first(&judged).unwrap_or((99, Limit::Loss));
        assert!(at > 11 && at <= 16 && limit == Limit::Delay, "{at} {limit:?}");
    }

    #[test]
    fn a_way_that_has_become_longer_is_no_queue_for_ever() {
        let (congestion, judged) = feed((0..600).map(|number| (if number < 50 { 0 } else { 120 }, 40, 0)));
        let judged_late = &judged[100..];
        assert_eq!(first(judged_late), None, "it does not grow");
        assert!(
            congestion.is_clear(congestion.samples[0].at),
            "and after a while that is what the way takes"
        );
    }

    #[test]
    fn a_queue_that_is_full_is_seen_by_its_losses() {
        let (_, judged) =
            feed((0..60).map(|number| (if number < 20 { 0 } else { 90 }, 40, number.clamp(19, 22) - 19)));
        assert_eq!(judged[45], Some(Limit::Delay));
    }

    #[test]
    fn ten_per_cent_of_chance_are_no_congestion_and_a_policer_is() {
        let mut seed = 1_u32;
        let mut random = |percent: u32, of: u32| {
            (0..of)
                .filter(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (seed >> 8) % 100 < percent
                })
                .count() as i32
        };
        for packets in [10, 42] {
            let (_, judged) =
                feed((0..20_000).map(|_| (0, packets, random(10, packets))).collect::<Vec<_>>());
            assert_eq!(first(&judged), None, "{packets} packets a report");
        }
        let (congestion, judged) = feed((0..40).map(|_| (0, 42, random(60, 42))).collect::<Vec<_>>());
        assert!(first(&judged).is_some_and(|(at, limit)| at < 12 && limit == Limit::Loss), "{judged:?}");
        assert!(congestion.carries_bps() < 2_200_000, "{}", congestion.carries_bps());
    }

    #[test]
    fn a_burst_of_losses_is_no_congestion() {
        let bursts = (0..200).map(|number| (0, 42, if number % 15 < 4 { 36 } else { 0 }));
        assert_eq!(first(&feed(bursts).1), None);
    }
}
