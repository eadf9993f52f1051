//! Converts what has been painted on the canvas to BT.709 of limited range.
//!
//! Luma and chroma of one matrix and range are a linear function of another's. A grey is a grey in all of them, so luma
//! never changes chroma: three factors and a few offsets are enough, and a chroma sample, converted where it stands,
//! corrects the four luma samples it belongs to.
//!
//! The arithmetic is that of 16-bit vectors, so that `scale/avx2.rs` gives the same numbers.

use super::{ColorMatrix, ColorRange};
use crate::canvas::Canvas;
use crate::geometry::Rect;
use crate::scale::Instructions;

/// Chroma samples that are worked on at a time.
const BLOCK: usize = 32;
const FACTOR_BITS: u32 = Conversion::FACTOR_BITS;
const LUMA_BITS: u32 = Conversion::LUMA_BITS;

/// From a matrix and a range to the canvas's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conversion(Factors);

/// What a [`Conversion`] multiplies by and adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Factors {
    /// Luma's own factor, in 1/65,536; what stays as it is has 65,535, which rounds to the same.
    pub(crate) luma: u16,
    /// What is added to luma, its rounding included, with [`Conversion::LUMA_BITS`] of fraction.
    pub(crate) offset: i16,
    /// What U and V add to luma, with [`Conversion::FACTOR_BITS`] of fraction.
    pub(crate) luma_by: [i16; 2],
    /// What U and V make of U, and of V.
    pub(crate) u_by: [i16; 2],
    pub(crate) v_by: [i16; 2],
}

impl Conversion {
    /// Fraction of the factors of chroma.
    pub(crate) const FACTOR_BITS: u32 = 14;
    /// Fraction of luma while it is corrected.
    pub(crate) const LUMA_BITS: u32 = 7;

    /// None where there is nothing to convert.
    pub(crate) fn to_canvas(matrix: ColorMatrix, range: ColorRange) -> Option<Conversion> {
        if (matrix, range) == (ColorMatrix::Bt709, ColorRange::Limited) {
            return None;
        }
        // Chroma is (blue - luma) / (2 * (1 - K_B)) and the same of red: what U and V mean in red, green and blue, less
        // luma, and then in the canvas's terms.
        let ((kr, kb), (to_kr, to_kb)) = (matrix.weights(), ColorMatrix::Bt709.weights());
        let (blue, red) = (2.0 * (1.0 - kb), 2.0 * (1.0 - kr));
        let green = [-kb * blue / (1.0 - kr - kb), -kr * red / (1.0 - kr - kb)];
        let to_kg = 1.0 - to_kr - to_kb;
        let luma = [to_kg * green[0] + to_kb * blue, to_kg * green[1] + to_kr * red];
        let u = [(blue - luma[0]) / (2.0 * (1.0 - to_kb)), -luma[1] / (2.0 * (1.0 - to_kb))];
        let v = [-luma[0] / (2.0 * (1.0 - to_kr)), (red - luma[1]) / (2.0 * (1.0 - to_kr))];
        // Steps of a sample: 219 of luma and 224 of chroma from nothing to all, or 255 of both.
        let (luma_steps, chroma_steps, black) = match range {
            ColorRange::Limited => (219.0, 224.0, 16.0),
            ColorRange::Full => (255.0, 255.0, 0.0),
        };
        let own: f64 = 219.0 / luma_steps;
        // All of them are far below 2: a picture's colours are much alike in every matrix.
        let fixed = |factor: f64, bits: u32| (factor * f64::from(1 << bits)).round() as i16;
        Some(Conversion(Factors {
            luma: (own * 65_536.0).round().min(65_535.0) as u16,
            offset: fixed(16.0 - own * black, LUMA_BITS) + (1 << (LUMA_BITS - 1)),
            luma_by: luma.map(|factor| fixed(factor * 219.0 / chroma_steps, FACTOR_BITS)),
            u_by: u.map(|factor| fixed(factor * 224.0 / chroma_steps, FACTOR_BITS)),
            v_by: v.map(|factor| fixed(factor * 224.0 / chroma_steps, FACTOR_BITS)),
        }))
    }

