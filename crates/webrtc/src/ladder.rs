//! What a viewer gets of what there is: every frame of the best rendition, or less while its path does not carry that; and
//! when to try for more.
//!
//! Down goes at once to what fits the measured rate. Up goes after a time that doubles with each try that failed, so that
//! a viewer behind a narrow path does not flicker between two pictures.

use std::time::{Duration, Instant};

use crate::congestion::{Limit, Overload};
use crate::packetise::Rates;
use crate::stats::FrameShare;

/// After a step up, until it is judged.
const SETTLE_UP: Duration = Duration::from_millis(1200);
/// A slide show is worse than a try that fails.
const FIRST_TRY_OF_KEYS: Duration = Duration::from_secs(5);
const POSTPONED: Duration = Duration::from_secs(1);
const LAST_TRY: Duration = Duration::from_secs(60);
/// A step up that is taken back within this time has failed.
const TRIAL: Duration = Duration::from_secs(15);
/// Headers, retransmissions, and frames that are larger than others.
const HEADROOM_PERCENT: u64 = 115;
/// What a try has to show beyond: a path that just fits would be left again.
const UP_PERCENT: u64 = 125;
/// A rendition that gave no key frame is not asked for again for so long, twice as long the next time, and so on: on a
/// busy machine an encoder may take long to open.
const UNUSABLE: Duration = Duration::from_secs(5);
const LONGEST_UNUSABLE: Duration = Duration::from_secs(40);
/// Nothing less than this time of too much, at the least of the other levels, makes a slide show of the picture: machines
/// that are short of time for a moment, the viewer's or ours, look like paths that are too narrow.
const SUSTAINED: Duration = Duration::from_secs(2);
/// Half of the frames is worth a level when it saves a tenth.
const WORTH_PERCENT: u64 = 90;

/// A part of what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) rendition: usize,
    pub(crate) share: FrameShare,
}

impl Level {
    pub(crate) const BEST: Self = Self { rendition: 0, share: FrameShare::All };
}

/// Until when, and how long the next time.
#[derive(Clone, Copy)]
struct Unusable {
    until: Option<Instant>,
    next: Duration,
}

/// Even the least of the levels is too much.
#[derive(Clone, Copy)]
struct Straits {
    since: Instant,
    last: Instant,
    /// At the best of times: what comes in bursts makes the path look idle between them.
    carries_bps: u64,
}

pub(crate) struct Ladder {
    /// What the encoders aim at, best rendition first.
    bitrates: Box<[u64]>,
    /// The rendition that is sent, and what it takes.
    rates: Option<(usize, Rates)>,
    /// Of each rendition's bits, those in frames that others need; `None` until it is sent. Encoders may differ in this:
    /// where there are smaller ones, the largest makes none that could be left out.
    kept_percent: Box<[Option<u64>]>,
    level: Level,
    limited_by: Option<Limit>,
    unusable: Box<[Unusable]>,
    straits: Option<Straits>,
    /// What the path carried when it was too much last.
    carried_bps: u64,
    /// After a step, until the next: what was on its way, and a queue, are to be gone by then.
    settle: Duration,
    first_try: Duration,
    settled_at: Option<Instant>,
    next_try: Option<Instant>,
    patience: Duration,
    /// When, and from where.
    stepped_up: Option<(Instant, Level)>,
}

impl Ladder {
    pub(crate) fn new(bitrates: Box<[u64]>) -> Self {
        Self {
            unusable: vec![Unusable { until: None, next: UNUSABLE }; bitrates.len()].into(),
            straits: None,
            carried_bps: 0,
            kept_percent: vec![None; bitrates.len()].into(),
            bitrates,
            rates: None,
            level: Level::BEST,
            limited_by: None,
            settle: Duration::ZERO,
            first_try: Duration::ZERO,
            settled_at: None,
            next_try: None,
            patience: Duration::ZERO,
            stepped_up: None,
        }
    }

    pub(crate) fn level(&self) -> Level {
        self.level
    }

    pub(crate) fn limited_by(&self) -> Option<Limit> {
        self.limited_by
    }

