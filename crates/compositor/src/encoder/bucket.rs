//! Whether encoders keep within the buffer that viewers are promised: a leaky bucket (ITU-T H.264, section C.1.1) over
//! footage that makes rate control's life hard.
//!
//! Each access unit falls into a bucket from which the bitrate flows. What is in it is what a viewer behind a link of just
//! that bitrate still waits for: its delay. It never holds more than half a second.
//!
//! But where a bitrate is too low for the pictures: there OpenH264 keeps the bitrate with fewer pictures, and with no more
//! key frames than elsewhere.

use super::testing::config;
use super::{Encode, EncoderChoice, EncoderConfig, open};
use crate::canvas::Canvas;
use crate::geometry::FrameRate;
use crate::tick::CanvasTime;

const FPS: u32 = 25;
const TICKS: u64 = 330;
/// A picture wider and higher than the canvas, for a camera to pan over.
const SIDE: usize = 2_048;

/// What cameras see: sharp and soft things of all sizes.
struct Scene(Vec<u8>);

impl Scene {
    fn new(seed: u64) -> Scene {
        let mut state = seed;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as usize
        };
        let mut samples = vec![110u8; SIDE * SIDE];
        for _ in 0..600 {
            let (x, y, shade) = (random() % SIDE, random() % SIDE, (random() % 180 + 30) as u8);
            let (width, height, grain) = (random() % 300 + 8, random() % 200 + 8, random() % 24 + 1);
            for row in y..(y + height).min(SIDE) {
                for column in x..(x + width).min(SIDE) {
                    // Bricks, leaves: a texture of its own in every thing.
                    let texture = ((row * grain) ^ (column * (grain + 3))) % (grain + 4);
                    samples[row * SIDE + column] = shade.saturating_add(texture as u8);
                }
            }
        }
        Scene(samples)
    }

    /// What a camera at `(x, y)` sees of it, in light of `light` of 256.
    fn show(&self, canvas: &mut Canvas, (x, y): (usize, usize), light: u32) {
        let width = canvas.stride(0);
        for (row, samples) in canvas.plane_mut(0).chunks_exact_mut(width).enumerate() {
            let from = &self.0[(row + y) % SIDE * SIDE..][..SIDE];
            for (column, sample) in samples.iter_mut().enumerate() {
                *sample = (16 + u32::from(from[(column + x) % SIDE]) * light / 256) as u8;
            }
        }
        for plane in 1..3 {
            let width = canvas.stride(plane);
            for (row, samples) in canvas.plane_mut(plane).chunks_exact_mut(width).enumerate() {
                let from = &self.0[(2 * row + y) % SIDE * SIDE..][..SIDE];
                for (column, sample) in samples.iter_mut().enumerate() {
                    *sample = (112 + u32::from(from[(2 * column + x) % SIDE]) / plane as u32 % 32) as u8;
                }
            }
        }
    }
}

/// A sensor in the dark: a little noise on every sample, another one at every tick.
fn noise(canvas: &mut Canvas, tick: u64) {
    let mut state = tick + 1;
    for samples in canvas.plane_mut(0).chunks_mut(8) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        for (sample, random) in samples.iter_mut().zip((state ^ state >> 29).to_le_bytes()) {
            *sample = sample.saturating_add(random % 4 + random / 64);
        }
    }
}

/// A slow pan, a cut, a fast pan, a picture that stands still until it is as good as it gets, a cut out of it, night, day.
fn paint(scenes: &[Scene; 2], canvas: &mut Canvas, tick: u64) {
    let t = tick as usize;
    match tick {
        0..75 => scenes[0].show(canvas, (2 * t, t), 256),
        75..130 => scenes[1].show(canvas, (17 * t, 5 * t), 256),
        130..190 => scenes[1].show(canvas, (900, 300), 256),
        190..240 => scenes[0].show(canvas, (5 * t, 2 * t), 256),
        240..300 => {
            scenes[1].show(canvas, (900 + t / 4, 300), 60);
            noise(canvas, tick);
        }
        _ => scenes[0].show(canvas, (3 * t, 700), 256),
    }
}

/// Key frames as a wall sends them: at intervals, and every 500 ms where viewers go on asking.
fn is_asked(tick: u64) -> bool {
    tick % 100 == 20 || [75, 88, 101, 203, 216, 263, 276, 289, 302, 315].contains(&tick)
}

/// An encoder, and what of its access units has not flowed off yet.
struct Run {
    encoder: Box<dyn Encode>,
    config: EncoderConfig,
    held_bits: f64,
    sent_bits: f64,
}

impl Run {
    fn give(&mut self, canvas: &Canvas, tick: u64) {
        let time = CanvasTime::new(tick, self.config.fps);
        let unit = self.encoder.encode(canvas, is_asked(tick), time).expect("encodes");
        let bits = unit.expect("a unit for each canvas").data.len() as f64 * 8.0;
        let bps = f64::from(self.config.bitrate.bps());
        self.sent_bits += bits;
        self.held_bits += bits;
        let seconds = self.held_bits / bps;
        let (name, mbps) = (self.encoder.name(), bps / 1e6);
        assert!(seconds <= 0.5, "{name} at {mbps} Mb/s: {seconds:.3} s are held at tick {tick}");
        self.held_bits = (self.held_bits - bps / f64::from(FPS)).max(0.0);
    }
}

