//! Showing cameras in step (`align`): two cameras film one scene with a clock in it, one of them behind 300 ms of network.
//!
//! Both are GStreamer's RTSP server, one pipeline for both clients. A wall shows them side by side, FFmpeg plays the wall,
//! and both clocks are read off every frame.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::camera::{self, Camera};
use common::clocks::Clocks;
use common::relay::Relay;
use common::wallcast::Wallcast;
use common::watch::Area;
use common::{note, wait_until};
use std::thread::sleep;
use std::time::Duration;

const FRAME_MS: i64 = 40;
/// The camera's clock begins anew so often.
const LOOP_MS: i64 = 4_000;
const DELAY: Duration = Duration::from_millis(300);
/// Two tiles of the camera's own size, so that nothing is scaled.
const SIZE: (usize, usize) = (1_280, 360);
const TILES: [Area; 2] =
    [Area { x: 0, y: 0, width: 640, height: 360 }, Area { x: 640, y: 0, width: 640, height: 360 }];
const WATCHED: usize = 25 * 22;

/// By how many milliseconds the second tile is ahead of the first, in each frame in which both clocks can be read.
fn ahead(frames: &[Vec<Option<u32>>]) -> Vec<i64> {
    let both = frames.iter().filter_map(|tiles| Some((i64::from(tiles[0]?), i64::from(tiles[1]?))));
    both.map(|(first, second)| (second - first + LOOP_MS * 3 / 2).rem_euclid(LOOP_MS) - LOOP_MS / 2).collect()
}

/// Plays the wall, and returns the differences sorted.
fn differences(test: &str, align: &str, ready: impl Fn(&Wallcast, &[i64]) -> bool) -> (Vec<i64>, Wallcast) {
    let camera = Camera::start(&["--size", "640x360", "--kbps", "1500", "--marks"]);
    let relay = Relay::start(&camera.url, DELAY);
    let config = format!(
        "
listen: 127.0.0.1:0
cameras:
  near: {{ source: '{}', transport: tcp }}
  far: {{ source: '{}', transport: tcp }}
walls:
  wall:
    size: 1280x360
    {align}
    layout:
      - {{ camera: near, x: 0, y: 0, width: 640, height: 360 }}
      - {{ camera: far, x: 640, y: 0, width: 640, height: 360 }}
",
        camera.url,
        relay.url(&camera.url)
    );
    let wallcast = Wallcast::with_config(test, &config);
    for name in ["near", "far"] {
        wallcast.wait_for_state(name, "live", Duration::from_secs(10));
    }
    let clocks = Clocks::start(test, &format!("{}/wall", wallcast.rtsp), SIZE, &TILES);
    // Until the camera's first sender report, its pictures are ordered by when they arrived.
    wait_until("both clocks, as they stay", Duration::from_secs(40), || {
        let newest = clocks.since(clocks.count().saturating_sub(75));
        let found = ahead(&newest);
        if found.len() >= 70 && ready(&wallcast, &found) { Ok(()) } else { Err(format!("{found:?}")) }
    });
    let first = clocks.count();
    wait_until("the wall to be watched long enough", Duration::from_secs(60), || {
        sleep(Duration::from_millis(200));
        let seen = clocks.count() - first;
        if seen >= WATCHED { Ok(()) } else { Err(format!("{seen} frames")) }
    });
    let frames = clocks.since(first);
    let mut found = ahead(&frames);
    assert!(
        found.len() * 100 >= frames.len() * 99,
        "clocks read in {} of {} frames",
        found.len(),
        frames.len()
    );
    found.sort_unstable();
    (found, wallcast)
}

fn percentile(sorted: &[i64], percent: usize) -> i64 {
    sorted[(sorted.len() * percent).div_ceil(100).saturating_sub(1)]
}

#[test]
fn aligned_tiles_of_one_source_differ_by_one_frame_at_most_though_one_comes_300_ms_later() {
    let test = "aligned";
    if !camera::available(test) {
        return;
    }
    let in_step = |_: &Wallcast, ahead: &[i64]| ahead.iter().all(|ahead| ahead.abs() <= FRAME_MS);
    let (found, wallcast) = differences(test, "align: 200ms", in_step);
    let mut apart: Vec<i64> = found.iter().map(|ahead| ahead.abs()).collect();
    apart.sort_unstable();
    let within = |frames: i64| apart.iter().filter(|apart| **apart <= frames * FRAME_MS).count();
    let (all, equal, one) = (apart.len(), within(0), within(1));
    note!("{all} frames: p99 {} ms apart, equal in {equal}, within one in {one}", percentile(&apart, 99));
    assert!(percentile(&apart, 99) <= FRAME_MS, "{found:?}");

    let wall = wallcast.stat("/walls/wall");
    note!("/stats: align_ms {} skew_ms {} tiles {}", wall["align_ms"], wall["skew_ms"], wall["tiles"]);
    assert!(wall["skew_ms"]["p99"].as_f64().unwrap() <= FRAME_MS as f64, "{wall}");
    // What the slower camera needs, and no more than a picture and a half beyond it.
    assert!((300.0..450.0).contains(&wall["align_ms"].as_f64().unwrap()), "{wall}");
}

/// The proof that the test above can fail.
#[test]
fn tiles_that_are_not_aligned_show_the_300_ms() {
    let test = "not_aligned";
    if !camera::available(test) {
        return;
    }
    let (found, wallcast) = differences(test, "", |_, _| true);
    let median = percentile(&found, 50);
    note!("{} frames: median {median} ms", found.len());
    assert!((-400..=-240).contains(&median), "{found:?}");
    assert_eq!(wallcast.stat("/walls/wall/align_ms"), serde_json::Value::Null);
}
