//! How much CPU time a camera's pictures may take. A camera that sends more than can be decoded, by its make or on purpose,
//! first loses quality, then pictures, and no other camera loses anything.
//!
//! Counted is the CPU time of the decoding thread, not the time that passes: a machine that is busy elsewhere is not the
//! camera's fault. An access unit may take 40 ms, or as long as the camera takes to send the next one, at most 100 ms. What
//! it takes is debt, off which every access unit, decoded or not, takes what it may.

use std::time::{Duration, Instant};

use super::Effort;

/// A frame of 25 a second.
const ALLOWANCE: Duration = Duration::from_millis(40);
const MAX_ALLOWANCE: Duration = Duration::from_millis(100);
/// A key frame, or a second of catching up, may well be over budget; so much of it may not.
const MAX_DEBT: Duration = Duration::from_secs(1);
/// Debt beyond this is forgiven: 4 s without pictures at 25 a second are enough for one access unit.
const FORGIVEN: Duration = Duration::from_secs(4);
/// Access units until more is tried again; doubled each time that fails.
const PATIENCE: u32 = 500;
const MAX_PATIENCE: u32 = 8_000;

/// Ask [`Budget::admits`] for every access unit, then tell [`Budget::spent`] if it was decoded.
#[derive(Debug)]
pub(super) struct Budget {
    level: Level,
    debt: Duration,
    last_captured: Option<Instant>,
    allowance: Duration,
    /// Smoothed over some ten access units.
    average: Duration,
    /// Access units since the level changed.
    steady: u32,
    patience: u32,
}

/// What is left when decoding takes too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Effort(Effort),
    /// Only key frames are decoded, and only once the debt is paid.
    KeyFrames,
}

/// What decoding takes on average, and what it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OverBudget {
    pub(super) average: Duration,
    pub(super) allowance: Duration,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self {
            level: Level::Effort(Effort::Full),
            debt: Duration::ZERO,
            last_captured: None,
            allowance: ALLOWANCE,
            average: Duration::ZERO,
            steady: 0,
            patience: PATIENCE,
        }
    }

    /// May an access unit be decoded that was captured then?
    pub(super) fn admits(&mut self, captured: Instant, is_key: bool) -> Result<(), OverBudget> {
        if let Some(last) = self.last_captured.replace(captured) {
            self.allowance = captured.saturating_duration_since(last).clamp(ALLOWANCE, MAX_ALLOWANCE);
        }
        self.debt = self.debt.saturating_sub(self.allowance);
        self.steady = self.steady.saturating_add(1);
        if self.level != Level::KeyFrames {
            if self.steady >= self.patience && self.debt.is_zero() {
                self.change_to(self.level.more());
            }
            return Ok(());
        }
        if !is_key || !self.debt.is_zero() {
            return Err(OverBudget { average: self.average, allowance: self.allowance });
        }
        if self.steady >= self.patience {
            self.change_to(self.level.more());
        }
        Ok(())
    }

    /// The access unit that was admitted last took this much.
    pub(super) fn spent(&mut self, cpu: Duration) {
        self.average = (self.average * 9 + cpu) / 10;
        self.debt = (self.debt + cpu).min(FORGIVEN);
        if self.debt > MAX_DEBT && self.level != Level::KeyFrames {
            self.change_to(self.level.less());
            self.patience = (self.patience * 2).min(MAX_PATIENCE);
        }
    }

    /// No more than this.
    pub(super) fn effort(&self) -> Effort {
        match self.level {
            Level::Effort(effort) => effort,
            // Nothing refers to key frames that are alone.
            Level::KeyFrames => Effort::NoLoopFilter,
        }
    }

    fn change_to(&mut self, level: Level) {
        self.level = level;
        self.steady = 0;
        if level != Level::KeyFrames {
            self.debt = Duration::ZERO;
        }
    }
}

impl Level {
    fn less(self) -> Self {
        match self {
            Self::Effort(Effort::Full) => Self::Effort(Effort::NoLoopFilter),
            Self::Effort(Effort::NoLoopFilter) => Self::Effort(Effort::ReferencesOnly),
            Self::Effort(Effort::ReferencesOnly) | Self::KeyFrames => Self::KeyFrames,
        }
    }

