//! Which encoder a wall is to use, by the names that FFmpeg's users know. Whether it opens here is not known yet.

use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// What is to encode a wall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EncoderChoice {
    /// `auto`: a hardware encoder if there is one that opens and encodes a picture, else OpenH264.
    Auto,
    /// `openh264`: Cisco's encoder, linked in.
    #[default]
    OpenH264,
    /// `libx264`: x264, if FFmpeg has it.
    X264,
    /// `h264_vaapi`: Intel's and AMD's graphics.
    Vaapi,
    /// `h264_nvenc`: NVIDIA's graphics.
    Nvenc,
    /// `h264_qsv`: Intel's Quick Sync Video.
    Qsv,
    /// `h264_v4l2m2m`: the video unit of a Raspberry Pi 4 and others behind V4L2.
    V4l2m2m,
    /// `h264_rkmpp`: Rockchip's video unit.
    Rkmpp,
}

/// A name that no encoder has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "found an unknown encoder, expected auto, openh264, libx264, h264_vaapi, h264_nvenc, h264_qsv, h264_v4l2m2m or h264_rkmpp"
)]
pub struct UnknownEncoder;

impl EncoderChoice {
    /// All there are, as a message lists them.
    pub const ALL: [EncoderChoice; 8] = [
        EncoderChoice::Auto,
        EncoderChoice::OpenH264,
        EncoderChoice::X264,
        EncoderChoice::Vaapi,
        EncoderChoice::Nvenc,
        EncoderChoice::Qsv,
        EncoderChoice::V4l2m2m,
        EncoderChoice::Rkmpp,
    ];

    /// As configuration files have it, and as FFmpeg calls its encoder.
    pub fn as_str(self) -> &'static str {
        match self {
            EncoderChoice::Auto => "auto",
            EncoderChoice::OpenH264 => "openh264",
            EncoderChoice::X264 => "libx264",
            EncoderChoice::Vaapi => "h264_vaapi",
            EncoderChoice::Nvenc => "h264_nvenc",
            EncoderChoice::Qsv => "h264_qsv",
            EncoderChoice::V4l2m2m => "h264_v4l2m2m",
            EncoderChoice::Rkmpp => "h264_rkmpp",
        }
    }
}

impl fmt::Display for EncoderChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EncoderChoice {
    type Err = UnknownEncoder;

    fn from_str(name: &str) -> Result<EncoderChoice, UnknownEncoder> {
        EncoderChoice::ALL.into_iter().find(|choice| choice.as_str() == name).ok_or(UnknownEncoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_is_found_by_its_name_and_named_in_the_refusal_of_another() {
        for choice in EncoderChoice::ALL {
            assert_eq!(choice.to_string().parse(), Ok(choice));
            assert!(UnknownEncoder.to_string().contains(choice.as_str()), "{choice}");
        }
        for name in ["", "x264", "OpenH264", "h264_omx", "vaapi"] {
            assert_eq!(name.parse::<EncoderChoice>(), Err(UnknownEncoder), "{name}");
        }
    }
}
