//! The filter in AVX2, 32 samples at a time; every number is the scalar form's.
//!
//! Safe functions outside: they check that the processor has AVX2 and that the slices hold what the vector loops
//! read and write. The last block of a row begins earlier, so that it too is whole; rows shorter than a block go through
//! the scalar form.
//!
//! Source pictures come from memory, not from a cache, and the processor's own prefetching stops at every page of
//! 4 KiB, which is every second row: each block asks for rows some way ahead. That is worth a third of the time.

use super::axis::Axis;
use super::scalar;
use super::turn::{Row, SIDE};
use super::windows::{BLOCK, Windows};
use crate::colour::{Conversion, Factors};
use std::arch::x86_64::*;

/// How many rows ahead of its own a block of box sums asks for; 4 to 12 make no difference that can be measured.
const AHEAD: usize = 4;

/// Fractions of the conversion of colours, as its scalar form has them.
const FACTOR_BITS: i32 = Conversion::FACTOR_BITS as i32;
const LUMA_BITS: i32 = Conversion::LUMA_BITS as i32;
const LUMA_SHIFT: i32 = FACTOR_BITS - LUMA_BITS;
/// The middle of chroma, and a half for rounding.
const CHROMA_MIDDLE: i32 = (128 << FACTOR_BITS) + (1 << (FACTOR_BITS - 1));

/// How many bytes ahead of the rows under its weights a block asks for: as many rows as are this long together.
pub(super) fn ahead(stride: usize) -> usize {
    const BYTES: usize = 8192;
    (BYTES / stride.max(1)).max(AHEAD) * stride
}

pub(super) fn weigh_rows(rows: &[u8], stride: usize, weights: &[u16], row: &mut [i16]) {
    assert!(std::arch::is_x86_feature_detected!("avx2"));
    assert!(!weights.is_empty() && rows.len() >= (weights.len() - 1) * stride + row.len());
    if row.len() < 64 {
        return scalar::weigh_rows(rows, stride, weights, row);
    }
    // SAFETY: AVX2 is there, and every row under a weight has as many samples as `row`.
    unsafe { weigh_rows_avx2(rows, stride, weights, row) };
}

/// `windows` are those of `taps`.
pub(super) fn filter_row(row: &[i16], taps: &Axis, windows: Option<&Windows>, output: &mut [u8]) {
    assert!(std::arch::is_x86_feature_detected!("avx2"));
    match windows {
        Some(windows) => {
            assert!(row.len() >= windows.reach());
            // SAFETY: AVX2 is there, and `row` reaches the end of every window.
            unsafe {
                match windows.taps() {
                    2 => filter_windows::<2>(row, windows, output),
                    _ => filter_windows::<4>(row, windows, output),
                }
            }
        }
        None if output.len() >= 8 && taps.taps().is_multiple_of(8) => {
            assert!(taps.firsts().len() >= output.len());
            assert!(taps.weights().len() >= output.len() * taps.taps());
            assert!(row.len() >= taps.reach());
            // SAFETY: AVX2 is there, every output sample has a first tap and its weights, and `row` reaches the last tap.
            unsafe { filter_row_8s(row, taps, output) }
        }
        None => scalar::filter_row(row, taps, output),
    }
}

pub(super) fn sum_boxes(rows: &[u8], stride: usize, across: usize, down: usize, output: &mut [u8]) {
    assert!(std::arch::is_x86_feature_detected!("avx2"));
    assert!(down > 0 && rows.len() >= (down - 1) * stride + across * output.len());
    // SAFETY: AVX2 is there, and each of the `down` rows holds `across` samples for every output sample.
    unsafe {
        match (across, down) {
            _ if output.len() < 32 => scalar::sum_boxes(rows, stride, across, down, output),
            (2, 1) => sum_boxes_2::<1>(rows, stride, output),
            (2, 2) => sum_boxes_2::<2>(rows, stride, output),
            (2, 4) => sum_boxes_2::<4>(rows, stride, output),
            (2, 8) => sum_boxes_2::<8>(rows, stride, output),
            (4, 1) => sum_boxes_4::<1>(rows, stride, output),
            (4, 2) => sum_boxes_4::<2>(rows, stride, output),
            (4, 4) => sum_boxes_4::<4>(rows, stride, output),
            (4, 8) => sum_boxes_4::<8>(rows, stride, output),
            _ => scalar::sum_boxes(rows, stride, across, down, output),
        }
    }
}

