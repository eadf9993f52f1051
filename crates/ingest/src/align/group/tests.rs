//! Whole walls in virtual time: cameras with their clocks and rings, a network, ticks.

use super::*;
use crate::align::clock::{SenderReport, SourceClock};
use crate::align::ring::{Kept, Ring};
use crate::tile::Moment;
use std::num::NonZeroU32;
use std::ops::Range;
use std::time::UNIX_EPOCH;

const ALIGN: Duration = Duration::from_millis(200);
const TICK_MS: u64 = 40;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Films the one scene that all film: the picture `n` of a camera of 25 frames a second shows `n` x 40 ms.
struct Camera {
    clock: SourceClock,
    ring: Ring<u64>,
    interval_us: u64,
    /// Which picture comes next, and since when there was none.
    next: u64,
    last_decoded: Duration,
    newest: Option<Kept<u64>>,
    shown: u64,
    delay_ms: u64,
    jitter_ms: u64,
    has_reports: bool,
    clock_ahead_s: u64,
    rtp_start: u32,
    is_dead: bool,
    random: u64,
}

impl Camera {
    fn new(number: u32) -> Self {
        Self {
            clock: SourceClock::new(NonZeroU32::new(90_000).unwrap()),
            ring: Ring::default(),
            interval_us: 40_000,
            next: 0,
            last_decoded: Duration::ZERO,
            newest: None,
            shown: 0,
            delay_ms: 20,
            jitter_ms: 0,
            has_reports: true,
            clock_ahead_s: 0,
            rtp_start: number * 0x4000_0000,
            is_dead: false,
            random: number.into(),
        }
    }

    fn taken(&self) -> Duration {
        Duration::from_micros(self.next * self.interval_us)
    }

