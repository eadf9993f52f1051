//! A drawing kept as what is to be done to the samples under it, so that laying it over a picture is one multiplication
//! and one addition a sample, for whatever was drawn.

use super::font::Type;
use crate::canvas::Canvas;
use crate::geometry::Rect;

/// All of it, in 256ths.
const WHOLE: u32 = 256;

/// A drawing on nothing, at luma's size.
pub(super) struct Drawing {
    width: u32,
    height: u32,
    /// How much of what is beneath is left, in 256ths.
    keep: Vec<u16>,
    /// What is added to that, in 256ths of a sample: Y, U, V.
    add: [Vec<u16>; 3],
}

impl Drawing {
    /// An empty one; both sides are even.
    pub(super) fn new(width: u32, height: u32) -> Drawing {
        let samples = (width * height) as usize;
        Drawing { width, height, keep: vec![WHOLE as u16; samples], add: [(); 3].map(|()| vec![0; samples]) }
    }

    /// Lays `part` 256ths of a colour over a sample; what lies outside is left out.
    pub(super) fn lay(&mut self, x: i32, y: i32, part: u16, color: [u8; 3]) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
        if x >= self.width || y >= self.height || part == 0 {
            return;
        }
        let at = (y * self.width + x) as usize;
        let left = WHOLE - u32::from(part);
        let of = |value: u16| u32::from(value) * left / WHOLE;
        self.keep[at] = of(self.keep[at]) as u16;
        for (add, color) in self.add.iter_mut().zip(color) {
            add[at] = (of(add[at]) + u32::from(color) * u32::from(part)) as u16;
        }
    }

    /// A rectangle with round corners, covering `part` 256ths.
    pub(super) fn lay_plate(&mut self, radius: f32, part: u16, color: [u8; 3]) {
        let (columns, rows) = (self.width, self.height);
        let (width, height) = (columns as f32, rows as f32);
        let beyond = |at: f32, length: f32| (radius - at).max(at - (length - radius)).max(0.0);
        for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
            let (dx, dy) = (beyond(x as f32 + 0.5, width), beyond(y as f32 + 0.5, height));
            let inside = (radius - (dx * dx + dy * dy).sqrt() + 0.5).clamp(0.0, 1.0);
            self.lay(x as i32, y as i32, (inside * f32::from(part)).round() as u16, color);
        }
    }

    pub(super) fn lay_rect(&mut self, rect: Rect, part: u16, color: [u8; 3]) {
        for (y, x) in (0..rect.height).flat_map(|y| (0..rect.width).map(move |x| (y, x))) {
            self.lay((rect.x + x) as i32, (rect.y + y) as i32, part, color);
        }
    }

    /// A line of text that begins at `x`, its ascenders at `top`.
    pub(super) fn lay_text(&mut self, font: Type, text: &str, x: f32, top: f32, color: [u8; 3]) {
        let baseline = (top + font.ascent()).round();
        font.draw(text, x, baseline, &mut |x, y, part| self.lay(x, y, part, color));
    }
}

/// A drawing at its place on the canvas; none at all to begin with.
#[derive(Debug)]
pub(super) struct Sprite {
    rect: Rect,
    /// Luma's and chroma's.
    keep: [Vec<u16>; 2],
    /// Y, U, V.
    add: [Vec<u16>; 3],
}

impl Sprite {
    pub(super) const NOTHING: Sprite = Sprite {
        rect: Rect { x: 0, y: 0, width: 0, height: 0 },
        keep: [Vec::new(), Vec::new()],
        add: [Vec::new(), Vec::new(), Vec::new()],
    };

    /// `drawing` with its corner at `x`, `y` of the canvas, both even; it lies inside of it.
    pub(super) fn new(drawing: Drawing, x: u32, y: u32) -> Sprite {
        let Drawing { width, height, keep, add: [luma, u, v] } = drawing;
        let rect = Rect { x, y, width, height };
        // To the nearest sample, when the 256ths are cut off.
        let rounded = |add: Vec<u16>| add.into_iter().map(|add| add + 128).collect::<Vec<u16>>();
        let [keep_chroma, u, v] =
            [halved(&keep, width), rounded(halved(&u, width)), rounded(halved(&v, width))];
        Sprite { rect, keep: [keep, keep_chroma], add: [rounded(luma), u, v] }
    }

