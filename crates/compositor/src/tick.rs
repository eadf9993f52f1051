//! The wall's clock: canvas time is how long after a monotonic origin a tick is due, exactly, for ever. Pure logic; the caller
//! reads the clock and sleeps.
//!
//! Left alone, tick n is due at n / fps, and nothing is added up. [`TickClock::steer`] moves a tick, and all after it, to when
//! the cameras' pictures come ([`crate::phase`]). Then the ticks are no longer n / fps apart, but canvas time stays what the
//! monotonic clock shows: a wall that follows a camera whose clock is fast makes a tick more now and then, and the time
//! that its viewers are told is true. So there is no error that could grow, and no camera's time comes in here: cameras
//! decide when to look, never what time it is.
//!
//! A tick that is late by less than a period runs at once. After a longer stall the ticks that nobody ran are counted and left out, and the newest one
//! runs: canvas time stays true to the clock instead of replaying the past. Another frame rate counts on from the last
//! tick, one period of its own later; canvas time neither jumps nor goes back.

use crate::geometry::FrameRate;
use std::time::{Duration, Instant};

/// The time of a picture on a wall: the number of its tick, and how long after the wall's beginning that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CanvasTime {
    tick: u64,
    at: Duration,
}

impl CanvasTime {
    /// The time of tick `tick` of a wall that has always ticked `fps` times a second and was never steered.
    pub fn new(tick: u64, fps: FrameRate) -> CanvasTime {
        CanvasTime { tick, at: fps.time_of(tick) }
    }

    /// How many ticks after the wall's first one.
    pub fn tick(self) -> u64 {
        self.tick
    }

    /// Since the wall's first tick, rounded down to the nanosecond.
    pub fn as_duration(self) -> Duration {
        self.at
    }

    /// In units of 1/90,000 s modulo 2^32, the RTP clock of video (RFC 6184, section 8.2.1), rounded to the nearest: a
    /// duration that was rounded down already must not lose a whole unit.
    pub fn as_rtp_90khz(self) -> u32 {
        ((self.at.as_nanos() * 9 + 50_000) / 100_000) as u32
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
    /// The tick from which this frame rate counts.
    since: CanvasTime,
    next: u64,
}

impl TickClock {
    /// A clock whose tick 0 is due at `origin`.
    pub(crate) fn new(origin: Instant, fps: FrameRate) -> TickClock {
        TickClock { origin, fps, since: CanvasTime::new(0, fps), next: 0 }
    }

    /// What is due at `now`. A tick is handed out once.
    pub(crate) fn poll(&mut self, now: Instant) -> Due {
        let due = self.origin + self.time_of(self.next).at;
        if now < due {
            return Due::At(due);
        }
        let newest = self.newest(now);
        let missed = newest - self.next;
        self.next = newest + 1;
        Due::Now { tick: self.time_of(newest), missed }
    }

    /// Has the next tick, and all after it, come so many nanoseconds later, or earlier where it is negative. That is less
    /// than a period. Told between two ticks.
    pub(crate) fn steer(&mut self, later_ns: i64) {
        let Some(last) = self.next.checked_sub(1).filter(|_| later_ns != 0) else { return };
        let (at, by) = (self.time_of(last).at, Duration::from_nanos(later_ns.unsigned_abs()));
        // Before the origin there is nothing.
        let at = if later_ns > 0 { Some(at + by) } else { at.checked_sub(by) };
        if let Some(at) = at {
            self.since = CanvasTime { tick: last, at };
        }
    }

    /// Ticks `fps` times a second from now on: the next tick is one new period after the last one, or now if that is
    /// past. Returns how many ticks of the old rate were missed until `now`.
    pub(crate) fn set_fps(&mut self, now: Instant, fps: FrameRate) -> u64 {
        let Some(last) = self.next.checked_sub(1) else {
            *self = TickClock::new(self.origin, fps);
            return 0;
        };
        let missed = self.newest(now).saturating_sub(self.next);
        let elapsed = now.saturating_duration_since(self.origin);
        let at = self.time_of(last).at.max(elapsed.saturating_sub(fps.time_of(1)));
        self.since = CanvasTime { tick: last + missed, at };
        self.fps = fps;
        self.next = self.since.tick + 1;
        missed
    }

    /// The last tick that has begun at `now`, which is not before the last tick that was handed out.
    fn newest(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.origin);
        self.since.tick + self.fps.ticks_within(elapsed.saturating_sub(self.since.at))
    }

