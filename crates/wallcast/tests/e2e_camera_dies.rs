//! A camera dies: its tile holds the last frame, is black 10 s after it, and is back soon after the camera is; nobody else notices.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::camera::{self, Camera};
use common::viewer::Viewer;
use common::wallcast::Wallcast;
use common::watch::{Area, COLUMNS, Sample, Watch};
use common::{signal, wait_until};
use std::thread::sleep;
use std::time::{Duration, Instant};
use webrtc::peer_connection::RTCPeerConnectionState::Connected;

const NAMES: [&str; 4] = ["left", "top", "bottom", "right"];
/// The camera that dies.
const TOP: usize = 1;
/// The longest wait that can be under way some 12 s after a camera went (1, 1, 2, 5, 10 s, ± 20 %), and 2 s to be back.
const BACK_WITHIN: Duration = Duration::from_secs(12 + 2);

struct Wall {
    cameras: Vec<Camera>,
    wallcast: Wallcast,
    viewer: Viewer,
    session: String,
    watch: Watch,
}

/// Four cameras, all live, and somebody watching since before.
fn playing_wall(test: &str) -> Wall {
    let cameras: Vec<Camera> = (1..=4).map(Camera::numbered).collect();
    let mut config = String::from("listen: 127.0.0.1:0\ncameras:\n");
    for (name, camera) in NAMES.iter().zip(&cameras) {
        config += &format!("  {name}: {}\n", camera.url);
    }
    // Without words: what is looked at are pictures, and that there is none.
    config += "walls: { wall: { layout: columns, tiles: [left, top, bottom, right], overlay: none } }\n";
    let wallcast = Wallcast::with_config(test, &config);
    for name in NAMES {
        wallcast.wait_for_state(name, "live", Duration::from_secs(10));
    }
    let viewer = Viewer::join(&wallcast, "wall");
    let session = wallcast.stat("/viewers/0/id").as_str().unwrap().to_owned();
    let middles = COLUMNS.map(|tile| Area { y: tile.y + tile.height / 2 - 60, height: 120, ..tile });
    let watch = Watch::start(test, &format!("{}/wall", wallcast.rtsp), &middles);
    for (tile, name) in NAMES.iter().enumerate() {
        wait_until(&format!("two moving seconds of {name}"), Duration::from_secs(20), || {
            let samples = watch.newest(tile, Duration::from_secs(2));
            let moving = samples.iter().filter(|sample| sample.moves()).count();
            if moving >= 45 { Ok(()) } else { Err(format!("{moving} moving frames of {}", samples.len())) }
        });
    }
    viewer.reset_gap();
    Wall { cameras, wallcast, viewer, session, watch }
}

impl Wall {
    /// Polls `/stats` until the tile is black: the ages seen just before and just after.
    fn ages_around_black(&self) -> (f64, f64) {
        let mut holding = None;
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(14) {
            let stats = self.wallcast.stats();
            let camera = &stats["cameras"][NAMES[TOP]];
            let age = camera["frame_age_ms"].as_f64().unwrap_or(f64::INFINITY) / 1000.0;
            let tile = &stats["walls"]["wall"]["tiles"][TOP];
            assert_eq!(tile["state"], camera["state"], "the wall and the camera agree: {stats}");
            match camera["state"].as_str().unwrap() {
                "holding" => {
                    assert!(!camera["reason"].is_null(), "a held tile says why: {camera}");
                    holding = Some(age);
                }
                "offline" => {
                    assert!(!camera["reason"].is_null(), "a black tile says why: {camera}");
                    return (holding.expect("the tile was never holding"), age);
                }
                _ => {}
            }
            sleep(Duration::from_millis(20));
        }
        panic!("the tile was not black after 14 s: {}", self.wallcast.stats());
    }

    /// On the pixels, in the stream's own time: from the last moving frame to the first black one.
    fn seconds_held(&self) -> f64 {
        let samples = wait_until("a black tile in the picture", Duration::from_secs(5), || {
            let samples = self.watch.samples(TOP);
            if samples.last().is_some_and(Sample::is_black) {
                Ok(samples)
            } else {
                Err(format!("{:?}", samples.last()))
            }
        });
        let black = samples.iter().rposition(|sample| !sample.is_black()).unwrap() + 1;
        // Two in a row: a single change may be the mark of a held tile, or a key frame.
        let moving =
            samples[..black].windows(2).rposition(|pair| pair[0].moves() && pair[1].moves()).unwrap() + 1;
        let held = &samples[moving + 1..black];
        assert!(held.iter().all(|sample| !sample.is_black()), "black and picture alternate");
        samples[black].time - samples[moving].time
    }

