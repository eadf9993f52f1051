//! The decoder on real streams; what they are is told in `tests/fixtures/README.md`.

use super::*;
use crate::frame::{ColorMatrix, ColorRange};

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/", $name)).as_slice()
    };
}

mod effort;
mod hardware;

#[allow(dead_code, reason = "each test program uses a part of it")]
#[path = "../../tests/support/annexb.rs"]
mod annexb;

/// Access units as Annex B.
fn units(stream: &[u8], codec: Codec) -> Vec<Vec<u8>> {
    let units = annexb::access_units(stream, codec == Codec::H265);
    units.iter().map(|unit| annexb::join(unit)).collect()
}

/// Decodes with one decoder; frames of each access unit, and errors.
fn decode(decoder: &mut Decoder, units: &[Vec<u8>]) -> (Vec<Vec<Arc<Frame>>>, u32) {
    let (mut sequence, mut errors) = (0, 0);
    let mut one = |unit: &Vec<u8>| {
        let decoded = decoder.decode(unit, Instant::now(), &mut sequence);
        errors += decoded.errors;
        decoded.frames
    };
    let frames = units.iter().map(&mut one).collect();
    (frames, errors)
}

fn frames_of(stream: &[u8], codec: Codec) -> Vec<Arc<Frame>> {
    let mut decoder = Decoder::open(codec, Hardware::None).expect("FFmpeg has both decoders");
    let (frames, errors) = decode(&mut decoder, &units(stream, codec));
    assert_eq!(errors, 0);
    frames.concat()
}

/// Mean absolute difference of two pictures' luma, the second one's samples changed by `map`.
fn difference(a: &Frame, b: &Frame, map: impl Fn(u8) -> u8) -> f64 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let row =
        |frame: &Frame, y: usize| frame.plane(0)[y * frame.stride(0)..][..frame.width() as usize].to_vec();
    let sum: u64 = (0..a.height() as usize)
        .flat_map(|y| row(a, y).into_iter().zip(row(b, y)))
        .map(|(a, b)| u64::from(a.abs_diff(map(b))))
        .sum();
    sum as f64 / f64::from(a.width() * a.height())
}

#[test]
fn a_stream_without_b_frames_gives_every_picture_at_once() {
    for (stream, codec) in [(fixture!("baseline.h264"), Codec::H264), (fixture!("plain.h265"), Codec::H265)] {
        let mut decoder = Decoder::open(codec, Hardware::None).expect("FFmpeg has both decoders");
        let (frames, errors) = decode(&mut decoder, &units(stream, codec));
        assert_eq!((frames.len(), errors), (50, 0));
        assert!(frames.iter().all(|frames| frames.len() == 1), "{codec:?}");
        let frame = &frames[49][0];
        assert_eq!((frame.width(), frame.height(), frame.sequence()), (320, 180, 49));
        assert_eq!((frame.matrix(), frame.range()), (ColorMatrix::Bt601, ColorRange::Limited));
        assert_eq!(frame.sample_aspect_ratio(), (1, 1));
        for (plane, (width, height)) in [(320, 180), (160, 90), (160, 90)].into_iter().enumerate() {
            assert!(frame.stride(plane) >= width);
            assert_eq!(frame.plane(plane).len(), frame.stride(plane) * (height - 1) + width);
        }
    }
}

#[test]
fn b_frames_come_out_in_display_order() {
    let reference = frames_of(fixture!("baseline.h264"), Codec::H264);
    for (stream, codec) in [(fixture!("bframes.h264"), Codec::H264), (fixture!("bframes.h265"), Codec::H265)]
    {
        let frames = frames_of(stream, codec);
        // What is still waiting for its turn at the end of the stream is not flushed.
        assert!(frames.len() >= 46, "{codec:?}: {}", frames.len());
        let shown = |frame: &Arc<Frame>| {
            let distance = |other: &&Arc<Frame>| (difference(frame, other, |y| y) * 1_000.0) as u64;
            reference.iter().min_by_key(distance).expect("50 frames").sequence()
        };
        let shown: Vec<u64> = frames.iter().map(shown).collect();
        // Neighbours look so alike after compression that a picture may be nearer to the one before or after.
        assert!(shown.is_sorted(), "{codec:?}: {shown:?}");
        assert!(shown.iter().enumerate().all(|(i, &n)| n.abs_diff(i as u64) <= 1), "{codec:?}: {shown:?}");
    }
}

