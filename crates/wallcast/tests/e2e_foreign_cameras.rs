//! Cameras that we did not write: GStreamer's RTSP server, with its own encoders, payloaders and logins, and real footage behind it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::camera::{self, Camera};
use common::wallcast::{Wallcast, config_file};
use common::watch::{Area, COLUMNS, Sample, Watch};
use common::{footage, wait_until};
use std::thread::sleep;
use std::time::Duration;

/// The background of camera number 3 in `gst_camera.py`: (Cb, Cr).
const THIRD: (f64, f64) = (200.0, 110.0);
const WHOLE: Area = Area { x: 0, y: 0, width: 1920, height: 1080 };

/// What a camera must turn out to be.
struct Expected {
    codec: &'static str,
    resolution: &'static str,
    fps: f64,
}

const FULL_HD: Expected = Expected { codec: "h264", resolution: "1920x1080", fps: 25.0 };

/// A wall of this one camera: it is live soon, at its full rate, and its picture is on the wall, moving.
fn plays(test: &str, url: &str, transport: &str, expected: &Expected) -> Watch {
    let config = format!(
        "
listen: 127.0.0.1:0
cameras: {{ yard: {{ source: '{url}', transport: {transport} }} }}
walls: {{ wall: {{ layout: grid, tiles: [yard] }} }}
"
    );
    let file = config_file(test, &config);
    let wallcast = Wallcast::start(test, &["run", "--config", file.to_str().unwrap()]);
    wallcast.wait_for_state("yard", "live", Duration::from_secs(10));
    let watch = Watch::start(test, &format!("{}/wall", wallcast.rtsp), &[WHOLE]);
    wait_until("three seconds of the wall, moving", Duration::from_secs(20), || {
        let samples = watch.newest(0, Duration::from_secs(3));
        let moving = samples.iter().filter(|sample| sample.change > 0.1).count();
        if samples.len() > 70 && moving > 20 {
            Ok(())
        } else {
            Err(format!("{moving} of {} frames", samples.len()))
        }
    });
    sleep(Duration::from_secs(3)); // fps is over the last 5 s
    let camera = wallcast.stat("/cameras/yard");
    assert_eq!(camera["state"], "live", "{camera}");
    assert_eq!(camera["codec"], expected.codec, "{camera}");
    assert_eq!(camera["resolution"], expected.resolution, "{camera}");
    let fps = camera["fps"].as_f64().unwrap();
    assert!((fps / expected.fps - 1.0).abs() < 0.04, "found {fps} fps, expected {}: {camera}", expected.fps);
    assert_eq!(camera["decode_errors"], 0, "{camera}");
    assert_eq!(camera["reconnects"], 0, "{camera}");
    watch
}

/// The picture on the wall is the pattern of camera number 3: its colour has survived two encodings, and the bar moves.
fn shows_the_pattern(watch: &Watch) {
    let sample = *watch.samples(0).last().unwrap();
    assert!(is_background(&sample, THIRD), "expected {THIRD:?}: {sample:?}");
    assert!(watch.newest(0, Duration::from_secs(1)).iter().any(Sample::moves), "{sample:?}");
}

/// The bar is white, so that it changes luma alone.
fn is_background(sample: &Sample, (cb, cr): (f64, f64)) -> bool {
    (sample.cb - cb).abs() < 4.0 && (sample.cr - cr).abs() < 4.0
}

#[test]
fn h264_by_tcp_plays() {
    let test = "h264_by_tcp";
    if !camera::available(test) {
        return;
    }
    let camera = Camera::start(&["--number", "3"]);
    shows_the_pattern(&plays(test, &camera.url, "tcp", &FULL_HD));
    assert!(camera.events().contains(&"client play tcp".to_owned()), "{:?}", camera.events());
}

