use super::*;

const BLACK_AFTER: Duration = Duration::from_secs(10);
const BUDGET: Duration = Duration::from_secs(20);

/// A camera in virtual time: milliseconds since its start.
struct Virtual {
    start: Moment,
    facts: Facts,
}

impl Virtual {
    fn start() -> Self {
        let start = Moment { mono: Instant::now(), wall: SystemTime::UNIX_EPOCH };
        Self { start, facts: Facts::new(start, BUDGET) }
    }

    fn at(&self, ms: u64) -> Moment {
        let wait = Duration::from_millis(ms);
        Moment { mono: self.start.mono + wait, wall: self.start.wall + wait }
    }

    fn frame(&mut self, ms: u64) {
        let at = self.at(ms);
        self.facts.fresh(at);
    }

    fn frames(&mut self, ms: std::ops::Range<u64>, every: usize) {
        ms.step_by(every).for_each(|ms| self.frame(ms));
    }

    fn fail(&mut self, ms: u64, words: &str) -> bool {
        let at = self.at(ms);
        self.facts.failed(at, words)
    }

    /// State, milliseconds of `since`, reason.
    fn tile(&self, ms: u64) -> (TileState, u128, Option<String>) {
        let life = self.facts.life(self.at(ms).mono, BLACK_AFTER);
        let since = life.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        (life.state, since, self.facts.reason(life.state, BLACK_AFTER).map(|reason| reason.to_string()))
    }

    #[track_caller]
    fn check(&self, ms: u64, state: TileState, since: u128, reason: Option<&str>) {
        assert_eq!(self.tile(ms), (state, since, reason.map(str::to_owned)), "at {ms} ms");
    }
}

use TileState::{Connecting, Holding, Live, Offline};

#[test]
fn a_frame_makes_it_live_silence_makes_it_hold_and_ten_seconds_make_it_black() {
    let mut camera = Virtual::start();
    camera.facts.progressed("connecting to cam:554");
    camera.check(0, Connecting, 0, Some("connecting to cam:554"));
    camera.frames(500..5_001, 40);
    let last = 4_980;
    camera.check(last, Live, 500, None);
    camera.check(last + 999, Live, 500, None);
    camera.check(last + 1_000, Holding, last as u128 + 1_000, Some("no new picture"));
    camera.check(last + 9_999, Holding, last as u128 + 1_000, Some("no new picture"));
    camera.check(last + 10_000, Offline, last as u128 + 10_000, Some("no picture for 10 s"));
    camera.check(last + 3_600_000, Offline, last as u128 + 10_000, Some("no picture for 10 s"));
}

#[test]
fn failures_change_the_reason_of_a_black_tile_but_never_its_state() {
    let mut camera = Virtual::start();
    camera.frames(0..1_000, 40);
    for ms in (11_000..200_000).step_by(1_000) {
        camera.fail(ms, if ms % 2_000 == 0 { "connection refused" } else { "no answer" });
        camera.facts.progressed("waiting for the first picture");
        let (state, since, reason) = camera.tile(ms);
        assert_eq!((state, since), (Offline, 10_960));
        assert_eq!(reason.as_deref(), Some(if ms % 2_000 == 0 { "connection refused" } else { "no answer" }));
    }
    camera.frame(200_500);
    camera.check(200_500, Live, 200_500, None);
}

#[test]
fn a_reason_is_news_once_until_it_changes_or_a_frame_came() {
    let mut camera = Virtual::start();
    assert!(camera.fail(1_000, "connection refused"));
    assert!(!camera.fail(2_000, "connection refused"));
    assert!(camera.fail(3_000, "no such host"));
    camera.frame(4_000);
    assert!(camera.fail(5_000, "no such host"));
    let at = camera.at(6_000);
    assert_eq!(camera.facts.fresh(at).as_deref(), Some("no such host"));
    assert_eq!(camera.facts.fresh(at), None);
}

#[test]
fn a_camera_that_never_came_is_connecting_until_it_failed_and_ten_seconds_are_over() {
    let mut camera = Virtual::start();
    camera.check(9_999, Connecting, 0, Some("connecting"));
    camera.fail(1_000, "connection refused");
    camera.check(9_999, Connecting, 0, Some("connection refused"));
    camera.check(10_000, Offline, 10_000, Some("connection refused"));
}

#[test]
fn a_first_failure_after_ten_seconds_turns_it_offline_at_that_moment() {
    let mut camera = Virtual::start();
    camera.check(12_999, Connecting, 0, Some("connecting"));
    camera.fail(13_000, "no answer");
    camera.check(13_000, Offline, 13_000, Some("no answer"));
}

#[test]
fn a_long_group_of_pictures_has_twenty_seconds_for_its_first_frame() {
    let mut camera = Virtual::start();
    camera.facts.progressed("waiting for the first picture");
    camera.check(19_999, Connecting, 0, Some("waiting for the first picture"));
    camera.check(20_000, Offline, 20_000, Some("no picture yet"));
    camera.frame(25_000);
    camera.check(25_000, Live, 25_000, None);
}

#[test]
fn one_frame_every_nine_seconds_is_never_black_and_every_eleven_is_black_between() {
    for (every, black) in [(9_000, false), (11_000, true)] {
        let mut camera = Virtual::start();
        for ms in (0..90_000u64).step_by(every) {
            camera.frame(ms);
            let before_the_next = ms + every as u64 - 1;
            assert_eq!(camera.tile(before_the_next).0 == Offline, black, "{before_the_next}");
        }
    }
}

#[test]
fn a_slow_camera_is_live_between_its_frames_and_holds_after_three_missing() {
    let mut camera = Virtual::start();
    camera.frames(0..20_001, 2_000);
    assert_eq!(camera.tile(25_999).0, Live);
    assert_eq!(camera.tile(26_000).0, Holding);
}

#[test]
fn one_stall_does_not_change_the_pace() {
    let mut camera = Virtual::start();
    camera.frames(0..2_001, 40);
    camera.frame(8_000);
    assert_eq!(camera.tile(8_999).0, Live);
    camera.check(8_500, Live, 8_000, None);
    assert_eq!(camera.tile(9_000).0, Holding);
}

#[test]
fn asking_for_a_moment_before_the_last_frame_is_harmless() {
    let mut camera = Virtual::start();
    camera.frame(5_000);
    let life = camera.facts.life(camera.at(4_000).mono, BLACK_AFTER);
    assert_eq!((life.state, life.age), (Live, Some(Duration::ZERO)));
}
