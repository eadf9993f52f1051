//! The wall's clock: canvas time is n / fps since a monotonic origin, exactly, for ever. Pure logic; the caller reads
//! the clock and sleeps.
//!
//! No camera's time comes in here, and nothing is ever added up, so nothing drifts. A tick that is late by less than a
//! period runs at once. After a longer stall the ticks that nobody ran are counted and left out, and the newest one
//! runs: canvas time stays true to the clock instead of replaying the past.

use crate::geometry::FrameRate;
use std::time::{Duration, Instant};

/// The time of a picture on a wall: a whole number of ticks since the wall began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CanvasTime {
    tick: u64,
    fps: FrameRate,
}

impl CanvasTime {
    /// The time of tick `tick` of a wall that ticks `fps` times a second.
    pub fn new(tick: u64, fps: FrameRate) -> CanvasTime {
        CanvasTime { tick, fps }
    }

    /// How many ticks after the wall's first one.
    pub fn tick(self) -> u64 {
        self.tick
    }

    /// Since the wall's first tick, rounded down to the nanosecond.
    pub fn as_duration(self) -> Duration {
        self.fps.time_of(self.tick)
    }

    /// In units of 1/90,000 s modulo 2^32, the RTP clock of video (RFC 6184, section 8.2.1).
    pub fn as_rtp_90khz(self) -> u32 {
        (u128::from(self.tick) * 90_000 / u128::from(self.fps.get())) as u32
    }
}

/// What the clock wants at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing before this moment.
    At(Instant),
    /// Run this tick now. `missed` ticks before it came too late and are left out.
    Now { tick: CanvasTime, missed: u64 },
}

/// Says which tick runs when. Call [`TickClock::poll`], then sleep until what it says or run what it says.
#[derive(Debug)]
pub(crate) struct TickClock {
    origin: Instant,
    fps: FrameRate,
    next: u64,
}

impl TickClock {
    /// A clock whose tick 0 is due at `origin`.
    pub(crate) fn new(origin: Instant, fps: FrameRate) -> TickClock {
        TickClock { origin, fps, next: 0 }
    }

    /// What is due at `now`. A tick is handed out once.
    pub(crate) fn poll(&mut self, now: Instant) -> Due {
        let due = self.origin + self.fps.time_of(self.next);
        if now < due {
            return Due::At(due);
        }
        let newest = self.fps.ticks_within(now.duration_since(self.origin));
        let missed = newest - self.next;
        self.next = newest + 1;
        Due::Now { tick: CanvasTime::new(newest, self.fps), missed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(fps: u32) -> (Instant, TickClock) {
        let origin = Instant::now();
        (origin, TickClock::new(origin, FrameRate::new(fps).expect("in range")))
    }

    #[track_caller]
    fn check(clock: &mut TickClock, now: Instant, tick: u64, missed: u64) {
        let Due::Now { tick: found, missed: found_missed } = clock.poll(now) else {
            panic!("not due at {now:?}")
        };
        assert_eq!((found.tick(), found_missed), (tick, missed));
    }

    #[test]
    fn a_simulated_day_of_sleepy_ticks_does_not_drift() {
        for fps in [25, 30, 59] {
            let (origin, mut clock) = clock(fps);
            let (mut now, mut ran, mut jitter) = (origin, 0_u64, 1_u64);
            let day = Duration::from_secs(86_400);
            while now < origin + day {
                match clock.poll(now) {
                    // Every wake-up is late by up to 3 ms, in no pattern.
                    Due::At(due) => {
                        jitter = jitter.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        now = due + Duration::from_micros((jitter >> 33) % 3_000);
                    }
                    Due::Now { tick, missed } => {
                        assert_eq!((tick.tick(), missed), (ran, 0));
                        let late = now - (origin + tick.as_duration());
                        assert!(late < Duration::from_millis(3), "{late:?} late at tick {ran}");
                        ran += 1;
                    }
                }
            }
            assert_eq!(ran, 86_400 * u64::from(fps));
        }
    }

    #[test]
    fn a_stall_of_a_second_skips_25_ticks_and_counts_them() {
        let (origin, mut clock) = clock(25);
        check(&mut clock, origin, 0, 0);
        check(&mut clock, origin + Duration::from_millis(40), 1, 0);
        check(&mut clock, origin + Duration::from_millis(1_080), 27, 25);
        assert_eq!(
            clock.poll(origin + Duration::from_millis(1_081)),
            Due::At(origin + Duration::from_millis(1_120))
        );
        check(&mut clock, origin + Duration::from_millis(1_120), 28, 0);
    }

    #[test]
    fn a_tick_late_by_less_than_a_period_runs_at_once_and_the_next_on_time() {
        let (origin, mut clock) = clock(25);
        check(&mut clock, origin + Duration::from_millis(39), 0, 0);
        check(&mut clock, origin + Duration::from_millis(79), 1, 0);
        check(&mut clock, origin + Duration::from_millis(80), 2, 0);
    }

    #[test]
    fn canvas_time_in_rtp_units_wraps_and_never_accumulates_rounding() {
        let rtp = |tick, fps| CanvasTime::new(tick, FrameRate::new(fps).expect("in range")).as_rtp_90khz();
        assert_eq!((rtp(0, 25), rtp(1, 25), rtp(25, 25)), (0, 3_600, 90_000));
        assert_eq!((rtp(1, 7), rtp(7, 7)), (12_857, 90_000));
        // 2^32 / 3600 ticks are 13 h 15 min at 25 fps.
        assert_eq!(rtp(1_193_046, 25), (1_193_046_u64 * 3_600) as u32);
        assert_eq!(rtp(1_193_047, 25).wrapping_sub(rtp(1_193_046, 25)), 3_600);
    }
}