    fn more(self) -> Self {
        match self {
            Self::KeyFrames => Self::Effort(Effort::ReferencesOnly),
            Self::Effort(Effort::ReferencesOnly) => Self::Effort(Effort::NoLoopFilter),
            Self::Effort(_) => Self::Effort(Effort::Full),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A camera in virtual time: a key frame first in every group of 25.
    struct Camera {
        budget: Budget,
        now: Instant,
        interval: Duration,
        sent: u32,
    }

    impl Camera {
        fn new(interval_ms: u64) -> Self {
            let interval = Duration::from_millis(interval_ms);
            Self { budget: Budget::new(), now: Instant::now(), interval, sent: 0 }
        }

        /// Sends access units; how many were decoded, and how long that took.
        fn send(&mut self, count: u32, cost_ms: impl Fn(Effort, bool) -> u64) -> (u32, Duration) {
            let (mut decoded, mut spent) = (0, Duration::ZERO);
            for _ in 0..count {
                let is_key = self.sent.is_multiple_of(25);
                self.sent += 1;
                self.now += self.interval;
                if self.budget.admits(self.now, is_key).is_ok() {
                    let cpu = Duration::from_millis(cost_ms(self.budget.effort(), is_key));
                    self.budget.spent(cpu);
                    decoded += 1;
                    spent += cpu;
                }
            }
            (decoded, spent)
        }
    }

    #[test]
    fn a_camera_within_its_budget_is_decoded_in_full_whatever_its_key_frames_take() {
        let mut camera = Camera::new(40);
        let (decoded, _) = camera.send(10_000, |_, is_key| if is_key { 600 } else { 12 });
        assert_eq!((decoded, camera.budget.effort()), (10_000, Effort::Full));
    }

    #[test]
    fn slow_cameras_may_take_as_long_as_their_pictures_are_apart() {
        let mut camera = Camera::new(100);
        assert_eq!(camera.send(2_000, |_, _| 95).0, 2_000);
        assert_eq!(camera.budget.effort(), Effort::Full);
        let mut camera = Camera::new(40);
        camera.send(2_000, |_, _| 95);
        assert!(camera.budget.effort() < Effort::Full);
    }

    #[test]
    fn effort_is_lowered_as_far_as_it_helps() {
        let cost = |effort, _| match effort {
            Effort::Full => 60,
            Effort::NoLoopFilter => 45,
            Effort::ReferencesOnly => 25,
        };
        let mut camera = Camera::new(40);
        assert_eq!(camera.send(60, cost).0, 60);
        assert_eq!(camera.budget.effort(), Effort::NoLoopFilter);
        assert_eq!(camera.send(600, cost).0, 600);
        assert_eq!(camera.budget.effort(), Effort::ReferencesOnly);
    }

    #[test]
    fn a_hostile_camera_gets_its_share_and_no_more() {
        let mut camera = Camera::new(40);
        let (decoded, spent) = camera.send(10_000, |_, _| 2_000);
        assert!(decoded > 10 && spent < Duration::from_secs(500), "{decoded} in {spent:?}");
        let refusal = camera.budget.admits(camera.now, false).expect_err("it is in debt");
        assert!(refusal.average > Duration::from_secs(1));
        assert_eq!(refusal.allowance, ALLOWANCE);
    }

    #[test]
    fn one_terrible_access_unit_costs_seconds_not_the_stream() {
        let mut camera = Camera::new(40);
        camera.send(100, |_, _| 5);
        camera.send(4, |_, _| 60_000);
        assert_eq!(camera.send(24, |_, _| 5).0, 0, "passed over up to a key frame");
        let (decoded, _) = camera.send(200, |_, _| 5);
        assert!((3..=8).contains(&decoded), "only key frames: {decoded}");
    }

    #[test]
    fn everything_comes_back_when_decoding_is_cheap_again() {
        let mut camera = Camera::new(40);
        camera.send(500, |_, _| 500);
        camera.send(50_000, |_, _| 5);
        assert_eq!(camera.budget.effort(), Effort::Full);
        assert_eq!(camera.send(100, |_, _| 5).0, 100);
    }
}
