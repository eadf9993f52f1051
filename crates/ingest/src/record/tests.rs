#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::decode::{Decoder, Hardware};
use crate::tile::TileState;

const BLACK_AFTER: Duration = Duration::from_secs(10);
const FULL_HD: TileSize = TileSize::new(1920, 1080);
const SMALL: TileSize = TileSize::new(320, 180);
const NEVER: usize = usize::MAX;

/// A camera of 25 frames a second in virtual time, which stands still between calls.
struct Playing {
    camera: Arc<CameraRecord>,
    main: Arc<Record>,
    sub: Arc<Record>,
    now: Instant,
}

impl Playing {
    fn new() -> Self {
        Self::of(None, false)
    }

    fn of(sub_url: Option<&str>, on_demand: bool) -> Self {
        let now = Instant::now();
        let camera = CameraRecord::with(sub_url, on_demand, moment(now));
        let [main, sub] = Stream::ALL.map(|stream| Record::new(camera.clone(), stream));
        main.session_began(1, false);
        Self { camera, main, sub, now }
    }

    /// A picture that was decoded now, with the next number.
    fn frame(&self) -> Arc<Frame> {
        let stream = include_bytes!("../../tests/fixtures/small.h264");
        let mut next = self.main.next_sequence();
        let decoded = Decoder::open(Codec::H264, Hardware::None).unwrap().decode(stream, self.now, &mut next);
        self.main.used_sequences_below(next);
        decoded.frames[0].clone()
    }

    fn decode(&self, of: &Record) {
        let output = Output { frames: 1, ..Output::default() };
        of.decoded(1, moment(self.now), output);
        of.published(1, moment(self.now), self.frame(), false);
    }

    fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    /// Decodes so many frames, and looks at every `looks_every`th.
    fn play(&mut self, frames: usize, looks_every: usize) {
        for number in 1..=frames {
            self.pass(40);
            self.decode(&self.main);
            if number.is_multiple_of(looks_every) {
                assert!(self.look(FULL_HD).frame.is_some());
            }
        }
    }

    fn pass_over(&mut self, frames: usize) {
        for _ in 0..frames {
            self.pass(40);
            self.main.passed_over(1, moment(self.now));
        }
    }

    fn look(&self, size: TileSize) -> Tile {
        self.camera.tile(self.now, BLACK_AFTER, size)
    }

    fn stats(&self) -> CameraStats {
        self.camera.stats(self.now, BLACK_AFTER)
    }

    fn wants(&self) -> [bool; 2] {
        [&self.main, &self.sub].map(|stream| stream.is_wanted(self.now))
    }
}

fn moment(mono: Instant) -> Moment {
    Moment { mono, wall: SystemTime::UNIX_EPOCH }
}

#[test]
fn frames_are_overwritten_when_a_wall_looks_less_often_than_they_come() {
    let mut camera = Playing::new();
    camera.play(100, 1);
    assert_eq!(camera.stats().frames_overwritten, 0);
    camera.play(100, 4);
    assert_eq!(camera.stats().frames_overwritten, 75);
}

#[test]
fn frames_that_nobody_watches_are_not_counted_as_overwritten() {
    let mut camera = Playing::new();
    camera.play(1_000, NEVER);
    camera.play(100, 1);
    camera.play(1_000, NEVER);
    camera.play(100, 1);
    assert_eq!(camera.stats().frames_overwritten, 0);
}

#[test]
fn asking_for_figures_is_not_looking() {
    let mut camera = Playing::new();
    camera.play(4, 4);
    for _ in 0..25 {
        for _ in 0..3 {
            camera.play(1, NEVER);
            assert_eq!(camera.camera.status(camera.now, BLACK_AFTER).state, TileState::Live);
            camera.stats();
        }
        camera.play(1, 1);
    }
    assert_eq!(camera.stats().frames_overwritten, 75);
}

