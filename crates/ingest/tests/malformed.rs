//! Ten thousand damaged access units of real streams, and everything that the fuzz targets ever found: nothing of it ends the
//! process, takes memory without end, or keeps the next good key frame from being decoded.
//!
//! The damage is the same in every run. `WALLCAST_MALFORMED_SEED=n` tries another; a failure says which one it was.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may end at the first surprise")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wallcast_ingest::Frame;
use wallcast_ingest::fuzzing::{Decoding, TARGETS, access_units};

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("fixtures/", $name)).as_slice()
    };
}

/// Damaged access units between two good groups.
const RUN: usize = 20;
/// Good groups until a picture must be there: a decoder that was told to reorder sixteen pictures, or was over its budget of CPU
/// time, needs some.
const GROUPS: usize = 8;

/// splitmix64: numbers that are the same on every machine for ever.
struct Random(u64);

impl Random {
    fn seeded(salt: u64) -> (Self, u64) {
        let seed = std::env::var("WALLCAST_MALFORMED_SEED").map_or(1, |seed| seed.parse().unwrap());
        (Self(seed << 32 | salt), seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ number >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// Damages a coded picture in one of the ways that networks, cameras and strangers do.
    fn damage(&mut self, unit: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(unit.len());
        // Headers are small and matter most.
        let early = self.below(unit.len().min(64));
        let length = 1 + self.below(unit.len().min(200));
        let end = (at + length).min(unit.len());
        match self.below(11) {
            0..=2 => unit[at] ^= 1 << self.below(8),
            3..=4 => unit[early] ^= 1 << self.below(8),
            5 => unit[early] = self.next() as u8,
            6 => unit.truncate(at.max(1)),
            7 => drop(unit.drain(at..end)),
            8 => drop(unit.splice(at..at, unit[at..end].to_vec())),
            9 => drop(unit.splice(at..end, (0..length).map(|_| self.next() as u8).collect::<Vec<_>>())),
            _ => {
                let from = self.below(other.len());
                drop(unit.splice(at.., other[from..].iter().copied()));
            }
        }
        if unit.is_empty() {
            unit.push(0);
        }
    }
}

/// Resident memory of this process in bytes.
fn memory() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn luma(frame: &Frame) -> Vec<u8> {
    let rows = frame.plane(0).chunks(frame.stride(0));
    rows.flat_map(|row| row[..frame.width() as usize].iter().copied()).collect()
}

/// A camera of 25 a second.
struct Camera {
    decoding: Decoding,
    now: Instant,
    errors: u64,
    refused: u64,
}

impl Camera {
    fn new(codec: &str) -> Self {
        Self { decoding: Decoding::open(codec), now: Instant::now(), errors: 0, refused: 0 }
    }

    fn send(&mut self, unit: &[u8]) -> Vec<Arc<Frame>> {
        self.now += Duration::from_millis(40);
        let outcome = self.decoding.decode(unit, self.now);
        self.errors += u64::from(outcome.errors);
        self.refused += u64::from(outcome.refused.is_some());
        outcome.frames
    }
}

/// Sends `count` damaged access units of the streams, and a good group of the first one after every few.
fn check(codec: &str, streams: &[&[u8]], count: usize) {
    let streams: Vec<Vec<Vec<u8>>> = streams.iter().map(|stream| access_units(codec, stream)).collect();
    let good = &streams[0];
    let key_frame = luma(&Camera::new(codec).send(&good[0])[0]);
    let (mut random, seed) = Random::seeded(count as u64);
    let (mut camera, before, mut most) = (Camera::new(codec), memory(), 0);
    for run in 0..count / RUN {
        for _ in 0..RUN {
            let stream = &streams[random.below(streams.len())];
            // Half of them key frames, which carry the parameter sets.
            let choice = if random.below(2) == 0 { 0 } else { random.below(stream.len()) };
            let mut unit = stream[choice].clone();
            let other = &stream[random.below(stream.len())];
            (0..=random.below(4)).for_each(|_| random.damage(&mut unit, other));
            camera.send(&unit);
        }
        most = most.max(memory().saturating_sub(before));
        let group = good.iter().cycle().take(good.len() * GROUPS);
        let is_back = group.into_iter().any(|unit| {
            let frames = camera.send(unit);
            frames.iter().any(|frame| luma(frame) == key_frame)
        });
        assert!(is_back, "{codec}: no picture after run {run} of seed {seed}");
        // As a new session would: what a decoder has been told must not help or hurt for ever.
        if run % 10 == 9 {
            camera = Camera { decoding: Decoding::open(codec), ..camera };
        }
    }
    let (errors, refused) = (camera.errors, camera.refused);
    println!("{codec}: {errors} errors, {refused} refused, at most {} MB more than before", most >> 20);
    assert!(errors > count as u64 / 20, "{codec}: the damage does damage: {errors}");
    assert!(most < 512 << 20, "{codec}: {} MB more than before", most >> 20);
}

#[test]
fn damaged_h264_is_survived_and_the_next_key_frame_is_decoded() {
    check(
        "h264",
        &[
            fixture!("baseline.h264"),
            fixture!("bframes.h264"),
            fixture!("high422-10bit.h264"),
            fixture!("refresh.h264"),
        ],
        4_000,
    );
}

#[test]
fn damaged_h265_is_survived_and_the_next_key_frame_is_decoded() {
    check("h265", &[fixture!("plain.h265"), fixture!("bframes.h265")], 4_000);
}

#[test]
fn damaged_jpeg_is_survived_and_the_next_picture_is_decoded() {
    check("jpeg", &[fixture!("yuv420.jpg"), fixture!("yuv422.jpg"), fixture!("gray.jpg")], 2_000);
}

/// A thousand times the NAL units a picture may have, in an access unit that is small enough.
#[test]
fn an_access_unit_of_a_million_nal_units_takes_no_memory() {
    let before = memory();
    for nal in [&[0, 0, 1, 0x61][..], &[0, 0, 1, 0x06], &[0, 0, 1, 0x67]] {
        let mut camera = Camera::new("h264");
        camera.send(&nal.repeat(1 << 20));
        assert_eq!(camera.refused, 1);
    }
    assert!(memory().saturating_sub(before) < 100 << 20);
}

/// Seeds of the fuzz targets, and what they crashed on once (`scripts/fuzz.sh` says how to add one).
#[test]
fn every_seed_and_every_crash_is_survived() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    for (name, target) in TARGETS {
        let mut replayed = 0;
        for folder in ["seeds", "fixed"] {
            let Ok(entries) = std::fs::read_dir(fuzz.join(folder).join(name)) else { continue };
            for entry in entries {
                target(&std::fs::read(entry.unwrap().path()).unwrap());
                replayed += 1;
            }
        }
        assert!(replayed > 0, "found no seeds of the fuzz target {name} in {}", fuzz.display());
    }
}
