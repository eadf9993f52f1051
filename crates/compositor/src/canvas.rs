//! The picture being composed: I420, BT.709, limited range, in memory of its own that is never allocated again.

use crate::geometry::{CanvasSize, Rect};

/// Luma of black in limited range.
pub(crate) const BLACK_LUMA: u8 = 16;
/// Chroma of any grey.
pub(crate) const GREY_CHROMA: u8 = 128;

/// A wall's picture: planes Y, U, V of 8-bit samples without padding, chroma at half the size both ways.
#[derive(Clone, Debug)]
pub struct Canvas {
    size: CanvasSize,
    planes: [Vec<u8>; 3],
}

impl Canvas {
    /// A black canvas.
    pub fn black(size: CanvasSize) -> Canvas {
        let luma = size.width() as usize * size.height() as usize;
        let planes = [vec![BLACK_LUMA; luma], vec![GREY_CHROMA; luma / 4], vec![GREY_CHROMA; luma / 4]];
        Canvas { size, planes }
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

    /// Paints black. `rect` is even and inside.
    pub(crate) fn fill_black(&mut self, rect: Rect) {
        if rect.width == 0 || rect.height == 0 {
            return;
        }
        for plane in 0..3 {
            let (part, value) = if plane == 0 { (rect, BLACK_LUMA) } else { (rect.chroma(), GREY_CHROMA) };
            let stride = self.stride(plane);
            let (left, width) = (part.x as usize, part.width as usize);
            let rows =
                self.planes[plane].chunks_exact_mut(stride).skip(part.y as usize).take(part.height as usize);
            rows.for_each(|row| row[left..left + width].fill(value));
        }
    }
}
