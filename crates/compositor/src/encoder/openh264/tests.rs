//! What comes out of the encoder, read by FFmpeg's decoder and by a parser of parameter sets.

use super::super::annex_b;
use super::super::sps::Sps;
use super::super::testing::{self, config, moving};
use super::*;
use crate::geometry::{Bitrate, CanvasSize, FrameRate};

fn types(data: &[u8]) -> Vec<u8> {
    annex_b::nal_units(data).map(|nal| annex_b::kind(&data[nal])).collect()
}

fn encode(encoder: &mut OpenH264, tick: u64, force_idr: bool) -> Encoded {
    let canvas = moving(encoder.config.size, tick, false);
    let time = CanvasTime::new(tick, encoder.config.fps);
    encoder.encode(&canvas, force_idr, time).expect("encodes").expect("nothing is skipped")
}

#[test]
fn the_stream_is_constrained_baseline_of_an_honest_level_in_bt709() {
    let check_with = |config: EncoderConfig, level_idc: u32, halves: bool| {
        let mut encoder = OpenH264::new(config).expect("opens");
        encoder.set_halves(halves);
        let first = encode(&mut encoder, 0, false);
        let sps = Sps::first_of(&first.data);
        let expected = Sps {
            profile_idc: 66,
            constraint_sets: [true, true, false, false, false, false],
            level_idc,
            max_num_ref_frames: 1,
            width: config.size.width(),
            height: config.size.height(),
            colour: Some((false, 1, 1, 1)),
            max_num_reorder_frames: Some(0),
        };
        assert_eq!(sps, expected);
        assert_eq!(u32::from(encoder.level().idc()), level_idc);
    };
    let check = |config, level_idc| [false, true].map(|halves| check_with(config, level_idc, halves));
    check(config(1920, 1080, 25, 4_000_000), 40);
    check(config(1080, 1920, 60, 4_000_000), 42);
    check(config(1280, 720, 25, 4_000_000), 31);
    check(config(640, 360, 25, 1_000_000), 30);
    check(config(64, 64, 1, 50_000), 10);
    check(config(3840, 2160, 30, 20_000_000), 51);
    check(config(2160, 3840, 60, 20_000_000), 52);
}

#[test]
fn parameter_sets_precede_every_idr_and_only_those() {
    let mut encoder = OpenH264::new(config(320, 240, 25, 500_000)).expect("opens");
    for tick in 0..40 {
        let forced = tick == 7 || tick == 30;
        let unit = encode(&mut encoder, tick, forced);
        assert_eq!(unit.key, forced || tick == 0, "tick {tick}");
        assert_eq!(types(&unit.data), if unit.key { vec![7, 8, 5] } else { vec![1] }, "tick {tick}");
    }
}

#[test]
fn what_is_encoded_decodes_to_the_same_picture() {
    let mut encoder = OpenH264::new(config(322, 178, 25, 2_000_000)).expect("opens");
    let units: Vec<Encoded> = (0..20).map(|tick| encode(&mut encoder, tick, tick == 9)).collect();
    let decoded = testing::decode(&units);
    assert_eq!(decoded.len(), units.len(), "each access unit is one picture, and none waits for another");
    for (tick, picture) in (0..).zip(&decoded) {
        let psnr = testing::psnr(picture, &moving(encoder.config.size, tick, false));
        assert!(psnr > 30.0, "{psnr:.1} dB at tick {tick}");
    }
}

#[test]
fn the_bitrate_is_kept_and_key_frames_stay_small_on_a_noisy_picture() {
    let bps = 1_000_000;
    let mut encoder = OpenH264::new(config(640, 360, 25, bps)).expect("opens");
    let mut sizes = Vec::new();
    for tick in 0..250 {
        let canvas = moving(encoder.config.size, tick, true);
        let time = CanvasTime::new(tick, encoder.config.fps);
        let unit =
            encoder.encode(&canvas, tick % 100 == 0, time).expect("encodes").expect("nothing is skipped");
        sizes.push((unit.key, unit.data.len() as u64 * 8));
    }
    // The first second is the rate control's to find its way.
    let settled: u64 = sizes[25..].iter().map(|&(_, bits)| bits).sum::<u64>() / 9;
    assert!((bps * 8 / 10..bps * 12 / 10).contains(&settled), "{settled} b/s");
    let largest =
        sizes.iter().skip(1).filter(|&&(key, _)| key).map(|&(_, bits)| bits).max().expect("key frames");
    assert!(largest < bps / 2, "a key frame of {largest} bits is more than half a second's");
}

