//! Sizes, rates and rectangles, each a type with one constructor: what exists is valid, and nothing checks it again.
//!
//! All lengths are luma samples. The canvas is 4:2:0, so every rectangle on it begins and ends on even samples: a
//! chroma sample belongs to exactly one tile. How tiles are arranged is in [`crate::layout`].

use std::time::Duration;
use thiserror::Error;

/// The size of a wall's picture: even, 64x64 to 3840x2160 in either orientation.
///
/// The upper limit is OpenH264's own (3840x2160 or 2160x3840).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CanvasSize {
    width: u32,
    height: u32,
}

/// Why a canvas size was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("found a canvas of {width}x{height}, expected even numbers from 64x64 to 3840x2160 or 2160x3840")]
pub struct CanvasSizeError {
    /// The width that was found.
    pub width: u32,
    /// The height that was found.
    pub height: u32,
}

impl CanvasSize {
    /// The default of a wall: 1920x1080.
    pub const FULL_HD: CanvasSize = CanvasSize { width: 1920, height: 1080 };

    /// Accepts even sizes from 64x64 to 3840x2160, landscape or portrait.
    pub fn new(width: u32, height: u32) -> Result<CanvasSize, CanvasSizeError> {
        let (long, short) = (width.max(height), width.min(height));
        let fits = short >= 64 && long <= 3840 && short <= 2160;
        let even = width.is_multiple_of(2) && height.is_multiple_of(2);
        if fits && even { Ok(CanvasSize { width, height }) } else { Err(CanvasSizeError { width, height }) }
    }

    /// Luma samples a row.
    pub fn width(self) -> u32 {
        self.width
    }

    /// Luma rows.
    pub fn height(self) -> u32 {
        self.height
    }
}

/// Ticks a second: 1 to 60, whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameRate(u32);

/// Why a frame rate was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("found {0} frames a second, expected 1 to 60")]
pub struct FrameRateError(pub u32);

impl FrameRate {
    /// The default of a wall: 25 frames a second.
    pub const DEFAULT: FrameRate = FrameRate(25);

    /// Accepts 1 to 60 frames a second.
    pub fn new(frames_per_second: u32) -> Result<FrameRate, FrameRateError> {
        if (1..=60).contains(&frames_per_second) {
            Ok(FrameRate(frames_per_second))
        } else {
            Err(FrameRateError(frames_per_second))
        }
    }

    /// Frames a second.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The time of `ticks` ticks, rounded down to the nanosecond. It does not accumulate the rounding: 1,500 ticks at
    /// 60 fps are 25 s exactly.
    pub fn time_of(self, ticks: u64) -> Duration {
        let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(self.0);
        let seconds =
            u64::try_from(nanos / 1_000_000_000).expect("a u64 of ticks is at most a u64 of seconds");
        Duration::new(seconds, (nanos % 1_000_000_000) as u32)
    }

    /// How many whole ticks have begun within `elapsed`; the inverse of [`FrameRate::time_of`].
    pub(crate) fn ticks_within(self, elapsed: Duration) -> u64 {
        // A tick begins at `time_of`, which is rounded down, so the last nanosecond of the one before is counted as
        // the next one's: add the remainder that rounding may have taken.
        let ticks = (elapsed.as_nanos() + 1) * u128::from(self.0) / 1_000_000_000;
        let ticks = u64::try_from(ticks).unwrap_or(u64::MAX);
        if self.time_of(ticks) > elapsed { ticks - 1 } else { ticks }
    }
}

/// The encoder's target in bits a second: 50 kb/s to 100 Mb/s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bitrate(u32);

/// Why a bitrate was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("found {0} b/s, expected 50000 to 100000000 b/s")]
pub struct BitrateError(pub u64);

impl Bitrate {
    /// The default of a wall: 4 Mb/s.
    pub const DEFAULT: Bitrate = Bitrate(4_000_000);

    /// Accepts 50 kb/s to 100 Mb/s.
    pub fn new(bits_per_second: u64) -> Result<Bitrate, BitrateError> {
        match u32::try_from(bits_per_second) {
            Ok(bps @ 50_000..=100_000_000) => Ok(Bitrate(bps)),
            _ => Err(BitrateError(bits_per_second)),
        }
    }

    /// Bits a second.
    pub fn bps(self) -> u32 {
        self.0
    }
}

/// A rectangle in luma samples. Which rules it keeps (inside, even) is said by whoever makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rect {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Rect {
    /// Whether all of it is part of `outer`; nothing at all always is.
    pub(crate) fn is_within(&self, outer: &Rect) -> bool {
        let lies = |from, length, outer, outer_length| from >= outer && from + length <= outer + outer_length;
        self.width == 0
            || self.height == 0
            || (lies(self.x, self.width, outer.x, outer.width)
                && lies(self.y, self.height, outer.y, outer.height))
    }

    /// Whether the two share a sample.
    pub(crate) fn overlaps(&self, other: &Rect) -> bool {
        self.x < other.x + other.width
            && other.x < self.x + self.width
            && self.y < other.y + other.height
            && other.y < self.y + self.height
    }

    /// The same rectangle on a chroma plane of a 4:2:0 picture. `x` and `y` must be even; an odd width or height can
    /// only end at an odd picture's edge, where the last chroma sample covers half of nothing.
    pub(crate) fn chroma(&self) -> Rect {
        debug_assert!(
            self.x.is_multiple_of(2) && self.y.is_multiple_of(2),
            "{self:?} splits a chroma sample"
        );
        Rect { x: self.x / 2, y: self.y / 2, width: self.width.div_ceil(2), height: self.height.div_ceil(2) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canvas_is_even_and_within_what_openh264_takes() {
        for (width, height) in [(64, 64), (1920, 1080), (1080, 1920), (3840, 2160), (2160, 3840)] {
            assert!(CanvasSize::new(width, height).is_ok(), "{width}x{height}");
        }
        for (width, height) in
            [(0, 0), (62, 64), (64, 62), (1921, 1080), (1920, 1081), (3842, 2160), (3840, 2162)]
        {
            let error = CanvasSize::new(width, height).expect_err("refused");
            assert!(error.to_string().contains(&format!("{width}x{height}")), "{error}");
        }
    }

    #[test]
    fn rates_outside_their_range_say_what_was_found_and_expected() {
        assert_eq!(
            FrameRate::new(61).expect_err("refused").to_string(),
            "found 61 frames a second, expected 1 to 60"
        );
        assert!(FrameRate::new(0).is_err() && FrameRate::new(1).is_ok() && FrameRate::new(60).is_ok());
        assert!(
            Bitrate::new(49_999).is_err() && Bitrate::new(u64::MAX).is_err() && Bitrate::new(50_000).is_ok()
        );
    }

    #[test]
    fn ticks_and_times_are_each_others_inverse() {
        for fps in 1..=60 {
            let rate = FrameRate::new(fps).expect("in range");
            for tick in (0..5_000).chain(2_000_000_000..2_000_000_100) {
                let begins = rate.time_of(tick);
                assert_eq!(rate.ticks_within(begins), tick, "{fps} fps, tick {tick}");
                if tick > 0 {
                    assert_eq!(
                        rate.ticks_within(begins - Duration::from_nanos(1)),
                        tick - 1,
                        "{fps} fps before {tick}"
                    );
                }
            }
        }
    }
}
