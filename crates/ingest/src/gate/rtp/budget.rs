//! How many coded bytes may belong to one picture. A camera that never ends one (`FU-A` fragments at one timestamp for
//! ever) would fill the memory of whoever puts pictures together.

use super::Header;

/// Larger than any picture of 16 megapixels that a camera encodes, and small enough for 64 cameras to do it at once.
const DEFAULT_MAX: usize = 8 << 20;

/// Counts the payload of one stream per picture.
///
/// A picture ends where the timestamp changes, or at a marker: that one too often, because cameras set it on parameter sets
/// (<https://github.com/scottlamb/retina/issues/13>), but a camera whose timestamps stand still has nothing else.
#[derive(Debug)]
pub(crate) struct AccessUnitBudget {
    max: usize,
    bytes: usize,
    timestamp: Option<u32>,
    marked: bool,
}

/// A picture has grown beyond what is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a picture of more than {max} coded bytes")]
pub(crate) struct OverBudget {
    pub(crate) max: usize,
}

impl Default for AccessUnitBudget {
    fn default() -> Self {
        Self::new(DEFAULT_MAX)
    }
}

impl AccessUnitBudget {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, bytes: 0, timestamp: None, marked: false }
    }

    /// Counts a packet of our source. Past the budget every further packet of the picture is refused, too.
    ///
    /// # Errors
    /// If its picture is larger than allowed.
    pub(crate) fn handle(&mut self, header: &Header) -> Result<(), OverBudget> {
        if self.marked || self.timestamp != Some(header.timestamp) {
            self.bytes = 0;
        }
        self.timestamp = Some(header.timestamp);
        self.marked = header.marker;
        self.bytes = self.bytes.saturating_add(header.payload_len);
        if self.bytes > self.max { Err(OverBudget { max: self.max }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(timestamp: u32, marker: bool, payload_len: usize) -> Header {
        Header { payload_type: 96, marker, sequence: 0, timestamp, ssrc: 1, payload_len }
    }

    #[test]
    fn a_picture_that_never_ends_is_refused_at_its_limit_and_the_next_one_is_not() {
        let mut budget = AccessUnitBudget::new(10_000);
        assert!((0..10).all(|_| budget.handle(&packet(7, false, 1_000)).is_ok()));
        assert_eq!(budget.handle(&packet(7, false, 1)), Err(OverBudget { max: 10_000 }));
        assert_eq!(budget.handle(&packet(7, true, 1)), Err(OverBudget { max: 10_000 }));
        assert_eq!(budget.handle(&packet(8, false, 10_000)), Ok(()));
    }

    #[test]
    fn markers_end_pictures_of_a_camera_whose_timestamps_stand_still() {
        let mut budget = AccessUnitBudget::new(10_000);
        for _ in 0..100 {
            assert_eq!(budget.handle(&packet(7, false, 9_000)), Ok(()));
            assert_eq!(budget.handle(&packet(7, true, 1_000)), Ok(()));
        }
    }

    #[test]
    fn timestamps_end_pictures_of_a_camera_that_sets_no_marker() {
        let mut budget = AccessUnitBudget::new(10_000);
        for picture in 0..100_u32 {
            assert_eq!(budget.handle(&packet(picture.wrapping_mul(0x4000_0000), false, 10_000)), Ok(()));
        }
    }
}
