//! How long a viewer is asked to hold frames back before it shows them (the playout-delay extension): not at all, as long
//! as what it loses comes again soon. Where it does not, because copies or the requests for them are lost too, a picture
//! that is a little older and moves is better than one that stands still again and again.
//!
//! A copy comes as much too late as it is sent after the packet that was lost: no round trip need be known for that.

use std::time::{Duration, Instant};

/// A packet this late is no matter: browsers call it a freeze when a picture stands 150 ms longer than it should.
const TOLERATED: Duration = Duration::from_millis(100);
const STEP: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(200);
/// What the viewer may add of its own where it holds frames back anyway.
const MAXIMUM: Duration = Duration::from_millis(500);
/// Late packets are remembered for this long, and for twice as long at most.
const MEMORY: Duration = Duration::from_secs(15);

#[derive(Debug, Default)]
pub(crate) struct Playout {
    /// The latest of this time and of the one before.
    latest: [Duration; 2],
    since: Option<Instant>,
    delay: Duration,
}

impl Playout {
    /// A packet is sent again, so long after it was sent first.
    pub(crate) fn handle_late(&mut self, now: Instant, late: Duration) {
        self.pass(now);
        self.latest[0] = self.latest[0].max(late);
    }

    /// A frame begins; `true` when the viewer is to be told something new with it.
    pub(crate) fn handle_frame(&mut self, now: Instant) -> bool {
        self.pass(now);
        let late = self.latest[0].max(self.latest[1]).saturating_sub(TOLERATED);
        let steps = late.as_millis().div_ceil(STEP.as_millis()) as u32;
        let before = std::mem::replace(&mut self.delay, (STEP * steps).min(LONGEST));
        before != self.delay
    }

    /// The value of the extension: the least and the most, twelve bits each, of 10 ms. Of nothing at all, browsers make that
    /// a frame is shown as soon as it is decoded.
    pub(crate) fn value(&self) -> [u8; 3] {
        let most = if self.delay.is_zero() { Duration::ZERO } else { MAXIMUM };
        let [least, most] = [self.delay, most].map(|delay| (delay.as_millis() / 10) as u32);
        let [_, value @ ..] = (least << 12 | most).to_be_bytes();
        value
    }

    fn pass(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        if since + MEMORY <= now {
            let kept = if since + 2 * MEMORY <= now { Duration::ZERO } else { self.latest[0] };
            (self.latest, self.since) = ([Duration::ZERO, kept], Some(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// What is asked for after a packet was sent again so late, in ms, and for how many seconds.
    fn asked(late: u32) -> (u128, u32) {
        let (mut playout, mut now) = (Playout::default(), Instant::now());
        assert!(!playout.handle_frame(now), "nothing new");
        now += 40 * MS;
        playout.handle_late(now, late * MS);
        let changed = playout.handle_frame(now);
        let delay = playout.delay.as_millis();
        assert_eq!(changed, delay > 0);
        let mut seconds = 0;
        while playout.delay > Duration::ZERO {
            seconds += 1;
            now += 1000 * MS;
            assert_eq!(playout.handle_frame(now), playout.delay.is_zero());
        }
        (delay, seconds)
    }

    #[test]
    fn what_comes_again_soon_costs_no_delay_and_what_comes_late_as_much_as_is_needed() {
        assert_eq!([0, 60, 100].map(|late| asked(late).0), [0; 3]);
        assert_eq!([101, 150, 180, 210].map(|late| asked(late).0), [50, 50, 100, 150]);
        assert_eq!(asked(900).0, 200, "and not without end");
    }

    #[test]
    fn after_a_while_without_late_packets_there_is_no_delay_again() {
        let (_, seconds) = asked(180);
        assert!((15..=31).contains(&seconds), "{seconds}");
    }

    #[test]
    fn the_extension_says_least_and_most_in_units_of_ten_milliseconds() {
        assert_eq!(Playout::default().value(), [0, 0, 0]);
        let held = Playout { delay: 150 * MS, ..Playout::default() };
        assert_eq!(held.value(), [0x00, 0xf0, 50]);
    }
}
