//! The readers on parameter sets of real cameras (as their session descriptions tell them), on whole streams, and on bombs.

use super::nal::Splitter;
use super::*;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../tests/fixtures/", $name)).as_slice()
    };
}

/// RFC 4648, as in `sprop-parameter-sets` and `sprop-sps`.
fn base64(text: &str) -> Vec<u8> {
    let value = |c: u8| {
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|&d| d == c)
    };
    let bits: Vec<u8> = text
        .bytes()
        .filter_map(value)
        .flat_map(|value| (0..6).rev().map(move |bit| (value >> bit & 1) as u8))
        .collect();
    bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | bit)).collect()
}

#[track_caller]
fn check(codec: Codec, sps: &str, coded: (u32, u32), shown: (u32, u32)) {
    let unit = [&[0, 0, 0, 1][..], &base64(sps), &[0, 0, 1, 0x40]].concat();
    assert_eq!(headers(codec, &unit).size, Some(PictureSize { coded, shown }), "{sps}");
    assert_eq!(picture_size(codec, &unit), Some(shown));
    // However much of it is missing: a size or none, never a panic.
    (0..unit.len()).for_each(|length| _ = headers(codec, &unit[..length]));
}

#[test]
fn sizes_of_h264_cameras() {
    for (_camera, sps, coded, shown) in [
        ("Hikvision", "Z00AKZpkA8ARPyzUBAQFAAADA+gAAOpgBA==", (1920, 1088), (1920, 1080)),
        ("Dahua, substream", "Z2QAHqwsaoLA9puCgIKgAAADACAAAAMD0IAA", (704, 480), (704, 480)),
        ("Reolink", "Z2QAM6zoAoALWQ==", (2560, 1440), (2560, 1440)),
        ("GeoVision", "Z01AMpWgCoAwfiZuAgICgAAB9AAAdTBC", (2688, 1536), (2688, 1520)),
        ("Foscam", "Z00AH5WoFAFuQA==", (1280, 720), (1280, 720)),
        ("H264DVR", "Z0IAKZY1QPAET8s3AQEBQAAAAwBAAAAHoQ==", (1920, 1088), (1920, 1080)),
        ("VStarcam", "Z00AKp2oHgCJ+WbgICAoAAADAAgAAAMAfCA=", (1920, 1088), (1920, 1080)),
        ("Ubiquiti", "Z01AKo2NQDwBE/LgLcBAQFAAAD6AABX5CdoIhGo=", (1920, 1088), (1920, 1080)),
        ("Wowza's bunny", "Z0LAHtkDxWhAAAADAEAAAAwDxYuS", (240, 160), (240, 160)),
        ("Macrovideo", "J03gKI1oBQBboQAAAwABAAADACgPFCKg", (1280, 720), (1280, 720)),
        ("Anpviz", "Z01AH5WgLASabAQ=", (704, 576), (704, 576)),
        ("x264, interlaced", "Z2QAKKzZQHgET94CIAAAAwAgAAAGQ+LFssA=", (1920, 1088), (1920, 1080)),
        ("x264, 4:4:4", "Z/QADZGbKCozx8XgIgAAAwACAAADAGQeKFMs", (336, 192), (322, 182)),
        ("no Content-Type", "Z2QADazZQUGfnwEQAAADABAAAAMDwPFCmWA=", (320, 192), (320, 180)),
    ] {
        check(Codec::H264, sps, coded, shown);
    }
}

/// Their scaling lists, long-term references and usability information are wrong or unusual; the size comes before.
#[test]
fn sizes_of_h265_cameras_with_odd_parameter_sets() {
    for (_camera, sps, coded) in [
        ("Dahua", "QgEBAWAAAAMAsAAAAwAAAwBaoAWCAeFja5JFL83BQYFBAAADAAEAAAMADKE=", (704, 480)),
        ("Anjvision", "QgEBAUAAAAMAAAMAAAMAAAMAmaACgIAsH+Wu5Gwa5VE1BQYFAIA=", (1280, 704)),
        ("TP-Link", "QgEBAWAAAAMAAAMAAAMAAAMAlqABQCAFof4qtO6JLuaAgA27oADN/mAE", (2560, 1440)),
    ] {
        check(Codec::H265, sps, coded, coded);
    }
}

