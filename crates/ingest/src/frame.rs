//! One decoded picture.

use std::fmt;
use std::time::Instant;

use crate::ffi::Picture;

/// One decoded picture: planar YUV 4:2:0 with 8 bits a sample (I420), whatever the camera sent. It refers to the
/// decoder's own buffer; nothing was copied unless the camera's format had to be converted.
pub struct Frame {
    picture: Picture,
    decoded_at: Instant,
    captured_at: Instant,
    sequence: u64,
    matrix: ColorMatrix,
    range: ColorRange,
    sample_aspect_ratio: (u32, u32),
}

/// How luma and chroma are made from red, green and blue (ITU-T H.273 MatrixCoefficients). What the camera leaves
/// unsaid is decided by size, as players do: BT.709 from 1280x720 on, BT.601 below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColorMatrix {
    /// ITU-R BT.601 (and its twins BT.470 BG, SMPTE 170M, FCC).
    Bt601,
    /// ITU-R BT.709.
    Bt709,
    /// ITU-R BT.2020, non-constant luminance.
    Bt2020,
}

/// Which sample values mean black and white.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColorRange {
    /// Luma 16–235, chroma 16–240; what cameras mean when they say nothing.
    Limited,
    /// 0–255.
    Full,
}

/// What the decoder knows of a picture beside its samples.
pub(crate) struct FrameInfo {
    pub(crate) decoded_at: Instant,
    pub(crate) captured_at: Instant,
    pub(crate) sequence: u64,
    pub(crate) matrix: ColorMatrix,
    pub(crate) range: ColorRange,
    pub(crate) sample_aspect_ratio: (u32, u32),
}

impl Frame {
    pub(crate) fn new(picture: Picture, info: FrameInfo) -> Self {
        let FrameInfo { decoded_at, captured_at, sequence, matrix, range, sample_aspect_ratio } = info;
        Self { picture, decoded_at, captured_at, sequence, matrix, range, sample_aspect_ratio }
    }

    /// Width in pixels, at least 1, not always even.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.picture.width()
    }

    /// Height in pixels, at least 1, not always even.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.picture.height()
    }

    /// The samples of plane 0 (Y: width x height), 1 (U) or 2 (V: both half of that, rounded up). Row `r` begins at
    /// `r * stride(i)`; the slice ends with the last sample of the last row.
    ///
    /// # Panics
    /// If `i` is greater than 2.
    #[must_use]
    pub fn plane(&self, i: usize) -> &[u8] {
        self.picture.plane(i)
    }

    /// Bytes from one row of plane `i` to the next.
    ///
    /// # Panics
    /// If `i` is greater than 2.
    #[must_use]
    pub fn stride(&self, i: usize) -> usize {
        self.picture.stride(i)
    }

    /// When it was decoded, on the monotonic clock. Ages count from here.
    #[must_use]
    pub fn decoded_at(&self) -> Instant {
        self.decoded_at
    }

    /// When the picture was taken, on the monotonic clock, as far as the camera lets us know; else when its first packet
    /// arrived. For comparing cameras with each other.
    #[must_use]
    pub fn captured_at(&self) -> Instant {
        self.captured_at
    }

    /// Unique and rising per camera, also across reconnects.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How luma and chroma are to be understood.
    #[must_use]
    pub fn matrix(&self) -> ColorMatrix {
        self.matrix
    }

    /// Which sample values mean black and white.
    #[must_use]
    pub fn range(&self) -> ColorRange {
        self.range
    }

    /// Width to height of one pixel; 1 to 1 when the camera says nothing (or nonsense).
    #[must_use]
    pub fn sample_aspect_ratio(&self) -> (u32, u32) {
        self.sample_aspect_ratio
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("sequence", &self.sequence)
            .field("size", &(self.width(), self.height()))
            .field("matrix", &self.matrix)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}