#[test]
fn h264_by_udp_plays() {
    let test = "h264_by_udp";
    if !camera::available(test) {
        return;
    }
    let camera = Camera::start(&["--number", "3", "--udp-only"]);
    shows_the_pattern(&plays(test, &camera.url, "udp", &FULL_HD));
    assert!(camera.events().contains(&"client play udp".to_owned()), "{:?}", camera.events());
}

#[test]
fn h265_plays() {
    let test = "h265";
    if !camera::available(test) {
        return;
    }
    let camera = Camera::start(&["--number", "3", "--codec", "h265"]);
    shows_the_pattern(&plays(test, &camera.url, "tcp", &Expected { codec: "h265", ..FULL_HD }));
}

/// A password with everything in it that has a meaning in a URL.
fn answers_a_login(test: &str, auth: &str) {
    if !camera::available(test) {
        return;
    }
    let camera =
        Camera::start(&["--number", "3", "--user", "admin", "--password", "p@ss:w/rd %", "--auth", auth]);
    let url = camera.url_with_login("admin", "p%40ss%3Aw%2Frd%20%25");
    shows_the_pattern(&plays(test, &url, "tcp", &FULL_HD));
}

#[test]
fn a_digest_login_is_answered() {
    answers_a_login("digest_login", "digest");
}

#[test]
fn a_basic_login_is_answered() {
    answers_a_login("basic_login", "basic");
}

/// 768x432 at rates that are not the wall's; the second has B-frames and four seconds between key frames.
#[test]
fn real_footage_plays() {
    for (name, fps) in [("car-detection.mp4", 12.5), ("one-by-one-person-detection.mp4", 10.0)] {
        let test = "real_footage";
        let Some(file) = footage(test, name) else { return };
        if !camera::available(test) {
            return;
        }
        let camera = Camera::start(&["--file", file.to_str().unwrap()]);
        let expected = Expected { codec: "h264", resolution: "768x432", fps };
        let watch = plays(test, &camera.url, "tcp", &expected);
        let sample = *watch.samples(0).last().unwrap();
        assert!(sample.luma > 40.0, "found a dark picture: {sample:?}");
    }
}

#[test]
fn four_foreign_cameras_share_one_wall_each_in_its_tile() {
    let test = "four_foreign_cameras";
    if !camera::available(test) {
        return;
    }
    let cameras: Vec<Camera> = (1..=4).map(Camera::numbered).collect();
    let urls: Vec<&str> = cameras.iter().map(|camera| camera.url.as_str()).collect();
    let config = format!(
        "
listen: 127.0.0.1:0
cameras: {{ a: '{}', b: '{}', c: '{}', d: '{}' }}
walls: {{ wall: {{ layout: columns, tiles: [a, b, c, d] }} }}
",
        urls[0], urls[1], urls[2], urls[3]
    );
    let wallcast = Wallcast::with_config(test, &config);
    for name in ["a", "b", "c", "d"] {
        wallcast.wait_for_state(name, "live", Duration::from_secs(10));
    }
    let middles = COLUMNS.map(|tile| {
        // The strip in the middle is picture whatever the tile's shape: a wide picture in a tall tile leaves black above and below.
        Area { y: tile.y + tile.height / 2 - 60, height: 120, ..tile }
    });
    let watch = Watch::start(test, &format!("{}/wall", wallcast.rtsp), &middles);
    for (tile, background) in [(90.0, 210.0), (60.0, 60.0), THIRD, (150.0, 170.0)].into_iter().enumerate() {
        wait_until(&format!("camera {} in its tile, moving", tile + 1), Duration::from_secs(15), || {
            let samples = watch.newest(tile, Duration::from_secs(1));
            let right = |sample: &&Sample| is_background(sample, background) && sample.moves();
            let fitting = samples.iter().filter(right).count();
            if samples.len() > 20 && fitting * 10 >= samples.len() * 9 {
                Ok(())
            } else {
                Err(format!("expected {background:?}: {:?}", samples.last()))
            }
        });
    }
}