#[test]
fn sizes_of_h265_encoders_with_other_sampling() {
    for (_sampling, sps, coded, shown) in [
        ("4:2:2", "QgEBBAgAAAMAnQgAAAMAADywCkgLnJeWVmkk5XgLQEAAAAMAQAAABkI=", (328, 184), (322, 182)),
        ("4:0:0", "QgEBBAgAAAMAn8gAAAMAAHjADxIARBzz5ZWaSTK8BbAgAAADACAAAAMDIQ==", (1928, 1088), (1922, 1082)),
    ] {
        check(Codec::H265, sps, coded, shown);
    }
}

/// A NAL unit of these bits, without emulation prevention, which none of the cases needs.
fn nal(header: &[u8], bits: &str) -> Vec<u8> {
    let bits: Vec<u8> = bits.bytes().filter(u8::is_ascii_digit).map(|bit| bit - b'0').collect();
    let byte = |bits: &[u8]| (0..8).fold(0, |byte, i| byte << 1 | bits.get(i).unwrap_or(&1));
    [&[0, 0, 1], header, &bits.chunks(8).map(byte).collect::<Vec<_>>()].concat()
}

#[test]
fn scaling_lists_are_stepped_over() {
    let high = "01100100 11111111 00101000"; // profile 100
    // One whole list of 16, one that stops at once (8 - 8 = 0), six absent ones.
    let matrix = format!("1 1{} 1 000010001 000000", "1".repeat(16));
    // Frame numbers, order of type 1 with a cycle of two, references, 80 x 45 macroblocks, frames only, no crop.
    let rest = "1 010 1 1 1 011 1 1 1 0 0000001010000 00000101101 1 1 0";
    let set = "1 010 1 1 0"; // set 0, 4:2:0, 8 bits
    let unit = nal(&[0x67], &format!("{high} {set} {matrix} {rest}"));
    assert_eq!(picture_size(Codec::H264, &unit), Some((1280, 720)));
}

#[test]
fn sub_layers_are_stepped_over_and_other_layers_are_for_nobody() {
    let general = "1".repeat(96);
    // Two sub-layers below the highest: one with a profile and a level, one with a level.
    let layers = format!("11 01 {} {} {} {}", "0".repeat(12), "1".repeat(88), "1".repeat(8), "1".repeat(8));
    let size = "1 010 00000000101000001 000000010110101 0"; // set 0, 4:2:0, 320 x 180
    let bits = format!("0000 010 1 {general} {layers} {size}");
    assert_eq!(picture_size(Codec::H265, &nal(&[0x42, 0x01], &bits)), Some((320, 180)));
    assert_eq!(picture_size(Codec::H265, &nal(&[0x42, 0x09], &bits)), None);
}

#[test]
fn sizes_of_whole_streams_are_what_the_decoder_finds() {
    for (stream, codec, coded, shown) in [
        (fixture!("baseline.h264"), Codec::H264, (320, 192), (320, 180)),
        (fixture!("full444.h264"), Codec::H264, (320, 192), (320, 180)),
        (fixture!("high422-10bit.h264"), Codec::H264, (320, 192), (320, 180)),
        (fixture!("huge.h264"), Codec::H264, (8192, 4096), (8192, 4096)),
        (fixture!("plain.h265"), Codec::H265, (320, 184), (320, 180)),
        (fixture!("bframes.h265"), Codec::H265, (320, 184), (320, 180)),
        (fixture!("yuv420.jpg"), Codec::Jpeg, (320, 180), (320, 180)),
        (fixture!("gray.jpg"), Codec::Jpeg, (320, 180), (320, 180)),
    ] {
        assert_eq!(headers(codec, stream).size, Some(PictureSize { coded, shown }));
        assert!(headers(codec, stream).key);
    }
}

#[test]
fn the_largest_of_several_parameter_sets_counts_wherever_it_is() {
    let unit = [fixture!("baseline.h264"), fixture!("huge.h264"), fixture!("small.h264")].concat();
    assert_eq!(picture_size(Codec::H264, &unit), Some((8192, 4096)));
}