    /// How long a step down settles, and how long the first try for more is put off.
    pub(crate) fn set_pace(&mut self, settle: Duration, first_try: Duration) {
        (self.settle, self.first_try) = (settle, first_try);
    }

    pub(crate) fn set_rates(&mut self, rendition: usize, rates: Rates) {
        self.rates = Some((rendition, rates));
        self.kept_percent[rendition] = Some(rates.kept_percent());
        self.unusable[rendition].next = UNUSABLE;
    }

    /// What a path carries to which this rendition goes: as much as its encoder aims at, and what that needs beyond.
    pub(crate) fn carried_at_least(&self, rendition: usize) -> u64 {
        self.bitrates[rendition] * UP_PERCENT / 100
    }

    /// When more may be tried; `None` while everything is sent.
    pub(crate) fn next_try(&self) -> Option<Instant> {
        self.next_try
    }

    /// What the best level takes, with what a try has to show beyond.
    pub(crate) fn aim_bps(&self) -> u64 {
        self.need(Level::BEST) * UP_PERCENT / 100
    }

    /// What is sent changed now, or was more for a moment: it is judged anew.
    pub(crate) fn handle_in_effect(&mut self, now: Instant) {
        // Too much is seen at once; that it is gone only when what was before is.
        let settle = if self.stepped_up.is_some() { SETTLE_UP } else { self.settle };
        self.settled_at = Some(now + settle);
        self.straits = None;
    }

    /// The path carries what is sent, as far as can be seen.
    pub(crate) fn handle_carried(&mut self, now: Instant) {
        self.straits.take_if(|straits| straits.last + self.settle / 2 <= now);
    }

    pub(crate) fn handle_overload(&mut self, now: Instant, overload: Overload) {
        if self.settled_at.is_some_and(|settled| now < settled) {
            return;
        }
        // A trial that fails ends where it began: what is measured meanwhile is the trial's disorder.
        let before = self.stepped_up.filter(|(at, _)| now < *at + TRIAL).map(|(_, before)| before);
        let before = before.filter(|before| self.need(*before) < self.need(self.level));
        self.carried_bps = overload.carries_bps;
        let Some(level) = before.or_else(|| self.below(now, overload.carries_bps)) else { return };
        self.limited_by = Some(overload.limit);
        self.failed(now, level.share);
        self.step(now, level);
    }

    /// More may be tried, and a train came through at `bps`; 0: hardly any of it did.
    pub(crate) fn handle_measured(&mut self, now: Instant, bps: u64) {
        self.last_step_holds(now);
        let fits = |level: &Level| self.need(*level) * UP_PERCENT / 100 <= bps;
        let found = self.above(now).find(fits);
        match found {
            Some(level) => self.step_up(now, level),
            None => self.failed(now, self.level.share),
        }
    }

    /// More may be tried, and nothing can be measured before.
    pub(crate) fn handle_try(&mut self, now: Instant) {
        self.last_step_holds(now);
        let next = self.above(now).last();
        match next {
            Some(level) => self.step_up(now, level),
            None => self.failed(now, self.level.share),
        }
    }

    /// More may be tried, but this is no time for it.
    pub(crate) fn postpone(&mut self, now: Instant) {
        self.next_try = Some(now + POSTPONED);
    }

    /// No key frame came of the rendition that was waited for, and `stays` is what is sent.
    pub(crate) fn handle_no_show(&mut self, now: Instant, stays: usize) {
        let unusable = &mut self.unusable[self.level.rendition];
        unusable.until = Some(now + unusable.next);
        unusable.next = (unusable.next * 2).min(LONGEST_UNUSABLE);
        let was_down = self.level.rendition > stays;
        self.limited_by = Some(Limit::Rendition);
        let all = Level { rendition: stays, share: FrameShare::All };
        let share = match was_down {
            // It cannot be had, and what is sent is too much: less of that, then.
            true if self.saves_half(stays) => FrameShare::Half,
            true if self.carried_bps < self.need(all) / 2 => FrameShare::KeyOnly,
            // Should it still be far too much, that will show.
            _ => FrameShare::All,
        };
        self.failed(now, share);
        self.step(now, Level { share, ..all });
    }