    /// What it multiplies by and adds.
    pub(crate) fn factors(&self) -> &Factors {
        &self.0
    }

    /// Converts what is in `rect`, which is even and inside.
    pub(crate) fn convert(&self, canvas: &mut Canvas, rect: Rect, instructions: Instructions) {
        let (stride, chroma_stride) = (canvas.stride(0), canvas.stride(1));
        let chroma = rect.chroma();
        let width = chroma.width as usize;
        let [luma_plane, u_plane, v_plane] = canvas.planes_mut();
        let begin = rect.y as usize * stride + rect.x as usize;
        let chroma_begin = chroma.y as usize * chroma_stride + chroma.x as usize;
        let rows = luma_plane[begin..].chunks_mut(2 * stride);
        let rows = rows.zip(u_plane[chroma_begin..].chunks_mut(chroma_stride));
        let rows = rows.zip(v_plane[chroma_begin..].chunks_mut(chroma_stride));
        for ((two, u), v) in rows.take(chroma.height as usize) {
            let (upper, lower) = two.split_at_mut(stride);
            let luma = [&mut upper[..2 * width], &mut lower[..2 * width]];
            instructions.convert_rows(self, luma, &mut u[..width], &mut v[..width]);
        }
    }

    /// Two rows of luma and the row of chroma that belongs to them.
    #[inline(always)]
    pub(crate) fn convert_rows(&self, luma: [&mut [u8]; 2], u: &mut [u8], v: &mut [u8]) {
        let [upper, lower] = luma;
        let blocks = u.chunks_mut(BLOCK).zip(v.chunks_mut(BLOCK));
        let luma_blocks = upper.chunks_mut(2 * BLOCK).zip(lower.chunks_mut(2 * BLOCK));
        for ((u, v), (upper, lower)) in blocks.zip(luma_blocks) {
            let mut added = [0_i16; 2 * BLOCK];
            self.convert_chroma(u, v, &mut added);
            self.convert_luma(upper, &added);
            self.convert_luma(lower, &added);
        }
    }

    /// Also says what is to be added to each luma sample.
    #[inline(always)]
    fn convert_chroma(&self, us: &mut [u8], vs: &mut [u8], added: &mut [i16; 2 * BLOCK]) {
        const HALF: i32 = (128 << FACTOR_BITS) + (1 << (FACTOR_BITS - 1));
        let Factors { offset, luma_by, u_by, v_by, .. } = self.0;
        let weigh = |by: [i16; 2], u: i32, v: i32| i32::from(by[0]) * u + i32::from(by[1]) * v;
        for ((u, v), added) in us.iter_mut().zip(vs).zip(added.chunks_exact_mut(2)) {
            let (from_u, from_v) = (i32::from(*u) - 128, i32::from(*v) - 128);
            let luma = weigh(luma_by, from_u, from_v) >> (FACTOR_BITS - LUMA_BITS);
            added.fill((luma + i32::from(offset)) as i16);
            *u = ((weigh(u_by, from_u, from_v) + HALF) >> FACTOR_BITS).clamp(0, 255) as u8;
            *v = ((weigh(v_by, from_u, from_v) + HALF) >> FACTOR_BITS).clamp(0, 255) as u8;
        }
    }

    #[inline(always)]
    fn convert_luma(&self, luma: &mut [u8], added: &[i16; 2 * BLOCK]) {
        for (luma, &added) in luma.iter_mut().zip(added) {
            let own = ((u32::from(*luma) << LUMA_BITS) * u32::from(self.0.luma)) >> 16;
            let sum = (own as i16).saturating_add(added);
            *luma = (sum >> LUMA_BITS).clamp(0, 255) as u8;
        }
    }
}

#[cfg(test)]
mod tests;
