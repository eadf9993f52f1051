//! Picture size from a JPEG header (ITU-T T.81, annex B).

use super::PictureSize;

const SOI: u8 = 0xd8;
const SOS: u8 = 0xda;
const EOI: u8 = 0xd9;

/// From the frame header, which comes before the samples. Segments are stepped over by their lengths, so that a picture
/// inside a comment (the thumbnail of EXIF) is not taken for this one.
pub(super) fn picture_size(picture: &[u8]) -> Option<PictureSize> {
    let start = picture.windows(2).position(|pair| pair == [0xff, SOI])?;
    let mut rest = &picture[start + 2..];
    loop {
        // Any number of fill bytes may stand before a marker; what is no marker at all is stepped over, as decoders do.
        let at = rest.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff))?;
        let marker = rest[at + 1];
        rest = &rest[at + 2..];
        match marker {
            SOS | EOI => return None,
            0x01 | 0xd0..=0xd7 | SOI => continue, // no segment behind them
            _ => {}
        }
        let length = usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?]));
        let is_frame_header = matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc);
        if is_frame_header {
            return frame_header(rest.get(2..)?);
        }
        rest = rest.get(length.max(2)..)?;
    }
}

/// Precision, height, width. A height of 0 means "told after the first scan", which no camera does.
fn frame_header(segment: &[u8]) -> Option<PictureSize> {
    let &[_, high, low, left, right, ..] = segment else { return None };
    let size = (u16::from_be_bytes([left, right]).into(), u16::from_be_bytes([high, low]).into());
    (size.0 > 0 && size.1 > 0).then_some(PictureSize { coded: size, shown: size })
}
