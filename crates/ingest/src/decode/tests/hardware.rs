//! Hardware that is not there, that fails in the middle, and what may be opened at all. No machine that runs these tests needs
//! any hardware; where there is some, asking for it must still give pictures.

use super::super::hardware::Way;
use super::*;

const EVERY: [Hardware; 6] =
    [Hardware::None, Hardware::Auto, Hardware::Vaapi, Hardware::Cuda, Hardware::Rkmpp, Hardware::V4l2m2m];

/// FFmpeg has hundreds of decoders, most of them never looked at by anybody with hostile input in mind.
#[test]
fn only_decoders_of_h264_h265_and_jpeg_can_be_opened() {
    for (codec, own, format) in
        [(Codec::H264, "h264", "h264"), (Codec::H265, "hevc", "hevc"), (Codec::Jpeg, "mjpeg", "mjpeg")]
    {
        for way in EVERY.iter().flat_map(|hardware| hardware.ways()) {
            let name = way.decoder(codec);
            assert!(name == own || name.starts_with(&format!("{format}_")), "{name}");
            let Ok(opened) = way.open(codec) else { continue };
            assert_eq!(opened.decoder.codec().expect("it is open").name(), name);
        }
        assert!(Way::Software.open(codec).is_ok());
    }
}

#[test]
fn hardware_that_is_not_there_is_told_once_and_software_takes_its_place() {
    for hardware in EVERY {
        for (stream, codec) in
            [(fixture!("baseline.h264"), Codec::H264), (fixture!("plain.h265"), Codec::H265)]
        {
            let mut decoder = Decoder::open(codec, hardware).expect("software is always there");
            let (frames, _) = decode(&mut decoder, &units(stream, codec));
            let told = decoder.fell_back();
            assert_eq!(
                told.is_some(),
                hardware != Hardware::None && decoder.hardware().is_none(),
                "{told:?}"
            );
            if decoder.hardware().is_none() {
                assert_eq!(frames.concat().len(), 50, "{hardware:?}: {told:?}");
            }
            let names = hardware.ways().iter().filter_map(|way| way.name());
            assert!(told.is_none_or(|told| names.clone().all(|name| told.contains(name))), "{hardware:?}");
            assert_eq!(decoder.fell_back(), None);
        }
    }
}

#[test]
fn hardware_that_fails_in_mid_stream_is_replaced_without_losing_a_picture() {
    const WAYS: &[Way] = &[Way::Pretended { pictures: 33 }, Way::Software];
    let mut decoder = Decoder::open_one_of(Codec::H264, WAYS).expect("it is software");
    let units = units(fixture!("baseline.h264"), Codec::H264);
    let (frames, errors) = decode(&mut decoder, &units[..33]);
    assert_eq!((decoder.hardware(), decoder.fell_back()), (Some("pretended"), None));
    assert_eq!((frames.concat().len(), errors), (33, 0));
    // In the middle of the second group: software decodes that again, and shows the newest picture only.
    let (rest, errors) = decode(&mut decoder, &units[33..]);
    assert!(rest.iter().all(|frames| frames.len() == 1));
    assert_eq!((errors, decoder.hardware()), (0, None));
    let reference = frames_of(fixture!("baseline.h264"), Codec::H264);
    for (n, frame) in frames.concat().iter().chain(&rest.concat()).enumerate() {
        assert_eq!(difference(frame, &reference[n], |y| y), 0.0, "picture {n}");
    }
    assert_eq!(
        decoder.fell_back().expect("it is told"),
        "hardware does not work here (pretended: its pictures cannot be fetched: as pretended)"
    );
}

#[test]
fn several_kinds_of_hardware_that_fail_are_all_told() {
    const WAYS: &[Way] = &[Way::Pretended { pictures: 0 }, Way::Pretended { pictures: 3 }, Way::Software];
    let mut decoder = Decoder::open_one_of(Codec::H264, WAYS).expect("it is software");
    let (frames, errors) = decode(&mut decoder, &units(fixture!("baseline.h264"), Codec::H264));
    assert_eq!((frames.len(), frames.iter().all(|frames| frames.len() == 1), errors), (50, true, 0));
    assert_eq!(decoder.fell_back().expect("it is told").matches("pretended: its").count(), 2);
}

#[test]
fn hardware_that_gives_no_picture_is_given_up_after_a_second_or_so() {
    const WAYS: &[Way] = &[Way::Pretended { pictures: 1_000 }, Way::Software];
    let mut decoder = Decoder::open_one_of(Codec::H264, WAYS).expect("it is software");
    let units = units(fixture!("baseline.h264"), Codec::H264);
    // Without a key frame nothing can be decoded by anything, and nothing is blamed on the hardware.
    for _ in 0..4 {
        decode(&mut decoder, &units[1..25]);
    }
    assert_eq!(decoder.hardware(), Some("pretended"));
    // A key frame that no decoder understands, over and over.
    let broken = [&[0, 0, 0, 1, 0x65][..], &[0x55; 300]].concat();
    decode(&mut decoder, &vec![broken; 40]);
    assert_eq!(decoder.hardware(), None);
    let told = decoder.fell_back().expect("it is told");
    assert!(told.contains("no picture in 30 access units"), "{told}");
    let (frames, errors) = decode(&mut decoder, &units);
    assert_eq!((frames.concat().len(), errors), (50, 0));
}

#[test]
fn hardware_pictures_are_copied_so_that_holding_them_does_not_stop_it() {
    const WAYS: &[Way] = &[Way::Pretended { pictures: 1_000 }, Way::Software];
    let mut decoder = Decoder::open_one_of(Codec::H264, WAYS).expect("it is software");
    let (frames, _) = decode(&mut decoder, &units(fixture!("baseline.h264"), Codec::H264));
    let reference = frames_of(fixture!("baseline.h264"), Codec::H264);
    for (frame, reference) in frames.concat().iter().zip(&reference) {
        assert_eq!(difference(frame, reference, |y| y), 0.0);
    }
}
