//! The filter in plain Rust: what every processor runs that has no form of its own, and what those are tested against.

use super::axis::Axis;
use super::{FRACTION_BITS, HORIZONTAL_UNIT};

pub(super) fn weigh_rows(rows: &[u8], stride: usize, weights: &[u16], row: &mut [i16]) {
    for (x, sum) in row.iter_mut().enumerate() {
        // 256 * 255 fits 16 bits, and its half fits signed 16 bits.
        let weighed = weights.iter().enumerate().map(|(k, &weight)| weight * u16::from(rows[k * stride + x]));
        *sum = (weighed.sum::<u16>() >> 1) as i16;
    }
}

pub(super) fn filter_row(row: &[i16], taps: &Axis, output: &mut [u8]) {
    for (x, sample) in output.iter_mut().enumerate() {
        let (first, weights) = taps.taps_of(x);
        let weighed =
            row[first..].iter().zip(weights).map(|(&sum, &weight)| i32::from(sum) * i32::from(weight));
        *sample = ((weighed.sum::<i32>() + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS) as u8;
    }
}

pub(super) fn round_row(row: &[i16], output: &mut [u8]) {
    let bits = FRACTION_BITS - HORIZONTAL_UNIT.ilog2();
    for (sample, &sum) in output.iter_mut().zip(row) {
        *sample = ((sum + (1 << (bits - 1))) >> bits) as u8;
    }
}

pub(super) fn sum_boxes(rows: &[u8], stride: usize, across: usize, down: usize, output: &mut [u8]) {
    let area = across * down;
    for (x, sample) in output.iter_mut().enumerate() {
        let begin = x * across;
        let row_sum =
            |k: usize| rows[k * stride + begin..][..across].iter().map(|&s| usize::from(s)).sum::<usize>();
        let sum: usize = (0..down).map(row_sum).sum();
        *sample = ((sum + area / 2) >> area.ilog2()) as u8;
    }
}