    fn step_up(&mut self, now: Instant, level: Level) {
        self.stepped_up = Some((now, self.level));
        self.limited_by = self.limited_by.filter(|_| level != Level::BEST);
        self.next_try = Some(now + TRIAL);
        self.step(now, level);
    }

    fn step(&mut self, now: Instant, level: Level) {
        self.level = level;
        self.handle_in_effect(now);
        if level == Level::BEST && self.limited_by != Some(Limit::Rendition) {
            (self.limited_by, self.next_try) = (None, None);
        }
    }

    fn last_step_holds(&mut self, now: Instant) {
        if self.stepped_up.take_if(|(at, _)| *at + TRIAL <= now).is_some() {
            self.patience = (self.patience / 2).max(self.first_try);
        }
    }

    /// The next try is put off, the longer the more have failed in a row. `share` is what is sent until then.
    fn failed(&mut self, now: Instant, share: FrameShare) {
        let in_vain = self.next_try.is_some_and(|due| due <= now)
            || self.stepped_up.take().is_some_and(|(at, _)| now < at + TRIAL);
        let is_show = share == FrameShare::KeyOnly;
        let first = if is_show { self.first_try.min(FIRST_TRY_OF_KEYS) } else { self.first_try };
        self.patience = if in_vain { (self.patience * 2).min(LAST_TRY) } else { first };
        self.next_try = Some(now + self.patience);
    }

    /// Everything that could be sent, best first; but for key frames alone, the last resort.
    fn levels(&self, now: Instant) -> impl Iterator<Item = Level> {
        let usable = move |&rendition: &usize| {
            rendition == self.level.rendition
                || self.unusable[rendition].until.is_none_or(|until| until <= now)
        };
        (0..self.bitrates.len()).filter(usable).flat_map(|rendition| {
            let half = self.saves_half(rendition).then_some(FrameShare::Half);
            [Some(FrameShare::All), half].into_iter().flatten().map(move |share| Level { rendition, share })
        })
    }

    /// The best level below that fits. Key frames alone only where not even the least of the others does.
    fn below(&mut self, now: Instant, carries_bps: u64) -> Option<Level> {
        if self.level.share == FrameShare::KeyOnly {
            return None;
        }
        let need = self.need(self.level);
        let lower = || self.levels(now).filter(|level| self.need(*level) < need);
        let fits = |level: &Level| self.need(*level) * HEADROOM_PERCENT / 100 <= carries_bps;
        let least = lower().min_by_key(|level| self.need(*level));
        if let Some(level) = lower().find(fits).or(least) {
            return Some(level);
        }
        let straits = self.straits.get_or_insert(Straits { since: now, last: now, carries_bps });
        (straits.last, straits.carries_bps) = (now, straits.carries_bps.max(carries_bps));
        let too_long = straits.since + SUSTAINED <= now && straits.carries_bps < need;
        too_long.then_some(Level { share: FrameShare::KeyOnly, ..self.level })
    }

    /// The levels above, best first. All of a rendition is more than half of it even where, by now, none can be left out.
    fn above(&self, now: Instant) -> impl Iterator<Item = Level> {
        let (need, sent) = (self.need(self.level), self.level);
        self.levels(now).filter(move |level| {
            let completes = level.rendition == sent.rendition
                && (level.share, sent.share) == (FrameShare::All, FrameShare::Half);
            completes || self.need(*level) > need
        })
    }

    /// Bits a second. Of a rendition that is not sent it is as much of what its encoder aims at as of the one that is.
    fn need(&self, level: Level) -> u64 {
        let Level { rendition, share } = level;
        let aimed = self.bitrates[rendition];
        let all = match self.rates {
            None => aimed,
            Some((sent, rates)) if sent == rendition => rates.all_bps,
            Some((sent, rates)) => {
                let busy = (rates.all_bps * 1000 / self.bitrates[sent].max(1)).clamp(250, 1500);
                aimed * busy / 1000
            }
        };
        match share {
            FrameShare::KeyOnly => 0,
            FrameShare::Half => all * self.kept_percent[rendition].unwrap_or(100) / 100,
            FrameShare::All => all,
        }
    }

