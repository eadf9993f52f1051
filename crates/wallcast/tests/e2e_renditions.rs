//! A wall's smaller rendition costs nothing while nobody needs it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::camera::{self, Camera};
use common::viewer::Viewer;
use common::wait_until;
use common::wallcast::Wallcast;
use std::time::Duration;

/// Names of the process's threads, as far as the kernel keeps them.
fn threads(wallcast: &Wallcast) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", wallcast.pid())).unwrap().flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.map(|name| name.trim_end().to_owned()).collect()
}

#[test]
fn a_smaller_rendition_is_told_of_and_not_encoded_for_viewers_who_get_the_walls_own() {
    let test = "renditions_unwanted";
    if !camera::available(test) {
        return;
    }
    let camera = Camera::numbered(1);
    let yaml = format!(
        "listen: 127.0.0.1:0\ncameras: {{ cam: '{}' }}\nwalls: {{ w: {{ renditions: [1080p 3M, 540p 700k] }} }}\n",
        camera.url
    );
    let wallcast = Wallcast::with_config(test, &yaml);
    let viewer = Viewer::join(&wallcast, "w");
    wait_until("some seconds' pictures come", Duration::from_secs(20), || {
        let received = viewer.received();
        if received.frames >= 50 { Ok(()) } else { Err(format!("{received:?}")) }
    });
    let renditions = wallcast.stat("/walls/w/renditions");
    let [own, small] = renditions.as_array().unwrap().as_slice() else { panic!("{renditions}") };
    assert_eq!((&own["name"], &own["resolution"]), (&"1080p".into(), &"1920x1080".into()));
    assert_eq!((&own["target_bps"], &own["running"]), (&3_000_000.into(), &true.into()));
    assert!(own["frames_encoded"].as_u64().unwrap() >= 50, "{own}");
    assert_eq!((&small["name"], &small["resolution"]), (&"540p".into(), &"960x540".into()));
    assert_eq!((&small["target_bps"], &small["running"]), (&700_000.into(), &false.into()));
    assert_eq!((&small["frames_encoded"], &small["encoder"]), (&0.into(), &serde_json::Value::Null));
    assert_eq!(small["scale_ms"]["p99"], 0.0, "nothing was scaled: {small}");
    let threads = threads(&wallcast);
    assert!(threads.iter().any(|name| name == "encode-w"), "{threads:?}");
    assert!(!threads.iter().any(|name| name == "encode-w-540p"), "{threads:?}");
}
