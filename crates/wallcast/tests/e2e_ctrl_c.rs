//! Ctrl-C ends everything within 5 s, and the cameras are told.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::camera::{self, Camera};
use common::rtsp_stub::{Answers, Stub};
use common::viewer::Viewer;
use common::wallcast::Wallcast;
use common::{signal, wait_until};
use std::net::TcpListener;
use std::thread::sleep;
use std::time::{Duration, Instant};

#[test]
fn one_signal_ends_everything_within_5_s_and_tells_the_cameras() {
    let test = "ctrl_c";
    if !camera::available(test) {
        return;
    }
    for name in ["INT", "TERM"] {
        let cameras: Vec<Camera> = (1..=3).map(Camera::numbered).collect();
        let stub = Stub::start(Answers::Nothing);
        let deaf = format!("rtsp://{}/cam", stub.address);
        let mut arguments = vec!["run", &deaf];
        arguments.extend(cameras.iter().map(|camera| camera.url.as_str()));
        let mut wallcast = Wallcast::start(test, &arguments);
        for camera in &cameras {
            wait_until("a camera to be played", Duration::from_secs(10), || {
                let events = camera.events();
                if events.iter().any(|event| event.starts_with("client play")) {
                    Ok(())
                } else {
                    Err(format!("{events:?}"))
                }
            });
        }
        let _viewers = [Viewer::join(&wallcast, "wall"), Viewer::join(&wallcast, "wall")];
        let address = wallcast.http.trim_start_matches("http://").to_owned();

        signal(wallcast.pid(), name);
        let started = Instant::now();
        let status =
            wallcast.end(Duration::from_secs(5)).unwrap_or_else(|| panic!("running 5 s after SIG{name}"));
        common::note!("SIG{name}: ended after {:?}", started.elapsed());
        assert_eq!(status.code(), Some(0), "{status}");
        for camera in &cameras {
            wait_until("TEARDOWN", Duration::from_secs(1), || {
                let events = camera.events();
                if events.contains(&"client teardown".to_owned()) {
                    Ok(())
                } else {
                    Err(format!("{events:?}"))
                }
            });
        }
        TcpListener::bind(address).expect("its port is free again");
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let test = "ctrl_c_twice";
    if !camera::available(test) {
        return;
    }
    let camera = Camera::numbered(1);
    let mut wallcast = Wallcast::start(test, &["run", &camera.url]);
    let _viewer = Viewer::join(&wallcast, "wall");
    // A camera that does not answer TEARDOWN: the gentle way takes its time.
    signal(camera.pid(), "STOP");
    wallcast.interrupt();
    sleep(Duration::from_millis(50));
    if wallcast.end(Duration::ZERO).is_some() {
        return; // gentler than a second signal could be
    }
    wallcast.interrupt();
    let started = Instant::now();
    assert!(wallcast.end(Duration::from_secs(1)).is_some(), "running 1 s after the second signal");
    common::note!("ended {:?} after the second signal", started.elapsed());
}

#[test]
fn a_signal_while_nothing_is_connected_ends_it_at_once() {
    let mut wallcast = Wallcast::start("ctrl_c_alone", &["run", "rtsp://127.0.0.1:9/cam"]);
    wallcast.interrupt();
    let status =
        wallcast.end(Duration::from_secs(2)).expect("running 2 s after SIGINT with nothing connected");
    assert_eq!(status.code(), Some(0));
}
