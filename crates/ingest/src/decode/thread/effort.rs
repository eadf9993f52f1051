//! How carefully a camera is decoded, by how small its tile is: pure.

use std::time::{Duration, Instant};

use crate::coded::nal;
use crate::decode::Effort;
use crate::queue::Codec;
use crate::shown::TileSize;
use crate::stats::Window;

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

/// Whether it matters how many pictures are references.
pub(super) fn is_worth_measuring(tile: TileSize, size: (u32, u32)) -> bool {
    tile.magnification(size) <= QUARTER
}

/// `now`: what is chosen already.
pub(super) fn choose(tile: TileSize, known: Option<Known>, now: Effort) -> Effort {
    let Some(Known { size, references_fps }) = known else { return Effort::Full };
    let enough = if now == Effort::ReferencesOnly { ENOUGH_FPS } else { MORE_THAN_ENOUGH_FPS };
    match tile.magnification(size) {
        scale if scale <= QUARTER && references_fps.is_some_and(|fps| fps >= enough) => {
            Effort::ReferencesOnly
        }
        scale if scale <= HALF => Effort::NoLoopFilter,
        _ => Effort::Full,
    }
}

/// How long references are counted before their rate is believed.
const MEASURED_AFTER: Duration = Duration::from_secs(2);

/// The rate of pictures that others refer to.
#[derive(Debug, Default)]
pub(super) struct References {
    session: u64,
    since: Option<Instant>,
    seen: Window,
}

impl References {
    /// Returns whether others refer to the picture of this access unit.
    pub(super) fn add(&mut self, now: Instant, session: u64, codec: Codec, unit: &[u8]) -> bool {
        if self.session != session {
            *self = Self { session, ..Self::default() };
        }
        self.since.get_or_insert(now);
        let is_reference = is_reference(codec, unit);
        if is_reference {
            self.seen.add(now, 1.0);
        }
        is_reference
    }

    pub(super) fn fps(&self, now: Instant) -> Option<f64> {
        let measured = self.since.is_some_and(|since| now.saturating_duration_since(since) >= MEASURED_AFTER);
        measured.then(|| self.seen.rate(now))
    }
}

/// By the header of the first slice: `nal_ref_idc` of H.264 (section 7.4.1); in H.265 the sub-layer non-reference pictures
/// are the even types below 16 (section 7.4.2.2).
fn is_reference(codec: Codec, unit: &[u8]) -> bool {
    let is_slice = |kind: u8| match codec {
        Codec::H264 => (1..=5).contains(&kind),
        Codec::H265 => kind < 32,
        Codec::Jpeg => false,
    };
    let slice = nal::units(unit).find(|nal| nal::kind(codec, nal).is_some_and(is_slice));
    match (codec, slice) {
        (Codec::H264, Some(slice)) => slice[0] & 0x60 != 0,
        (Codec::H265, Some(slice)) => !nal::kind(codec, slice).is_some_and(|kind| kind < 16 && kind % 2 == 0),
        (_, _) => true,
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

    #[test]
    fn references_are_told_by_their_slices_and_counted_for_two_seconds_first() {
        let check =
            |codec, unit: &[u8], expected| assert_eq!(is_reference(codec, unit), expected, "{unit:?}");
        check(Codec::H264, &[0, 0, 0, 1, 0x09, 0x10, 0, 0, 1, 0x41, 0x9a], true);
        check(Codec::H264, &[0, 0, 0, 1, 0x09, 0x10, 0, 0, 1, 0x01, 0x9a], false);
        check(Codec::H265, &[0, 0, 1, 0x02, 0x01, 0x80], true);
        check(Codec::H265, &[0, 0, 1, 0x00, 0x01, 0x80], false);
        check(Codec::H265, &[0, 0, 1, 0x26, 0x01, 0x80], true);
        check(Codec::Jpeg, &[0xff, 0xd8], true);

        let (mut references, start) = (References::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        for number in 0..100u64 {
            assert_eq!(references.fps(at(number * 40)).is_some(), number >= 50, "{number}");
            let kind = if number.is_multiple_of(2) { 0x41 } else { 0x01 };
            references.add(at(number * 40), 1, Codec::H264, &[0, 0, 1, kind, 0x9a]);
        }
        assert!((references.fps(at(3_960)).unwrap_or_default() - 12.5).abs() < 0.5);
        references.add(at(4_000), 2, Codec::H264, &[0, 0, 1, 0x41]);
        assert_eq!(references.fps(at(4_000)), None);
    }
}