    /// Only where it has been seen to.
    fn saves_half(&self, rendition: usize) -> bool {
        self.kept_percent[rendition].is_some_and(|kept| kept < WORTH_PERCENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST_TRY: Duration = Duration::from_secs(5);
    const LARGE: Level = Level::BEST;
    const LARGE_HALF: Level = Level { rendition: 0, share: FrameShare::Half };
    const SMALL: Level = Level { rendition: 1, share: FrameShare::All };
    const SMALL_HALF: Level = Level { rendition: 1, share: FrameShare::Half };
    const SMALL_KEYS: Level = Level { rendition: 1, share: FrameShare::KeyOnly };

    struct Climber {
        ladder: Ladder,
        now: Instant,
    }

    /// 1080p at 4 Mb/s and 540p at 1 Mb/s, both seen, `kept` per cent of them in frames that others need.
    fn climber(kept: u64) -> Climber {
        let mut climber = newcomer(kept);
        climber.ladder.kept_percent[1] = Some(kept);
        climber
    }

    /// One that has seen the larger one only.
    fn newcomer(kept: u64) -> Climber {
        let mut ladder = Ladder::new(vec![4_000_000, 1_000_000].into());
        ladder.set_pace(Duration::from_millis(1500), FIRST_TRY);
        ladder.set_rates(0, Rates { all_bps: 4_000_000, kept_bps: 40_000 * kept });
        Climber { ladder, now: Instant::now() }
    }

    impl Climber {
        fn overload(&mut self, carries_bps: u64) -> Level {
            self.now += Duration::from_secs(2);
            self.ladder.handle_overload(self.now, Overload { limit: Limit::Delay, carries_bps });
            self.ladder.level()
        }

        /// Waits for the next try; how long that was.
        fn wait(&mut self) -> Duration {
            let due = self.ladder.next_try().unwrap_or(self.now);
            let waited = due - self.now;
            self.now = due;
            waited
        }
    }

    #[test]
    fn down_goes_to_the_best_that_fits() {
        for (carries_bps, expected) in
            [(3_500_000, LARGE_HALF), (1_500_000, SMALL), (800_000, SMALL_HALF), (100_000, SMALL_HALF)]
        {
            assert_eq!(climber(65).overload(carries_bps), expected, "{carries_bps} b/s");
        }
        assert_eq!(climber(100).overload(3_500_000), SMALL, "no frame can be left out");
    }

    #[test]
    fn half_is_offered_of_what_was_seen_to_have_halves() {
        assert_eq!(newcomer(65).overload(800_000), SMALL, "nothing is known of it");
        let mut climber = newcomer(100);
        assert_eq!(climber.overload(800_000), SMALL);
        climber.ladder.set_rates(1, Rates { all_bps: 1_000_000, kept_bps: 650_000 });
        assert_eq!(climber.overload(800_000), SMALL_HALF);
        let next = climber.ladder.above(climber.now).collect::<Vec<_>>();
        assert_eq!(next, [LARGE, SMALL], "half of the large one would be all of it");
    }

    #[test]
    fn a_half_that_saves_nothing_any_more_is_left_for_all() {
        let mut climber = climber(65);
        assert_eq!(climber.overload(3_500_000), LARGE_HALF);
        climber.ladder.set_rates(0, Rates { all_bps: 4_000_000, kept_bps: 4_000_000 });
        climber.wait();
        climber.ladder.handle_measured(climber.now, 5_500_000);
        assert_eq!((climber.ladder.level(), climber.ladder.limited_by()), (LARGE, None));
    }

    #[test]
    fn key_frames_alone_are_the_last_resort_and_nothing_comes_after() {
        let mut climber = climber(65);
        let levels = [0; 4].map(|_| climber.overload(100_000));
        assert_eq!(levels, [SMALL_HALF, SMALL_HALF, SMALL_KEYS, SMALL_KEYS], "two seconds of it");
        let mut late = self::climber(65);
        assert_eq!(late.overload(700_000), SMALL_HALF);
        assert_eq!(late.overload(700_000), SMALL_HALF, "a long queue alone is no reason for a slide show");
    }

    #[test]
    fn key_frames_alone_are_not_for_a_moment_of_too_much_nor_for_what_comes_in_bursts() {
        let mut climber = climber(65);
        assert_eq!(climber.overload(100_000), SMALL_HALF);
        for _ in 0..20 {
            assert_eq!(climber.overload(100_000), SMALL_HALF);
            climber.now += Duration::from_millis(900);
            climber.ladder.handle_carried(climber.now);
        }
        let mut bursty = self::climber(65);
        bursty.overload(100_000);
        let levels = [900_000, 100_000, 100_000, 100_000].map(|carries_bps| bursty.overload(carries_bps));
        assert_eq!(levels, [SMALL_HALF; 4], "it was seen to carry that");
    }

    #[test]
    fn one_step_settles_before_the_next() {
        let mut climber = climber(65);
        climber.overload(3_500_000);
        climber.now -= Duration::from_millis(1500);
        assert_eq!(climber.overload(100_000), LARGE_HALF);
        assert_eq!(climber.overload(100_000), SMALL_HALF);
    }

    #[test]
    fn up_goes_to_what_was_measured_and_the_best_has_no_limit() {
        for (bps, expected) in [(30_000_000, LARGE), (4_200_000, LARGE_HALF), (1_400_000, SMALL)] {
            let mut climber = climber(65);
            climber.overload(100_000);
            assert_eq!(climber.wait(), FIRST_TRY);
            climber.ladder.handle_measured(climber.now, bps);
            assert_eq!(climber.ladder.level(), expected, "{bps} b/s");
            assert_eq!(climber.ladder.limited_by().is_none(), expected == LARGE);
            assert_eq!(climber.ladder.next_try().is_none(), expected == LARGE);
        }
    }

    #[test]
    fn tries_that_fail_become_rare_and_one_that_holds_begins_anew() {
        let mut climber = climber(100);
        climber.overload(1_500_000);
        let mut waits = Vec::new();
        for _ in 0..3 {
            waits.push(climber.wait().as_secs());
            climber.ladder.handle_measured(climber.now, 1_500_000);
        }
        for _ in 0..3 {
            waits.push(climber.wait().as_secs());
            climber.ladder.handle_try(climber.now);
            assert_eq!(climber.ladder.level(), LARGE);
            climber.overload(1_500_000);
        }
        assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
        climber.wait();
        climber.ladder.handle_try(climber.now);
        climber.now += Duration::from_secs(100);
        climber.overload(1_500_000);
        assert_eq!(climber.wait(), FIRST_TRY);
    }

    #[test]
    fn a_rendition_that_does_not_come_is_left_alone_for_a_while() {
        let mut climber = climber(100);
        assert_eq!(climber.overload(1_500_000), SMALL);
        climber.ladder.handle_no_show(climber.now, 0);
        assert_eq!(climber.ladder.level(), Level { rendition: 0, share: FrameShare::KeyOnly });
        assert_eq!(climber.ladder.limited_by(), Some(Limit::Rendition));
        climber.wait();
        climber.now -= Duration::from_millis(1);
        climber.ladder.handle_measured(climber.now, 1_500_000);
        assert_eq!(climber.ladder.level().share, FrameShare::KeyOnly, "it does not fit");
        climber.now += UNUSABLE;
        climber.ladder.handle_measured(climber.now, 1_500_000);
        assert_eq!(climber.ladder.level(), SMALL);
        let waits = [0; 5].map(|_| {
            climber.ladder.handle_no_show(climber.now, 0);
            let is_back = |seconds: &u64| {
                let mut levels = climber.ladder.levels(climber.now + Duration::from_secs(*seconds));
                levels.any(|level| level.rendition == 1)
            };
            let wait = (1..100).find(is_back);
            climber.ladder.level = SMALL;
            wait
        });
        assert_eq!(waits.map(Option::unwrap_or_default), [10, 20, 40, 40, 40]);
    }

    #[test]
    fn what_nearly_fits_is_no_slide_show_where_a_rendition_does_not_come() {
        let mut climber = climber(100);
        assert_eq!(climber.overload(3_300_000), SMALL);
        climber.ladder.handle_no_show(climber.now, 0);
        assert_eq!(climber.ladder.level(), LARGE);
        assert_eq!(climber.ladder.limited_by(), Some(Limit::Rendition));
    }
}