pub(super) fn convert_rows(conversion: &Conversion, luma: [&mut [u8]; 2], u: &mut [u8], v: &mut [u8]) {
    assert!(std::arch::is_x86_feature_detected!("avx2"));
    // SAFETY: AVX2 is there; it is safe code all the way down.
    unsafe { convert_rows_avx2(conversion, luma, u, v) }
}

/// Blocks of 16 samples of chroma and 32 of luma; what is left at the end of a row goes through the scalar form.
#[target_feature(enable = "avx2")]
fn convert_rows_avx2(conversion: &Conversion, luma: [&mut [u8]; 2], u: &mut [u8], v: &mut [u8]) {
    let ([upper, lower], whole) = (luma, u.len() / 16 * 16);
    let ((us, u), (vs, v)) = (u.split_at_mut(whole), v.split_at_mut(whole));
    let ((uppers, upper), (lowers, lower)) = (upper.split_at_mut(2 * whole), lower.split_at_mut(2 * whole));
    let chroma = us.as_chunks_mut().0.iter_mut().zip(vs.as_chunks_mut().0);
    let luma = uppers.as_chunks_mut().0.iter_mut().zip(lowers.as_chunks_mut().0);
    for ((u, v), (upper, lower)) in chroma.zip(luma) {
        let added = convert_chroma(conversion, u, v);
        convert_luma(conversion, upper, added);
        convert_luma(conversion, lower, added);
    }
    conversion.convert_rows([upper, lower], u, v);
}

/// Also says what is to be added to 16 luma samples, and to the next 16.
#[target_feature(enable = "avx2")]
fn convert_chroma(conversion: &Conversion, us: &mut [u8; 16], vs: &mut [u8; 16]) -> [__m256i; 2] {
    let Factors { offset, luma_by, u_by, v_by, .. } = *conversion.factors();
    let middle = _mm256_set1_epi16(128);
    // SAFETY: sixteen samples each.
    let (u, v) = unsafe { (_mm_loadu_si128(us.as_ptr().cast()), _mm_loadu_si128(vs.as_ptr().cast())) };
    let u = _mm256_sub_epi16(_mm256_cvtepu8_epi16(u), middle);
    let v = _mm256_sub_epi16(_mm256_cvtepu8_epi16(v), middle);
    // Within halves: 0 to 3 and 8 to 11, then the others.
    let pairs = [_mm256_unpacklo_epi16(u, v), _mm256_unpackhi_epi16(u, v)];
    let weighed = |by: [i16; 2], add: i32| {
        let by = _mm256_set1_epi32(i32::from(by[1]) << 16 | i32::from(by[0]) & 0xffff);
        pairs.map(|pair| _mm256_add_epi32(_mm256_madd_epi16(pair, by), _mm256_set1_epi32(add)))
    };
    let store = |[low, high]: [__m256i; 2], to: &mut [u8; 16]| {
        let words =
            _mm256_packs_epi32(_mm256_srai_epi32::<FACTOR_BITS>(low), _mm256_srai_epi32::<FACTOR_BITS>(high));
        let bytes = _mm256_permute4x64_epi64::<0b00_00_10_00>(_mm256_packus_epi16(words, words));
        // SAFETY: sixteen samples.
        unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), _mm256_castsi256_si128(bytes)) };
    };
    store(weighed(u_by, CHROMA_MIDDLE), us);
    store(weighed(v_by, CHROMA_MIDDLE), vs);
    let [low, high] = weighed(luma_by, 0).map(|sum| _mm256_srai_epi32::<LUMA_SHIFT>(sum));
    let added = _mm256_add_epi16(_mm256_packs_epi32(low, high), _mm256_set1_epi16(offset));
    // Each for two samples beside each other.
    let (low, high) = (_mm256_unpacklo_epi16(added, added), _mm256_unpackhi_epi16(added, added));
    [_mm256_permute2x128_si256::<0x20>(low, high), _mm256_permute2x128_si256::<0x31>(low, high)]
}