#[test]
fn a_reason_is_shared_with_every_tick_not_copied() {
    let mut camera = Playing::new();
    camera.play(1, NEVER);
    camera.pass(5_000);
    camera.main.failed(moment(camera.now), "connection refused", Blame::Place);
    let reason = || camera.look(FULL_HD).status.reason.unwrap();
    let (first, second) = (reason(), reason());
    assert_eq!(first.shared().unwrap().as_ptr(), second.shared().unwrap().as_ptr());
}

#[test]
fn what_is_to_be_decoded_depends_on_who_looks() {
    let mut camera = Playing::new();
    let demand = |camera: &Playing| camera.main.demand(camera.now);
    assert_eq!(demand(&camera), Demand::Nothing);
    camera.camera.put_on_wall(camera.now, FULL_HD);
    assert_eq!(demand(&camera), Demand::KeyFrames);
    camera.look(SMALL);
    assert_eq!(demand(&camera), Demand::Pictures(SMALL));
    camera.pass(2_000);
    assert_eq!(demand(&camera), Demand::KeyFrames);
    camera.camera.wake(camera.now, SMALL);
    camera.pass(4_999);
    assert_eq!(demand(&camera), Demand::Pictures(SMALL));
    camera.camera.removed_from_wall();
    camera.pass(2_000);
    assert_eq!(demand(&camera), Demand::Nothing);
}

#[test]
fn a_camera_that_is_passed_over_is_live_and_black_ten_seconds_after_it_sent_the_last() {
    let mut camera = Playing::new();
    camera.play(1, NEVER);
    camera.pass_over(1_000);
    let stats = camera.stats();
    assert_eq!((stats.state, stats.frames_decoded, stats.frames_passed_over), (TileState::Live, 1, 1_000));
    assert!((stats.fps - 25.0).abs() < 0.3, "{stats:?}");
    assert_eq!(stats.frame_age, Some(Duration::ZERO));
    camera.pass(9_999);
    assert_eq!(camera.stats().state, TileState::Holding);
    camera.pass(1);
    assert_eq!(camera.stats().state, TileState::Offline);
}

#[test]
fn what_is_passed_over_counts_for_nothing_once_a_key_frame_could_not_be_decoded() {
    let mut camera = Playing::new();
    camera.play(1, NEVER);
    camera.pass_over(100);
    camera.main.decoded(1, moment(camera.now), Output { errors: 1, ..Output::default() });
    camera.pass_over(250);
    assert_eq!(camera.stats().state, TileState::Offline);
    assert_eq!(camera.main.session_frames().unwrap().last, camera.now - Duration::from_secs(10));
}

#[test]
fn an_old_picture_is_never_shown_as_live_to_whoever_begins_to_look() {
    let mut camera = Playing::new();
    camera.play(1, NEVER);
    camera.pass_over(20);
    assert_eq!(camera.look(FULL_HD).status.state, TileState::Live, "it is 0.8 s old");
    camera.pass_over(100);
    let tile = camera.look(FULL_HD);
    assert_eq!(tile.status.state, TileState::Holding);
    assert_eq!(tile.status.age.unwrap().as_millis(), 4_800);
    assert_eq!(tile.status.reason.unwrap().to_string(), "decoding up to the present");
    assert!(tile.frame.is_some());
    assert_eq!(camera.stats().state, TileState::Live, "the camera is");
    camera.pass_over(200);
    let tile = camera.look(FULL_HD);
    assert_eq!((tile.status.state, tile.frame.is_none()), (TileState::Connecting, true));
    camera.play(1, 1);
    assert_eq!(camera.look(FULL_HD).status.state, TileState::Live);
}

#[test]
fn the_same_picture_again_and_again_is_no_picture() {
    let mut camera = Playing::new();
    camera.play(10, 1);
    for _ in 0..250 {
        camera.pass(40);
        camera.main.repeated(1, moment(camera.now), false);
    }
    let stats = camera.stats();
    assert_eq!((stats.state, stats.frames_duplicate), (TileState::Offline, 250));
    assert!(camera.main.is_frozen());
    camera.play(1, 1);
    assert!(!camera.main.is_frozen());
    for _ in 0..250 {
        camera.pass(40);
        camera.main.repeated(1, moment(camera.now), true);
    }
    assert_eq!(camera.stats().state, TileState::Live, "a static scene");
}

