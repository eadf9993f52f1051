//! Coded pictures, read before any decoder sees them: how large, how many parts, can decoding begin here. Everything in
//! here is written by strangers; each reader is bounded by the bytes it is given and believes no number it has not checked.
//! A picture that cannot be read is not an error here: whether it decodes is the decoder's to say.

mod bits;
mod jpeg;
pub(crate) mod nal;
mod sps;

use crate::queue::Codec;

/// Width and height of a picture, both at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PictureSize {
    /// What is decoded, and held in memory.
    pub(crate) coded: (u32, u32),
    /// What of it is to be shown.
    pub(crate) shown: (u32, u32),
}

/// What one access unit says of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Headers {
    /// The largest picture its parameter sets (or JPEG header) allow. `None` for the many access units that refer to
    /// parameter sets sent before.
    pub(crate) size: Option<PictureSize>,
    /// A picture that needs none before it (IDR, IRAP, any JPEG).
    pub(crate) key: bool,
    /// How many NAL units (one for JPEG).
    pub(crate) parts: usize,
}

impl PictureSize {
    fn pixels(&self) -> u64 {
        u64::from(self.coded.0) * u64::from(self.coded.1)
    }
}

/// Reads the headers of one access unit: Annex B, or one JPEG picture.
pub(crate) fn headers(codec: Codec, unit: &[u8]) -> Headers {
    if codec == Codec::Jpeg {
        return Headers { size: jpeg::picture_size(unit), key: true, parts: 1 };
    }
    let mut headers = Headers::default();
    for nal in nal::units(unit) {
        headers.parts += 1;
        headers.key |= nal::is_key(codec, nal);
        let size = match (codec, nal::kind(codec, nal)) {
            (Codec::H264, Some(nal::H264_SPS)) => sps::h264(nal),
            (Codec::H265, Some(nal::H265_SPS)) => sps::h265(nal),
            _ => None,
        };
        let largest = headers.size.map_or(0, |size| size.pixels());
        headers.size = size.filter(|size| size.pixels() > largest).or(headers.size);
    }
    headers
}

/// Width and height to be shown, from the parameter sets in this access unit.
pub(crate) fn picture_size(codec: Codec, unit: &[u8]) -> Option<(u32, u32)> {
    headers(codec, unit).size.map(|size| size.shown)
}

#[cfg(test)]
mod tests;
