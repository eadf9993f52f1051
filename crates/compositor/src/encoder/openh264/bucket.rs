//! A leaky bucket for an encoder that has none: ITU-T H.264, section C.1.1, with the buffer of a viewer in mind who gets
//! just the bitrate.

use crate::geometry::Bitrate;
use std::time::Duration;

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
    bits: f64,
    /// Up to when it has flowed off.
    at: Duration,
}

impl Bucket {
    pub(super) fn new(bitrate: Bitrate) -> Bucket {
        Bucket { bps: bitrate.bps().into(), bits: 0.0, at: Duration::ZERO }
    }

    pub(super) fn set_bitrate(&mut self, bitrate: Bitrate) {
        self.bps = bitrate.bps().into();
    }

    /// Lets flow off what does until `now`. A canvas that does not change is not encoded, so that is not always a period.
    pub(super) fn flow(&mut self, now: Duration) {
        self.bits = (self.bits - self.bps * now.saturating_sub(self.at).as_secs_f64()).max(0.0);
        self.at = now;
    }

    /// Whether an access unit of so many bytes goes into it.
    pub(super) fn fits(&self, bytes: usize) -> bool {
        self.bits + bytes as f64 * 8.0 <= MOST * self.bps
    }

    /// Takes an access unit.
    pub(super) fn pour(&mut self, bytes: usize) {
        self.bits += bytes as f64 * 8.0;
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
        Bucket::new(Bitrate::new(1_000_000).expect("a valid bitrate"))
    }

    #[test]
    fn what_flows_off_is_the_bitrate() {
        let mut bucket = bucket();
        bucket.pour(50_000);
        bucket.flow(Duration::from_millis(40));
        assert!((bucket.bits - 360_000.0).abs() < 1.0, "{bucket:?}");
        bucket.flow(Duration::from_millis(40));
        assert!((bucket.bits - 360_000.0).abs() < 1.0, "no time has passed: {bucket:?}");
        bucket.flow(Duration::from_secs(1));
        assert_eq!(bucket.bits, 0.0, "it is never emptier than empty");
    }

    #[test]
    fn a_unit_fits_up_to_the_brim() {
        let mut bucket = bucket();
        assert!(bucket.fits(56_250) && !bucket.fits(56_251));
        bucket.pour(25_000);
        assert!(bucket.fits(31_250) && !bucket.fits(31_251), "{bucket:?}");
    }

    #[test]
    fn the_fuller_the_lower_it_aims() {
        let mut bucket = bucket();
        assert_eq!(bucket.target(), 1_080_000);
        bucket.pour(40_000);
        assert_eq!(bucket.target(), 780_000, "{bucket:?}");
        bucket.pour(1_000_000);
        assert_eq!(bucket.target(), 500_000);
        bucket.set_bitrate(Bitrate::new(100_000_000).expect("a valid bitrate"));
        assert_eq!(bucket.target(), 102_000_000);
    }
}