#[test]
fn a_jpeg_tells_its_size_in_twenty_bytes() {
    let bomb =
        [0xff, 0xd8, 0xff, 0xc0, 0, 17, 8, 0xff, 0xdc, 0xff, 0xdc, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1];
    assert_eq!(picture_size(Codec::Jpeg, &bomb), Some((65_500, 65_500)));
    assert_eq!(picture_size(Codec::Jpeg, &bomb[..9]), None);
}

#[test]
fn a_thumbnail_inside_a_jpeg_is_not_its_size() {
    let thumbnail = fixture!("yuv422.jpg");
    let length = (thumbnail.len() + 2) as u16;
    let exif = [&[0xff, 0xe1][..], &length.to_be_bytes(), thumbnail].concat();
    let large = [0xff, 0xc2, 0, 17, 8, 2, 0, 3, 0, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1];
    let picture = [b"junk", &[0xff, 0xd8][..], &exif, &[0xff, 0xff], &large].concat();
    assert_eq!(picture_size(Codec::Jpeg, &picture), Some((768, 512)));
    assert_eq!(picture_size(Codec::Jpeg, &[0xff, 0xd8, 0xff, 0xda, 0, 8]), None);
}

/// All access units of a stream that comes in pieces of this many bytes.
fn split(codec: Codec, stream: &[u8], piece: usize) -> Vec<Vec<u8>> {
    let mut splitter = Splitter::new(codec);
    let mut units = Vec::new();
    for piece in stream.chunks(piece) {
        splitter.handle(piece);
        units.extend(std::iter::from_fn(|| splitter.poll()));
    }
    units.extend(splitter.flush());
    assert_eq!(splitter.dropped(), 0);
    units
}

#[test]
fn a_byte_stream_cut_anywhere_becomes_the_same_access_units() {
    for (stream, codec, pictures) in [
        (fixture!("baseline.h264"), Codec::H264, 50),
        (fixture!("bframes.h264"), Codec::H264, 50),
        (fixture!("refresh.h264"), Codec::H264, 100),
        (fixture!("plain.h265"), Codec::H265, 50),
        (fixture!("bframes.h265"), Codec::H265, 50),
    ] {
        let whole = split(codec, stream, stream.len());
        assert_eq!((whole.len(), whole.concat() == stream), (pictures, true));
        assert!(headers(codec, &whole[0]).key);
        let keys = whole.iter().filter(|unit| headers(codec, unit).key).count();
        assert_eq!(keys, if pictures == 100 { 1 } else { 2 });
        for piece in [1, 2, 3, 7, 64, 1_000] {
            assert!(split(codec, stream, piece) == whole, "pieces of {piece}");
        }
    }
}

#[test]
fn slices_of_one_picture_stay_together() {
    let stream = [&[0, 0, 1, 9, 0xf0][..], &[0, 0, 1, 0x65, 0x88, 9], &[0, 0, 1, 0x65, 0x22, 9]].concat();
    let twice = [&stream[..], &stream].concat();
    assert_eq!(split(Codec::H264, &twice, 5), [&stream[..], &stream]);
}

#[test]
fn what_comes_before_the_first_start_code_is_nothing() {
    let stream = [&[0xff; 5_000][..], fixture!("small.h264")].concat();
    for piece in [11, stream.len()] {
        assert_eq!(split(Codec::H264, &stream, piece).concat(), fixture!("small.h264"));
    }
}

#[test]
fn an_access_unit_of_more_than_8_mib_is_dropped_and_the_next_one_is_not() {
    let small = fixture!("small.h264");
    let endless = [&[0, 0, 1, 0x65, 0x88][..], &vec![0x55; 9 << 20]].concat();
    let stream = [small, &endless, small].concat();
    for piece in [4_096, stream.len()] {
        let (mut splitter, mut units, mut held) = (Splitter::new(Codec::H264), Vec::new(), 0);
        for piece in stream.chunks(piece) {
            splitter.handle(piece);
            units.extend(std::iter::from_fn(|| splitter.poll()));
            held = held.max(splitter.held());
        }
        units.extend(splitter.flush());
        assert_eq!((units.concat(), splitter.dropped()), ([small, small].concat(), 1));
        assert!(held <= crate::queue::MAX_BYTES + piece, "{held}");
    }
}