/// From the first access unit on, at each of these Mb/s.
fn check(choice: EncoderChoice, halves: bool, rates: &[u64]) {
    let config = |mbps: u64| config(1920, 1080, FPS, mbps * 1_000_000);
    let mut runs = Vec::new();
    for config in rates.iter().map(|&mbps| config(mbps)) {
        let encoder = match open(choice, config) {
            Ok(mut encoder) => {
                encoder.set_halves(halves);
                encoder
            }
            // FFmpeg may have been built without it.
            Err(_) if choice == EncoderChoice::X264 => return,
            Err(error) => panic!("{error}"),
        };
        runs.push(Run { encoder, config, held_bits: 0.0, sent_bits: 0.0 });
    }
    let scenes = [Scene::new(1), Scene::new(2)];
    let mut canvas = Canvas::black(config(2).size);
    for tick in 0..TICKS {
        paint(&scenes, &mut canvas, tick);
        runs.iter_mut().for_each(|run| run.give(&canvas, tick));
    }
    for run in runs {
        // Small is no virtue: what was promised is used.
        let used = run.sent_bits * f64::from(FPS) / TICKS as f64 / f64::from(run.config.bitrate.bps());
        assert!((0.8..1.05).contains(&used), "{choice} used {used:.2} of {:?}", run.config.bitrate);
    }
}

#[test]
fn openh264_never_makes_a_viewer_wait_for_half_a_second() {
    check(EncoderChoice::OpenH264, false, &[2, 4, 6]);
}

#[test]
fn openh264_in_two_layers_never_makes_a_viewer_wait_for_half_a_second() {
    check(EncoderChoice::OpenH264, true, &[4]);
}

#[test]
fn libx264_never_makes_a_viewer_wait_for_half_a_second() {
    check(EncoderChoice::X264, false, &[2, 4, 6]);
}

/// What came of a part of a run.
#[derive(Debug, Default)]
struct Sent {
    units: u64,
    keys: u64,
    bits: f64,
    /// The most canvases that were left out one after the other.
    left_out: u64,
    leaving_out: u64,
}

impl Sent {
    fn give(&mut self, encoder: &mut dyn Encode, canvas: &Canvas, force_idr: bool, tick: u64) {
        let time = CanvasTime::new(tick, FrameRate::new(FPS).expect("a valid rate"));
        match encoder.encode(canvas, force_idr, time).expect("encodes") {
            Some(unit) => {
                assert!(unit.key || !force_idr, "an asked IDR came at tick {tick}");
                self.units += 1;
                self.keys += u64::from(unit.key);
                self.bits += unit.data.len() as f64 * 8.0;
                self.leaving_out = 0;
            }
            None => self.leaving_out += 1,
        }
        self.left_out = self.left_out.max(self.leaving_out);
    }
}

/// Sharp things under a pan, and every sample noisy: nothing of it can be predicted.
fn paint_hard(scene: &Scene, canvas: &mut Canvas, tick: u64) {
    scene.show(canvas, (9 * tick as usize, 4 * tick as usize), 256);
    noise(canvas, tick);
}

#[test]
fn a_bitrate_that_is_too_low_for_the_pictures_makes_no_storm_of_key_frames() {
    let scene = Scene::new(3);
    let rates = [100_000, 300_000, 1_000_000];
    let mut runs = rates.map(|bps| {
        let encoder = open(EncoderChoice::OpenH264, config(1920, 1080, FPS, bps)).expect("opens");
        (bps as f64, encoder, Sent::default(), Sent::default())
    });
    let mut canvas = Canvas::black(config(1920, 1080, FPS, rates[0]).size);
    for tick in 0..250 {
        paint_hard(&scene, &mut canvas, tick);
        for (_, encoder, first, rest) in &mut runs {
            let sent = if tick < 125 { first } else { rest };
            sent.give(&mut **encoder, &canvas, tick == 0 || tick == 100, tick);
        }
    }
    for (bps, _, first, rest) in runs {
        assert!(first.keys <= 5 && rest.keys <= 1, "two were asked for at {bps} b/s: {first:?} {rest:?}");
        // The coarsest pictures there are, one a second, are more than 100 kb/s.
        let used = rest.bits / 5.0 / bps;
        assert!((0.7..1.5).contains(&used), "used {used:.2} of {bps} b/s: {rest:?}");
        let left_out = first.left_out.max(rest.left_out);
        assert!(left_out <= u64::from(FPS), "{left_out} left out in a row at {bps} b/s");
    }
}

#[test]
fn a_much_lower_bitrate_at_run_time_makes_no_storm_of_key_frames() {
    let scene = Scene::new(4);
    let mut encoder = open(EncoderChoice::OpenH264, config(1920, 1080, FPS, 4_000_000)).expect("opens");
    let low = config(1920, 1080, FPS, 500_000).bitrate;
    let mut canvas = Canvas::black(config(1920, 1080, FPS, 500_000).size);
    let mut seconds: Vec<Sent> = Vec::new();
    for tick in 0..250 {
        if tick == 75 {
            assert!(encoder.set_bitrate(low));
        }
        if tick % u64::from(FPS) == 0 {
            seconds.push(Sent::default());
        }
        scene.show(&mut canvas, (9 * tick as usize, 4 * tick as usize), 256);
        seconds.last_mut().expect("a second").give(&mut *encoder, &canvas, tick == 0 || tick == 50, tick);
    }
    let after = &seconds[3..];
    assert!(after.iter().map(|sent| sent.keys).sum::<u64>() <= 2, "none was asked for: {after:?}");
    assert!(after[0].bits < 1_000_000.0, "the first second: {after:?}");
    for second in &after[2..] {
        assert!((350_000.0..650_000.0).contains(&second.bits), "{second:?} of {after:?}");
    }
    assert!(after.iter().all(|sent| sent.left_out < 5), "pictures keep coming: {after:?}");
}