#[test]
fn a_canvas_of_another_size_is_refused() {
    let mut encoder = OpenH264::new(config(320, 240, 25, 500_000)).expect("opens");
    let other = CanvasSize::new(322, 240).expect("a valid size");
    let error = encoder.encode(&Canvas::black(other), false, CanvasTime::new(0, FrameRate::DEFAULT));
    assert_eq!(error.expect_err("refused").to_string(), "found a canvas of 322x240, expected 320x240");
}

#[test]
fn a_canvas_that_was_handed_on_is_refused_and_not_read() {
    let mut encoder = OpenH264::new(config(320, 240, 25, 500_000)).expect("opens");
    let mut canvas = Canvas::black(encoder.config.size);
    drop(canvas.take());
    let error = encoder.encode(&canvas, false, CanvasTime::new(0, FrameRate::DEFAULT)).expect_err("refused");
    let source = std::error::Error::source(&error).expect("has a reason").to_string();
    assert_eq!(source, "found a canvas with [0, 0, 0] samples in its planes, expected those of 320x240");
    encode(&mut encoder, 1, false);
}

#[test]
fn every_target_of_every_bitrate_can_be_set() {
    for config in
        [config(64, 64, 1, 50_000), config(1920, 1080, 25, 50_000), config(1920, 1080, 60, 50_000_000)]
    {
        let mut encoder = OpenH264::new(config).expect("opens");
        for part in [50, 80, 108, 50, 108] {
            let target = config.bitrate.bps() / 100 * part;
            assert_eq!(encoder.raw.set_bitrate(target, most(config.bitrate)), Ok(()), "{part} of {config:?}");
        }
    }
}

#[test]
fn another_bitrate_is_kept_from_then_on_without_an_idr() {
    let bps = [1_000_000, 2_000_000, 1_000_000];
    let mut encoder = OpenH264::new(config(640, 360, 25, bps[0])).expect("opens");
    for (part, bps) in bps.into_iter().enumerate() {
        let bitrate = Bitrate::new(bps).expect("a valid bitrate");
        assert!(part == 0 || encoder.set_bitrate(bitrate), "{bps} b/s");
        let mut bits = 0;
        for tick in part as u64 * 100..part as u64 * 100 + 100 {
            let canvas = moving(encoder.config.size, tick, true);
            let time = CanvasTime::new(tick, encoder.config.fps);
            let unit = encoder.encode(&canvas, false, time).expect("encodes").expect("nothing is skipped");
            assert_eq!(unit.key, tick == 0, "tick {tick}");
            // The first second is the rate control's to find its way.
            bits += if tick % 100 < 25 { 0 } else { unit.data.len() as u64 * 8 };
        }
        let settled = bits / 3;
        assert!((bps * 8 / 10..bps * 12 / 10).contains(&settled), "{settled} b/s instead of {bps}");
    }
}

#[test]
fn a_bitrate_that_needs_a_higher_level_takes_a_new_encoder() {
    let mut encoder = OpenH264::new(config(640, 360, 25, 1_000_000)).expect("opens");
    encode(&mut encoder, 0, false);
    let bitrate = |bps| Bitrate::new(bps).expect("a valid bitrate");
    assert!(encoder.set_bitrate(bitrate(10_000_000)), "level 3.0 goes so far");
    assert!(!encoder.set_bitrate(bitrate(10_000_001)));
    assert_eq!(encoder.level().idc(), 30);
}

#[test]
fn a_canvas_in_slices_is_one_picture_after_the_other_as_well() {
    let config = config(640, 368, 25, 1_000_000);
    let mut encoder = OpenH264::with_threads(config, 3).expect("opens");
    let units: Vec<Encoded> = (0..20).map(|tick| encode(&mut encoder, tick, tick == 9)).collect();
    for (tick, unit) in units.iter().enumerate() {
        let expected = if unit.key { vec![7, 8, 5, 5, 5] } else { vec![1, 1, 1] };
        assert_eq!((types(&unit.data), unit.key), (expected, tick == 0 || tick == 9), "tick {tick}");
    }
    let decoded = testing::decode(&units);
    assert_eq!(decoded.len(), units.len());
    for (tick, picture) in (0..).zip(&decoded) {
        let psnr = testing::psnr(picture, &moving(config.size, tick, false));
        assert!(psnr > 30.0, "{psnr:.1} dB at tick {tick}");
    }
}

