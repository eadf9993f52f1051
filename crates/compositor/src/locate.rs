//! Where in a tile a picture sits, and which point of the picture a pixel of the canvas shows: what painting goes by,
//! for whoever wants to know what somebody pointed at. Nothing is painted here.

use crate::fit::Mapping;
use crate::geometry::Rect;
use crate::layout::Placement;
use crate::picture::{MAX_SIDE, Shape};
use crate::presentation::Orientation;

/// A picture of a certain size in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    mapping: Mapping,
    orientation: Orientation,
}

/// A rectangle of a canvas or of a picture, in samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// From the left edge.
    pub x: u32,
    /// From the top edge.
    pub y: u32,
    /// Samples a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Placement {
    /// Where a picture of this size, with samples of this width to height, sits in the tile. None where it is not shown:
    /// its size is none that is composed, or the part to be shown lies outside of it.
    pub fn locate(&self, width: u32, height: u32, sample_aspect: (u32, u32)) -> Option<Located> {
        let composed = 1..=MAX_SIDE;
        if !composed.contains(&width) || !composed.contains(&height) {
            return None;
        }
        let presentation = self.presentation();
        let part = match presentation.crop {
            Some(crop) => crop.nearest_within(width, height)?,
            None => Rect { x: 0, y: 0, width, height },
        };
        let orientation = presentation.orientation();
        let shape = Shape::new(width, height, sample_aspect);
        let mapping = Mapping::new(shape, part, self.rect(), presentation.fit, orientation);
        Some(Located { mapping, orientation })
    }
}

impl Located {
    /// What of the canvas the picture covers: the tile without its bars.
    pub fn covered(&self) -> Region {
        self.mapping.target.into()
    }

    /// What of the picture is shown there, before it is turned.
    pub fn part(&self) -> Region {
        self.mapping.source.into()
    }

    /// The point of the picture, in its samples from its left and top edges, that the middle of this pixel of the canvas
    /// shows. None beside the picture.
    pub fn point_at(&self, x: u32, y: u32) -> Option<(f64, f64)> {
        let Mapping { source, target } = self.mapping;
        let along = |at: u32, from: u32, length: u32| {
            let inside = at.checked_sub(from).filter(|inside| *inside < length)?;
            Some((f64::from(inside) + 0.5) / f64::from(length))
        };
        let (across, down) = (along(x, target.x, target.width)?, along(y, target.y, target.height)?);
        let across = if self.orientation.flips_rows { 1.0 - across } else { across };
        let down = if self.orientation.flips_columns { 1.0 - down } else { down };
        let (across, down) = self.orientation.turned((across, down));
        Some((
            f64::from(source.x) + across * f64::from(source.width),
            f64::from(source.y) + down * f64::from(source.height),
        ))
    }
}

impl From<Rect> for Region {
    fn from(Rect { x, y, width, height }: Rect) -> Region {
        Region { x, y, width, height }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Area, CanvasSize, Fit, Layout, Presentation, Rotation, TileRect};

    /// A tile of 400x400 at 100,100.
    fn tile(presentation: Presentation) -> Placement {
        let canvas = CanvasSize::new(640, 640).expect("a good size");
        let rect = TileRect { x: 100, y: 100, width: 400, height: 400, z: 0, presentation };
        Layout::explicit(canvas, vec![rect]).expect("inside").placements()[0].clone()
    }

    #[track_caller]
    fn check(presentation: Presentation, at: (u32, u32), expected: Option<(f64, f64)>) {
        let located = tile(presentation).locate(800, 400, (1, 1)).expect("shown");
        let found = located.point_at(at.0, at.1);
        let near = |(a, b): (f64, f64), (x, y): (f64, f64)| (a - x).abs() < 2.0 && (b - y).abs() < 2.0;
        match (found, expected) {
            (Some(found), Some(expected)) => assert!(near(found, expected), "{found:?}, not {expected:?}"),
            _ => assert_eq!(found, expected),
        }
    }

    #[test]
    fn bars_are_not_the_picture() {
        let located = tile(Presentation::default()).locate(800, 400, (1, 1)).expect("shown");
        assert_eq!(located.covered(), Region { x: 100, y: 200, width: 400, height: 200 });
        check(Presentation::default(), (300, 199), None);
        check(Presentation::default(), (300, 200), Some((401.0, 1.0)));
        check(Presentation::default(), (499, 399), Some((799.0, 399.0)));
        check(Presentation::default(), (500, 300), None);
    }

    #[test]
    fn a_point_is_found_through_cutting_turning_and_mirroring() {
        let stretch = Presentation { fit: Fit::Stretch, ..Presentation::default() };
        let turned = |rotation, mirrored| Presentation { rotation, mirrored, ..stretch.clone() };
        // A quarter of the tile in from its left, an eighth down.
        let at = (200, 150);
        check(stretch.clone(), at, Some((200.0, 50.0)));
        check(turned(Rotation::None, true), at, Some((600.0, 50.0)));
        check(turned(Rotation::Half, false), at, Some((600.0, 350.0)));
        // Clockwise: what is at the top of the tile was at the left, from the bottom up.
        check(turned(Rotation::Quarter, false), at, Some((100.0, 300.0)));
        check(turned(Rotation::ThreeQuarters, false), at, Some((700.0, 100.0)));
        check(turned(Rotation::Quarter, true), at, Some((100.0, 100.0)));
        let half = Area::fractions(0.5, 0.0, 0.5, 1.0).expect("good");
        check(Presentation { crop: Some(half), ..stretch.clone() }, at, Some((500.0, 50.0)));
        check(Presentation { fit: Fit::Cover, ..Presentation::default() }, at, Some((300.0, 50.0)));
    }

    #[test]
    fn a_picture_that_is_not_shown_is_nowhere() {
        let pixels = Area::pixels(700, 300, 200, 200).expect("good");
        let presentation = Presentation { crop: Some(pixels), ..Presentation::default() };
        assert_eq!(tile(presentation).locate(800, 400, (1, 1)), None);
        assert_eq!(tile(Presentation::default()).locate(0, 400, (1, 1)), None);
    }
}
