//! Lays scaled rows down as columns, for pictures that are turned by a quarter.
//!
//! A band of rows is scaled into memory of its own, small enough for the cache, and from there goes to the canvas in
//! squares of 8 x 8 samples, each transposed in eight registers.

use crate::presentation::Orientation;

/// Rows of a band: as many samples as each row of the canvas is given at a time.
pub(super) const BAND: usize = 32;

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
    let (whole_columns, whole_lines) = (count / 8 * 8, width / 8 * 8);
    for x in (0..whole_lines).step_by(8) {
        for column in (0..whole_columns).step_by(8) {
            let row = |i: usize| &band[row_of(column + i) * width + x..][..8];
            let square =
                std::array::from_fn(|i| u64::from_le_bytes(row(i).try_into().expect("eight samples")));
            for (i, samples) in transposed(square).into_iter().enumerate() {
                let at = line_of(x + i) * stride + left + column;
                canvas[at..at + 8].copy_from_slice(&samples.to_le_bytes());
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

/// Exchanges rows and columns of a square of bytes, in three rounds: halves, quarters, neighbours.
#[inline(always)]
fn transposed(mut rows: [u64; 8]) -> [u64; 8] {
    let mut round = |distance: usize, mask: u64| {
        let bits = 8 * distance;
        for i in (0..8).filter(|i| i & distance == 0) {
            let difference = (rows[i] >> bits ^ rows[i + distance]) & mask;
            rows[i + distance] ^= difference;
            rows[i] ^= difference << bits;
        }
    };
    round(4, 0x0000_0000_ffff_ffff);
    round(2, 0x0000_ffff_0000_ffff);
    round(1, 0x00ff_00ff_00ff_00ff);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_is_transposed() {
        let rows: [[u8; 8]; 8] = std::array::from_fn(|y| std::array::from_fn(|x| (10 * y + x) as u8));
        let columns = transposed(rows.map(u64::from_le_bytes)).map(u64::to_le_bytes);
        for (x, y) in (0..8).flat_map(|x| (0..8).map(move |y| (x, y))) {
            assert_eq!(columns[x][y], rows[y][x]);
        }
    }
}
