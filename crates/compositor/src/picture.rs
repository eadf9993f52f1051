//! A picture as the compositor borrows it: whoever owns it stays outside this crate.

use crate::colour::{ColorMatrix, ColorRange};
use crate::geometry::Rect;
use thiserror::Error;

/// The longest side of a picture that is composed; what is larger is refused, not scaled.
pub(crate) const MAX_SIDE: u32 = 16_384;

/// A borrowed I420 picture: 8 bits, planes Y, U, V, chroma planes of half the size rounded up.
#[derive(Clone, Copy, Debug)]
pub struct PictureView<'a> {
    /// Luma samples a row, at least 1; odd is fine.
    pub width: u32,
    /// Luma rows, at least 1; odd is fine.
    pub height: u32,
    /// Y, U and V; each holds at least `(rows - 1) * stride + samples a row` bytes.
    pub planes: [&'a [u8]; 3],
    /// Bytes from one row of a plane to the next, at least its samples a row.
    pub strides: [usize; 3],
    /// Width to height of one sample: (1, 1) is square, (12, 11) is 704x576 shown as 4:3 (`sample_aspect_ratio` of H.264,
    /// section E.2.1). What is 0 is unknown, and what is beyond 1:4 to 4:1 is a mistake: both count as square.
    pub sample_aspect: (u32, u32),
    /// How luma and chroma are made from red, green and blue. The canvas is BT.709: what is not is converted.
    pub matrix: ColorMatrix,
    /// Which sample values mean black and white. The canvas is of limited range: what is not is converted.
    pub range: ColorRange,
    /// Changes when the picture does, and never returns to an earlier value within one tile: a tile whose generation
    /// and size stay is not painted again.
    pub generation: u64,
}

/// Why a picture was not painted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PictureError {
    /// A size that is nothing, or too much.
    #[error("found a picture of {width}x{height}, expected 1 to {MAX_SIDE} samples a side")]
    Size {
        /// The width that was found.
        width: u32,
        /// The height that was found.
        height: u32,
    },
    /// A row of a plane is longer than the distance between rows.
    #[error("plane {plane}: found a stride of {found}, expected at least {expected}")]
    Stride {
        /// 0, 1, 2: Y, U, V.
        plane: usize,
        /// The stride that was found.
        found: usize,
        /// The least that holds a row.
        expected: usize,
    },
    /// A plane ends before its last row does.
    #[error("plane {plane}: found {found} bytes, expected at least {expected}")]
    Bytes {
        /// 0, 1, 2: Y, U, V.
        plane: usize,
        /// The bytes that were found.
        found: usize,
        /// The least that holds all rows.
        expected: usize,
    },
    /// A crop or a mask in pixels reaches outside of the picture: it was made for pictures of another size. Nothing is
    /// shown rather than what the mask was to hide.
    #[error("found a crop or a mask outside of the picture of {width}x{height}, expected one inside")]
    Area {
        /// The picture's width.
        width: u32,
        /// The picture's height.
        height: u32,
    },
}

/// What decides where a picture goes in a tile: its size in samples, and the shape of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Both at least 1.
    pub(crate) sample_aspect: (u32, u32),
}

impl Shape {
    /// Samples are square where what is said of them cannot be.
    pub(crate) fn new(width: u32, height: u32, sample_aspect: (u32, u32)) -> Shape {
        let (across, down) = (u64::from(sample_aspect.0), u64::from(sample_aspect.1));
        let is_sane = across > 0 && down > 0 && across <= 4 * down && down <= 4 * across;
        Shape { width, height, sample_aspect: if is_sane { sample_aspect } else { (1, 1) } }
    }

    /// A width and a height, each below 2^47, in the ratio in which the picture is to be seen.
    pub(crate) fn seen(self) -> (u64, u64) {
        let (across, down) = self.sample_aspect;
        (u64::from(self.width) * u64::from(across), u64::from(self.height) * u64::from(down))
    }
}

impl PictureView<'_> {
    /// Its size and its samples' shape.
    pub(crate) fn shape(&self) -> Shape {
        Shape::new(self.width, self.height, self.sample_aspect)
    }

    /// Whether size, strides and planes agree; afterwards every row of every plane can be sliced.
    pub(crate) fn check(&self) -> Result<(), PictureError> {
        let (width, height) = (self.width, self.height);
        if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
            return Err(PictureError::Size { width, height });
        }
        let luma = Rect { x: 0, y: 0, width, height };
        for (plane, size) in [luma, luma.chroma(), luma.chroma()].into_iter().enumerate() {
            let (row, rows, stride) = (size.width as usize, size.height as usize, self.strides[plane]);
            if stride < row {
                return Err(PictureError::Stride { plane, found: stride, expected: row });
            }
            let expected = (rows - 1).saturating_mul(stride).saturating_add(row);
            if self.planes[plane].len() < expected {
                return Err(PictureError::Bytes { plane, found: self.planes[plane].len(), expected });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_that_are_too_short_are_refused_before_anybody_reads_them() {
        let (y, c) = (vec![0; 5 * 8 + 5], vec![0; 3 * 4 + 3]);
        let whole = PictureView {
            width: 5,
            height: 6,
            planes: [&y, &c[..11], &c[..11]],
            strides: [8, 4, 4],
            sample_aspect: (1, 1),
            matrix: ColorMatrix::Bt709,
            range: ColorRange::Limited,
            generation: 0,
        };
        assert_eq!(whole.check(), Ok(()));
        let short = PictureView { planes: [&y[..44], &c, &c], ..whole };
        assert_eq!(short.check(), Err(PictureError::Bytes { plane: 0, found: 44, expected: 45 }));
        let short = PictureView { planes: [&y, &c, &c[..10]], ..whole };
        assert_eq!(short.check(), Err(PictureError::Bytes { plane: 2, found: 10, expected: 11 }));
        let narrow = PictureView { strides: [8, 2, 4], ..whole };
        assert_eq!(narrow.check(), Err(PictureError::Stride { plane: 1, found: 2, expected: 3 }));
        for (width, height) in [(0, 6), (5, 0), (16_385, 6)] {
            let size = PictureView { width, height, ..whole };
            assert_eq!(size.check(), Err(PictureError::Size { width, height }));
        }
    }
    #[test]
    fn samples_of_an_impossible_shape_count_as_square() {
        let of = |sample_aspect| {
            let (planes, strides) = ([&[0_u8][..]; 3], [1; 3]);
            let (matrix, range) = (ColorMatrix::Bt709, ColorRange::Limited);
            let (width, height, generation) = (1, 1, 0);
            let view =
                PictureView { width, height, planes, strides, sample_aspect, matrix, range, generation };
            view.shape().sample_aspect
        };
        for sane in [(1, 1), (12, 11), (16, 11), (4, 1), (1, 4), (u32::MAX, u32::MAX / 4 + 1)] {
            assert_eq!(of(sane), sane);
        }
        for odd in [(0, 0), (0, 1), (1, 0), (5, 1), (1, 5), (4_001, 1_000), (u32::MAX, 1)] {
            assert_eq!(of(odd), (1, 1), "{odd:?}");
        }
    }
}
