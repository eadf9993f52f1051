//! What the tests of all encoders share: canvases to encode, and FFmpeg's decoder to look at what came out.

use super::{Encoded, EncoderConfig};
use crate::canvas::Canvas;
use crate::geometry::{Bitrate, CanvasSize, FrameRate};
use ffmpeg_next::Packet;
use ffmpeg_next::codec::{self, Id, decoder};
use ffmpeg_next::frame::Video;

pub(super) fn config(width: u32, height: u32, fps: u32, bps: u64) -> EncoderConfig {
    EncoderConfig {
        size: CanvasSize::new(width, height).expect("a valid size"),
        fps: FrameRate::new(fps).expect("a valid rate"),
        bitrate: Bitrate::new(bps).expect("a valid bitrate"),
    }
}

/// A canvas with a gradient that moves, and noise on it where `noisy`.
pub(super) fn moving(size: CanvasSize, tick: u64, noisy: bool) -> Canvas {
    let mut canvas = Canvas::black(size);
    let mut state = tick + 1;
    for plane in 0..3 {
        let stride = canvas.stride(plane);
        for (i, sample) in canvas.plane_mut(plane).iter_mut().enumerate() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let noise = if noisy { (state >> 61) as usize } else { 0 };
            *sample = (16 + (i % stride + i / stride + 3 * tick as usize + noise) % 220) as u8;
        }
    }
    canvas
}

/// The pictures of these access units. Fewer if the decoder kept one back: it is not told that the stream ends.
pub(super) fn decode(units: &[Encoded]) -> Vec<Video> {
    let codec = decoder::find(Id::H264).expect("FFmpeg has an H.264 decoder");
    let mut context = codec::Context::new_with_codec(codec);
    context.set_flags(codec::Flags::LOW_DELAY);
    let mut decoder = context.decoder().video().expect("opens");
    let mut pictures = Vec::new();
    for unit in units {
        decoder.send_packet(&Packet::copy(&unit.data)).expect("decodes");
        let mut picture = Video::empty();
        while decoder.receive_frame(&mut picture).is_ok() {
            pictures.push(std::mem::replace(&mut picture, Video::empty()));
        }
    }
    pictures
}

/// Of luma, in decibels.
pub(super) fn psnr(decoded: &Video, canvas: &Canvas) -> f64 {
    let (width, height) = (canvas.size().width() as usize, canvas.size().height() as usize);
    assert_eq!((decoded.width() as usize, decoded.height() as usize), (width, height));
    let rows = decoded.data(0).chunks(decoded.stride(0)).zip(canvas.plane(0).chunks(width));
    let squares: u64 = rows
        .flat_map(|(a, b)| a[..width].iter().zip(b))
        .map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2))
        .sum();
    10.0 * (255.0_f64.powi(2) * (width * height) as f64 / squares.max(1) as f64).log10()
}
