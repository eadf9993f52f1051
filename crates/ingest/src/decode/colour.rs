//! How the samples of a decoded picture are meant, as far as the stream says (ITU-T H.273; JFIF for JPEG).

use ffmpeg_next::color::{Range, Space};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;

use crate::frame::{ColorMatrix, ColorRange};
use crate::queue::Codec;

pub(super) fn matrix(codec: Codec, raw: &Video) -> ColorMatrix {
    match raw.color_space() {
        Space::BT709 => ColorMatrix::Bt709,
        Space::BT2020NCL | Space::BT2020CL => ColorMatrix::Bt2020,
        Space::BT470BG | Space::SMPTE170M | Space::FCC => ColorMatrix::Bt601,
        // JFIF knows no other.
        _ if codec == Codec::Jpeg => ColorMatrix::Bt601,
        _ if raw.width() >= 1280 || raw.height() >= 720 => ColorMatrix::Bt709,
        _ => ColorMatrix::Bt601,
    }
}

pub(super) fn range(codec: Codec, raw: &Video) -> ColorRange {
    let is_j_format =
        matches!(raw.format(), Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ444P | Pixel::YUVJ440P);
    match raw.color_range() {
        Range::JPEG => ColorRange::Full,
        // JFIF knows no other range, and says so for pictures of three components only.
        _ if is_j_format || codec == Codec::Jpeg => ColorRange::Full,
        _ => ColorRange::Limited,
    }
}

pub(super) fn sample_aspect_ratio(raw: &Video) -> (u32, u32) {
    let ratio = raw.aspect_ratio();
    match (u32::try_from(ratio.numerator()), u32::try_from(ratio.denominator())) {
        (Ok(width), Ok(height)) if width > 0 && height > 0 => (width, height),
        _ => (1, 1),
    }
}
