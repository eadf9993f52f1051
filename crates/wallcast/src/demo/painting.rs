//! An I420 picture to paint on (BT.709, limited range), and the few shapes a test picture needs.

/// A colour as Y, Cb, Cr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Colour(pub(super) [u8; 3]);

impl Colour {
    pub(super) const BLACK: Self = Self([16, 128, 128]);
    pub(super) const WHITE: Self = Self([235, 128, 128]);

    /// From full-range R, G, B by BT.709 (ITU-R BT.709-6 items 3.2 to 3.5).
    pub(super) fn from_rgb(rgb: [u8; 3]) -> Self {
        let [red, green, blue] = rgb.map(|value| f64::from(value) / 255.0);
        let luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
        let (cb, cr) = ((blue - luma) / 1.8556, (red - luma) / 1.5748);
        Self([16.0 + 219.0 * luma, 128.0 + 224.0 * cb, 128.0 + 224.0 * cr].map(|value| value.round() as u8))
    }

    /// `other` in the share of `weight` of 256.
    pub(super) fn mix(self, other: Self, weight: u32) -> Self {
        let mix =
            |from: u8, to: u8| ((u32::from(from) * (256 - weight) + u32::from(to) * weight + 128) >> 8) as u8;
        Self([0, 1, 2].map(|plane| mix(self.0[plane], other.0[plane])))
    }
}

/// In luma samples from the top left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rect {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

/// Planes without padding.
#[derive(Debug, Clone)]
pub(super) struct Painting {
    width: usize,
    height: usize,
    planes: [Vec<u8>; 3],
}

impl Painting {
    /// Black; both sides are even.
    pub(super) fn new(width: usize, height: usize) -> Self {
        let luma = width * height;
        let Colour([y, cb, cr]) = Colour::BLACK;
        Self { width, height, planes: [vec![y; luma], vec![cb; luma / 4], vec![cr; luma / 4]] }
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn height(&self) -> usize {
        self.height
    }

    pub(super) fn plane(&self, plane: usize) -> &[u8] {
        &self.planes[plane]
    }

    pub(super) fn stride(&self, plane: usize) -> usize {
        if plane == 0 { self.width } else { self.width / 2 }
    }

    /// Becomes a copy of a painting of the same size.
    pub(super) fn copy_from(&mut self, other: &Self) {
        for (plane, from) in self.planes.iter_mut().zip(&other.planes) {
            plane.copy_from_slice(from);
        }
    }

    /// Fills a rectangle; what lies outside is left out.
    pub(super) fn fill(&mut self, rect: Rect, colour: Colour) {
        for row in rect.y..rect.y + rect.height {
            self.fill_span(rect.x, rect.x + rect.width, row, colour);
        }
    }

    /// Fills a disc; what lies outside of `clip` is left out.
    pub(super) fn fill_disc(&mut self, (x, y): (f64, f64), radius: f64, clip: Rect, colour: Colour) {
        let top = (y - radius).max(clip.y as f64).ceil() as usize;
        let bottom = (y + radius).min((clip.y + clip.height) as f64).max(0.0) as usize;
        for row in top..bottom {
            let off = row as f64 + 0.5 - y;
            let half = (radius * radius - off * off).max(0.0).sqrt();
            let left = (x - half).max(clip.x as f64).round() as usize;
            let right = (x + half).min((clip.x + clip.width) as f64).max(0.0).round() as usize;
            self.fill_span(left, right, row, colour);
        }
    }

    /// Fills part of a row. Chroma belongs to the even one of two rows and columns.
    pub(super) fn fill_span(&mut self, left: usize, right: usize, row: usize, colour: Colour) {
        let right = right.min(self.width);
        if left >= right || row >= self.height {
            return;
        }
        let start = row * self.width;
        self.planes[0][start + left..start + right].fill(colour.0[0]);
        if row.is_multiple_of(2) {
            let start = row / 2 * (self.width / 2);
            let (left, right) = (left / 2, right.div_ceil(2));
            for plane in [1, 2] {
                self.planes[plane][start + left..start + right].fill(colour.0[plane]);
            }
        }
    }
}
