//! Whether encoders keep within the buffer that viewers are promised: a leaky bucket (ITU-T H.264, section C.1.1) over
//! footage that makes rate control's life hard.
//!
//! Each access unit falls into a bucket from which the bitrate flows. What is in it is what a viewer behind a link of just
//! that bitrate still waits for: its delay. It never holds more than half a second.

use super::testing::config;
use super::{Encode, EncoderChoice, EncoderConfig, open};
use crate::canvas::Canvas;
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

/// From the first access unit on, at each bitrate.
fn check(choice: EncoderChoice) {
    let config = |mbps: u64| config(1920, 1080, FPS, mbps * 1_000_000);
    let mut runs = Vec::new();
    for config in [2, 4, 6].map(config) {
        // FFmpeg may have been built without libx264.
        let Ok(encoder) = open(choice, config) else { return };
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
    check(EncoderChoice::OpenH264);
}

#[test]
fn libx264_never_makes_a_viewer_wait_for_half_a_second() {
    check(EncoderChoice::X264);
}
