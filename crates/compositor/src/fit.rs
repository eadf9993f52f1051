//! How a picture of any size sits in a tile: which part of it is shown, and where.
//!
//! The scaling itself is in [`crate::scale`]; what is cut off and turned before, in [`crate::presentation`].

use crate::geometry::Rect;
use crate::picture::Shape;
use crate::presentation::Orientation;

/// How a picture fills a tile of another shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Fit {
    /// All of the picture, its shape kept, the wall's background on two sides. The shape is that of the picture as it is
    /// meant to be seen: its samples need not be square.
    #[default]
    Contain,
    /// All of the tile, the picture's shape kept, its two sides cut off evenly.
    Cover,
    /// All of the picture in all of the tile; its shape is not kept.
    Stretch,
}

impl Fit {
    /// The name used in configuration files and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Fit::Contain => "contain",
            Fit::Cover => "cover",
            Fit::Stretch => "stretch",
        }
    }
}

/// What part of a picture goes where on the canvas.
///
/// `source` begins on even samples and lies inside the picture; `target` is even and inside the tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) source: Rect,
    pub(crate) target: Rect,
}

impl Mapping {
    /// Places `part` of a picture (each side at least 1, beginning on even samples) in `tile` (even, at least 2x2).
    pub(crate) fn new(picture: Shape, part: Rect, tile: Rect, fit: Fit, orientation: Orientation) -> Mapping {
        let (across, down) = picture.sample_aspect;
        // All is reckoned before the turn.
        let (width, height) = orientation.turned((tile.width, tile.height));
        match fit {
            Fit::Stretch => Mapping { source: part, target: tile },
            Fit::Contain => {
                let seen = Shape { width: part.width, height: part.height, ..picture }.seen();
                let (w, h) = largest_within(width, height, seen);
                let (w, h) = orientation.turned((even(w, width), even(h, height)));
                Mapping { source: part, target: centred(tile, w, h) }
            }
            Fit::Cover => {
                // The tile's shape counted in the picture's samples.
                let shape = (u64::from(width) * u64::from(down), u64::from(height) * u64::from(across));
                let (w, h) = largest_within(part.width, part.height, shape);
                Mapping { source: centred(part, even(w, part.width), even(h, part.height)), target: tile }
            }
        }
    }
}

/// The largest rectangle of the shape `sw : sh`, each below 2^48, inside `width` x `height`, to the nearest sample.
fn largest_within(width: u32, height: u32, (sw, sh): (u64, u64)) -> (u32, u32) {
    let (w, h) = (u64::from(width), u64::from(height));
    let nearest = |product: u64, by: u64| ((product + by / 2) / by) as u32;
    if w * sh <= h * sw { (width, nearest(w * sh, sw)) } else { (nearest(h * sw, sh), height) }
}

/// `length` to the nearest even number from 2 to `most`; all of `most` stays all of it, even where that is odd.
fn even(length: u32, most: u32) -> u32 {
    if length >= most { most } else { (length.div_ceil(2) * 2).clamp(2, most.max(2)).min(most) }
}