    /// Everything that is decoded by then, 5 ms after it arrived.
    fn play_until(&mut self, start: Moment, until: Duration) {
        loop {
            let taken = self.taken();
            // Random, but the same when asked again.
            let random =
                (self.next + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(self.random << 40) >> 33;
            let late = ms(self.delay_ms + if self.jitter_ms == 0 { 0 } else { random % self.jitter_ms });
            // One after the other, as TCP has it.
            let arrived = (taken + late).max(self.last_decoded);
            let decoded = arrived + ms(5);
            if decoded > until {
                return;
            }
            if !self.is_dead {
                self.receive(start, taken, arrived, decoded);
                self.last_decoded = decoded;
            }
            self.next += 1;
        }
    }

    fn receive(&mut self, start: Moment, taken: Duration, arrived: Duration, decoded: Duration) {
        let rtp = self.rtp_start.wrapping_add((taken.as_micros() * 9 / 100) as u32);
        let arrived = Moment { mono: start.mono + arrived, wall: start.wall + arrived };
        if self.has_reports && self.next.is_multiple_of(125) {
            let since_1970 = (start.wall + taken).duration_since(UNIX_EPOCH).unwrap();
            let seconds = since_1970.as_secs() + 2_208_988_800 + self.clock_ahead_s;
            let ntp = (seconds << 32) | ((u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000);
            self.clock.handle_report(SenderReport { ntp, rtp }, arrived.mono);
        }
        let captured = self.clock.handle_picture(rtp, arrived);
        let kept = Kept { captured, sequence: self.next, frame: self.next };
        self.newest = Some(kept.clone());
        let _ = self.ring.push(start.mono + decoded, kept);
    }
}

struct Wall {
    start: Moment,
    group: Group,
    cameras: Vec<Camera>,
    tick: u64,
    /// Where ticks fall between pictures.
    phase: Duration,
}

impl Wall {
    fn of(cameras: impl IntoIterator<Item = Camera>) -> Self {
        let cameras: Vec<_> = cameras.into_iter().collect();
        let mut group = Group::new(ALIGN, ms(TICK_MS));
        cameras.iter().for_each(|_| _ = group.add_place());
        let wall = UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        let start = Moment { mono: Instant::now() + ms(1_000_000), wall };
        Self { start, group, cameras, tick: 0, phase: ms(13) }
    }

    /// Threads wake up to 3 ms late.
    fn now(&self) -> Instant {
        let late = Duration::from_micros((self.tick.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) % 3_000);
        self.start.mono + ms(self.tick * TICK_MS) + self.phase + late
    }

    fn stats(&self) -> AlignmentStats {
        self.group.stats(self.now())
    }

    /// One tick: the picture on each tile, `None` when it is not live.
    fn tick(&mut self) -> Vec<Option<u64>> {
        self.tick += 1;
        let now = self.now();
        let at = now - self.start.mono;
        let mut shown = Vec::new();
        for (place, camera) in self.cameras.iter_mut().enumerate() {
            camera.play_until(self.start, at);
            let back = self.group.look_back(place, now);
            let kept = camera.ring.look(now, back.unwrap_or_default(), camera.shown);
            let kept = back.and(kept).or_else(|| camera.newest.clone());
            let is_live = at.saturating_sub(camera.last_decoded) < ms(1_000);
            let kept = kept.filter(|_| is_live);
            let timing = camera.ring.timing(now);
            let told = kept.as_ref().map(|kept| Shown { at: now, captured: kept.captured, timing });
            self.group.handle_shown(place, told);
            if let Some(kept) = &kept {
                assert!(kept.sequence >= camera.shown, "a tile went back");
                camera.shown = kept.sequence;
            }
            shown.push(kept.map(|kept| kept.frame));
        }
        shown
    }

    fn run(&mut self, seconds: u64) -> Vec<Vec<Option<u64>>> {
        (0..seconds * 1_000 / TICK_MS).map(|_| self.tick()).collect()
    }
}

/// At how many of a hundred ticks the first two tiles show pictures no further apart than this.
#[track_caller]
fn check_apart(ticks: &[Vec<Option<u64>>], at_most: u64, range: Range<f64>) {
    let fits = |tick: &&Vec<Option<u64>>| match tick[..2] {
        [Some(one), Some(other)] => one.abs_diff(other) <= at_most,
        _ => false,
    };
    let percent = 100.0 * ticks.iter().filter(fits).count() as f64 / ticks.len() as f64;
    let (from, to) = (range.start, range.end);
    assert!(
        (from..=to).contains(&percent),
        "{percent} % of ticks, expected {from} to {to}: {:?}",
        &ticks[..5]
    );
}

#[test]
fn with_reports_300_ms_of_network_make_no_difference_whatever_the_phase() {
    for phase in (0..40).step_by(3) {
        for jitter_ms in [0, 15] {
            let late = Camera { delay_ms: 300, jitter_ms, ..Camera::new(1) };
            let mut wall = Wall::of([Camera { jitter_ms, ..Camera::new(0) }, late]);
            wall.phase = ms(phase);
            wall.run(5);
            check_apart(&wall.run(60), 0, 99.0..100.0);
            let stats = wall.stats();
            assert!(stats.skew_ms.p99 < 1.0, "{stats:?}");
            assert!(
                stats.tiles.iter().all(|tile| tile.skew_ms.is_some_and(|skew| skew.abs() < 15.0)),
                "{stats:?}"
            );
            assert!((320.0..390.0).contains(&stats.delay_ms), "{stats:?}");
        }
    }
}

#[test]
fn without_reports_and_without_extra_delay_pictures_are_one_frame_apart_at_most() {
    for phase in [0, 10, 20, 30] {
        let camera = |number| Camera { has_reports: false, jitter_ms: 60, ..Camera::new(number) };
        let mut wall = Wall::of([camera(0), camera(1)]);
        wall.phase = ms(phase);
        wall.run(5);
        check_apart(&wall.run(60), 1, 99.0..100.0);
        assert!(wall.stats().delay_ms < 250.0, "{:?}", wall.stats());
    }
}

#[test]
fn without_reports_300_ms_of_network_stay_what_they_are() {
    let late = Camera { has_reports: false, delay_ms: 300, ..Camera::new(1) };
    let mut wall = Wall::of([Camera { has_reports: false, ..Camera::new(0) }, late]);
    wall.run(5);
    check_apart(&wall.run(60), 5, 0.0..0.0);
    check_apart(&wall.run(60), 8, 100.0..100.0);
}

#[test]
fn a_camera_whose_clock_is_wrong_by_an_hour_goes_by_arrival() {
    let wrong = Camera { clock_ahead_s: 3_600, ..Camera::new(1) };
    let mut wall = Wall::of([Camera::new(0), wrong]);
    wall.run(5);
    check_apart(&wall.run(60), 1, 100.0..100.0);
}

#[test]
fn a_camera_that_dies_holds_nobody_up_for_long() {
    let late = Camera { delay_ms: 400, ..Camera::new(2) };
    let mut wall = Wall::of([Camera::new(0), Camera { delay_ms: 60, ..Camera::new(1) }, late]);
    wall.run(5);
    check_apart(&wall.run(10), 0, 99.0..100.0);
    assert!(wall.stats().delay_ms > 400.0, "{:?}", wall.stats());
    wall.cameras[2].is_dead = true;
    check_apart(&wall.run(10), 0, 99.0..100.0);
    let mut before = wall.stats().delay_ms;
    for _ in 0..25 {
        check_apart(&wall.run(1), 0, 95.0..100.0);
        let delay = wall.stats().delay_ms;
        assert!(before - delay < 30.0, "{before} to {delay}");
        before = delay;
    }
    assert!(before < 250.0, "{before}");
    assert_eq!(wall.stats().tiles[2].skew_ms, None);
    // It comes back, as something else: rebooted.
    wall.cameras[2].is_dead = false;
    wall.cameras[2].rtp_start = 77;
    wall.run(8);
    check_apart(&wall.run(10), 0, 99.0..100.0);
    assert!(wall.stats().skew_ms.p99 < 1.0, "{:?}", wall.stats());
}

#[test]
fn a_camera_that_is_too_late_shows_its_newest_picture_and_the_others_do_not_wait() {
    let mut wall = Wall::of([Camera::new(0), Camera::new(1), Camera { delay_ms: 900, ..Camera::new(2) }]);
    wall.run(5);
    let ticks = wall.run(20);
    check_apart(&ticks, 0, 99.0..100.0);
    let stats = wall.stats();
    assert_eq!([0, 1, 2].map(|place| stats.tiles[place].too_late), [false, false, true]);
    assert!(stats.delay_ms < 250.0 && stats.skew_ms.p99 < 1.0, "{stats:?}");
    let newest = wall.cameras[2].newest.as_ref().map(|kept| kept.frame);
    assert_eq!(ticks.last().unwrap()[2], newest);
    // It becomes quicker, and is waited for.
    wall.cameras[2].delay_ms = 300;
    wall.run(10);
    wall.run(5);
    let stats = wall.stats();
    assert!(!stats.tiles[2].too_late && stats.skew_ms.p99 < 1.0 && stats.delay_ms > 320.0, "{stats:?}");
}

#[test]
fn where_the_wall_ticks_as_its_cameras_do_no_picture_is_shown_twice_or_left_out() {
    for phase in 0..40 {
        let mut wall = Wall::of([Camera { jitter_ms: 12, has_reports: false, ..Camera::new(0) }]);
        wall.phase = ms(phase);
        wall.run(8);
        let ticks = wall.run(40);
        let uneven = ticks.windows(2).filter(|pair| pair[1][0] != pair[0][0].map(|n| n + 1)).count();
        assert!(uneven <= 4, "phase {phase}: {uneven} of {} ticks", ticks.len());
    }
}

#[test]
fn cameras_of_other_rates_are_within_half_a_picture_of_the_instant() {
    let camera = |number, fps: u64| Camera { interval_us: 1_000_000 / fps, ..Camera::new(number) };
    let mut wall = Wall::of([camera(0, 25), camera(1, 15), camera(2, 60), camera(3, 30)]);
    wall.run(5);
    for _ in 0..500 {
        wall.tick();
        let stats = wall.stats();
        for (tile, most) in stats.tiles.iter().zip([20.0, 34.0, 9.0, 17.0]) {
            assert!(tile.skew_ms.unwrap().abs() <= most + 0.1, "{stats:?}");
        }
    }
}

#[test]
fn a_slow_camera_delays_nobody_by_its_pace() {
    let slow = Camera { interval_us: 1_000_000, ..Camera::new(1) };
    let mut wall = Wall::of([Camera::new(0), slow]);
    wall.run(30);
    assert!(wall.stats().delay_ms < 250.0, "{:?}", wall.stats());
}

#[test]
fn a_pause_in_which_nobody_watches_leaves_nothing_behind() {
    let mut wall = Wall::of([Camera::new(0), Camera { delay_ms: 300, ..Camera::new(1) }]);
    wall.run(10);
    wall.tick += 100_000;
    assert_eq!(wall.stats().tiles[0], TileAlignment { skew_ms: None, too_late: false });
    assert_eq!((wall.stats().delay_ms, wall.stats().skew_ms.p99), (0.0, 0.0));
    wall.run(5);
    check_apart(&wall.run(10), 0, 99.0..100.0);
}

#[test]
fn a_tile_that_is_gone_is_waited_for_no_longer_and_its_number_is_free() {
    let mut wall = Wall::of([Camera::new(0), Camera { delay_ms: 400, ..Camera::new(1) }]);
    wall.run(10);
    assert!(wall.stats().delay_ms > 400.0, "{:?}", wall.stats());
    wall.group.remove_place(1);
    // Time on the wall runs a hundredth faster until then.
    wall.run(40);
    assert!(wall.stats().delay_ms < 250.0, "{:?}", wall.stats());
    assert_eq!((wall.group.add_place(), wall.group.add_place()), (1, 2));
}
