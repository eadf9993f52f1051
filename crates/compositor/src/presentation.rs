//! What a tile shows of a camera's picture, and how: a part of it, turned, mirrored, with rectangles blacked out.
//!
//! All areas are of the camera's picture as it comes, so that a mask stays on what it hides whatever else is done to the
//! picture. How the part fills its tile is in [`crate::fit`]; the samples are turned in `scale`.

use crate::fit::Fit;
use crate::geometry::Rect;
use crate::overlay::Overlay;
use crate::picture::MAX_SIDE;
use thiserror::Error;

/// How a tile shows its picture. Cut first, then turned, then mirrored, then fitted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presentation {
    /// How it fills a tile of another shape.
    pub fit: Fit,
    /// The part that is shown; all of it where there is none.
    pub crop: Option<Area>,
    /// How far it is turned.
    pub rotation: Rotation,
    /// Whether left and right are exchanged, as the viewer sees them after the turn.
    pub mirrored: bool,
    /// What is black instead, for privacy.
    pub masks: Vec<Area>,
    /// What is written over it, upright however the picture is turned.
    pub overlay: Overlay,
}

/// A turn, clockwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rotation {
    /// None.
    #[default]
    None,
    /// By 90 degrees: what was on the left is at the top.
    Quarter,
    /// By 180 degrees.
    Half,
    /// By 270 degrees: what was on the right is at the top.
    ThreeQuarters,
}

impl Rotation {
    /// By 0, 90, 180 or 270 degrees, clockwise.
    pub fn by_degrees(degrees: u32) -> Option<Rotation> {
        match degrees {
            0 => Some(Rotation::None),
            90 => Some(Rotation::Quarter),
            180 => Some(Rotation::Half),
            270 => Some(Rotation::ThreeQuarters),
            _ => None,
        }
    }

    /// 0, 90, 180 or 270, clockwise.
    pub fn degrees(self) -> u32 {
        match self {
            Rotation::None => 0,
            Rotation::Quarter => 90,
            Rotation::Half => 180,
            Rotation::ThreeQuarters => 270,
        }
    }
}

/// A rectangle of a picture, in its pixels or in fractions of its sides.
///
/// A camera may send pictures of several sizes (a substream, another setting): fractions mean the same part of each.
/// Pixels that lie outside of a picture cannot mean that picture; it is not shown then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Area {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Unit {
    Pixels,
    /// Of a side of the picture.
    Millionths,
}

const MILLION: u32 = 1_000_000;