#[target_feature(enable = "avx2")]
fn convert_luma(conversion: &Conversion, samples: &mut [u8; 32], added: [__m256i; 2]) {
    let factor = _mm256_set1_epi16(conversion.factors().luma as i16);
    // SAFETY: 32 samples.
    let [low, high] = unsafe {
        let at = samples.as_ptr();
        [_mm_loadu_si128(at.cast()), _mm_loadu_si128(at.add(16).cast())]
    };
    let converted = |samples: __m128i, added: __m256i| {
        let wide = _mm256_slli_epi16::<LUMA_BITS>(_mm256_cvtepu8_epi16(samples));
        let sum = _mm256_adds_epi16(_mm256_mulhi_epu16(wide, factor), added);
        _mm256_srai_epi16::<LUMA_BITS>(sum)
    };
    let packed = _mm256_packus_epi16(converted(low, added[0]), converted(high, added[1]));
    // SAFETY: 32 samples.
    unsafe {
        _mm256_storeu_si256(samples.as_mut_ptr().cast(), _mm256_permute4x64_epi64::<0b11_01_10_00>(packed));
    }
}

/// Exchanges rows and columns of a square: shuffled like a pack of cards, each row with the one half the square below, four
/// times.
#[inline(always)]
pub(super) fn transposed(rows: [Row; SIDE]) -> [Row; SIDE] {
    // SAFETY: every x86-64 has SSE2, and both are 16 bytes in which every value is valid.
    let mut rows = rows.map(|row| unsafe { std::mem::transmute::<Row, __m128i>(row) });
    for _ in 0..4 {
        rows = std::array::from_fn(|i| {
            let (upper, lower) = (rows[i / 2], rows[i / 2 + SIDE / 2]);
            // SAFETY: every x86-64 has SSE2.
            unsafe {
                if i % 2 == 0 { _mm_unpacklo_epi8(upper, lower) } else { _mm_unpackhi_epi8(upper, lower) }
            }
        });
    }
    // SAFETY: as above.
    rows.map(|row| unsafe { std::mem::transmute::<__m128i, Row>(row) })
}

/// Where blocks of `width` begin that together cover `length`, at least `width`; the last one overlaps the one before
/// where it does not fit.
fn blocks(length: usize, width: usize) -> impl Iterator<Item = usize> {
    let rest = (!length.is_multiple_of(width)).then(|| length - width);
    (0..length / width).map(move |block| block * width).chain(rest)
}

/// Asks for the cache line at `at`, which may be any address at all: it is a hint and reads nothing.
#[inline]
pub(super) fn prefetch(at: *const u8) {
    // SAFETY: every x86-64 has SSE, and the instruction does not fault.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
}

