//! Lays scaled rows down as columns, for pictures that are turned by a quarter.
//!
//! A band of rows is scaled into memory of its own, small enough for the cache, and from there goes to the canvas in
//! squares of 16 x 16 samples, each transposed in registers.

use crate::presentation::Orientation;

/// Rows of a band: as many samples as each row of the canvas is given at a time.
pub(super) const BAND: usize = 64;

/// Writes `count` rows of `width` samples as columns. `canvas` begins at the outcome's first sample, `first` says which row
/// of all `rows` the band's first one is.
pub(super) fn write_columns(
    band: &[u8],
    (width, rows): (usize, usize),
    (first, count): (usize, usize),
    orientation: Orientation,
    canvas: &mut [u8],
    stride: usize,
) {
    let left = if orientation.flips_rows { rows - first - count } else { first };
    // The band's row that becomes a column, counted from the left one of the band's columns.
    let row_of = |column: usize| if orientation.flips_rows { count - 1 - column } else { column };
    let line_of = |x: usize| if orientation.flips_columns { width - 1 - x } else { x };
    let (whole_columns, whole_lines) = (count / SIDE * SIDE, width / SIDE * SIDE);
    for x in (0..whole_lines).step_by(SIDE) {
        for column in (0..whole_columns).step_by(SIDE) {
            let row = |i: usize| &band[row_of(column + i) * width + x..][..SIDE];
            let square = std::array::from_fn(|i| row(i).try_into().expect("a square's side"));
            for (i, samples) in transposed(square).into_iter().enumerate() {
                let at = line_of(x + i) * stride + left + column;
                canvas[at..at + SIDE].copy_from_slice(&samples);
            }
        }
    }
    for x in 0..width {
        let from = if x < whole_lines { whole_columns } else { 0 };
        for column in from..count {
            canvas[line_of(x) * stride + left + column] = band[row_of(column) * width + x];
        }
    }
}

/// Samples along a square.
pub(super) const SIDE: usize = 16;

/// A row of a square.
pub(super) type Row = [u8; SIDE];

/// Exchanges rows and columns.
fn transposed(rows: [Row; SIDE]) -> [Row; SIDE] {
    #[cfg(target_arch = "x86_64")]
    return super::avx2::transposed(rows);
    #[cfg(not(target_arch = "x86_64"))]
    transposed_in_numbers(rows)
}

/// In four rounds: halves, quarters, eighths, neighbours.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn transposed_in_numbers(rows: [Row; SIDE]) -> [Row; SIDE] {
    let mut rows = rows.map(u128::from_le_bytes);
    for (distance, mask) in [
        (8, 0x0000_0000_0000_0000_ffff_ffff_ffff_ffff),
        (4, 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff),
        (2, 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff),
        (1, 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff),
    ] {
        let bits = 8 * distance;
        for i in (0..SIDE).filter(|i| i & distance == 0) {
            let difference = (rows[i] >> bits ^ rows[i + distance]) & mask;
            rows[i + distance] ^= difference;
            rows[i] ^= difference << bits;
        }
    }
    rows.map(u128::to_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_is_transposed() {
        let rows: [Row; SIDE] = std::array::from_fn(|y| std::array::from_fn(|x| (16 * y + x) as u8));
        for columns in [transposed(rows), transposed_in_numbers(rows)] {
            for (x, y) in (0..SIDE).flat_map(|x| (0..SIDE).map(move |y| (x, y))) {
                assert_eq!(columns[x][y], rows[y][x]);
            }
        }
    }
}