#[test]
fn a_cut_out_of_a_standing_picture_does_not_take_seconds_to_send() {
    let config = config(640, 360, 25, 300_000);
    let mut encoder = OpenH264::new(config).expect("opens");
    let mut units = Vec::new();
    for tick in 0..100 {
        // It stands still until it is as good as it gets.
        let shown = if tick < 60 { 0 } else { 500 + tick };
        let canvas = moving(config.size, shown, tick >= 60);
        let time = CanvasTime::new(tick, config.fps);
        let unit = encoder.encode(&canvas, false, time).expect("encodes");
        assert!(tick > 60 || unit.is_some(), "tick {tick}");
        // Of the noise behind the cut there is too much for this bitrate: not every canvas of it comes out.
        units.extend(unit);
    }
    let cut = &units[60];
    assert!(cut.data.len() * 8 < 150_000, "{} bits", cut.data.len() * 8);
    assert!(cut.key, "what is encoded again refers to nothing that viewers have not seen");
    assert_eq!(units.iter().filter(|unit| unit.key).count(), 2, "the first one and the cut");
    assert_eq!(testing::decode(&units).len(), units.len());
}

/// Whether no other picture refers to it: nal_ref_idc of its slices (ITU-T H.264, section 7.4.1).
fn is_disposable(unit: &Encoded) -> bool {
    annex_b::nal_units(&unit.data).all(|nal| unit.data[nal][0] & 0x60 == 0)
}

#[test]
fn every_second_picture_can_be_left_out_from_the_idr_on_that_follows_the_wish() {
    let mut encoder = OpenH264::with_threads(config(322, 178, 25, 300_000), 2).expect("opens");
    let mut units = Vec::new();
    for tick in 0..50 {
        match tick {
            5 => encoder.set_halves(true),
            30 => encoder.set_halves(false),
            _ => {}
        }
        let idr = [8, 21, 41].contains(&tick);
        units.push(encode(&mut encoder, tick, idr));
        assert_eq!(units.last().map(|unit| unit.key), Some(idr || tick == 0), "tick {tick}");
    }
    let found: Vec<usize> = (0..50).filter(|&tick| is_disposable(&units[tick])).collect();
    let expected: Vec<usize> = (9..21).step_by(2).chain((22..41).step_by(2)).collect();
    assert_eq!(found, expected);
}

/// The luma of each picture as OpenH264's decoder, which is that of Firefox, shows them.
fn decode_by_openh264(units: &[&Encoded]) -> Vec<Vec<u8>> {
    use openh264::formats::YUVSource;
    let mut decoder = openh264::decoder::Decoder::new().expect("opens");
    let mut picture = |unit: &&Encoded| {
        let picture = decoder.decode(&unit.data).expect("decodes").expect("a picture for each unit");
        let ((width, height), (stride, ..)) = (picture.dimensions(), picture.strides());
        picture.y().chunks(stride).take(height).flat_map(|row| &row[..width]).copied().collect()
    };
    units.iter().map(&mut picture).collect()
}

#[test]
fn half_of_the_pictures_decode_to_what_they_are_among_all() {
    let mut encoder = OpenH264::new(config(320, 178, 25, 400_000)).expect("opens");
    encoder.set_halves(true);
    let units: Vec<Encoded> = (0..60).map(|tick| encode(&mut encoder, tick, tick == 31)).collect();
    let (half, kept): (Vec<usize>, Vec<Encoded>) =
        units.iter().cloned().enumerate().filter(|(_, unit)| !is_disposable(unit)).unzip();
    assert_eq!(half.len(), 31);
    let luma = |picture: &ffmpeg_next::frame::Video| -> Vec<u8> {
        picture.data(0).chunks(picture.stride(0)).take(178).flat_map(|row| row[..320].to_vec()).collect()
    };
    let [all, some] =
        [&units, &kept].map(|units| -> Vec<Vec<u8>> { testing::decode(units).iter().map(luma).collect() });
    let [all_too, some_too] =
        [&units, &kept].map(|units| decode_by_openh264(&units.iter().collect::<Vec<_>>()));
    assert!(all == all_too && some == some_too, "two decoders see the same");
    assert_eq!((all.len(), some.len()), (units.len(), kept.len()));
    for (&tick, picture) in half.iter().zip(&some) {
        assert!(*picture == all[tick], "the picture of tick {tick}");
    }
}