/// # Safety
/// AVX2; `rows` holds `row.len()` samples, 64 at least, at `k * stride` for every `k` below `weights.len()`.
#[target_feature(enable = "avx2")]
unsafe fn weigh_rows_avx2(rows: &[u8], stride: usize, weights: &[u16], row: &mut [i16]) {
    // SAFETY: the caller's; each arm is given as many weights as it asks for.
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

/// `ROWS` of them, or as many as there are weights where it is 0: a number that the compiler knows is a loop less.
///
/// # Safety
/// That of [`weigh_rows_avx2`].
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn weigh_so_many_rows<const ROWS: usize>(
    rows: &[u8],
    stride: usize,
    weights: &[u16],
    row: &mut [i16],
) {
    let count = if ROWS == 0 { weights.len() } else { ROWS };
    let weights = &weights[..count];
    let low_bytes = _mm256_set1_epi16(0x00ff);
    let ahead = count * stride + ahead(stride);
    for x in blocks(row.len(), 64) {
        let mut evens = [_mm256_setzero_si256(); 2];
        let mut odds = [_mm256_setzero_si256(); 2];
        for (k, &weight) in weights.iter().enumerate() {
            let weight = _mm256_set1_epi16(weight as i16);
            let at = rows.as_ptr().wrapping_add(k * stride + x);
            prefetch(at.wrapping_add(ahead));
            for (half, (even, odd)) in evens.iter_mut().zip(&mut odds).enumerate() {
                // SAFETY: 64 samples from `x` on are within the row, `x + 64` being at most `row.len()`.
                let samples = unsafe { _mm256_loadu_si256(at.add(32 * half).cast()) };
                *even =
                    _mm256_add_epi16(*even, _mm256_mullo_epi16(_mm256_and_si256(samples, low_bytes), weight));
                *odd = _mm256_add_epi16(*odd, _mm256_mullo_epi16(_mm256_srli_epi16::<8>(samples), weight));
            }
        }
        for (half, (even, odd)) in evens.into_iter().zip(odds).enumerate() {
            let (even, odd) = (_mm256_srli_epi16::<1>(even), _mm256_srli_epi16::<1>(odd));
            // Unpacking works within halves: put the quarters back in order.
            let (low, high) = (_mm256_unpacklo_epi16(even, odd), _mm256_unpackhi_epi16(even, odd));
            // SAFETY: `x + 64` is at most `row.len()`.
            unsafe {
                let at = row.as_mut_ptr().add(x + 32 * half);
                _mm256_storeu_si256(at.cast(), _mm256_permute2x128_si256::<0x20>(low, high));
                _mm256_storeu_si256(at.add(16).cast(), _mm256_permute2x128_si256::<0x31>(low, high));
            }
        }
    }
}

/// Rounds eight sums and stores them as eight samples.
///
/// # Safety
/// AVX2; `at` is the first of eight writable bytes.
#[target_feature(enable = "avx2")]
unsafe fn store_rounded(sums: __m256i, at: *mut u8) {
    let rounded = _mm256_add_epi32(sums, _mm256_set1_epi32(1 << (super::FRACTION_BITS - 1)));
    let samples = _mm256_srli_epi32::<{ super::FRACTION_BITS as i32 }>(rounded);
    let words = _mm256_packs_epi32(samples, samples);
    let bytes = _mm256_packus_epi16(words, words);
    let (low, high) = (_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes));
    // SAFETY: the caller's.
    unsafe { _mm_storel_epi64(at.cast(), _mm_unpacklo_epi32(low, high)) };
}

/// # Safety
/// AVX2; `windows` has `TAPS` taps, 2 or 4; `row` reaches the end of each.
#[target_feature(enable = "avx2")]
unsafe fn filter_windows<const TAPS: usize>(row: &[i16], windows: &Windows, output: &mut [u8]) {
    let block = |block: usize| {
        let each = TAPS * block..TAPS * (block + 1);
        let (firsts, picks, weights) =
            (&windows.firsts()[each.clone()], &windows.picks()[each.clone()], &windows.weights()[each]);
        // A pair of lanes makes 8 products: 4 output samples of 4 taps, or 8 of 2.
        // SAFETY: there are `TAPS` windows in a block, and 8 samples of `row` in each.
        let products = |pair: usize| unsafe {
            let window = |i: usize| row.as_ptr().add(firsts[i] as usize).cast::<__m128i>();
            let samples = _mm256_loadu2_m128i(window(2 * pair + 1), window(2 * pair));
            let picked =
                _mm256_shuffle_epi8(samples, _mm256_loadu_si256(picks.as_ptr().add(2 * pair).cast()));
            _mm256_madd_epi16(picked, _mm256_loadu_si256(weights.as_ptr().add(2 * pair).cast()))
        };
        if TAPS == 2 { products(0) } else { _mm256_hadd_epi32(products(0), products(1)) }
    };
    let (whole, rest) = output.as_chunks_mut::<BLOCK>();
    let last = whole.len();
    for (i, samples) in whole.iter_mut().enumerate() {
        // SAFETY: eight samples.
        unsafe { store_rounded(block(i), samples.as_mut_ptr()) };
    }
    if !rest.is_empty() {
        let mut samples = [0; BLOCK];
        // SAFETY: eight samples.
        unsafe { store_rounded(block(last), samples.as_mut_ptr()) };
        rest.copy_from_slice(&samples[..rest.len()]);
    }
}

