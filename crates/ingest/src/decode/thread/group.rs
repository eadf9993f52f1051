//! Access units that were passed over because nobody looks, kept so that the picture is back at once when somebody does.
//!
//! The decoder follows at such a distance that catching up takes no longer than [`CATCH_UP`]: a group of pictures that is
//! short enough costs its key frame alone; of a longer one the oldest access units are decoded, one for each that comes.

use std::collections::VecDeque;
use std::time::Duration;

use crate::queue::AccessUnit;

/// With this much to decode, and the time until the next access unit, a picture is back well within half a second.
const CATCH_UP: Duration = Duration::from_millis(300);
const MAX_UNITS: usize = 600;
const MAX_BYTES: usize = 8 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Group {
    units: VecDeque<AccessUnit>,
    bytes: usize,
}

impl Group {
    /// A key frame makes everything before it needless; so does another session.
    pub(super) fn keep(&mut self, unit: AccessUnit) {
        if unit.key || self.units.back().is_some_and(|last| last.session != unit.session) {
            self.clear();
        }
        self.bytes += unit.data.len();
        self.units.push_back(unit);
    }

    pub(super) fn take_oldest(&mut self) -> Option<AccessUnit> {
        let unit = self.units.pop_front()?;
        self.bytes -= unit.data.len();
        Some(unit)
    }

    /// More than should be kept. `cost`: what decoding one access unit takes, when that is to be counted.
    pub(super) fn is_too_long(&self, cost: Option<Duration>) -> bool {
        let units = u32::try_from(self.units.len()).unwrap_or(u32::MAX);
        let takes_long = cost.is_some_and(|cost| cost.saturating_mul(units) > CATCH_UP);
        self.units.len() > MAX_UNITS || self.bytes > MAX_BYTES || takes_long
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.units.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Codec;
    use std::time::Instant;

    fn unit(session: u64, key: bool, bytes: usize) -> AccessUnit {
        AccessUnit {
            session,
            codec: Codec::H264,
            data: vec![0; bytes],
            key,
            rtp_time: 0,
            captured: Instant::now(),
        }
    }

    #[test]
    fn a_key_frame_and_a_new_session_begin_a_new_group() {
        let mut group = Group::default();
        (0..10).for_each(|number| group.keep(unit(1, number == 0, 100)));
        assert_eq!((group.len(), group.bytes), (10, 1_000));
        group.keep(unit(1, true, 100));
        assert_eq!((group.len(), group.bytes), (1, 100));
        group.keep(unit(2, false, 100));
        assert_eq!((group.len(), group.bytes), (1, 100));
        assert!(group.take_oldest().is_some() && group.take_oldest().is_none());
        assert_eq!(group.bytes, 0);
    }

    #[test]
    fn it_is_bounded_in_units_in_bytes_and_in_the_time_it_takes_to_catch_up() {
        let check = |units: usize, bytes, cost: Option<u64>, expected| {
            let mut group = Group::default();
            (0..units).for_each(|number| group.keep(unit(1, number == 0, bytes)));
            assert_eq!(
                group.is_too_long(cost.map(Duration::from_micros)),
                expected,
                "{units} {bytes} {cost:?}"
            );
        };
        check(600, 100, None, false);
        check(601, 100, None, true);
        check(8, 1024 * 1024, None, false);
        check(9, 1024 * 1024, None, true);
        check(250, 100, Some(1_200), false);
        check(251, 100, Some(1_200), true);
    }
}
