//! Wrong input of every kind: one clear message, a sensible exit code, and nothing else lost.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::camera::{self, Camera};
use common::rtsp_stub::{Answers, Stub};
use common::viewer::Viewer;
use common::wait_until;
use common::wallcast::{Wallcast, config_file};
use common::watch::{Area, Sample, Watch};
use std::net::TcpListener;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

const RUNTIME_FAILURE: Option<i32> = Some(1);
const CONFIGURATION: Option<i32> = Some(2);

/// `check` and `run` refuse this file, with the same words, all of `expected` among them.
fn is_refused(test: &str, config: &str, expected: &[&str]) {
    let file = config_file(test, config);
    let file = file.to_str().unwrap();
    for arguments in [vec!["check", file], vec!["run", "--config", file]] {
        let ended = Wallcast::run_to_end(test, &arguments);
        assert_eq!(ended.code, CONFIGURATION, "{arguments:?}: {}", ended.output);
        assert!(ended.after < Duration::from_secs(3), "{arguments:?} took {:?}", ended.after);
        for words in expected {
            assert!(ended.output.contains(words), "{arguments:?}: expected {words:?} in: {}", ended.output);
        }
        assert!(!ended.output.contains("panicked"), "{}", ended.output);
    }
}

/// The reason a camera gives for not being live, once its state is not live and it has one.
fn reason(wallcast: &Wallcast, camera: &str) -> String {
    wait_until(&format!("{camera}'s reason"), Duration::from_secs(20), || {
        let found = wallcast.stat(&format!("/cameras/{camera}"));
        assert_ne!(found["state"], "live", "{found}");
        found["reason"].as_str().map(str::to_owned).ok_or(found)
    })
}

/// Two cameras on one wall: the one at this URL, and a good one, which must be live whatever the first does.
fn beside_a_good_camera(test: &str, url: &str) -> (Camera, Wallcast) {
    let good = Camera::numbered(1);
    let config = format!(
        "
listen: 127.0.0.1:0
cameras: {{ bad: '{url}', good: '{}' }}
walls: {{ wall: {{ layout: grid, tiles: [bad, good] }} }}
",
        good.url
    );
    let wallcast = Wallcast::with_config(test, &config);
    wallcast.wait_for_state("good", "live", Duration::from_secs(10));
    (good, wallcast)
}

fn good_camera_is_untouched(wallcast: &Wallcast) {
    let good = wallcast.stat("/cameras/good");
    assert_eq!(good["state"], "live", "{good}");
    assert_eq!(good["reconnects"], 0, "{good}");
    assert!(wallcast.number("/walls/wall/fps") > 24.0);
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    is_refused(
        "unknown_key",
        "cameras: { left: rtsp://192.168.8.101/live }\nwalls:\n  wall:\n    layuot: columns\n    tiles: [left]\n",
        &["layuot", "4"],
    );
}

#[test]
fn a_tile_outside_the_canvas_says_where_and_how_large_the_canvas_is() {
    is_refused(
        "tile_outside",
        "cameras: { left: rtsp://192.168.8.101/live }\nwalls:\n  wall:\n    layout:\n      - { camera: left, x: 1600, y: 0, width: 480, height: 1080 }\n",
        &["wall.yaml:5", "layout[0]", "2080", "1920"],
    );
}

#[test]
fn an_odd_size_is_refused() {
    is_refused(
        "odd_tile",
        "cameras: { left: rtsp://192.168.8.101/live }\nwalls:\n  wall:\n    layout:\n      - { camera: left, x: 0, y: 0, width: 481, height: 1080 }\n",
        &["481", "even"],
    );
    is_refused(
        "odd_canvas",
        "cameras: { left: rtsp://192.168.8.101/live }\nwalls: { wall: { size: 1921x1080, layout: grid, tiles: [left] } }\n",
        &["1921", "even"],
    );
}

#[test]
fn a_name_used_twice_is_refused() {
    is_refused(
        "name_twice",
        "cameras:\n  left: rtsp://192.168.8.101/live\n  left: rtsp://192.168.8.102/live\nwalls: { wall: { layout: grid, tiles: [left] } }\n",
        &["left"],
    );
    // Walls and cameras share one namespace.
    is_refused(
        "name_of_both",
        "cameras:\n  yard: rtsp://192.168.8.101/live\nwalls: { yard: { layout: grid, tiles: [yard] } }\n",
        &["yard"],
    );
}

