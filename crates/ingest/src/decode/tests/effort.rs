//! Lower efforts: what they leave out, and that nothing of it is called damaged.

use super::*;

#[test]
fn less_effort_is_never_called_an_error_and_full_effort_comes_back_with_the_next_key_frame() {
    for (stream, codec) in [
        (fixture!("baseline.h264"), Codec::H264),
        (fixture!("bframes.h264"), Codec::H264),
        (fixture!("plain.h265"), Codec::H265),
        (fixture!("bframes.h265"), Codec::H265),
    ] {
        let mut decoder = Decoder::open(codec, Hardware::None).expect("FFmpeg has both decoders");
        let units = units(stream, codec);
        let (full, errors) = decode(&mut decoder, &units);
        assert_eq!(errors, 0);
        let full = full.concat();
        for effort in [Effort::NoLoopFilter, Effort::ReferencesOnly] {
            decoder.set_effort(effort);
            let (frames, errors) = decode(&mut decoder, &units);
            assert_eq!(errors, 0, "{codec:?} {effort:?}");
            assert!(!frames.concat().is_empty());
        }
        decoder.set_effort(Effort::Full);
        let (again, errors) = decode(&mut decoder, &units);
        assert_eq!(errors, 0, "{codec:?} full again");
        // The last pictures of the pass before come out first.
        let again = again.concat();
        let late = again.len() - full.len();
        for (frame, reference) in again[late..].iter().zip(&full) {
            assert_eq!(difference(frame, reference, |y| y), 0.0, "{codec:?}");
        }
    }
}

#[test]
fn pictures_that_others_do_not_refer_to_are_left_out() {
    for (stream, codec) in [(fixture!("bframes.h264"), Codec::H264), (fixture!("bframes.h265"), Codec::H265)]
    {
        let mut decoder = Decoder::open(codec, Hardware::None).expect("FFmpeg has both decoders");
        decoder.set_effort(Effort::ReferencesOnly);
        let (frames, errors) = decode(&mut decoder, &units(stream, codec));
        let count = frames.concat().len();
        assert!((15..35).contains(&count), "{codec:?}: {count} of 50 pictures");
        assert_eq!(errors, 0);
    }
}

#[test]
fn effort_may_change_at_every_access_unit() {
    for (stream, codec) in [(fixture!("bframes.h264"), Codec::H264), (fixture!("bframes.h265"), Codec::H265)]
    {
        let mut decoder = Decoder::open(codec, Hardware::None).expect("FFmpeg has both decoders");
        let efforts = [Effort::Full, Effort::ReferencesOnly, Effort::NoLoopFilter, Effort::ReferencesOnly];
        for (unit, effort) in units(stream, codec).iter().zip(efforts.into_iter().cycle()) {
            decoder.set_effort(effort);
            assert_eq!(decoder.decode(unit, Instant::now(), &mut 0).errors, 0, "{codec:?}");
        }
    }
}

#[test]
fn every_jpeg_picture_is_decoded_at_any_effort() {
    let mut decoder = Decoder::open(Codec::Jpeg, Hardware::None).expect("FFmpeg has the decoder");
    for effort in [Effort::NoLoopFilter, Effort::ReferencesOnly] {
        decoder.set_effort(effort);
        let decoded = decoder.decode(fixture!("yuv420.jpg"), Instant::now(), &mut 0);
        assert_eq!((decoded.frames.len(), decoded.errors), (1, 0));
    }
}