#[test]
fn frames_stay_as_they_are_while_the_decoder_goes_on() {
    let units = units(fixture!("baseline.h264"), Codec::H264);
    let mut decoder = Decoder::open(Codec::H264, Hardware::None).expect("FFmpeg has both decoders");
    let (first, _) = decode(&mut decoder, &units[..1]);
    let before: Vec<u8> = first[0][0].plane(0).to_vec();
    let (_rest, _) = decode(&mut decoder, &units[1..]);
    drop(decoder);
    assert_eq!(first[0][0].plane(0), before);
}

#[test]
fn other_sampling_and_depth_become_i420_with_matrix_and_range_kept() {
    let reference = frames_of(fixture!("baseline.h264"), Codec::H264);
    let ten_bit = frames_of(fixture!("high422-10bit.h264"), Codec::H264);
    let full = frames_of(fixture!("full444.h264"), Codec::H264);
    assert_eq!((ten_bit.len(), full.len()), (10, 10));
    let to_full = |y: u8| ((f64::from(y) - 16.0) * 255.0 / 219.0).clamp(0.0, 255.0) as u8;
    for i in 0..10 {
        assert_eq!(ten_bit[i].range(), ColorRange::Limited);
        assert_eq!(full[i].range(), ColorRange::Full);
        assert!(difference(&ten_bit[i], &reference[i], |y| y) < 2.5);
        assert!(difference(&full[i], &reference[i], to_full) < 2.5);
        assert_eq!(full[i].plane(2).len(), full[i].stride(2) * 89 + 160);
    }
}

#[test]
fn converted_frames_do_not_change_while_somebody_looks_at_them() {
    let frames = frames_of(fixture!("high422-10bit.h264"), Codec::H264);
    let moving = frames.windows(2).filter(|pair| pair[0].plane(0) != pair[1].plane(0)).count();
    assert_eq!(moving, 9, "ten frames held at the same time show ten pictures");
}

#[test]
fn a_new_size_in_the_middle_of_the_stream_is_followed() {
    let stream = [fixture!("baseline.h264"), fixture!("small.h264"), fixture!("baseline.h264")].concat();
    let frames = frames_of(&stream, Codec::H264);
    assert_eq!(frames.len(), 110);
    let sizes: Vec<u32> = frames.iter().map(|frame| frame.width()).collect();
    assert_eq!([sizes[49], sizes[50], sizes[59], sizes[60]], [320, 160, 160, 320]);
}

#[test]
fn errors_are_counted_and_the_next_key_frame_is_decoded() {
    let mut decoder = Decoder::open(Codec::H264, Hardware::None).expect("FFmpeg has both decoders");
    let units = units(fixture!("baseline.h264"), Codec::H264);
    let garbage = vec![vec![], vec![0xff; 500], [&[0, 0, 0, 1, 0x65][..], &[0x55; 300]].concat()];
    let (frames, errors) = decode(&mut decoder, &garbage);
    assert_eq!((frames.concat().len(), errors >= 3), (0, true), "{errors} errors");
    let (frames, errors) = decode(&mut decoder, &units[1..25]);
    assert_eq!((frames.concat().len(), errors >= 24), (0, true), "{errors} errors without a key frame");
    let (frames, errors) = decode(&mut decoder, &units[25..]);
    assert_eq!((frames.concat().len(), errors), (25, 0));
}

#[test]
fn pictures_of_more_than_16_megapixels_are_refused() {
    let mut decoder = Decoder::open(Codec::H264, Hardware::None).expect("FFmpeg has both decoders");
    let huge = units(fixture!("huge.h264"), Codec::H264);
    let refused = |decoder: &mut Decoder, unit| decoder.decode(unit, Instant::now(), &mut 0).refused;
    let expected = Some(Refused::TooLarge { width: 8192, height: 4096 });
    assert_eq!(refused(&mut decoder, &huge[0]), expected);
    let units = units(fixture!("small.h264"), Codec::H264);
    assert_eq!(refused(&mut decoder, &units[1]), expected, "without parameter sets of its own");
    let (frames, errors) = decode(&mut decoder, &units);
    assert_eq!((frames.concat().len(), errors), (10, 0));
}