    fn time_of(&self, tick: u64) -> CanvasTime {
        CanvasTime { tick, at: self.since.at + self.fps.time_of(tick - self.since.tick) }
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

    #[test]
    fn rates_that_change_at_random_neither_jump_nor_turn_canvas_time_back() {
        for seed in 1..=200_u64 {
            let mut state = seed;
            let mut random = |below: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % below
            };
            let mut rate = FrameRate::new(1 + random(60) as u32).expect("in range");
            let origin = Instant::now();
            let (mut clock, mut now) = (TickClock::new(origin, rate), origin);
            let (mut last, mut missed): (Option<(CanvasTime, FrameRate)>, _) = (None, 0);
            for _ in 0..2_000 {
                if random(10) == 0 {
                    rate = FrameRate::new(1 + random(60) as u32).expect("in range");
                    missed += clock.set_fps(now, rate);
                }
                match clock.poll(now) {
                    // Somebody may wake the wall early, and the machine may wake it late.
                    Due::At(due) if random(4) == 0 => now += (due - now) / 2,
                    Due::At(due) => now = due + Duration::from_micros(random(3_000)),
                    Due::Now { tick, missed: left_out } => {
                        let elapsed = now - origin;
                        let late = elapsed.checked_sub(tick.as_duration()).expect("no tick is early");
                        assert!(
                            late < rate.time_of(1) + Duration::from_nanos(1),
                            "{late:?} late, seed {seed}"
                        );
                        if let Some((before, _)) = last {
                            assert_eq!(tick.tick(), before.tick() + 1 + missed + left_out, "seed {seed}");
                            let step = tick.as_duration().checked_sub(before.as_duration());
                            let step = step.filter(|step| !step.is_zero()).expect("forward");
                            let rtp = f64::from(tick.as_rtp_90khz().wrapping_sub(before.as_rtp_90khz()));
                            assert!((rtp - step.as_secs_f64() * 90_000.0).abs() <= 1.0, "{rtp} for {step:?}");
                        }
                        (last, missed) = (Some((tick, rate)), 0);
                        // Now and then a tick takes longer than many of its kind.
                        now += Duration::from_micros(if random(20) == 0 {
                            random(500_000)
                        } else {
                            random(9_000)
                        });
                    }
                }
            }
        }
    }

    #[test]
    fn a_clock_that_is_steered_at_random_says_what_the_monotonic_clock_says_and_counts_what_it_misses() {
        for seed in 1..=50_u64 {
            let mut state = seed;
            let mut random = |below: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % below
            };
            let (origin, mut clock) = clock(30);
            let (mut now, mut last, mut ran, mut skipped) = (origin, None::<CanvasTime>, 0, 0);
            // Always later for a while, then always earlier, then anyhow: whatever a camera's clock may do.
            for tick in 0..3_000 {
                let due = clock.poll(now);
                if let Due::At(due) = due {
                    now = due + Duration::from_micros(random(3_000));
                }
                let due = if matches!(due, Due::At(_)) { clock.poll(now) } else { due };
                let Due::Now { tick: run, missed } = due else { panic!("due, and not due: {due:?}") };
                let late = (now - origin).checked_sub(run.as_duration()).expect("no tick is early");
                assert!(late <= Duration::from_micros(33_334), "{late:?} late, seed {seed}");
                if let Some(before) = last {
                    assert!(run.as_duration() > before.as_duration(), "seed {seed}");
                    assert_eq!(run.tick(), before.tick() + 1 + missed, "seed {seed}");
                }
                (last, ran, skipped) = (Some(run), ran + 1, skipped + missed);
                now += Duration::from_millis(if random(100) == 0 { random(300) } else { 0 });
                let slew = random(1_000_001) as i64;
                clock.steer(if tick < 1_000 || tick >= 2_000 && random(2) == 0 { slew } else { -slew });
            }
            let last = last.expect("it ran");
            assert_eq!(last.tick() + 1, ran + skipped, "every tick ran or was counted");
        }
    }

    #[test]
    fn a_tick_that_is_moved_takes_those_after_it_along_and_never_comes_before_the_origin() {
        let (origin, mut clock) = clock(25);
        let at = |us| origin + Duration::from_micros(us);
        clock.steer(1_000_000);
        check(&mut clock, at(0), 0, 0);
        clock.steer(-1_000_000);
        assert_eq!(clock.poll(at(1)), Due::At(at(40_000)));
        clock.steer(500_000);
        assert_eq!(clock.poll(at(1)), Due::At(at(40_500)));
        check(&mut clock, at(40_500), 1, 0);
        clock.steer(-250_000);
        check(&mut clock, at(80_250), 2, 0);
        assert_eq!(clock.poll(at(80_250)), Due::At(at(120_250)));
        // Another rate counts on from there.
        clock.set_fps(at(81_000), FrameRate::new(50).expect("in range"));
        assert_eq!(clock.poll(at(81_000)), Due::At(at(100_250)));
    }

    #[test]
    fn another_rate_counts_on_from_the_last_tick() {
        let (origin, mut clock) = clock(25);
        let at = |ms| origin + Duration::from_millis(ms);
        let fps = |fps| FrameRate::new(fps).expect("in range");
        check(&mut clock, at(0), 0, 0);
        check(&mut clock, at(40), 1, 0);
        assert_eq!(clock.set_fps(at(45), fps(50)), 0);
        assert_eq!(clock.poll(at(45)), Due::At(at(60)));
        check(&mut clock, at(60), 2, 0);
        // From one tick a second to sixty: now, and none of those that were never promised is missed.
        clock.set_fps(at(61), fps(1));
        assert_eq!(clock.poll(at(61)), Due::At(at(1_060)));
        assert_eq!(clock.set_fps(at(900), fps(60)), 0);
        check(&mut clock, at(900), 3, 0);
        // What the old rate missed is counted.
        assert_eq!(clock.set_fps(at(1_000), fps(10)), 5);
        check(&mut clock, at(1_000), 9, 0);
    }
}
