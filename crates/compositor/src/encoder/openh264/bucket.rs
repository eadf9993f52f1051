//! A leaky bucket for an encoder that has none: ITU-T H.264, section C.1.1, with the buffer of a viewer in mind who gets
//! just the bitrate.

use crate::geometry::{Bitrate, FrameRate};

/// Seconds of the bitrate that may be in it: what is promised is 0.5.
const MOST: f64 = 0.45;
/// Seconds of the bitrate that are no reason to aim lower. A key frame is about as much.
const USUAL: f64 = 0.1;
/// The lowest and the highest of what is aimed at, as parts of the bitrate.
const TARGETS: (f64, f64) = (0.5, 1.08);

/// What was sent and has not yet flowed off at the bitrate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    bps: f64,
    fps: f64,
    bits: f64,
}

impl Bucket {
    pub(super) fn new(bitrate: Bitrate, fps: FrameRate) -> Bucket {
        Bucket { bps: bitrate.bps().into(), fps: fps.get().into(), bits: 0.0 }
    }

    pub(super) fn set_bitrate(&mut self, bitrate: Bitrate) {
        self.bps = bitrate.bps().into();
    }

    /// Whether an access unit of so many bytes goes into it.
    pub(super) fn fits(&self, bytes: usize) -> bool {
        self.bits + bytes as f64 * 8.0 <= MOST * self.bps
    }

    /// Takes an access unit, and lets a period's bits flow off.
    pub(super) fn pour(&mut self, bytes: usize) {
        self.bits = (self.bits + bytes as f64 * 8.0 - self.bps / self.fps).max(0.0);
    }

    /// Bits a second to aim at with the next access unit, so that what is too much in it is gone within a second. A little
    /// more than the bitrate while it is empty: rate control tends to stay below what it is told.
    pub(super) fn target(&self) -> u32 {
        let excess = self.bits / self.bps - USUAL;
        let part = (1.0 - excess).clamp(TARGETS.0, TARGETS.1);
        // In steps of a fiftieth: rate control divides its plans anew at every change.
        (self.bps * (part * 50.0).round() / 50.0) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket() -> Bucket {
        Bucket::new(Bitrate::new(1_000_000).expect("a valid bitrate"), FrameRate::DEFAULT)
    }

    #[test]
    fn what_flows_off_is_the_bitrate() {
        let mut bucket = bucket();
        (0..100).for_each(|_| bucket.pour(1_000_000 / 8 / 25));
        assert_eq!(bucket.bits, 0.0);
        bucket.pour(40_000);
        (0..6).for_each(|_| bucket.pour(0));
        assert!((bucket.bits - (320_000.0 - 7.0 * 40_000.0)).abs() < 1.0, "{bucket:?}");
    }

    #[test]
    fn a_unit_fits_up_to_the_brim() {
        let mut bucket = bucket();
        assert!(bucket.fits(56_250) && !bucket.fits(56_251));
        bucket.pour(30_000);
        assert!(bucket.fits(31_250) && !bucket.fits(31_251), "{bucket:?}");
    }

    #[test]
    fn the_fuller_the_lower_it_aims() {
        let mut bucket = bucket();
        assert_eq!(bucket.target(), 1_080_000);
        bucket.pour(45_000);
        assert_eq!(bucket.target(), 780_000, "{bucket:?}");
        bucket.pour(1_000_000);
        assert_eq!(bucket.target(), 500_000);
        bucket.set_bitrate(Bitrate::new(100_000_000).expect("a valid bitrate"));
        assert_eq!(bucket.target(), 102_000_000);
    }
}