/// An area that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[allow(missing_docs, reason = "the fields are said by the message")]
pub enum AreaError {
    /// Too small to be seen or to hide anything, and probably meant as a fraction.
    #[error("found a {field} of {found} pixels, expected at least 2 pixels, or fractions such as 0.5 or 50%")]
    Small { field: &'static str, found: u32 },
    /// Beyond every picture.
    #[error("found {field} up to {found}, expected at most 16384 pixels")]
    Large { field: &'static str, found: u64 },
    /// Not a part of a whole.
    #[error("found {field} {found}, expected a fraction from 0.0 to 1.0")]
    NoFraction { field: &'static str, found: f64 },
    /// No part at all.
    #[error("found a {field} of 0, expected more")]
    Empty { field: &'static str },
    /// More than the whole.
    #[error("found {field} up to {found}, expected at most 1.0, the picture's end")]
    Outside { field: &'static str, found: f64 },
}

impl Area {
    /// In pixels of the picture.
    pub fn pixels(x: u32, y: u32, width: u32, height: u32) -> Result<Area, AreaError> {
        for (field, found) in [("width", width), ("height", height)] {
            if found < 2 {
                return Err(AreaError::Small { field, found });
            }
        }
        for (field, from, length) in [("x + width", x, width), ("y + height", y, height)] {
            let found = u64::from(from) + u64::from(length);
            if found > u64::from(MAX_SIDE) {
                return Err(AreaError::Large { field, found });
            }
        }
        Ok(Area { x, y, width, height, unit: Unit::Pixels })
    }

    /// In fractions of the picture's width and height, each 0 to 1, to the millionth.
    pub fn fractions(x: f64, y: f64, width: f64, height: f64) -> Result<Area, AreaError> {
        for (field, found) in [("x", x), ("y", y), ("width", width), ("height", height)] {
            if !(0.0..=1.0).contains(&found) {
                return Err(AreaError::NoFraction { field, found });
            }
        }
        let [x, y, width, height] =
            [x, y, width, height].map(|part| (part * f64::from(MILLION)).round() as u32);
        for (field, found) in [("width", width), ("height", height)] {
            if found == 0 {
                return Err(AreaError::Empty { field });
            }
        }
        for (field, found) in [("x + width", x + width), ("y + height", y + height)] {
            if found > MILLION {
                return Err(AreaError::Outside { field, found: f64::from(found) / f64::from(MILLION) });
            }
        }
        Ok(Area { x, y, width, height, unit: Unit::Millionths })
    }

    /// Whether it is in pixels, which mean another part of each size of picture.
    pub fn is_in_pixels(&self) -> bool {
        self.unit == Unit::Pixels
    }

    /// The size of a picture of which this area has the given size; the largest there is where that is not known.
    pub(crate) fn whole_of(&self, (width, height): (u32, u32)) -> (u32, u32) {
        let whole = |of: u32, part: u32| match self.unit {
            Unit::Pixels => MAX_SIDE,
            Unit::Millionths => {
                let whole = u64::from(of) * u64::from(MILLION) / u64::from(part);
                whole.min(MAX_SIDE.into()) as u32
            }
        };
        (whole(width, self.width), whole(height, self.height))
    }

    /// The part of a picture of this size, to the nearest even samples and at least two each way where there are so many;
    /// none where the area reaches outside.
    pub(crate) fn nearest_within(&self, width: u32, height: u32) -> Option<Rect> {
        let side = |from, length, of| {
            let (begin, end) = self.scaled(from, length, of)?;
            let nearest = |at: Sample| (at.millionths + u64::from(MILLION)) / (2 * u64::from(MILLION)) * 2;
            let begin = nearest(begin).min(u64::from(of.saturating_sub(2) / 2 * 2));
            let end = if end.is_at(of) { u64::from(of) } else { nearest(end).max(begin + 2).min(of.into()) };
            Some((begin as u32, (end - begin) as u32))
        };
        self.rect(side, width, height)
    }

    /// The same, grown outward to even samples: all of the area is in it.
    pub(crate) fn grown_within(&self, width: u32, height: u32) -> Option<Rect> {
        let side = |from, length, of| {
            let (begin, end) = self.scaled(from, length, of)?;
            let begin = begin.millionths / (2 * u64::from(MILLION)) * 2;
            let end = end.millionths.div_ceil(2 * u64::from(MILLION)) * 2;
            Some((begin as u32, (end.min(of.into()) - begin) as u32))
        };
        self.rect(side, width, height)
    }

    fn rect(
        &self,
        side: impl Fn(u32, u32, u32) -> Option<(u32, u32)>,
        width: u32,
        height: u32,
    ) -> Option<Rect> {
        let ((x, width), (y, height)) =
            (side(self.x, self.width, width)?, side(self.y, self.height, height)?);
        Some(Rect { x, y, width, height })
    }

    /// Where it begins and ends along a side of `of` samples.
    fn scaled(&self, from: u32, length: u32, of: u32) -> Option<(Sample, Sample)> {
        let unit = match self.unit {
            Unit::Pixels if from + length > of => return None,
            Unit::Pixels => MILLION,
            Unit::Millionths => of,
        };
        let at = |part: u32| Sample { millionths: u64::from(part) * u64::from(unit) };
        Some((at(from), at(from + length)))
    }
}

/// A place along a side of a picture, in millionths of a sample.
#[derive(Clone, Copy)]
struct Sample {
    millionths: u64,
}

impl Sample {
    fn is_at(self, sample: u32) -> bool {
        self.millionths == u64::from(sample) * u64::from(MILLION)
    }
}

/// One of the eight ways to lay a picture down: rows and columns exchanged, then left and right, then top and bottom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Orientation {
    /// Rows become columns.
    pub(crate) is_transposed: bool,
    /// The first sample of a row of the outcome is the last one.
    pub(crate) flips_rows: bool,
    /// The first row of the outcome is the last one.
    pub(crate) flips_columns: bool,
}

impl Presentation {
    pub(crate) fn orientation(&self) -> Orientation {
        let (is_transposed, flips_rows, flips_columns) = match self.rotation {
            Rotation::None => (false, false, false),
            Rotation::Quarter => (true, true, false),
            Rotation::Half => (false, true, true),
            Rotation::ThreeQuarters => (true, false, true),
        };
        Orientation { is_transposed, flips_rows: flips_rows != self.mirrored, flips_columns }
    }
}

impl Orientation {
    /// A size as it is after this.
    pub(crate) fn turned<T>(self, (width, height): (T, T)) -> (T, T) {
        if self.is_transposed { (height, width) } else { (width, height) }
    }

    /// Where `part` of a picture of `width` x `height` is after this.
    pub(crate) fn place(self, part: Rect, width: u32, height: u32) -> Rect {
        let turned = match self.is_transposed {
            true => Rect { x: part.y, y: part.x, width: part.height, height: part.width },
            false => part,
        };
        let (width, height) = self.turned((width, height));
        Rect {
            x: if self.flips_rows { width - turned.x - turned.width } else { turned.x },
            y: if self.flips_columns { height - turned.y - turned.height } else { turned.y },
            ..turned
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(area: Result<Area, AreaError>, size: (u32, u32), nearest: [u32; 4], grown: [u32; 4]) {
        let area = area.expect("a good area");
        let rect = |[x, y, width, height]: [u32; 4]| Some(Rect { x, y, width, height });
        assert_eq!(area.nearest_within(size.0, size.1), rect(nearest), "nearest");
        assert_eq!(area.grown_within(size.0, size.1), rect(grown), "grown");
    }

    #[test]
    fn crops_go_to_the_nearest_even_samples_and_masks_grow_outward() {
        check(Area::pixels(3, 4, 10, 9), (64, 36), [4, 4, 10, 10], [2, 4, 12, 10]);
        check(Area::pixels(60, 30, 3, 3), (63, 33), [60, 30, 3, 3], [60, 30, 3, 3]);
        check(Area::fractions(0.25, 0.5, 0.5, 0.5), (1920, 1080), [480, 540, 960, 540], [480, 540, 960, 540]);
        check(
            Area::fractions(0.333333, 0.1, 0.333333, 0.1),
            (640, 359),
            [214, 36, 212, 36],
            [212, 34, 216, 38],
        );
        check(Area::fractions(0.0, 0.0, 1.0, 1.0), (641, 361), [0, 0, 641, 361], [0, 0, 641, 361]);
    }

    #[test]
    fn the_smallest_part_of_the_smallest_picture_is_something() {
        let smallest = Area::fractions(0.999_999, 0.5, 0.000_001, 0.000_001).expect("a good area");
        for (width, height) in [(1, 1), (2, 2), (3, 5), (1920, 1080)] {
            for rect in [smallest.nearest_within(width, height), smallest.grown_within(width, height)] {
                let rect = rect.expect("a fraction is always inside");
                assert!(rect.width >= 1 && rect.x + rect.width <= width, "{rect:?} of {width}x{height}");
                assert!(rect.height >= 1 && rect.y + rect.height <= height, "{rect:?} of {width}x{height}");
                assert!(rect.x % 2 == 0 && rect.y % 2 == 0, "{rect:?}");
            }
        }
    }

    #[test]
    fn pixels_outside_of_a_picture_do_not_mean_that_picture() {
        let area = Area::pixels(600, 300, 40, 60).expect("a good area");
        assert!(area.nearest_within(640, 360).is_some() && area.grown_within(640, 360).is_some());
        assert!(area.nearest_within(638, 360).is_none() && area.grown_within(640, 358).is_none());
    }

    #[test]
    fn a_part_that_fills_a_tile_is_part_of_a_larger_picture() {
        let half = Area::fractions(0.5, 0.0, 0.5, 0.25).expect("a good area");
        assert_eq!(half.whole_of((480, 270)), (960, 1080));
        let dot = Area::fractions(0.0, 0.0, 0.000_001, 1.0).expect("a good area");
        assert_eq!(dot.whole_of((480, 270)), (16_384, 270));
        let pixels = Area::pixels(0, 0, 640, 360).expect("a good area");
        assert_eq!(pixels.whole_of((480, 270)), (16_384, 16_384));
    }

    #[test]
    fn areas_that_cannot_be_say_why() {
        let refused = |area: Result<Area, AreaError>| area.expect_err("refused").to_string();
        assert_eq!(
            refused(Area::pixels(0, 0, 1, 8)),
            "found a width of 1 pixels, expected at least 2 pixels, or fractions such as 0.5 or 50%"
        );
        assert_eq!(
            refused(Area::pixels(0, u32::MAX, 2, 8)),
            "found y + height up to 4294967303, expected at most 16384 pixels"
        );
        assert_eq!(
            refused(Area::fractions(0.0, f64::NAN, 0.5, 0.5)),
            "found y NaN, expected a fraction from 0.0 to 1.0"
        );
        assert_eq!(refused(Area::fractions(0.0, 0.0, 0.5, 0.0)), "found a height of 0, expected more");
        assert_eq!(
            refused(Area::fractions(0.75, 0.0, 0.5, 0.5)),
            "found x + width up to 1.25, expected at most 1.0, the picture's end"
        );
    }

    #[test]
    fn parts_are_where_their_turn_puts_them() {
        let part = Rect { x: 2, y: 4, width: 8, height: 6 };
        let check = |degrees, mirrored, [x, y, width, height]: [u32; 4]| {
            let rotation = Rotation::by_degrees(degrees).expect("a quarter turn");
            let presentation = Presentation { rotation, mirrored, ..Presentation::default() };
            let placed = presentation.orientation().place(part, 40, 20);
            assert_eq!(placed, Rect { x, y, width, height }, "{degrees} {mirrored}");
        };
        check(0, false, [2, 4, 8, 6]);
        check(90, false, [10, 2, 6, 8]);
        check(180, false, [30, 10, 8, 6]);
        check(270, false, [4, 30, 6, 8]);
        check(0, true, [30, 4, 8, 6]);
        check(90, true, [4, 2, 6, 8]);
        check(180, true, [2, 10, 8, 6]);
        check(270, true, [10, 30, 6, 8]);
    }
}
