//! Several walls of the same cameras: each with its own size, rate, bitrate and layout, from one decode of each camera.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::camera::{self, Camera};
use common::process;
use common::viewer::Viewer;
use common::wallcast::Wallcast;
use serde_json::Value;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A wall as it is configured, and where cameras 1 and 2 are on it: samples in the middle of their tiles.
struct Wall {
    name: &'static str,
    size: (u32, u32),
    fps: u32,
    bitrate: f64,
    places: [(u32, u32); 2],
}

const WALLS: [Wall; 3] = [
    Wall { name: "office", size: (1920, 1080), fps: 25, bitrate: 4e6, places: [(480, 540), (1440, 540)] },
    Wall { name: "door", size: (1080, 1920), fps: 15, bitrate: 2e6, places: [(540, 480), (540, 1440)] },
    Wall {
        name: "phone",
        size: (640, 360),
        fps: 60,
        bitrate: 1e6,
        // A picture in a picture: the second camera is the small one.
        places: [(160, 180), (552, 305)],
    },
];

const LAYOUTS: &str = "
walls:
  office: { size: 1920x1080, fps: 25, bitrate: 4M, layout: 2x1, tiles: [cam1, cam2] }
  door: { size: 1080x1920, fps: 15, bitrate: 2M, layout: grid, tiles: [cam1, cam2] }
  phone: { size: 640x360, fps: 60, bitrate: 1M, layout: pip, tiles: [cam1, cam2] }
";

/// Cb and Cr of the numbered cameras' backgrounds (`scripts/cameras/gst_camera.py`).
const BACKGROUNDS: [(f64, f64); 2] = [(90.0, 210.0), (60.0, 60.0)];