/// A rectangle of the given size in the middle of `outer`, to the even sample at or before it.
fn centred(outer: Rect, width: u32, height: u32) -> Rect {
    let x = outer.x + (outer.width - width) / 4 * 2;
    let y = outer.y + (outer.height - height) / 4 * 2;
    Rect { x, y, width, height }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEFT: Rect = Rect { x: 0, y: 0, width: 480, height: 1080 };
    const TOP: Rect = Rect { x: 480, y: 0, width: 960, height: 540 };

    fn shape(size: (u32, u32), sample_aspect: (u32, u32)) -> Shape {
        Shape { width: size.0, height: size.1, sample_aspect }
    }

    #[track_caller]
    fn check(size: (u32, u32), tile: Rect, fit: Fit, source: [u32; 4], target: [u32; 4]) {
        check_samples(size, (1, 1), tile, fit, source, target);
    }

    #[track_caller]
    fn check_samples(
        size: (u32, u32),
        aspect: (u32, u32),
        tile: Rect,
        fit: Fit,
        source: [u32; 4],
        target: [u32; 4],
    ) {
        let rect = |[x, y, width, height]: [u32; 4]| Rect { x, y, width, height };
        let expected = Mapping { source: rect(source), target: rect(target) };
        assert_eq!(mapping(shape(size, aspect), tile, fit), expected);
    }

    /// Of a whole picture, upright.
    fn mapping(picture: Shape, tile: Rect, fit: Fit) -> Mapping {
        let whole = Rect { x: 0, y: 0, width: picture.width, height: picture.height };
        Mapping::new(picture, whole, tile, fit, Orientation::default())
    }

    #[test]
    fn a_part_is_fitted_like_a_picture_of_its_size() {
        let part = Rect { x: 100, y: 200, width: 640, height: 480 };
        let check = |fit, is_transposed, source: [u32; 4], target: [u32; 4]| {
            let orientation = Orientation { is_transposed, ..Orientation::default() };
            let rect = |[x, y, width, height]: [u32; 4]| Rect { x, y, width, height };
            let found = Mapping::new(shape((1920, 1080), (1, 1)), part, TOP, fit, orientation);
            assert_eq!(found, Mapping { source: rect(source), target: rect(target) });
        };
        let whole = [100, 200, 640, 480];
        check(Fit::Contain, false, whole, [600, 0, 720, 540]);
        check(Fit::Contain, true, whole, [756, 0, 406, 540]);
        check(Fit::Cover, false, [100, 260, 640, 360], [480, 0, 960, 540]);
        check(Fit::Cover, true, [284, 200, 270, 480], [480, 0, 960, 540]);
        check(Fit::Stretch, true, whole, [480, 0, 960, 540]);
    }

    #[test]
    fn samples_that_are_not_square_turn_with_their_picture() {
        let part = Rect { x: 0, y: 0, width: 704, height: 576 };
        let orientation = Orientation { is_transposed: true, ..Orientation::default() };
        // 4:3 as it is seen; turned 3:4.
        let found = Mapping::new(shape((704, 576), (12, 11)), part, TOP, Fit::Contain, orientation);
        assert_eq!(found.target, Rect { x: 756, y: 0, width: 406, height: 540 });
    }

    #[test]
    fn contain_keeps_the_shape_and_centres() {
        check((1920, 1080), LEFT, Fit::Contain, [0, 0, 1920, 1080], [0, 404, 480, 270]);
        check((1920, 1080), TOP, Fit::Contain, [0, 0, 1920, 1080], [480, 0, 960, 540]);
        check((640, 480), TOP, Fit::Contain, [0, 0, 640, 480], [600, 0, 720, 540]);
        check((1080, 1920), LEFT, Fit::Contain, [0, 0, 1080, 1920], [0, 112, 480, 854]);
    }

    #[test]
    fn cover_cuts_the_sides_off_evenly() {
        check((1920, 1080), LEFT, Fit::Cover, [720, 0, 480, 1080], [0, 0, 480, 1080]);
        check((640, 480), TOP, Fit::Cover, [0, 60, 640, 360], [480, 0, 960, 540]);
        check((641, 361), TOP, Fit::Cover, [0, 0, 641, 361], [480, 0, 960, 540]);
    }

    #[test]
    fn pictures_of_samples_that_are_not_square_are_seen_in_their_own_shape() {
        // 704x576 is 4:3 with samples of 12:11, and 16:9 with samples of 16:11.
        let whole = [0, 0, 704, 576];
        check_samples((704, 576), (12, 11), TOP, Fit::Contain, whole, [600, 0, 720, 540]);
        check_samples((704, 576), (16, 11), TOP, Fit::Contain, whole, [480, 0, 960, 540]);
        check_samples((704, 576), (16, 11), LEFT, Fit::Contain, whole, [0, 404, 480, 270]);
        // 960x576 (960H) is 4:3 with samples of 4:5.
        check_samples((960, 576), (4, 5), TOP, Fit::Contain, [0, 0, 960, 576], [600, 0, 720, 540]);
        // Of 4:3 three quarters of the rows fill a tile of 16:9; of 16:9 everything does.
        check_samples((704, 576), (12, 11), TOP, Fit::Cover, [0, 72, 704, 432], [480, 0, 960, 540]);
        check_samples((704, 576), (16, 11), TOP, Fit::Cover, whole, [480, 0, 960, 540]);
        check_samples((960, 576), (4, 5), LEFT, Fit::Cover, [320, 0, 320, 576], [0, 0, 480, 1080]);
        check_samples((704, 576), (12, 11), LEFT, Fit::Stretch, whole, [0, 0, 480, 1080]);
    }

    #[test]
    fn stretch_shows_everything_everywhere() {
        check((641, 361), LEFT, Fit::Stretch, [0, 0, 641, 361], [0, 0, 480, 1080]);
    }

    #[test]
    fn every_mapping_is_even_and_inside() {
        let sizes = [1, 2, 3, 5, 16, 63, 64, 101, 352, 641, 1079, 1920, 4096];
        let aspects = [(1, 1), (12, 11), (1, 4), (4, 1), (u32::MAX, u32::MAX - 1), (u32::MAX / 4, u32::MAX)];
        let tiles = [(2, 2), (2, 600), (600, 2), (64, 64), (480, 1080), (966, 542)];
        for (width, height) in sizes.into_iter().flat_map(|w| sizes.map(|h| (w, h))) {
            for ((tw, th), aspect) in tiles.into_iter().flat_map(|tile| aspects.map(|aspect| (tile, aspect)))
            {
                for fit in [Fit::Contain, Fit::Cover, Fit::Stretch] {
                    let tile = Rect { x: 10, y: 20, width: tw, height: th };
                    let Mapping { source, target } = mapping(shape((width, height), aspect), tile, fit);
                    let what = format!(
                        "{width}x{height} of {aspect:?} {fit:?} in {tw}x{th}: {source:?} to {target:?}"
                    );
                    assert!(source.width > 0 && source.height > 0, "{what}");
                    assert!(source.x % 2 == 0 && source.y % 2 == 0, "{what}");
                    assert!(source.x + source.width <= width && source.y + source.height <= height, "{what}");
                    assert!(
                        [target.x, target.y, target.width, target.height].iter().all(|v| v % 2 == 0),
                        "{what}"
                    );
                    assert!(target.width >= 2 && target.height >= 2, "{what}");
                    assert!(target.x >= 10 && target.y >= 20, "{what}");
                    assert!(
                        target.x + target.width <= 10 + tw && target.y + target.height <= 20 + th,
                        "{what}"
                    );
                    if fit != Fit::Contain {
                        assert_eq!(target, tile, "{what}");
                    }
                    if fit != Fit::Cover {
                        assert_eq!((source.width, source.height), (width, height), "{what}");
                    }
                }
            }
        }
    }
}
