//! How large a tile is: what a look says about itself, and what a camera chooses its stream and its effort by.

/// Width and height of a tile in pixels, and whether the picture fills it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TileSize {
    width: u32,
    height: u32,
    is_filled: bool,
}

impl TileSize {
    /// The picture is shown whole, with bars where the shapes differ. A side of 0 is taken as 1.
    #[must_use]
    pub const fn new(width: u32, height: u32) -> Self {
        let (width, height) = (at_least_one(width), at_least_one(height));
        Self { width, height, is_filled: false }
    }

    /// The picture fills the tile to its edges, cropped or stretched.
    #[must_use]
    pub const fn filled(width: u32, height: u32) -> Self {
        Self { is_filled: true, ..Self::new(width, height) }
    }

    pub(crate) fn area(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Pixels of the tile for each pixel of a picture of this size, along the side that decides: 2.0 is a picture blown
    /// up, 0.5 one that has twice the detail the tile can show.
    pub(crate) fn magnification(self, (width, height): (u32, u32)) -> f64 {
        let across = f64::from(self.width) / f64::from(width.max(1));
        let down = f64::from(self.height) / f64::from(height.max(1));
        if self.is_filled { across.max(down) } else { across.min(down) }
    }
}

const fn at_least_one(side: u32) -> u32 {
    if side == 0 { 1 } else { side }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_shown_whole_is_scaled_by_the_tighter_side_and_one_that_fills_by_the_other() {
        let check = |tile: TileSize, picture, expected| assert_eq!(tile.magnification(picture), expected);
        check(TileSize::new(480, 1080), (640, 360), 0.75);
        check(TileSize::filled(480, 1080), (640, 360), 3.0);
        check(TileSize::new(1920, 1080), (640, 360), 3.0);
        check(TileSize::new(0, 0), (0, 0), 1.0);
    }
}