#[test]
fn a_jpeg_of_65500_by_65500_is_refused_from_its_header_alone() {
    let mut decoder = Decoder::open(Codec::Jpeg, Hardware::None).expect("FFmpeg has the decoder");
    let sof =
        fixture!("yuv420.jpg").windows(2).position(|pair| pair == [0xff, 0xc0]).expect("it is baseline");
    let mut bomb = fixture!("yuv420.jpg").to_vec();
    bomb[sof + 5..sof + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    for picture in [&bomb[..], &bomb[..sof + 10]] {
        let Decoded { frames, errors, refused } = decoder.decode(picture, Instant::now(), &mut 0);
        assert_eq!((frames.len(), errors), (0, 0));
        assert_eq!(refused, Some(Refused::TooLarge { width: 65_500, height: 65_500 }));
    }
    let endless = [fixture!("yuv420.jpg"), &vec![0; MAX_BYTES]].concat();
    let refused = decoder.decode(&endless, Instant::now(), &mut 0).refused;
    assert_eq!(refused, Some(Refused::TooManyBytes { bytes: endless.len() }));
    assert_eq!(decoder.decode(fixture!("yuv420.jpg"), Instant::now(), &mut 0).frames.len(), 1);
}

#[test]
fn a_jpeg_picture_becomes_a_frame_of_full_range_at_once() {
    let reference = &frames_of(fixture!("baseline.h264"), Codec::H264)[0];
    let to_full = |y: u8| ((f64::from(y) - 16.0) * 255.0 / 219.0).clamp(0.0, 255.0) as u8;
    for picture in [fixture!("yuv420.jpg"), fixture!("yuv422.jpg"), fixture!("gray.jpg")] {
        let mut decoder = Decoder::open(Codec::Jpeg, Hardware::None).expect("FFmpeg has the decoder");
        let (frames, errors) = decode(&mut decoder, &vec![picture.to_vec(); 3]);
        assert_eq!((frames.len(), errors), (3, 0));
        for frame in frames.iter().map(|frames| &frames[0]) {
            assert_eq!((frame.width(), frame.height(), frame.range()), (320, 180, ColorRange::Full));
            assert_eq!(frame.plane(2).len(), frame.stride(2) * 89 + 160);
            assert!(difference(frame, reference, to_full) < 4.0, "{}", difference(frame, reference, to_full));
        }
    }
}

#[test]
fn pictures_keep_the_time_they_were_taken_at_though_they_are_reordered() {
    for (stream, codec) in [(fixture!("bframes.h264"), Codec::H264), (fixture!("bframes.h265"), Codec::H265)]
    {
        let mut decoder = Decoder::open(codec, Hardware::None).expect("FFmpeg has both decoders");
        let began = Instant::now();
        // Taken when the camera sent them, or (as with some camera clocks) before the decoder was there.
        let taken = |n: u64| began + Duration::from_millis(40 * n) - Duration::from_secs(1);
        let (mut sequence, mut captured, mut waited) = (0, Vec::new(), 0);
        for (n, unit) in (0..).zip(units(stream, codec)) {
            for frame in decoder.decode(&unit, taken(n), &mut sequence).frames {
                captured.push(frame.captured_at());
                waited += u64::from(frame.captured_at() + Duration::from_millis(20) < taken(n));
            }
        }
        assert!(captured.len() >= 46 && waited > 10, "{codec:?}: {waited} of {} waited", captured.len());
        // Each access unit's own, once: B frames come out before a picture that was sent before them.
        let mut numbers: Vec<u64> = captured
            .iter()
            .map(|&at| (at + Duration::from_millis(1_020) - began).as_millis() as u64 / 40)
            .collect();
        assert!(!numbers.is_sorted(), "{codec:?} is sent out of order: {numbers:?}");
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), captured.len(), "{codec:?}: {numbers:?}");
    }
}