#[test]
fn three_walls_of_the_same_cameras_differ_in_everything_and_decode_each_camera_once() {
    let test = "several_walls";
    if !camera::available(test) {
        return;
    }
    let cameras: Vec<Camera> = (1..=2).map(Camera::numbered).collect();
    let config = format!("cameras:\n  cam1: {}\n  cam2: {}\n{LAYOUTS}", cameras[0].url, cameras[1].url);
    let wallcast = Wallcast::with_config(test, &config);
    let viewers: Vec<Viewer> = WALLS.iter().map(|wall| Viewer::join(&wallcast, wall.name)).collect();
    for number in 1..=2 {
        wallcast.wait_for_state(&format!("cam{number}"), "live", Duration::from_secs(20));
    }
    sleep(Duration::from_secs(2));

    let read = || {
        (Instant::now(), wallcast.stats(), viewers.iter().map(|v| v.received().frames).collect::<Vec<_>>())
    };
    let (from, before, frames_before) = read();
    for (i, wall) in WALLS.iter().enumerate() {
        let stream = Stream::read(&format!("{}/{}", wallcast.rtsp, wall.name), 3);
        assert_eq!(stream.size, wall.size, "{}", wall.name);
        // A tick may be moved by 1 ms, to where the cameras' pictures come.
        let fps = f64::from(wall.fps);
        let moved = 0.001 * fps;
        let is_near = (stream.rate / fps - 1.0).abs() <= moved;
        assert!(is_near, "{}: the stream says {}, expected {fps}", wall.name, stream.rate);
        // However busy the machine is, a picture stands at a tick, and not every other tick is left out.
        let ticks: Vec<f64> = stream.steps.iter().map(|step| step * fps).collect();
        let stands = |tick: &f64| (tick - tick.round()).abs() < 0.02 + moved * tick.round();
        assert!(ticks.iter().all(stands), "{}: {ticks:?}", wall.name);
        let next = ticks.iter().filter(|tick| tick.round() == 1.0).count();
        assert!(next > 0, "{}: {ticks:?}", wall.name);
        assert!(viewers[i].received().key_frames > 0);

        // The cameras' white bar sweeps over these places, too.
        common::wait_until("each camera in its place", Duration::from_secs(20), || {
            let picture = picture(&format!("{}/{}", wallcast.rtsp, wall.name), wall.size);
            let found = wall.places.map(|place| chroma(&picture, wall.size, place));
            let is_near = |a: f64, b: f64| (a - b).abs() < 12.0;
            let is_there = |((cb, cr), (found_cb, found_cr)): ((f64, f64), (f64, f64))| {
                is_near(cb, found_cb) && is_near(cr, found_cr)
            };
            let all = BACKGROUNDS.into_iter().zip(found).all(is_there);
            if all { Ok(()) } else { Err(format!("{}: {found:?}", wall.name)) }
        });
    }
    let (to, after, frames_after) = read();
    let seconds = (to - from).as_secs_f64();
    let rate = |pointer: &str| {
        let number = |stats: &Value| {
            stats
                .pointer(pointer)
                .and_then(Value::as_f64)
                .unwrap_or_else(|| panic!("found no {pointer}: {stats}"))
        };
        (number(&after) - number(&before)) / seconds
    };

    for (i, wall) in WALLS.iter().enumerate() {
        let Wall { name, size: (width, height), fps, bitrate, .. } = wall;
        let stats = &after["walls"][name];
        assert_eq!(stats["resolution"], format!("{width}x{height}"), "{stats}");
        assert_eq!(stats["target_fps"].as_f64(), Some(f64::from(*fps)), "{stats}");
        let ticks = rate(&format!("/walls/{name}/ticks")) + rate(&format!("/walls/{name}/ticks_missed"));
        let encoded = rate(&format!("/walls/{name}/frames_encoded"));
        let watched = (frames_after[i] - frames_before[i]) as f64 / seconds;
        common::note!("{name}: {ticks:.2} ticks, {encoded:.2} encoded, {watched:.2} at the viewer, a second");
        assert!(
            (ticks - f64::from(*fps)).abs() < 0.05 * f64::from(*fps) + 0.5,
            "{name}: {ticks} ticks a second"
        );
        assert!(encoded > 0.4 * f64::from(*fps), "{name}: {encoded} encoded a second");
        assert!(watched > 0.9 * encoded - 1.0, "{name}: {watched} of {encoded} a second reached the viewer");
        let found = stats["bitrate_bps"].as_f64().unwrap();
        assert!(found > 0.0 && found < 1.3 * bitrate, "{name}: {found} of {bitrate} b/s");
    }

    // 25 pictures a second each, whatever three walls make of them; and one connection.
    for (number, camera) in (1..).zip(&cameras) {
        let decoded = rate(&format!("/cameras/cam{number}/frames_decoded"));
        common::note!("cam{number}: {decoded:.2} decoded a second");
        assert!(decoded > 12.0 && decoded < 27.0, "cam{number}: {decoded} pictures decoded a second");
        let plays = camera.events().iter().filter(|event| event.starts_with("client play")).count();
        assert_eq!(plays, 1, "cam{number}: {:?}", camera.events());
    }
    let threads = process::threads(wallcast.pid());
    let named = |start: &str| threads.iter().filter(|name| name.starts_with(start)).count();
    assert_eq!((named("decode-"), named("wall-")), (2, 3), "{threads:?}");
}

#[test]
fn a_wall_of_3840x2160_at_60_fps_is_a_valid_stream_of_its_level_however_fast_the_machine_is() {
    let test = "wall_of_2160_rows";
    if !camera::available(test) {
        return;
    }
    let cameras: Vec<Camera> = (1..=2).map(Camera::numbered).collect();
    let config = format!(
        "cameras:\n  cam1: {}\n  cam2: {}\nwalls:\n  wall: {{ size: 3840x2160, fps: 60, bitrate: 20M, layout: 2x2 }}\n",
        cameras[0].url, cameras[1].url
    );
    let wallcast = Wallcast::with_config(test, &config);
    let viewer = Viewer::join(&wallcast, "wall");
    for number in 1..=2 {
        wallcast.wait_for_state(&format!("cam{number}"), "live", Duration::from_secs(20));
    }
    let read = || {
        let wall = wallcast.stat("/walls/wall");
        let number = |key: &str| wall[key].as_f64().unwrap_or_else(|| panic!("found no {key}: {wall}"));
        let frames = viewer.received().frames;
        (
            Instant::now(),
            number("ticks") + number("ticks_missed"),
            number("frames_encoded"),
            frames,
            wall.clone(),
        )
    };
    let (from, ticks, encoded, frames, _) = read();
    sleep(Duration::from_secs(5));
    let (to, ticks_then, encoded_then, frames_then, wall) = read();
    let seconds = (to - from).as_secs_f64();
    let (ticks, encoded) = ((ticks_then - ticks) / seconds, (encoded_then - encoded) / seconds);
    let watched = (frames_then - frames) as f64 / seconds;
    common::note!(
        "{ticks:.1} ticks, {encoded:.1} encoded, {watched:.1} at the viewer, a second; compose {}, encode {}",
        wall["compose_ms"],
        wall["encode_ms"]
    );
    // The clock keeps its time, and what the machine cannot do in time is left out and counted.
    assert!((ticks - 60.0).abs() < 5.0, "{ticks} ticks a second: {wall}");
    assert!(encoded >= 2.0, "{encoded} encoded a second: {wall}");
    assert!(watched > 0.8 * encoded - 1.0, "{watched} of {encoded} a second reached the viewer");

    let url = format!("{}/wall", wallcast.rtsp);
    let stream = Stream::read(&url, 2);
    assert_eq!((stream.size, stream.rate), ((3840, 2160), 60.0));
    assert!(stream.level >= 51, "level {}", stream.level);
    let ticks: Vec<f64> = stream.steps.iter().map(|step| step * 60.0).collect();
    assert!(ticks.iter().all(|tick| (tick - tick.round()).abs() < 0.02), "{ticks:?}");
    // A decoder that is told to end at the first error makes a picture of every access unit.
    let decoded = ffmpeg(
        &["-v", "error", "-xerror", "-err_detect", "explode"],
        &url,
        &["-frames:v", "10", "-f", "null", "-"],
    );
    assert!(
        decoded.status.success() && decoded.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&decoded.stderr)
    );
}