#[test]
fn every_problem_of_a_file_is_reported_at_once() {
    is_refused(
        "all_problems",
        "listen: nowhere\ncameras: { left: http//broken }\nwalls:\n  wall:\n    fps: 1000\n    size: 1921x1080\n    layout: colums\n    tiles: [left, gate]\n",
        &["nowhere", "1000", "1921", "colums", "gate"],
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    for arguments in [["check", "/no/such/wall.yaml", ""], ["run", "--config", "/no/such/wall.yaml"]] {
        let arguments: Vec<&str> = arguments.into_iter().filter(|argument| !argument.is_empty()).collect();
        let ended = Wallcast::run_to_end("no_file", &arguments);
        assert_eq!(ended.code, CONFIGURATION, "{}", ended.output);
        assert!(ended.output.contains("/no/such/wall.yaml"), "{}", ended.output);
    }
}

#[test]
fn a_good_file_passes_the_check() {
    let file = config_file(
        "good_file",
        "cameras: { left: rtsp://192.168.8.101/live }\nwalls: { wall: { layout: grid, tiles: [left] } }\n",
    );
    let ended = Wallcast::run_to_end("good_file", &["check", file.to_str().unwrap()]);
    assert_eq!(ended.code, Some(0), "{}", ended.output);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for option in ["--listen", "--rtsp-listen", "--webrtc-listen"] {
        let ended = Wallcast::run_to_end("port_taken", &["run", "rtsp://127.0.0.1:9/cam", option, &address]);
        assert_eq!(ended.code, RUNTIME_FAILURE, "{option}: {}", ended.output);
        assert!(ended.output.contains(&address), "{option}: expected {address} in: {}", ended.output);
        assert!(!ended.output.contains("panicked"), "{}", ended.output);
    }
}

#[test]
fn an_ffmpeg_that_is_too_old_is_named_with_the_version_that_is_needed() {
    // libavcodec 59.18.100 is FFmpeg 5.0. A library that is loaded first stands in for it: it answers when it is asked for its
    // version, and nothing else.
    let folder = common::artifacts("ffmpeg_too_old");
    let (source, library) = (folder.join("old.c"), folder.join("libold.so"));
    std::fs::write(&source, "unsigned avcodec_version(void) { return 59 << 16 | 18 << 8 | 100; }\n").unwrap();
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status().unwrap();
    assert!(built.success());
    let preload = [("LD_PRELOAD", library.to_str().unwrap())];
    let ended = Wallcast::run_to_end_with("ffmpeg_too_old", &["demo"], &preload);
    assert_eq!(ended.code, RUNTIME_FAILURE, "{}", ended.output);
    for words in ["found libavcodec 59.18.100", "expected 59.37", "FFmpeg 5.1"] {
        assert!(ended.output.contains(words), "expected {words:?} in: {}", ended.output);
    }
}

#[test]
fn a_host_that_does_not_exist_is_a_reason_and_no_more() {
    let test = "no_such_host";
    if !camera::available(test) {
        return;
    }
    let (_good, wallcast) = beside_a_good_camera(test, "rtsp://no-such-host.invalid/cam");
    let reason = reason(&wallcast, "bad");
    common::note!("{reason}");
    assert!(reason.contains("no-such-host.invalid"), "{reason}");
    good_camera_is_untouched(&wallcast);
}

#[test]
fn a_refused_connection_is_a_reason_and_no_more() {
    let test = "refused";
    if !camera::available(test) {
        return;
    }
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_good, wallcast) = beside_a_good_camera(test, &format!("rtsp://{address}/cam"));
    let reason = reason(&wallcast, "bad");
    common::note!("{reason}");
    assert!(reason.to_lowercase().contains("refused"), "{reason}");
    good_camera_is_untouched(&wallcast);
}

#[test]
fn something_that_is_not_rtsp_is_a_reason_and_no_more() {
    let test = "not_rtsp";
    if !camera::available(test) {
        return;
    }
    let stub = Stub::start(Answers::Ssh);
    let (_good, wallcast) = beside_a_good_camera(test, &format!("rtsp://{}/cam", stub.address));
    common::note!("{}", reason(&wallcast, "bad"));
    good_camera_is_untouched(&wallcast);
}

#[test]
fn a_wrong_password_is_tried_once_a_minute_at_most() {
    let test = "wrong_password";
    if !camera::available(test) {
        return;
    }
    let stub = Stub::start(Answers::Unauthorized);
    let (_good, wallcast) = beside_a_good_camera(test, &format!("rtsp://admin:wrong@{}/cam", stub.address));
    let reason = reason(&wallcast, "bad");
    common::note!("{reason}");
    sleep(Duration::from_secs(55));
    // One attempt: the question without a login, which brings the challenge, and the one with it.
    let requests = stub.requests();
    let with_login =
        requests.iter().filter(|request| request.to_lowercase().contains("\nauthorization:")).count();
    assert_eq!(with_login, 1, "{requests:#?}");
    assert!(stub.connections() <= 2, "{} connections in a minute", stub.connections());
    good_camera_is_untouched(&wallcast);
}

#[test]
fn a_wall_of_dead_cameras_still_serves_its_page_and_black_tiles() {
    let test = "all_dead";
    let urls: Vec<String> = (1..=4).map(|n| format!("rtsp://127.0.0.1:{n}/cam")).collect();
    let mut arguments = vec!["run"];
    arguments.extend(urls.iter().map(String::as_str));
    let wallcast = Wallcast::start(test, &arguments);
    for path in ["/", "/wall/wall", "/livez", "/stats"] {
        assert_eq!(wallcast.get(path).status, 200, "{path}");
    }
    let viewer = Viewer::join(&wallcast, "wall");
    let watch = Watch::start(
        test,
        &format!("{}/wall", wallcast.rtsp),
        &[Area { x: 0, y: 0, width: 1920, height: 1080 }],
    );
    sleep(Duration::from_secs(2));
    let before = viewer.received().frames;
    sleep(Duration::from_secs(8));
    let rate = (viewer.received().frames - before) as f64 / 8.0;
    // One a second is what a wall sends that stands still, and half a second of all whenever a reason changes.
    assert!((0.9..20.0).contains(&rate), "a viewer gets {rate} frames a second");
    let fps = wallcast.number("/walls/wall/fps");
    assert!(fps >= 24.5, "the wall has {fps} ticks a second");
    let samples = watch.samples(0);
    assert!(samples.len() > 8, "{} frames", samples.len());
    assert!(samples.iter().all(Sample::is_black), "{:?}", samples.iter().find(|sample| !sample.is_black()));
    for tile in wallcast.stat("/walls/wall/tiles").as_array().unwrap() {
        assert!(matches!(tile["state"].as_str().unwrap(), "connecting" | "offline"), "{tile}");
    }
}
