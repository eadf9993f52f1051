//! Scales one 8-bit plane of any size straight into its place on the canvas.
//!
//! Each axis is filtered on its own: by area where it shrinks (every source sample counts by how much of it the output
//! sample covers), bilinearly where it grows. Samples are aligned by their centres. These are the filters of
//! swscale's `area` flag, and the results agree with it to about one step of 255.
//!
//! First the rows are weighed together into one row of 15-bit sums, then that row is filtered sideways into the
//! canvas. Two shortcuts give the very same numbers: equal sizes are copied, and reductions by 2 or 4 sideways and 1,
//! 2, 4 or 8 downwards (the reference layout, and every 2x2 and 4x4 grid of 1080p cameras) are summed in whole numbers.
//!
//! **Why our own and not a library.** Measured with `benches/compose.rs` and a sketch of the same four tiles, CPU ms a
//! canvas: this 0.9; swscale's `area` through ffmpeg 3.1; the crate `fast_image_resize` with its box filter 6.8, without
//! placing anything on a canvas; copying as many bytes 0.6. libyuv was ruled out by what it does: between 2:1 and 1:1 its
//! box filter is plain bilinear, which is not an area filter. What is needed is two filters on one sample format, so they
//! are kept here, in a scalar and an AVX2 form that are bit-identical and tested to be.

#[allow(unsafe_code, reason = "AVX2 intrinsics, behind safe functions that check their slices")]
#[cfg(target_arch = "x86_64")]
mod avx2;
mod axis;
mod scalar;

use axis::Axis;

/// Weights of one output sample of the vertical filter add up to this: 8 bits, so that sums of 8-bit samples fill 16.
const VERTICAL_UNIT: u32 = 1 << 8;
/// Weights of one output sample of the horizontal filter add up to this.
const HORIZONTAL_UNIT: u32 = 1 << 14;
/// The vertical sum is halved to fit signed 16 bits: 7 of its bits are fraction. The horizontal adds 14.
const FRACTION_BITS: u32 = 7 + 14;

/// Which instructions are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instructions {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Instructions {
    /// The fastest that this processor has.
    pub(crate) fn detect() -> Instructions {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            return Instructions::Avx2;
        }
        Instructions::Scalar
    }
}

/// Samples of a plane: the first row begins at the first byte.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plane<'a> {
    pub(crate) data: &'a [u8],
    pub(crate) stride: usize,
}

/// Scales planes of one size to another. Made once for a pair of sizes; scaling allocates nothing.
#[derive(Debug)]
pub(crate) struct PlaneScaler {
    source: (usize, usize),
    output: (usize, usize),
    path: Path,
    vertical: Axis,
    horizontal: Axis,
    /// One row of vertical sums, with room for the taps that reach over its end with weight 0.
    row: Vec<i16>,
    instructions: Instructions,
}

/// How the numbers are come by; they are the same on every path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Copy,
    Box { across: usize, down: usize },
    SameWidth,
    Filter,
}

impl PlaneScaler {
    /// From `source` to `output`, each (samples a row, rows), each at least 1.
    pub(crate) fn new(source: (u32, u32), output: (u32, u32), instructions: Instructions) -> PlaneScaler {
        let vertical = Axis::new(source.1, output.1, VERTICAL_UNIT, 1);
        let horizontal = Axis::new(source.0, output.0, HORIZONTAL_UNIT, 4);
        let row = vec![0; horizontal.reach().max(source.0 as usize)];
        let whole = |from: u32, to: u32| if from.is_multiple_of(to) { (from / to) as usize } else { 0 };
        let path = match (whole(source.0, output.0), whole(source.1, output.1)) {
            (1, 1) => Path::Copy,
            (1, _) => Path::SameWidth,
            (across @ (2 | 4), down @ (1 | 2 | 4 | 8)) => Path::Box { across, down },
            _ => Path::Filter,
        };
        let size = |(width, height): (u32, u32)| (width as usize, height as usize);
        PlaneScaler {
            source: size(source),
            output: size(output),
            path,
            vertical,
            horizontal,
            row,
            instructions,
        }
    }

    /// Scales `source` into `canvas`, whose first byte is the output's first sample.
    ///
    /// # Panics
    /// Where a plane is smaller than the sizes this was made for.
    pub(crate) fn scale(&mut self, source: Plane<'_>, canvas: &mut [u8], canvas_stride: usize) {
        let (width, rows) = self.output;
        let stride = source.stride;
        let instructions = self.instructions;
        // The last row of either plane may end before its stride does.
        for (y, output) in canvas.chunks_mut(canvas_stride).take(rows).enumerate() {
            let output = &mut output[..width];
            let (first, weights) = self.vertical.taps_of(y);
            let rows = &source.data[first * stride..];
            if self.path == Path::Copy {
                output.copy_from_slice(&rows[..width]);
                continue;
            }
            if let Path::Box { across, down } = self.path {
                instructions.sum_boxes(rows, stride, across, down, output);
                continue;
            }
            instructions.weigh_rows(rows, stride, weights, &mut self.row[..self.source.0]);
            if self.path == Path::SameWidth {
                instructions.round_row(&self.row[..width], output);
            } else {
                instructions.filter_row(&self.row, &self.horizontal, output);
            }
        }
    }
}

/// The steps, each in the chosen instructions. `rows` begins at the first row that counts.
impl Instructions {
    /// `row[x]` = half the sum of `weights[k] * rows[k][x]`.
    fn weigh_rows(self, rows: &[u8], stride: usize, weights: &[u16], row: &mut [i16]) {
        match self {
            Instructions::Scalar => scalar::weigh_rows(rows, stride, weights, row),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => avx2::weigh_rows(rows, stride, weights, row),
        }
    }

    /// `output[x]` = the weighted sum of `row` under the taps of `x`, rounded.
    fn filter_row(self, row: &[i16], taps: &Axis, output: &mut [u8]) {
        match self {
            Instructions::Scalar => scalar::filter_row(row, taps, output),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => avx2::filter_row(row, taps, output),
        }
    }

    /// `output[x]` = `row[x]`, rounded.
    fn round_row(self, row: &[i16], output: &mut [u8]) {
        // The compiler makes good vectors of this one by itself.
        scalar::round_row(row, output);
    }

    /// `output[x]` = the mean of `across` x `down` source samples, rounded.
    fn sum_boxes(self, rows: &[u8], stride: usize, across: usize, down: usize, output: &mut [u8]) {
        match self {
            Instructions::Scalar => scalar::sum_boxes(rows, stride, across, down, output),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => avx2::sum_boxes(rows, stride, across, down, output),
        }
    }
}

#[cfg(test)]
mod tests;
