//! The marks that simulated cameras burn into their pictures, and how to read them back.
//!
//! # Geometry
//! Everything is a fraction of the picture, so that the marks can be read after any scaling. The picture is
//! divided into 40 columns and 20 rows of cells. Two rows of 26 cells carry the marks: columns 7 to 32 of rows
//! 15 and 16, counted from 0 at the top left. A cell is white (a one) or black (a zero).
//!
//! ```text
//! row 15:  white  bit 47 … bit 24  black
//! row 16:  black  bit 23 … bit 0   white
//! ```
//!
//! The cells at the ends are always as shown: they tell what white and black have become on the way.
//!
//! # Contents
//! 48 bits, the highest first: 4 bits of camera number, 32 bits of milliseconds (Unix time modulo 2^32, when
//! the picture was painted), 12 bits of CRC over the 36 bits before (polynomial x^12+x^11+x^3+x^2+x+1, 0x80F,
//! beginning with 0xFFF, nothing reflected or inverted).
//!
//! # Reading
//! Take the mean luma of the middle half (both ways) of each cell. The threshold is half-way between the mean
//! of the two white end cells and the mean of the two black ones; when white is not at least 48 brighter than
//! black there are no marks. Then the CRC has to fit. `scripts/e2e/marks.mjs` does the same in JavaScript.

use super::painting::{Colour, Painting, Rect};

const COLUMNS: usize = 40;
const ROWS: usize = 20;
const FIRST_COLUMN: usize = 7;
const FIRST_ROW: usize = 15;
/// Of a row of marks, without the two at the ends.
const BITS_A_ROW: usize = 24;
const CELLS_A_ROW: usize = BITS_A_ROW + 2;
const LEAST_CONTRAST: f64 = 48.0;
/// So that no arithmetic on places can overflow.
const LARGEST_SIDE: f64 = 65_536.0;
const CRC_BITS: u32 = 12;
const CRC_POLYNOMIAL: u64 = 0x80f;
const CRC_START: u64 = 0xfff;

/// Four bits of camera number.
pub const LARGEST_CAMERA: u8 = 15;

/// What a picture says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// The camera's number.
    pub camera: u8,
    /// Unix time in milliseconds modulo 2^32, when the picture was painted.
    pub millis: u32,
}

/// Where a camera's picture lies within a larger one, in luma samples: the whole picture, also where it is
/// cropped. For a camera shown with `contain`, this is the part of the tile that is not black.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PictureArea {
    /// From the left.
    pub x: f64,
    /// From the top.
    pub y: f64,
    /// Of the picture as it is shown.
    pub width: f64,
    /// Of the picture as it is shown.
    pub height: f64,
}

/// Reads the marks of the picture that lies at `area` of a luma plane whose rows are `stride` bytes apart.
/// `None` when there are none, or they are damaged or outside of the plane.
pub fn read_marks(luma: &[u8], stride: usize, area: PictureArea) -> Option<Marks> {
    let cell = |row: usize, column: usize| mean(luma, stride, middle_of_cell(area, row, column));
    let last = CELLS_A_ROW - 1;
    let white = (cell(0, 0)? + cell(1, last)?) / 2.0;
    let black = (cell(0, last)? + cell(1, 0)?) / 2.0;
    if white - black < LEAST_CONTRAST {
        return None;
    }
    let mut word = 0;
    for row in 0..2 {
        for column in 1..last {
            word = word << 1 | u64::from(cell(row, column)? > (white + black) / 2.0);
        }
    }
    decode(word)
}

/// Paints the marks.
pub(super) fn paint(painting: &mut Painting, marks: Marks) {
    let word = encode(marks);
    for row in 0..2 {
        for column in 0..CELLS_A_ROW {
            let is_white = match column {
                0 => row == 0,
                column if column == CELLS_A_ROW - 1 => row == 1,
                column => word >> (2 * BITS_A_ROW - row * BITS_A_ROW - column) & 1 == 1,
            };
            let colour = if is_white { Colour::WHITE } else { Colour::BLACK };
            painting.fill(cells(painting, row, column, 1, 1), colour);
        }
    }
}

/// The part of the picture that the marks take, with half a cell around it for a quiet edge.
pub(super) fn panel(painting: &Painting) -> Rect {
    let (cell_width, cell_height) = (painting.width() / COLUMNS, painting.height() / ROWS);
    let rect = cells(painting, 0, 0, CELLS_A_ROW, 2);
    Rect {
        x: rect.x - cell_width / 2,
        y: rect.y - cell_height / 2,
        width: rect.width + cell_width / 2 * 2,
        height: rect.height + cell_height / 2 * 2,
    }
}

fn cells(painting: &Painting, row: usize, column: usize, columns: usize, rows: usize) -> Rect {
    let x = |column: usize| (FIRST_COLUMN + column) * painting.width() / COLUMNS;
    let y = |row: usize| (FIRST_ROW + row) * painting.height() / ROWS;
    Rect { x: x(column), y: y(row), width: x(column + columns) - x(column), height: y(row + rows) - y(row) }
}

fn middle_of_cell(area: PictureArea, row: usize, column: usize) -> PictureArea {
    let (width, height) = (area.width / COLUMNS as f64, area.height / ROWS as f64);
    PictureArea {
        x: area.x + ((FIRST_COLUMN + column) as f64 + 0.25) * width,
        y: area.y + ((FIRST_ROW + row) as f64 + 0.25) * height,
        width: width / 2.0,
        height: height / 2.0,
    }
}

/// The mean of the samples whose centres lie in `area`, at least of the one nearest to its centre.
fn mean(luma: &[u8], stride: usize, area: PictureArea) -> Option<f64> {
    let columns = samples(area.x, area.width)?;
    let rows = samples(area.y, area.height)?;
    if columns.end > stride {
        return None;
    }
    let count = columns.len() * rows.len();
    let mut sum = 0;
    for row in rows {
        let start = row.checked_mul(stride)?;
        let line = luma.get(start + columns.start..start + columns.end)?;
        sum += line.iter().map(|&sample| u64::from(sample)).sum::<u64>();
    }
    Some(sum as f64 / count as f64)
}

fn samples(start: f64, length: f64) -> Option<std::ops::Range<usize>> {
    let (mut first, mut end) = ((start - 0.5).ceil(), (start + length - 0.5).ceil());
    if end <= first {
        first = (start + length / 2.0).floor();
        end = first + 1.0;
    }
    // Not a number is not within the bounds either.
    let is_sane = first >= 0.0 && end <= LARGEST_SIDE;
    is_sane.then_some(first as usize..end as usize)
}

fn encode(marks: Marks) -> u64 {
    let data = u64::from(marks.camera & 0xf) << 32 | u64::from(marks.millis);
    data << CRC_BITS | crc(data)
}

fn decode(word: u64) -> Option<Marks> {
    let data = word >> CRC_BITS;
    let fits = crc(data) == word & ((1 << CRC_BITS) - 1);
    fits.then_some(Marks { camera: (data >> 32) as u8, millis: data as u32 })
}

/// Over 36 bits, the highest first.
fn crc(data: u64) -> u64 {
    (0..36).rev().fold(CRC_START, |crc, bit| {
        let feedback = (crc >> (CRC_BITS - 1) ^ data >> bit) & 1;
        (crc << 1 & CRC_START) ^ (feedback * CRC_POLYNOMIAL)
    })
}

#[cfg(test)]
mod tests;
