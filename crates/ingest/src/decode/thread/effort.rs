//! How carefully a camera is decoded, by how small its tile is: pure.

use crate::decode::Effort;
use crate::shown::TileSize;

/// A tile this much smaller than the picture hides that edges were not smoothed.
const HALF: f64 = 0.5;
/// And this much smaller, that not every picture is shown; if enough are.
const QUARTER: f64 = 0.25;
const ENOUGH_FPS: f64 = 10.0;
/// A rate close to [`ENOUGH_FPS`] changes nothing.
const MORE_THAN_ENOUGH_FPS: f64 = 11.0;

/// What is known of a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// Of its last decoded picture.
    pub(super) size: (u32, u32),
    /// Pictures a second that others refer to. `None`: not measured yet.
    pub(super) references_fps: Option<f64>,
}

pub(super) fn choose(tile: TileSize, known: Option<Known>, now: Effort) -> Effort {
    let Some(Known { size, references_fps }) = known else { return Effort::Full };
    let enough = if now == Effort::ReferencesOnly { ENOUGH_FPS } else { MORE_THAN_ENOUGH_FPS };
    match tile.magnification(size) {
        scale if scale <= QUARTER && references_fps.is_some_and(|fps| fps >= enough) => Effort::ReferencesOnly,
        scale if scale <= HALF => Effort::NoLoopFilter,
        _ => Effort::Full,
    }
}

#[cfg(test)]
mod tests {
    use super::Effort::{Full, NoLoopFilter, ReferencesOnly};
    use super::*;

    #[track_caller]
    fn check(tile: (u32, u32), references_fps: Option<f64>, now: Effort, expected: Effort) {
        let known = Known { size: (1920, 1080), references_fps };
        assert_eq!(choose(TileSize::new(tile.0, tile.1), Some(known), now), expected);
    }

    #[test]
    fn the_smaller_the_tile_the_less_is_decoded() {
        check((1920, 1080), Some(25.0), Full, Full);
        check((961, 541), Some(25.0), Full, Full);
        check((960, 540), Some(25.0), Full, NoLoopFilter);
        check((481, 271), Some(25.0), Full, NoLoopFilter);
        check((480, 270), Some(25.0), Full, ReferencesOnly);
        check((480, 1080), Some(25.0), Full, ReferencesOnly);
        assert_eq!(choose(TileSize::new(64, 64), None, Full), Full);
    }

    #[test]
    fn ten_frames_a_second_remain() {
        check((320, 180), Some(8.3), Full, NoLoopFilter);
        check((320, 180), None, Full, NoLoopFilter);
        check((320, 180), Some(10.5), Full, NoLoopFilter);
        check((320, 180), Some(10.5), ReferencesOnly, ReferencesOnly);
        check((320, 180), Some(9.9), ReferencesOnly, NoLoopFilter);
    }
}