#[test]
fn a_change_of_stream_is_never_black_and_numbers_rise() {
    let mut camera = Playing::of(Some("rtsp://test/sub"), false);
    camera.look(SMALL);
    assert_eq!(camera.wants(), [false, true]);
    camera.sub.session_began(1, false);
    camera.decode(&camera.sub);
    let mut last = camera.look(SMALL).frame.unwrap().sequence();
    assert_eq!(camera.stats().stream, Some("sub"));
    for step in 0..100 {
        camera.pass(40);
        let wanted = camera.wants();
        if wanted[1] {
            camera.decode(&camera.sub);
        }
        if wanted[0] && step > 50 {
            camera.decode(&camera.main);
        }
        let tile = camera.look(FULL_HD);
        assert_eq!(tile.status.state, TileState::Live);
        let sequence = tile.frame.unwrap().sequence();
        assert!(sequence > last, "{sequence} after {last}");
        last = sequence;
    }
    assert_eq!(camera.wants(), [true, false]);
    assert_eq!(camera.stats().stream, Some("main"));
}

#[test]
fn a_stream_that_fails_while_the_other_is_shown_is_no_news_of_the_tile() {
    let mut camera = Playing::of(Some("rtsp://test/sub"), false);
    camera.look(SMALL);
    camera.sub.session_began(1, false);
    camera.sub.failed(moment(camera.now), "no such stream on the camera (404)", Blame::Stream);
    assert_eq!(camera.wants(), [true, true]);
    camera.play(10, 1);
    camera.sub.failed(moment(camera.now), "no such stream on the camera (404)", Blame::Stream);
    let stats = camera.stats();
    assert_eq!((stats.state, stats.stream, stats.reason), (TileState::Live, Some("main"), None));
    let sub = &stats.streams[1];
    assert_eq!((sub.name, sub.url.as_str()), ("sub", "rtsp://test/sub"));
    assert_eq!(sub.reason.as_deref(), Some("no such stream on the camera (404)"));
}

#[test]
fn a_camera_on_demand_is_connected_while_somebody_looks_and_ten_seconds_longer() {
    let mut camera = Playing::of(None, true);
    assert_eq!(camera.wants(), [false, false]);
    let resting = "not connected: nobody watches (on_demand)";
    assert_eq!(camera.stats().reason.as_deref(), Some(resting));
    camera.pass(60_000);
    assert_eq!(camera.stats().state, TileState::Connecting);
    assert_eq!(camera.look(FULL_HD).status.reason.unwrap().to_string(), "connecting");
    assert!(camera.wants()[0]);
    camera.play(10, 1);
    camera.pass(9_999);
    assert!(camera.wants()[0]);
    camera.pass(1);
    assert!(!camera.wants()[0]);
    camera.decode(&camera.main);
    let stats = camera.stats();
    assert_eq!((stats.state, stats.reason.as_deref()), (TileState::Connecting, Some(resting)));
    camera.pass(3_600_000);
    let tile = camera.look(FULL_HD);
    assert_eq!((tile.status.state, tile.frame.is_none()), (TileState::Connecting, true));
}

#[test]
fn a_camera_that_panics_again_and_again_is_left_alone_for_five_minutes() {
    let mut camera = Playing::new();
    (0..5).for_each(|_| camera.camera.count_panic(moment(camera.now)));
    camera.main.failed(moment(camera.now), "internal error, see the log", Blame::Stream);
    assert_eq!(camera.wants(), [false, false]);
    let stats = camera.stats();
    assert_eq!(stats.panics, 5);
    assert!(stats.reason.unwrap().contains("left alone for 5 minutes"));
    camera.pass(300_000);
    assert_eq!(camera.wants(), [true, false]);
}
