//! What sample values mean: matrices and ranges (ITU-T H.273, sections 8.3 and 8.4), and colours as people write them.
//!
//! Every canvas is BT.709 of limited range, at every size, and the encoder's VUI says so. Pictures that mean something
//! else are converted on the canvas, after scaling: there are fewer samples then, and both steps are linear. Primaries and
//! transfer functions are left as they are, as players leave them.

mod convert;

pub(crate) use self::convert::{Conversion, Factors};

use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// How luma and chroma are made from red, green and blue (MatrixCoefficients of H.273).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ColorMatrix {
    /// ITU-R BT.601 and its twins.
    Bt601,
    /// ITU-R BT.709, the canvas's.
    #[default]
    Bt709,
    /// ITU-R BT.2020, non-constant luminance.
    Bt2020,
}

/// Which sample values mean black and white (VideoFullRangeFlag of H.273).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ColorRange {
    /// Luma 16 to 235, chroma 16 to 240; the canvas's.
    #[default]
    Limited,
    /// 0 to 255.
    Full,
}

/// A colour by its red, green and blue, 0 to 255 each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Color {
    red: u8,
    green: u8,
    blue: u8,
}

/// The sixteen names that HTML has had from its beginning, and the other spelling of one.
const NAMES: [(&str, u32); 17] = [
    ("black", 0x00_00_00),
    ("silver", 0xc0_c0_c0),
    ("gray", 0x80_80_80),
    ("grey", 0x80_80_80),
    ("white", 0xff_ff_ff),
    ("maroon", 0x80_00_00),
    ("red", 0xff_00_00),
    ("purple", 0x80_00_80),
    ("fuchsia", 0xff_00_ff),
    ("green", 0x00_80_00),
    ("lime", 0x00_ff_00),
    ("olive", 0x80_80_00),
    ("yellow", 0xff_ff_00),
    ("navy", 0x00_00_80),
    ("blue", 0x00_00_ff),
    ("teal", 0x00_80_80),
    ("aqua", 0x00_ff_ff),
];

/// A text that is no colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("found no colour, expected a name such as black or gray, or red, green and blue such as '#1a2b3c'")]
pub struct ColorError;

impl Color {
    /// Black.
    pub const BLACK: Color = Color { red: 0, green: 0, blue: 0 };

    /// By its parts.
    pub fn rgb(red: u8, green: u8, blue: u8) -> Color {
        Color { red, green, blue }
    }

    /// Y, U and V of it on a canvas.
    pub(crate) fn samples(self) -> [u8; 3] {
        let [red, green, blue] = [self.red, self.green, self.blue].map(|part| f64::from(part) / 255.0);
        let (kr, kb) = ColorMatrix::Bt709.weights();
        let luma = kr * red + (1.0 - kr - kb) * green + kb * blue;
        let (u, v) = ((blue - luma) / (2.0 * (1.0 - kb)), (red - luma) / (2.0 * (1.0 - kr)));
        [16.0 + 219.0 * luma, 128.0 + 224.0 * u, 128.0 + 224.0 * v].map(|sample| sample.round() as u8)
    }
}

impl FromStr for Color {
    type Err = ColorError;

    /// `black`, `#1a2b3c`, `1a2b3c` or `#abc`.
    fn from_str(text: &str) -> Result<Color, ColorError> {
        if let Some((_, rgb)) = NAMES.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)) {
            let [_, red, green, blue] = rgb.to_be_bytes();
            return Ok(Color { red, green, blue });
        }
        let digits: Option<Vec<u8>> = text
            .strip_prefix('#')
            .unwrap_or(text)
            .chars()
            .map(|digit| digit.to_digit(16).map(|digit| digit as u8))
            .collect();
        match digits.as_deref() {
            Some(&[r, s, g, h, b, c]) => Ok(Color { red: 16 * r + s, green: 16 * g + h, blue: 16 * b + c }),
            Some(&[r, g, b]) if text.starts_with('#') => {
                Ok(Color { red: 17 * r, green: 17 * g, blue: 17 * b })
            }
            _ => Err(ColorError),
        }
    }
}

/// `#1a2b3c`, or `black`.
impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Color::BLACK => f.write_str("black"),
            Color { red, green, blue } => write!(f, "#{red:02x}{green:02x}{blue:02x}"),
        }
    }
}

impl ColorMatrix {
    /// What red and blue weigh in luma: K_R and K_B of H.273, table 4.
    fn weights(self) -> (f64, f64) {
        match self {
            ColorMatrix::Bt601 => (0.299, 0.114),
            ColorMatrix::Bt709 => (0.2126, 0.0722),
            ColorMatrix::Bt2020 => (0.2627, 0.0593),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_read_as_people_write_them_and_told_the_same_way() {
        for (text, told) in [
            ("black", "black"),
            ("White", "#ffffff"),
            ("grey", "#808080"),
            ("#1A2b3c", "#1a2b3c"),
            ("202020", "#202020"),
            ("#f80", "#ff8800"),
            ("000000", "black"),
        ] {
            assert_eq!(text.parse::<Color>().map(|color| color.to_string()), Ok(told.to_owned()), "{text}");
        }
        for text in ["", "#", "f80", "#12345", "#1234567", "blakc", "0x202020", "#gggggg"] {
            assert_eq!(text.parse::<Color>(), Err(ColorError), "{text}");
        }
    }

    #[test]
    fn colours_have_the_samples_that_bt709_gives_them() {
        // ITU-R BT.709 colour bars, as every test signal generator has them.
        for (text, samples) in [
            ("black", [16, 128, 128]),
            ("white", [235, 128, 128]),
            ("red", [63, 102, 240]),
            ("lime", [173, 42, 26]),
            ("blue", [32, 240, 118]),
            ("yellow", [219, 16, 138]),
        ] {
            assert_eq!(text.parse::<Color>().expect("a colour").samples(), samples, "{text}");
        }
    }
}
