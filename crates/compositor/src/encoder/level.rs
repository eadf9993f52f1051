//! The H.264 level of a stream: ITU-T H.264 (08/2021), table A-1 and section A.3.1.

use crate::geometry::{Bitrate, CanvasSize, FrameRate};
use std::fmt;

/// The lowest level whose limits a constrained baseline stream keeps. Honest: players choose hardware by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u8);

/// `level_idc`, MaxMBPS (macroblocks a second), MaxFS (macroblocks a frame), MaxBR (1,000 b/s of VCL data in the
/// baseline profile). Level 1b, which only baseline spells with a flag, is left out: 1.1 says as much.
const TABLE_A1: [(u8, u64, u64, u64); 16] = [
    (10, 1_485, 99, 64),
    (11, 3_000, 396, 192),
    (12, 6_000, 396, 384),
    (13, 11_880, 396, 768),
    (20, 11_880, 396, 2_000),
    (21, 19_800, 792, 4_000),
    (22, 20_250, 1_620, 4_000),
    (30, 40_500, 1_620, 10_000),
    (31, 108_000, 3_600, 14_000),
    (32, 216_000, 5_120, 20_000),
    (40, 245_760, 8_192, 20_000),
    (41, 245_760, 8_192, 50_000),
    (42, 522_240, 8_704, 50_000),
    (50, 589_824, 22_080, 135_000),
    (51, 983_040, 36_864, 240_000),
    (52, 2_073_600, 36_864, 240_000),
];

impl Level {
    /// The level of a stream of this size, rate and bitrate: 4.0 for 1920x1080 at 25 or 30 fps.
    pub fn of(size: CanvasSize, fps: FrameRate, bitrate: Bitrate) -> Level {
        let across = u64::from(size.width().div_ceil(16));
        let down = u64::from(size.height().div_ceil(16));
        let a_frame = across * down;
        let a_second = a_frame * u64::from(fps.get());
        let fits = |&&(_, max_mbps, max_fs, max_br): &&(u8, u64, u64, u64)| {
            a_second <= max_mbps
                && a_frame <= max_fs
                // Neither side may be longer than sqrt(8 * MaxFS).
                && across.max(down).pow(2) <= 8 * max_fs
                && u64::from(bitrate.bps()) <= max_br * 1_000
        };
        // The largest canvas at 60 fps is within 5.2, the last.
        Level(TABLE_A1.iter().find(fits).map_or(52, |row| row.0))
    }

    /// `level_idc` of the SPS, and the last byte of SDP's `profile-level-id`: ten times the level.
    pub fn idc(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(size: (u32, u32), fps: u32, bitrate: u64, expected: &str) {
        let size = CanvasSize::new(size.0, size.1).expect("a valid size");
        let fps = FrameRate::new(fps).expect("a valid rate");
        let bitrate = Bitrate::new(bitrate).expect("a valid bitrate");
        assert_eq!(Level::of(size, fps, bitrate).to_string(), expected);
    }

    #[test]
    fn levels_are_the_lowest_that_table_a1_allows() {
        check((1920, 1080), 25, 4_000_000, "4.0");
        check((1920, 1080), 30, 4_000_000, "4.0");
        check((1920, 1080), 60, 4_000_000, "4.2");
        check((1920, 1080), 25, 25_000_000, "4.1");
        check((1280, 720), 25, 4_000_000, "3.1");
        check((1280, 720), 60, 4_000_000, "3.2");
        check((3840, 2160), 30, 20_000_000, "5.1");
        check((3840, 2160), 60, 20_000_000, "5.2");
        check((2160, 3840), 60, 100_000_000, "5.2");
        check((2160, 3840), 30, 20_000_000, "5.1");
        check((64, 64), 1, 50_000, "1.0");
        // 16 macroblocks in all, but one side longer than sqrt(8 * 99).
        check((3840, 64), 1, 50_000, "4.0");
    }
}