/// What a reader of RTSP finds.
#[derive(Debug)]
struct Stream {
    size: (u32, u32),
    /// Ten times the level of H.264.
    level: u64,
    /// Pictures a second, as its parameter sets say.
    rate: f64,
    /// Seconds from each picture's time to the next one's.
    steps: Vec<f64>,
}

impl Stream {
    /// Reads so many seconds of a wall.
    fn read(url: &str, seconds: u32) -> Self {
        let output = Command::new("ffprobe")
            .args(["-v", "error", "-rtsp_transport", "tcp", "-select_streams", "v"])
            .args(["-read_intervals", &format!("%+{seconds}"), "-of", "json"])
            .args(["-show_entries", "stream=width,height,level,r_frame_rate:packet=pts_time", url])
            .output()
            .expect("ffprobe is installed by scripts/test.sh");
        assert!(output.status.success(), "ffprobe {url}: {}", String::from_utf8_lossy(&output.stderr));
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let stream = &found["streams"][0];
        let number = |key: &str| stream[key].as_u64().unwrap_or_else(|| panic!("found no {key}: {found}"));
        let (pictures, seconds) = stream["r_frame_rate"].as_str().unwrap().split_once('/').unwrap();
        let rate = pictures.parse::<f64>().unwrap() / seconds.parse::<f64>().unwrap();
        let times =
            found["packets"].as_array().unwrap().iter().filter_map(|packet| packet["pts_time"].as_str());
        let times: Vec<f64> = times.map(|time| time.parse().unwrap()).collect();
        let steps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps.len() >= 5, "{url}: {found}");
        Self { size: (number("width") as u32, number("height") as u32), level: number("level"), rate, steps }
    }
}

fn ffmpeg(before: &[&str], url: &str, after: &[&str]) -> Output {
    Command::new("ffmpeg")
        .arg("-nostdin")
        .args(before)
        .args(["-rtsp_transport", "tcp", "-i", url])
        .args(after)
        .output()
        .expect("ffmpeg is installed by scripts/test.sh")
}

/// The first picture that a reader of RTSP gets, as I420.
fn picture(url: &str, (width, height): (u32, u32)) -> Vec<u8> {
    let output =
        ffmpeg(&["-v", "error"], url, &["-frames:v", "1", "-pix_fmt", "yuv420p", "-f", "rawvideo", "-"]);
    assert_eq!(
        output.stdout.len() as u32,
        width * height * 3 / 2,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Cb and Cr around a luma sample, the mean of 8x8 samples.
fn chroma(picture: &[u8], (width, height): (u32, u32), (x, y): (u32, u32)) -> (f64, f64) {
    let mean = |begin: u32| {
        let samples = (0..64).map(|i| begin + (y / 2 - 4 + i / 8) * (width / 2) + x / 2 - 4 + i % 8);
        samples.map(|at| f64::from(picture[at as usize])).sum::<f64>() / 64.0
    };
    let luma = width * height;
    (mean(luma), mean(luma + luma / 4))
}