    fn wait_for_return(&self) -> Duration {
        let started = Instant::now();
        self.wallcast.wait_for_state(NAMES[TOP], "live", BACK_WITHIN);
        let took = started.elapsed();
        wait_until("the tile to move again", Duration::from_secs(3), || {
            let samples = self.watch.newest(TOP, Duration::from_secs(1));
            let moving = samples.iter().filter(|sample| sample.moves()).count();
            if moving >= 20 { Ok(()) } else { Err(format!("{moving} moving frames")) }
        });
        took
    }

    /// What nobody else may notice, over the time since `from` (seconds of the stream).
    fn nobody_else_noticed(&self, from: f64) {
        for (tile, name) in NAMES.iter().enumerate().filter(|(tile, _)| *tile != TOP) {
            let mut samples = self.watch.samples(tile);
            samples.retain(|sample| sample.time > from);
            let span = samples.last().unwrap().time - samples[0].time;
            let rate = samples.iter().filter(|sample| sample.moves()).count() as f64 / span;
            assert!(rate >= 0.95 * 25.0, "{name} moved at {rate:.2} fps over {span:.1} s");
            let fps = self.wallcast.number(&format!("/cameras/{name}/fps"));
            assert!(fps >= 0.95 * 25.0, "{name} has {fps} fps");
            assert_eq!(self.wallcast.stat(&format!("/cameras/{name}/reconnects")), 0, "{name}");
        }
        let received = self.viewer.received();
        assert_eq!(received.states.last(), Some(&Connected), "{received:?}");
        assert_eq!(received.states.iter().filter(|&&state| state == Connected).count(), 1, "{received:?}");
        assert!(received.longest_gap < Duration::from_millis(500), "{received:?}");
        let viewers = self.wallcast.stat("/viewers");
        assert!(
            viewers.as_array().unwrap().iter().any(|viewer| viewer["id"] == self.session.as_str()),
            "the viewer's session {} is gone: {viewers}",
            self.session
        );
    }

    fn stream_time(&self) -> f64 {
        self.watch.samples(0).last().unwrap().time
    }
}

fn check_hold((before, after): (f64, f64), on_screen: f64) {
    common::note!(
        "held until {before:.2} s, black at {after:.2} s by /stats; {on_screen:.2} s on the screen"
    );
    assert!(before <= 10.2, "still holding {before} s after the last frame");
    assert!(after >= 9.8, "black {after} s after the last frame already");
    assert!((on_screen - 10.0).abs() <= 0.2, "black {on_screen} s after the last moving frame on the screen");
}

#[test]
fn a_killed_camera_is_held_then_black_then_back_and_nobody_else_notices() {
    let test = "camera_killed";
    if !camera::available(test) {
        return;
    }
    let mut wall = playing_wall(test);
    let from = wall.stream_time();
    wall.cameras[TOP].kill();
    let ages = wall.ages_around_black();
    check_hold(ages, wall.seconds_held());

    wall.cameras[TOP].restart();
    common::note!("back after {:.1} s", wall.wait_for_return().as_secs_f64());
    wall.nobody_else_noticed(from);
}

/// The connection stays up and nothing comes: what a watchdog on TCP never notices.
#[test]
fn a_silent_camera_is_held_then_black_then_back_and_nobody_else_notices() {
    let test = "camera_silent";
    if !camera::available(test) {
        return;
    }
    let wall = playing_wall(test);
    let from = wall.stream_time();
    signal(wall.cameras[TOP].pid(), "STOP");
    let ages = wall.ages_around_black();
    check_hold(ages, wall.seconds_held());

    signal(wall.cameras[TOP].pid(), "CONT");
    common::note!("back after {:.1} s", wall.wait_for_return().as_secs_f64());
    wall.nobody_else_noticed(from);
}

/// Shorter than 10 s: never black, and shown as held meanwhile.
#[test]
fn a_short_outage_never_shows_black() {
    let test = "camera_hiccups";
    if !camera::available(test) {
        return;
    }
    let wall = playing_wall(test);
    let from = wall.stream_time();
    signal(wall.cameras[TOP].pid(), "STOP");
    wall.wallcast.wait_for_state(NAMES[TOP], "holding", Duration::from_secs(4));
    sleep(Duration::from_secs(3));
    signal(wall.cameras[TOP].pid(), "CONT");
    wall.wait_for_return();
    let mut samples = wall.watch.samples(TOP);
    samples.retain(|sample| sample.time > from);
    assert!(!samples.iter().any(Sample::is_black), "the tile was black");
    assert_eq!(wall.wallcast.stat("/cameras/top/reconnects"), 0, "nothing was reconnected");
    wall.nobody_else_noticed(from);
}