/// # Safety
/// AVX2; `taps` has a multiple of 8 taps and covers `output`; `row` reaches the last tap.
#[target_feature(enable = "avx2")]
unsafe fn filter_row_8s(row: &[i16], taps: &Axis, output: &mut [u8]) {
    let count = taps.taps();
    for x in blocks(output.len(), 8) {
        let firsts = &taps.firsts()[x..x + 8];
        let mut sums = [_mm256_setzero_si256(); 4];
        for (i, sum) in sums.iter_mut().enumerate() {
            for tap in (0..count).step_by(8) {
                // Samples i and i + 4 side by side, so that the horizontal sums come out in order.
                // SAFETY: each first tap has `count` samples of `row` from it on, and each sample `count` weights.
                let (samples, weights) = unsafe {
                    let row = row.as_ptr().add(tap);
                    let weights = taps.weights().as_ptr().add(x * count + tap);
                    (
                        _mm256_loadu2_m128i(
                            row.add(firsts[i + 4] as usize).cast(),
                            row.add(firsts[i] as usize).cast(),
                        ),
                        _mm256_loadu2_m128i(
                            weights.add((i + 4) * count).cast(),
                            weights.add(i * count).cast(),
                        ),
                    )
                };
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(samples, weights));
            }
        }
        let [a, b, c, d] = sums;
        let sums = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
        // SAFETY: `x + 8` is at most `output.len()`.
        unsafe { store_rounded(sums, output.as_mut_ptr().add(x)) };
    }
}

/// Sixteen sums of two neighbours, over `DOWN` rows.
///
/// # Safety
/// AVX2; 32 bytes are readable at `k * stride` from `at` for every `k` below `DOWN`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn pair_sums<const DOWN: usize>(at: *const u8, stride: usize) -> __m256i {
    let ones = _mm256_set1_epi8(1);
    let mut sum = _mm256_setzero_si256();
    for k in 0..DOWN {
        // SAFETY: the caller's.
        let samples = unsafe { _mm256_loadu_si256(at.add(k * stride).cast()) };
        prefetch(at.wrapping_add((k + AHEAD) * stride));
        // At most 8 rows of 2 * 255: far from 2^15.
        sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(samples, ones));
    }
    sum
}

/// # Safety
/// AVX2; each of the `DOWN` rows holds two samples for every output sample.
#[target_feature(enable = "avx2")]
unsafe fn sum_boxes_2<const DOWN: usize>(rows: &[u8], stride: usize, output: &mut [u8]) {
    let half = _mm256_set1_epi16(DOWN as i16);
    let bits = _mm_cvtsi32_si128((2 * DOWN).ilog2() as i32);
    for x in blocks(output.len(), 32) {
        // SAFETY: 64 samples from `2 * x` on are within each row, `x + 32` being at most `output.len()`.
        let (a, b) = unsafe {
            let at = rows.as_ptr().add(2 * x);
            (pair_sums::<DOWN>(at, stride), pair_sums::<DOWN>(at.add(32), stride))
        };
        let a = _mm256_srl_epi16(_mm256_add_epi16(a, half), bits);
        let b = _mm256_srl_epi16(_mm256_add_epi16(b, half), bits);
        // Packing works within halves: put the quarters back in order.
        let samples = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi16(a, b));
        // SAFETY: `x + 32` is at most `output.len()`.
        unsafe { _mm256_storeu_si256(output.as_mut_ptr().add(x).cast(), samples) };
    }
}

/// # Safety
/// AVX2; each of the `DOWN` rows holds four samples for every output sample.
#[target_feature(enable = "avx2")]
unsafe fn sum_boxes_4<const DOWN: usize>(rows: &[u8], stride: usize, output: &mut [u8]) {
    let (ones, half) = (_mm256_set1_epi16(1), _mm256_set1_epi32(2 * DOWN as i32));
    let bits = _mm_cvtsi32_si128((4 * DOWN).ilog2() as i32);
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for x in blocks(output.len(), 32) {
        let mut eights = [_mm256_setzero_si256(); 4];
        for (i, eight) in eights.iter_mut().enumerate() {
            // SAFETY: 128 samples from `4 * x` on are within each row, `x + 32` being at most `output.len()`.
            let pairs = unsafe { pair_sums::<DOWN>(rows.as_ptr().add(4 * x + 32 * i), stride) };
            *eight = _mm256_srl_epi32(_mm256_add_epi32(_mm256_madd_epi16(pairs, ones), half), bits);
        }
        let [a, b, c, d] = eights;
        let (low, high) = (_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        // Packing works within halves: put the eighths back in order.
        let samples = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), order);
        // SAFETY: `x + 32` is at most `output.len()`.
        unsafe { _mm256_storeu_si256(output.as_mut_ptr().add(x).cast(), samples) };
    }
}
