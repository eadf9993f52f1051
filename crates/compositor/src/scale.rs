//! Scales one 8-bit plane of any size straight into its place on the canvas.
//!
//! Each axis is filtered on its own: by area where it shrinks (every source sample counts by how much of it the output
//! sample covers), bilinearly where it grows. Samples are aligned by their centres. These are the filters of
//! swscale's `area` flag, and the results agree with it to about one step of 255.
//!
//! First the rows are weighed together into one row of 15-bit sums, then that row is filtered sideways into the
//! canvas; a turned or mirrored picture's row goes where [`Orientation`] puts it. Two shortcuts give the very same numbers: equal sizes are copied, and reductions by 2 or 4 sideways and 1,
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
#[allow(unsafe_code, reason = "AVX-512 intrinsics, behind safe functions that check their slices")]
#[cfg(target_arch = "x86_64")]
mod avx512;
mod axis;
mod scalar;
mod turn;
mod windows;

pub(crate) use self::axis::Axis;

use self::windows::{WideWindows, Windows};
use crate::colour::Conversion;
use crate::presentation::Orientation;

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
    /// With AVX2 for what is as fast by it.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Instructions {
    /// The fastest that this processor has.
    pub(crate) fn detect() -> Instructions {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            let is_wide = std::arch::is_x86_feature_detected!("avx512bw");
            return if is_wide { Instructions::Avx512 } else { Instructions::Avx2 };
        }
        Instructions::Scalar
    }

    /// All that this processor has.
    #[cfg(test)]
    pub(crate) fn available() -> Vec<Instructions> {
        match Instructions::detect() {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => vec![Instructions::Scalar, Instructions::Avx2, Instructions::Avx512],
            Instructions::Scalar => vec![Instructions::Scalar],
            fastest => vec![Instructions::Scalar, fastest],
        }
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
    /// Before it is turned.
    output: (usize, usize),
    orientation: Orientation,
    path: Path,
    vertical: Axis,
    horizontal: Axis,
    /// The same as `horizontal` for vectors, where it has few taps.
    windows: Option<Windows>,
    wide_windows: Option<WideWindows>,
    /// One row of vertical sums, with room for the taps that reach over its end with weight 0.
    row: Vec<i16>,
    /// Scaled rows on their way to become columns; empty where they stay rows.
    band: Vec<u8>,
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
    /// From `source` to `output`, each (samples a row, rows), each at least 1. What is turned by a quarter comes out with
    /// the output's sides exchanged.
    pub(crate) fn new(
        source: (u32, u32),
        output: (u32, u32),
        orientation: Orientation,
        instructions: Instructions,
    ) -> PlaneScaler {
        let vertical = Axis::new(source.1, output.1, VERTICAL_UNIT, 1);
        let horizontal = Axis::new(source.0, output.0, HORIZONTAL_UNIT, 4);
        let windows = Windows::of(&horizontal);
        let wide_windows = WideWindows::of(&horizontal);
        let reaches = [windows.as_ref().map(Windows::reach), wide_windows.as_ref().map(WideWindows::reach)];
        let reach = reaches.into_iter().flatten().max().unwrap_or(0);
        let row = vec![0; reach.max(horizontal.reach()).max(source.0 as usize)];
        let whole = |from: u32, to: u32| if from.is_multiple_of(to) { (from / to) as usize } else { 0 };
        let path = match (whole(source.0, output.0), whole(source.1, output.1)) {
            (1, 1) => Path::Copy,
            (1, _) => Path::SameWidth,
            (across @ (2 | 4), down @ (1 | 2 | 4 | 8)) => Path::Box { across, down },
            _ => Path::Filter,
        };
        let size = |(width, height): (u32, u32)| (width as usize, height as usize);
        let (source, output) = (size(source), size(output));
        let band = vec![0; if orientation.is_transposed { turn::BAND * output.0 } else { 0 }];
        PlaneScaler {
            source,
            output,
            orientation,
            path,
            vertical,
            horizontal,
            windows,
            wide_windows,
            row,
            band,
            instructions,
        }
    }

    /// Scales `source` into `canvas`, whose first byte is the outcome's first sample.
    ///
    /// # Panics
    /// Where a plane is smaller than the sizes this was made for.
    pub(crate) fn scale(&mut self, source: Plane<'_>, canvas: &mut [u8], canvas_stride: usize) {
        if self.orientation.is_transposed {
            return self.scale_to_columns(source, canvas, canvas_stride);
        }
        let (width, rows) = self.output;
        for y in 0..rows {
            let line = if self.orientation.flips_columns { rows - 1 - y } else { y };
            let output = &mut canvas[line * canvas_stride..][..width];
            self.scale_row(source, y, output);
            if self.orientation.flips_rows {
                output.reverse();
            }
        }
    }

    fn scale_to_columns(&mut self, source: Plane<'_>, canvas: &mut [u8], canvas_stride: usize) {
        let (width, rows) = self.output;
        let mut band = std::mem::take(&mut self.band);
        for first in (0..rows).step_by(turn::BAND) {
            let count = turn::BAND.min(rows - first);
            for (k, row) in band.chunks_exact_mut(width).take(count).enumerate() {
                self.scale_row(source, first + k, row);
            }
            turn::write_columns(&band, self.output, (first, count), self.orientation, canvas, canvas_stride);
        }
        self.band = band;
    }

    /// Makes row `y` of the output.
    #[inline]
    fn scale_row(&mut self, source: Plane<'_>, y: usize, output: &mut [u8]) {
        let (stride, instructions) = (source.stride, self.instructions);
        let (first, weights) = self.vertical.taps_of(y);
        let rows = &source.data[first * stride..];
        match self.path {
            Path::Copy => output.copy_from_slice(&rows[..output.len()]),
            Path::Box { across, down } => instructions.sum_boxes(rows, stride, across, down, output),
            Path::SameWidth => {
                instructions.weigh_rows(rows, stride, weights, &mut self.row[..self.source.0]);
                instructions.round_row(&self.row[..output.len()], output);
            }
            Path::Filter => {
                instructions.weigh_rows(rows, stride, weights, &mut self.row[..self.source.0]);
                let windows = (self.windows.as_ref(), self.wide_windows.as_ref());
                instructions.filter_row(&self.row, &self.horizontal, windows, output);
            }
        }
    }

    /// What scales its rows' samples.
    pub(crate) fn horizontal(&self) -> &Axis {
        &self.horizontal
    }

    /// What scales its columns' samples.
    pub(crate) fn vertical(&self) -> &Axis {
        &self.vertical
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
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => avx512::weigh_rows(rows, stride, weights, row),
        }
    }

    /// `output[x]` = the weighted sum of `row` under the taps of `x`, rounded.
    fn filter_row(
        self,
        row: &[i16],
        taps: &Axis,
        (windows, wide): (Option<&Windows>, Option<&WideWindows>),
        output: &mut [u8],
    ) {
        match (self, wide) {
            (Instructions::Scalar, _) => scalar::filter_row(row, taps, output),
            #[cfg(target_arch = "x86_64")]
            (Instructions::Avx512, Some(windows)) => avx512::filter_row(row, windows, output),
            #[cfg(target_arch = "x86_64")]
            _ => avx2::filter_row(row, taps, windows, output),
        }
    }

    /// `output[x]` = `row[x]`, rounded.
    fn round_row(self, row: &[i16], output: &mut [u8]) {
        // The compiler makes good vectors of this one by itself.
        scalar::round_row(row, output);
    }

    /// Two rows of luma and their row of chroma, to the canvas's matrix and range.
    pub(crate) fn convert_rows(
        self,
        conversion: &Conversion,
        luma: [&mut [u8]; 2],
        u: &mut [u8],
        v: &mut [u8],
    ) {
        match self {
            Instructions::Scalar => conversion.convert_rows(luma, u, v),
            #[cfg(target_arch = "x86_64")]
            _ => avx2::convert_rows(conversion, luma, u, v),
        }
    }

    /// `output[x]` = the mean of `across` x `down` source samples, rounded.
    fn sum_boxes(self, rows: &[u8], stride: usize, across: usize, down: usize, output: &mut [u8]) {
        match self {
            Instructions::Scalar => scalar::sum_boxes(rows, stride, across, down, output),
            #[cfg(target_arch = "x86_64")]
            _ => avx2::sum_boxes(rows, stride, across, down, output),
        }
    }
}

#[cfg(test)]
mod tests;
