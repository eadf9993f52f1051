//! Which encoder a wall has: by name, by what the machine can, and what is said of one that cannot be had.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::viewer::Viewer;
use common::wait_until;
use common::wallcast::{Wallcast, config_file};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A wall of a camera that nobody answers for.
fn config(encoder: &str) -> String {
    format!(
        "listen: 127.0.0.1:0\ncameras: {{ left: 'rtsp://127.0.0.1:9/' }}\nwalls: {{ lobby: {{ encoder: {encoder} }} }}\n"
    )
}

fn ffmpeg_has_libx264() -> bool {
    let output = Command::new("ffmpeg").args(["-hide_banner", "-encoders"]).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("libx264"))
}

/// No machine has the hardware of both.
fn missing_here() -> &'static str {
    if Path::new("/dev/mpp_service").exists() { "h264_nvenc" } else { "h264_rkmpp" }
}

#[test]
fn an_encoder_that_this_machine_does_not_have_is_named_at_start_with_what_is_missing() {
    let test = "missing_encoder";
    let encoder = missing_here();
    let file = config_file(test, &config(encoder));
    let file = file.to_str().unwrap();
    // The file is right; it may be checked on another machine than the one it is for.
    let checked = Wallcast::run_to_end(test, &["check", file]);
    assert_eq!(checked.code, Some(0), "{}", checked.output);

    let ended = Wallcast::run_to_end(test, &["run", "--config", file]);
    assert_eq!(ended.code, Some(1), "{}", ended.output);
    for words in ["lobby", encoder, "does not open for 1920x1080 at 25 fps", "expected", "`auto`"] {
        assert!(ended.output.contains(words), "expected {words:?} in: {}", ended.output);
    }
    assert!(!ended.output.contains("panicked"), "{}", ended.output);
}

#[test]
fn walls_show_pictures_with_any_encoder_that_there_is_and_stats_name_it() {
    for encoder in ["openh264", "libx264", "auto"] {
        let test = format!("encoder_{encoder}");
        if encoder == "libx264" && !ffmpeg_has_libx264() {
            continue;
        }
        let wallcast = Wallcast::with_config(&test, &config(encoder));
        let named = wallcast.stat("/walls/lobby/encoder");
        let named = named.as_str().unwrap();
        if encoder == "auto" {
            let software = named == "openh264" && wallcast.output().contains("encoding with openh264");
            assert!(software || named.starts_with("h264_"), "{named}: {}", wallcast.output());
        } else {
            assert_eq!(named, encoder);
        }
        let viewer = Viewer::join(&wallcast, "lobby");
        wait_until("pictures come", Duration::from_secs(20), || {
            let received = viewer.received();
            if received.frames >= 3 {
                Ok(())
            } else {
                Err(format!("{} frames with {named}", received.frames))
            }
        });
        assert!(viewer.received().key_frames > 0, "{named}");
    }
}
