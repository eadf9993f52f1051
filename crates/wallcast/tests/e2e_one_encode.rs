//! One encode for all: more viewers cost sending, never encoding.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::camera::{self, Camera};
use common::cpu_seconds;
use common::viewer::Viewer;
use common::wallcast::Wallcast;
use std::thread::sleep;
use std::time::{Duration, Instant};

const MEASURED: Duration = Duration::from_secs(10);

/// What the wall did in a while, per second.
#[derive(Debug)]
struct Rates {
    encoded: f64,
    /// Canvas times that went by without a frame, because the machine was busy.
    missed: f64,
    cpu: f64,
}

fn measure(wallcast: &Wallcast) -> Rates {
    let read = || {
        let stats = wallcast.stats();
        let wall = &stats["walls"]["wall"];
        let number = |key: &str| wall[key].as_f64().unwrap_or_else(|| panic!("found no {key}: {wall}"));
        (Instant::now(), number("frames_encoded"), number("ticks_missed"), cpu_seconds(wallcast.pid()))
    };
    let (from, encoded, missed, cpu) = read();
    sleep(MEASURED);
    let (to, encoded_then, missed_then, cpu_then) = read();
    let seconds = (to - from).as_secs_f64();
    Rates {
        encoded: (encoded_then - encoded) / seconds,
        missed: (missed_then - missed) / seconds,
        cpu: (cpu_then - cpu) / seconds,
    }
}

#[test]
fn eight_viewers_cost_one_encode_and_eight_sends() {
    let test = "one_encode";
    if !camera::available(test) {
        return;
    }
    let cameras: Vec<Camera> = (1..=2).map(Camera::numbered).collect();
    let urls: Vec<&str> = cameras.iter().map(|camera| camera.url.as_str()).collect();
    let wallcast = Wallcast::start(test, &["run", urls[0], urls[1]]);

    // Nobody watches: nothing is encoded, and the clock goes on.
    sleep(Duration::from_secs(3));
    let idle = measure(&wallcast);
    assert_eq!(idle.encoded, 0.0, "{idle:?}");
    assert!(wallcast.number("/walls/wall/fps") > 24.5);

    let mut viewers = vec![Viewer::join(&wallcast, "wall")];
    sleep(Duration::from_secs(2));
    let one = measure(&wallcast);
    viewers.extend((1..8).map(|_| Viewer::join(&wallcast, "wall")));
    sleep(Duration::from_secs(2));
    let before: Vec<u64> = viewers.iter().map(|viewer| viewer.received().frames).collect();
    let eight = measure(&wallcast);
    let after: Vec<u64> = viewers.iter().map(|viewer| viewer.received().frames).collect();
    common::note!("nobody {idle:?}\none viewer {one:?}\neight viewers {eight:?}");
    assert_eq!(wallcast.number("/clients"), 8.0);

    for rates in [&one, &eight] {
        let ticks = rates.encoded + rates.missed;
        assert!((ticks - 25.0).abs() < 0.5, "found {ticks} ticks a second, expected 25: {rates:?}");
        assert!(rates.encoded > 24.0, "{rates:?}");
    }
    for (viewer, (before, after)) in before.iter().zip(&after).enumerate() {
        let rate = (after - before) as f64 / MEASURED.as_secs_f64();
        assert!(rate >= 0.95 * eight.encoded, "viewer {viewer} got {rate} frames a second of {eight:?}");
        assert!(viewers[viewer].received().key_frames > 0, "viewer {viewer} got nothing to begin with");
    }
    // One more encode would cost `encode`; a viewer must cost a small part of that.
    let encode = wallcast.number("/walls/wall/encode_ms/p50") / 1000.0 * 25.0;
    let per_viewer = (eight.cpu - one.cpu) / 7.0;
    common::note!("an encode {encode:.4} cores, a viewer {per_viewer:.4} cores");
    assert!(per_viewer < encode / 4.0, "a viewer costs {per_viewer} cores, an encode {encode}");
    assert!(idle.cpu < one.cpu, "nobody {idle:?}, one {one:?}");
}

#[test]
fn a_burst_of_key_frame_requests_costs_few_key_frames() {
    let test = "key_frames_are_shared";
    if !camera::available(test) {
        return;
    }
    let camera = Camera::numbered(1);
    let wallcast = Wallcast::start(test, &["run", &camera.url]);
    let _first = Viewer::join(&wallcast, "wall");
    sleep(Duration::from_secs(1));
    let (from, before) = (Instant::now(), wallcast.number("/walls/wall/keyframes"));
    let _viewers: Vec<Viewer> = (0..7).map(|_| Viewer::join(&wallcast, "wall")).collect();
    let seconds = from.elapsed().as_secs_f64();
    let made = wallcast.number("/walls/wall/keyframes") - before;
    // At most one each 500 ms for everybody together, whatever the seven ask for.
    assert!(made <= seconds / 0.5 + 1.0, "{made} key frames in {seconds:.1} s");
    assert!(made >= 1.0);
}
