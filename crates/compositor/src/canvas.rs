//! The picture being composed: I420, BT.709, limited range, in memory of its own that is never allocated again.

use crate::geometry::{CanvasSize, Rect};

/// Y, U and V of black.
pub(crate) const BLACK: [u8; 3] = [16, 128, 128];

/// A wall's picture: planes Y, U, V of 8-bit samples without padding, chroma at half the size both ways.
#[derive(Clone, Debug)]
pub struct Canvas {
    size: CanvasSize,
    planes: [Vec<u8>; 3],
}

impl Canvas {
    /// A black canvas.
    pub fn black(size: CanvasSize) -> Canvas {
        Canvas::filled(size, BLACK)
    }

    /// A canvas of one colour, given as Y, U and V.
    pub(crate) fn filled(size: CanvasSize, [y, u, v]: [u8; 3]) -> Canvas {
        let luma = size.width() as usize * size.height() as usize;
        Canvas { size, planes: [vec![y; luma], vec![u; luma / 4], vec![v; luma / 4]] }
    }

    /// Its size in luma samples.
    pub fn size(&self) -> CanvasSize {
        self.size
    }

    /// A plane's samples: 0, 1, 2 are Y, U, V; rows are [`Canvas::stride`] bytes apart, top row first.
    pub fn plane(&self, plane: usize) -> &[u8] {
        &self.planes[plane]
    }

    /// The same, to paint on.
    pub fn plane_mut(&mut self, plane: usize) -> &mut [u8] {
        &mut self.planes[plane]
    }

    /// Bytes from one row of a plane to the next, which is also its samples a row.
    pub fn stride(&self, plane: usize) -> usize {
        let width = self.size.width() as usize;
        if plane == 0 { width } else { width / 2 }
    }

    /// All planes at once, to paint on.
    pub(crate) fn planes_mut(&mut self) -> [&mut [u8]; 3] {
        self.planes.each_mut().map(Vec::as_mut_slice)
    }

    /// Itself, to hand on; what stays has its size and no samples, and cannot be painted on.
    pub(crate) fn take(&mut self) -> Canvas {
        let planes = self.planes.each_mut().map(std::mem::take);
        Canvas { size: self.size, planes }
    }

    /// Paints all of it.
    pub(crate) fn clear(&mut self, samples: [u8; 3]) {
        for (plane, sample) in self.planes.iter_mut().zip(samples) {
            plane.fill(sample);
        }
    }

    /// Paints Y, U and V. `rect` is even and inside.
    pub(crate) fn fill(&mut self, rect: Rect, samples: [u8; 3]) {
        if rect.width == 0 || rect.height == 0 {
            return;
        }
        for (plane, value) in samples.into_iter().enumerate() {
            let part = if plane == 0 { rect } else { rect.chroma() };
            let stride = self.stride(plane);
            let (left, width) = (part.x as usize, part.width as usize);
            let rows =
                self.planes[plane].chunks_exact_mut(stride).skip(part.y as usize).take(part.height as usize);
            rows.for_each(|row| row[left..left + width].fill(value));
        }
    }

    /// Paints what of `outer` lies outside of `inner`, which is within it.
    pub(crate) fn fill_around(&mut self, inner: Rect, outer: Rect, samples: [u8; 3]) {
        let (right, bottom) = (inner.x + inner.width, inner.y + inner.height);
        let (outer_right, outer_bottom) = (outer.x + outer.width, outer.y + outer.height);
        self.fill(Rect { height: inner.y - outer.y, ..outer }, samples);
        self.fill(Rect { y: bottom, height: outer_bottom - bottom, ..outer }, samples);
        self.fill(Rect { x: outer.x, width: inner.x - outer.x, ..inner }, samples);
        self.fill(Rect { x: right, width: outer_right - right, ..inner }, samples);
    }
}