    /// What it covers.
    pub(super) fn rect(&self) -> Rect {
        self.rect
    }

    /// Lays it over what is on the canvas.
    pub(super) fn lay_on(&self, canvas: &mut Canvas) {
        for (plane, add) in self.add.iter().enumerate() {
            let (part, keep) = match plane {
                0 => (self.rect, &self.keep[0]),
                _ => (self.rect.chroma(), &self.keep[1]),
            };
            if part.width == 0 {
                return;
            }
            let (left, width, stride) = (part.x as usize, part.width as usize, canvas.stride(plane));
            let rows = canvas.plane_mut(plane).chunks_exact_mut(stride).skip(part.y as usize);
            let drawn = keep.chunks_exact(width).zip(add.chunks_exact(width));
            for (row, (keep, add)) in rows.zip(drawn) {
                for ((sample, keep), add) in row[left..left + width].iter_mut().zip(keep).zip(add) {
                    // Colours end at 240: 255 x 256 and the rounding are never passed.
                    *sample = ((u16::from(*sample) * keep + add) >> 8) as u8;
                }
            }
        }
    }
}

/// The mean of each two by two.
fn halved(samples: &[u16], width: u32) -> Vec<u16> {
    let pairs = samples.chunks_exact(2 * width as usize).map(|rows| rows.split_at(width as usize));
    let means = pairs.flat_map(|(upper, lower)| {
        let quads = upper.chunks_exact(2).zip(lower.chunks_exact(2));
        quads.map(|(upper, lower)| {
            let sum: u32 = upper.iter().chain(lower).map(|&sample| u32::from(sample)).sum();
            ((sum + 2) / 4) as u16
        })
    });
    means.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::CanvasSize;

    fn canvas(samples: [u8; 3]) -> Canvas {
        Canvas::filled(CanvasSize::new(64, 64).expect("a valid size"), samples)
    }

    #[test]
    fn what_is_not_drawn_on_stays_as_it_is_to_the_bit() {
        for value in 0..=255_u8 {
            let mut painted = canvas([value; 3]);
            let mut drawing = Drawing::new(8, 8);
            drawing.lay(3, 3, 128, [235, 128, 128]);
            Sprite::new(drawing, 10, 20).lay_on(&mut painted);
            let other = |plane: usize| painted.plane(plane).iter().filter(|&&s| s != value).count();
            assert!(other(0) <= 1 && other(1) <= 1 && other(2) <= 1, "{value}");
            assert_eq!(painted.plane(0)[23 * 64 + 13], (u32::from(value) + 235).div_ceil(2) as u8);
        }
    }

    #[test]
    fn what_is_covered_wholly_is_the_colour_whatever_was_there() {
        for value in [0, 16, 77, 235, 255] {
            let mut painted = canvas([value; 3]);
            let mut drawing = Drawing::new(4, 4);
            let whole = Rect { x: 0, y: 0, width: 4, height: 4 };
            drawing.lay_rect(whole, 100, [16, 128, 128]);
            drawing.lay_rect(whole, 256, [240, 16, 240]);
            Sprite::new(drawing, 60, 60).lay_on(&mut painted);
            assert_eq!([0, 1, 2].map(|plane| *painted.plane(plane).last().expect("samples")), [240, 16, 240]);
        }
    }

    #[test]
    fn what_reaches_beyond_a_drawing_is_left_out() {
        let mut drawing = Drawing::new(4, 2);
        for (x, y) in [(-1, 0), (0, -1), (4, 0), (0, 2), (i32::MIN, i32::MAX)] {
            drawing.lay(x, y, 256, [235, 128, 128]);
        }
        assert!(drawing.keep.iter().all(|&keep| keep == 256));
        drawing.lay_text(Type::of_height(40.0), "█\u{301}", -7.0, -9.0, [235, 128, 128]);
        assert!(drawing.keep.iter().any(|&keep| keep < 256));
    }
}
