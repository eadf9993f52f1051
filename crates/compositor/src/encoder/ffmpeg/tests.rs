//! What comes out of libx264 through FFmpeg, read by FFmpeg's decoder and by a parser of parameter sets. Where FFmpeg was
//! built without libx264 there is nothing to test.

use super::super::sps::Sps;
use super::super::{annex_b, testing};
use super::*;
use crate::geometry::{CanvasSize, FrameRate};
use testing::{config, moving};

fn x264(config: EncoderConfig) -> Option<Ffmpeg> {
    match Ffmpeg::new(EncoderChoice::X264, config) {
        Err(FfmpegError::NotBuilt { .. }) => None,
        opened => Some(opened.expect("opens")),
    }
}

fn types(data: &[u8]) -> Vec<u8> {
    let kinds = annex_b::nal_units(data).map(|nal| annex_b::kind(&data[nal]));
    // x264 tells in an SEI (6) what it is, once.
    kinds.filter(|&kind| kind != 6).collect()
}

fn encode(encoder: &mut Ffmpeg, tick: u64, force_idr: bool) -> Encoded {
    let canvas = moving(encoder.config.size, tick, false);
    let time = CanvasTime::new(tick, encoder.config.fps);
    encoder.encode(&canvas, force_idr, time).expect("encodes").expect("one canvas in, one access unit out")
}

#[test]
fn the_stream_is_constrained_baseline_of_an_honest_level_in_bt709() {
    for ((width, height), fps, bps, level_idc) in [
        ((1920, 1080), 25, 4_000_000, 40),
        ((1080, 1920), 60, 4_000_000, 42),
        ((640, 360), 25, 1_000_000, 30),
        ((64, 64), 1, 50_000, 10),
        ((3840, 2160), 60, 20_000_000, 52),
    ] {
        let config = config(width, height, fps, bps);
        let Some(mut encoder) = x264(config) else { return };
        let expected = Sps {
            profile_idc: 66,
            constraint_sets: [true, true, false, false, false, false],
            level_idc,
            max_num_ref_frames: 1,
            width,
            height,
            colour: Some((false, 1, 1, 1)),
            max_num_reorder_frames: Some(0),
        };
        assert_eq!(Sps::first_of(&encode(&mut encoder, 0, false).data), expected);
    }
}

#[test]
fn parameter_sets_precede_every_idr_and_only_those() {
    let Some(mut encoder) = x264(config(320, 240, 25, 500_000)) else { return };
    for tick in 0..60 {
        let forced = tick == 7 || tick == 30;
        // A cut at 20 is not a reason for an IDR.
        let shown = if tick < 20 { tick } else { tick + 1_000 };
        let canvas = moving(encoder.config.size, shown, false);
        let time = CanvasTime::new(tick, encoder.config.fps);
        let unit = encoder.encode(&canvas, forced, time).expect("encodes").expect("a unit");
        assert_eq!(unit.key, forced || tick == 0, "tick {tick}");
        assert_eq!(types(&unit.data), if unit.key { vec![7, 8, 5] } else { vec![1] }, "tick {tick}");
    }
}

#[test]
fn what_is_encoded_decodes_to_the_same_picture() {
    let Some(mut encoder) = x264(config(322, 178, 25, 2_000_000)) else { return };
    let units: Vec<Encoded> = (0..20).map(|tick| encode(&mut encoder, tick, tick == 9)).collect();
    let decoded = testing::decode(&units);
    assert_eq!(decoded.len(), units.len(), "each access unit is one picture, and none waits for another");
    for (tick, picture) in (0..).zip(&decoded) {
        let psnr = testing::psnr(picture, &moving(encoder.config.size, tick, false));
        assert!(psnr > 30.0, "{psnr:.1} dB at tick {tick}");
    }
}

#[test]
fn another_bitrate_is_kept_from_then_on_without_an_idr() {
    let rates = [1_000_000, 2_000_000, 1_000_000];
    let Some(mut encoder) = x264(config(640, 360, 25, rates[0])) else { return };
    for (part, bps) in (0..).zip(rates) {
        let bitrate = Bitrate::new(bps).expect("a valid bitrate");
        assert!(part == 0 || encoder.set_bitrate(bitrate), "{bps} b/s");
        let mut bits = 0;
        for tick in part * 100..part * 100 + 100 {
            let canvas = moving(encoder.config.size, tick, true);
            let time = CanvasTime::new(tick, encoder.config.fps);
            let unit = encoder.encode(&canvas, false, time).expect("encodes").expect("a unit");
            assert_eq!(unit.key, tick == 0, "tick {tick}");
            // The first second is the rate control's to find its way.
            bits += if tick % 100 < 25 { 0 } else { unit.data.len() as u64 * 8 };
        }
        let settled = bits / 3;
        assert!((bps * 8 / 10..bps * 12 / 10).contains(&settled), "{settled} b/s instead of {bps}");
    }
    assert!(!encoder.set_bitrate(Bitrate::new(10_000_001).expect("valid")), "level 3.0 goes not so far");
}

#[test]
fn a_canvas_of_another_size_is_refused() {
    let Some(mut encoder) = x264(config(320, 240, 25, 500_000)) else { return };
    let other = CanvasSize::new(322, 240).expect("a valid size");
    let error = encoder.encode(&Canvas::black(other), false, CanvasTime::new(0, FrameRate::DEFAULT));
    assert_eq!(error.expect_err("refused").to_string(), "found a canvas of 322x240, expected 320x240");
}

#[test]
fn an_option_that_an_encoder_does_not_know_is_found_out() {
    let Some(found) = encoder::find_by_name("libx264") else { return };
    let mut context = codec::Context::new_with_codec(found).encoder().video().expect("a context");
    assert!(ffi::set_option(&mut context, "preset", "superfast").is_ok());
    assert!(matches!(ffi::set_option(&mut context, "low_power", "1"), Err(Error::OptionNotFound)));
    assert!(ffi::set_option(&mut context, "aq-mode", "purple").is_err());
}

#[test]
fn every_encoder_that_this_ffmpeg_was_built_with_knows_the_options_that_it_must() {
    for choice in EncoderChoice::ALL {
        let Some(family) = Family::of(choice) else { continue };
        let Some(found) = encoder::find_by_name(family.name) else { continue };
        let mut context = codec::Context::new_with_codec(found).encoder().video().expect("a context");
        for (option, value) in family.required.iter().chain(family.attempts.iter().copied().flatten()) {
            let set = ffi::set_option(&mut context, option, value);
            assert!(set.is_ok(), "{choice} {option}={value}: {set:?}");
        }
    }
}
