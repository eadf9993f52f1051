#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests, which say what they skip")]

use std::{path::Path, process::Command, time::Duration};

use openh264::{decoder::Decoder, formats::YUVSource};
use wallcast_compositor::{
    Bitrate, Canvas, CanvasTime, FrameRate,
    encoder::{EncoderConfig, OpenH264},
};

use super::{
    super::{
        CameraSpec,
        marks::{PictureArea, read_marks},
    },
    *,
};

/// A moment at which many bits of the marks are about to change.
const START: Duration = Duration::from_millis(0x1a0_7fff_f000);

/// What a camera's frames look like after coding: luma, stride, and what they were painted with.
fn coded_frames(spec: CameraSpec, count: u64, mut check: impl FnMut(&[u8], usize, Marks)) {
    let (size, fps) = (spec.size, FrameRate::DEFAULT);
    let mut encoder = OpenH264::new(EncoderConfig { size, fps, bitrate: spec.bitrate }).unwrap();
    let mut decoder = Decoder::new().unwrap();
    let mut picture = TestPicture::new(spec.number(), size);
    let mut canvas = Canvas::black(size);
    for tick in 0..count {
        let time = CanvasTime::new(tick, fps);
        // Mostly as time goes; every fifth picture is of quite another time, so that all the cells change.
        let at =
            START + time.as_duration() + Duration::from_millis(u64::from(tick % 5 == 0) * tick * 987_654_321);
        picture.paint(UNIX_EPOCH + at);
        for plane in 0..3 {
            canvas.plane_mut(plane).copy_from_slice(picture.planes().plane(plane));
        }
        let coded = encoder.encode(&canvas, tick % 50 == 0, time).unwrap().expect("no frame is left out");
        let decoded = decoder.decode(&coded.data).unwrap().expect("a picture for each access unit");
        check(
            decoded.y(),
            decoded.strides().0,
            Marks { camera: spec.number(), millis: at.as_millis() as u32 },
        );
    }
}

fn bilinear(luma: &[u8], stride: usize, from: (usize, usize), to: (usize, usize)) -> Vec<u8> {
    let mut scaled = Vec::with_capacity(to.0 * to.1);
    let place = |index: usize, from: usize, to: usize| {
        let at = ((index as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, from as f64 - 1.0);
        (at as usize, (at as usize + 1).min(from - 1), at.fract())
    };
    for row in 0..to.1 {
        let (top, bottom, down) = place(row, from.1, to.1);
        for column in 0..to.0 {
            let (left, right, across) = place(column, from.0, to.0);
            let between = |row: usize| {
                let sample = |column: usize| f64::from(luma[row * stride + column]);
                sample(left) * (1.0 - across) + sample(right) * across
            };
            scaled.push((between(top) * (1.0 - down) + between(bottom) * down).round() as u8);
        }
    }
    scaled
}

fn whole((width, height): (usize, usize)) -> PictureArea {
    PictureArea { x: 0.0, y: 0.0, width: width as f64, height: height as f64 }
}

#[test]
fn marks_survive_coding_and_scaling_to_every_tile_of_the_reference_layout() {
    for mut spec in CameraSpec::four() {
        for (size, bitrate) in [((1280, 720), 2_000_000), ((1920, 1080), 4_000_000), ((1280, 720), 400_000)] {
            spec.size = CanvasSize::new(size.0, size.1).unwrap();
            spec.bitrate = Bitrate::new(bitrate).unwrap();
            let from = (size.0 as usize, size.1 as usize);
            let mut frame = 0;
            coded_frames(spec, 36, |luma, stride, expected| {
                assert_eq!(read_marks(luma, stride, whole(from)), Some(expected), "{from:?}");
                // Contained in 480x1080 and in 960x540, stretched over 480x1080, and as small as a thumbnail.
                let sizes = [(480, 270), (960, 540), (480, 1080), (320, 180)];
                frame += 1;
                for to in if frame % 7 == 1 { &sizes[..] } else { &sizes[..1] } {
                    let scaled = bilinear(luma, stride, from, *to);
                    assert_eq!(read_marks(&scaled, to.0, whole(*to)), Some(expected), "{from:?} to {to:?}");
                }
            });
        }
    }
}

#[test]
fn the_picture_moves_and_no_two_cameras_look_alike() {
    let size = CanvasSize::new(640, 360).unwrap();
    let mut seen: Vec<Painting> = Vec::new();
    for camera in 1..=4 {
        let mut picture = TestPicture::new(camera, size);
        for millis in [0, 40] {
            picture.paint(UNIX_EPOCH + START + Duration::from_millis(millis));
            let painting = picture.planes().clone();
            for other in &seen {
                // Above the clock: the number and the pattern.
                let upper = ..640 * 190;
                assert_ne!(painting.plane(0)[upper], other.plane(0)[upper]);
            }
            seen.push(painting);
        }
    }
}

#[test]
fn every_size_of_canvas_and_every_number_can_be_painted() {
    for (width, height) in [(64, 64), (64, 2160), (3840, 64), (3840, 2160), (480, 1080), (66, 98)] {
        for camera in [1, 2, 3, 4, 15] {
            let mut picture = TestPicture::new(camera, CanvasSize::new(width, height).unwrap());
            for millis in (0..9_000).step_by(731) {
                picture.paint(UNIX_EPOCH + Duration::from_millis(millis));
            }
        }
    }
}

/// Node reads what OpenH264 made of the pictures; without Node there is nothing to compare with.
#[test]
fn the_javascript_reader_agrees() {
    if Command::new("node").arg("--version").output().is_err() {
        eprintln!("skipped: there is no node");
        return;
    }
    let frames = std::env::temp_dir().join(format!("wallcast-marks-{}", std::process::id()));
    std::fs::create_dir_all(&frames).unwrap();
    for spec in CameraSpec::four() {
        coded_frames(spec, 3, |luma, stride, Marks { camera, millis }| {
            let scaled = bilinear(luma, stride, (1280, 720), (480, 270));
            let full_range = |sample: u8| ((f64::from(sample) - 16.0) * 255.0 / 219.0).round() as u8;
            let rgba: Vec<u8> =
                scaled.iter().flat_map(|&y| [full_range(y), full_range(y), full_range(y), 255]).collect();
            std::fs::write(frames.join(format!("{camera}-{millis}-480-270.rgba")), rgba).unwrap();
        });
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/e2e/marks.test.mjs");
    let output =
        Command::new("node").arg("--test").arg(script).env("MARKS_FRAMES", &frames).output().unwrap();
    std::fs::remove_dir_all(&frames).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
