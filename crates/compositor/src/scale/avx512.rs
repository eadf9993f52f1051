//! The filter at ratios that are not whole, in AVX-512, 64 samples at a time; every number is the scalar form's.
//!
//! Here it is two to three times as fast as AVX2, because one instruction picks any of 64 samples. What is as fast as memory
//! anyway, the whole ratios, stays in AVX2. Safe functions outside: they check the processor and the slices.

use super::FRACTION_BITS;
use super::avx2::{ahead, prefetch};
use super::windows::{WIDE_BLOCK, WideWindows};
use std::arch::x86_64::*;

pub(super) fn weigh_rows(rows: &[u8], stride: usize, weights: &[u16], row: &mut [i16]) {
    assert!(std::arch::is_x86_feature_detected!("avx512bw"));
    assert!(!weights.is_empty() && rows.len() >= (weights.len() - 1) * stride + row.len());
    // SAFETY: AVX-512 is there, and every row under a weight has as many samples as `row`.
    unsafe {
        match weights.len() {
            1 => weigh_so_many_rows::<1>(rows, stride, weights, row),
            2 => weigh_so_many_rows::<2>(rows, stride, weights, row),
            3 => weigh_so_many_rows::<3>(rows, stride, weights, row),
            4 => weigh_so_many_rows::<4>(rows, stride, weights, row),
            _ => weigh_so_many_rows::<0>(rows, stride, weights, row),
        }
    }
}

pub(super) fn filter_row(row: &[i16], windows: &WideWindows, output: &mut [u8]) {
    assert!(std::arch::is_x86_feature_detected!("avx512bw"));
    assert!(row.len() >= windows.reach() && windows.firsts().len() >= output.len().div_ceil(WIDE_BLOCK));
    // SAFETY: AVX-512 is there, `row` reaches the end of every window, and there is a window for each block.
    unsafe {
        match windows.taps() {
            2 => filter_windows::<1>(row, windows, output),
            4 => filter_windows::<2>(row, windows, output),
            _ => filter_windows::<3>(row, windows, output),
        }
    }
}

/// `ROWS` of them, or as many as there are weights where it is 0: a number that the compiler knows is a loop less.
///
/// # Safety
/// AVX-512BW; `rows` holds `row.len()` samples at `k * stride` for every `k` below `weights.len()`.
#[target_feature(enable = "avx512bw")]
unsafe fn weigh_so_many_rows<const ROWS: usize>(
    rows: &[u8],
    stride: usize,
    weights: &[u16],
    row: &mut [i16],
) {
    let count = if ROWS == 0 { weights.len() } else { ROWS };
    let weights = &weights[..count];
    let low_bytes = _mm512_set1_epi16(0x00ff);
    let ahead = count * stride + ahead(stride);
    // Sums of even and of odd samples, dealt out in turn: the second vector's words are counted from 32.
    let turns: [i16; 64] = std::array::from_fn(|i| (i / 2 + i % 2 * 32) as i16);
    // SAFETY: `turns` is as long as two vectors.
    let (front, back) = unsafe {
        (_mm512_loadu_si512(turns.as_ptr().cast()), _mm512_loadu_si512(turns.as_ptr().add(32).cast()))
    };
    for x in (0..row.len()).step_by(64) {
        let left = row.len() - x;
        let mask = if left >= 64 { u64::MAX } else { (1 << left) - 1 };
        let (mut even, mut odd) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        for (k, &weight) in weights.iter().enumerate() {
            let weight = _mm512_set1_epi16(weight as i16);
            let at = rows.as_ptr().wrapping_add(k * stride + x);
            prefetch(at.wrapping_add(ahead));
            // SAFETY: what the mask leaves is within the row.
            let samples = unsafe { _mm512_maskz_loadu_epi8(mask, at.cast()) };
            let evens = _mm512_and_si512(samples, low_bytes);
            even = _mm512_add_epi16(even, _mm512_mullo_epi16(evens, weight));
            odd = _mm512_add_epi16(odd, _mm512_mullo_epi16(_mm512_srli_epi16::<8>(samples), weight));
        }
        let (even, odd) = (_mm512_srli_epi16::<1>(even), _mm512_srli_epi16::<1>(odd));
        let at = row.as_mut_ptr().wrapping_add(x);
        // SAFETY: what the masks leave is within `row`.
        unsafe {
            let (front, back) =
                (_mm512_permutex2var_epi16(even, front, odd), _mm512_permutex2var_epi16(even, back, odd));
            _mm512_mask_storeu_epi16(at, mask as u32, front);
            _mm512_mask_storeu_epi16(at.wrapping_add(32), (mask >> 32) as u32, back);
        }
    }
}

/// `PAIRS` of taps.
///
/// # Safety
/// AVX-512BW; `windows` has twice `PAIRS` taps and a window for each block of `output`; `row` reaches the end of each.
#[target_feature(enable = "avx512bw")]
unsafe fn filter_windows<const PAIRS: usize>(row: &[i16], windows: &WideWindows, output: &mut [u8]) {
    let tables = windows.picks().chunks_exact(PAIRS).zip(windows.weights().chunks_exact(PAIRS));
    let blocks = windows.firsts().iter().zip(tables).zip(output.chunks_mut(WIDE_BLOCK));
    for ((&first, (picks, weights)), output) in blocks {
        let mut sums = _mm512_set1_epi32(1 << (FRACTION_BITS - 1));
        // SAFETY: 64 samples of `row` are in the window, and each table's row is a vector.
        unsafe {
            let window = row.as_ptr().add(first as usize);
            let (low, high) = (_mm512_loadu_si512(window.cast()), _mm512_loadu_si512(window.add(32).cast()));
            for pair in 0..PAIRS {
                let picks = _mm512_loadu_si512(picks.as_ptr().add(pair).cast());
                let weights = _mm512_loadu_si512(weights.as_ptr().add(pair).cast());
                let picked = _mm512_permutex2var_epi16(low, picks, high);
                sums = _mm512_add_epi32(sums, _mm512_madd_epi16(picked, weights));
            }
        }
        let samples = _mm512_cvtepi32_epi8(_mm512_srli_epi32::<FRACTION_BITS>(sums));
        if output.len() == WIDE_BLOCK {
            // SAFETY: 16 samples.
            unsafe { _mm_storeu_si128(output.as_mut_ptr().cast(), samples) };
        } else {
            let mut block = [0; WIDE_BLOCK];
            // SAFETY: 16 samples.
            unsafe { _mm_storeu_si128(block.as_mut_ptr().cast(), samples) };
            output.copy_from_slice(&block[..output.len()]);
        }
    }
}
