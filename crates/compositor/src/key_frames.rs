//! When a wall's next access unit must be an IDR. Pure logic, in canvas time.
//!
//! A wall begins with one, after every pause too; makes one each period by its own count; and makes one when somebody
//! asks, but at most one for askers in [`REQUEST_SPACING`], for everybody together. A request stays open until an IDR
//! has really come out of the encoder, whatever that was made for.
//!
//! The IDR of a beginning does not count as asked for: it is made when a viewer's connection is set up, and the
//! request that comes as soon as that viewer can hear must not wait half a second for it.

use std::time::Duration;

/// The least time between two IDRs that somebody asked for.
pub(crate) const REQUEST_SPACING: Duration = Duration::from_millis(500);

/// Decides for every canvas. Ask [`KeyFrames::is_due`], encode, then tell [`KeyFrames::handle_encoded`] what came out.
#[derive(Debug)]
pub(crate) struct KeyFrames {
    every: Duration,
    last: Option<Duration>,
    last_requested: Option<Duration>,
    requested: bool,
    refused: u32,
}

impl KeyFrames {
    /// With one IDR at least `every` so often.
    pub(crate) fn new(every: Duration) -> KeyFrames {
        KeyFrames { every, last: None, last_requested: None, requested: false, refused: 0 }
    }

    /// Somebody cannot go on without an IDR.
    pub(crate) fn handle_request(&mut self) {
        self.requested = true;
    }

    /// Nobody has seen the stream up to now, or it begins again: the next access unit is an IDR.
    pub(crate) fn handle_restart(&mut self) {
        self.last = None;
        self.refused = 0;
    }

    /// Whether the canvas at `now` must be an IDR.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        let since = |then: Option<Duration>| then.map(|then| now.saturating_sub(then));
        since(self.last).is_none_or(|since| since >= self.every)
            || (self.requested && since(self.last_requested).is_none_or(|since| since >= REQUEST_SPACING))
    }

    /// What came of the canvas at `now`: an IDR or not (another picture, or none).
    pub(crate) fn handle_encoded(&mut self, now: Duration, key: bool) {
        if key {
            self.last = Some(now);
            if self.requested {
                self.last_requested = Some(now);
            }
            self.requested = false;
            self.refused = 0;
        } else if self.is_due(now) {
            self.refused += 1;
        }
    }

    /// How many canvases in a row should have been an IDR and were not.
    pub(crate) fn refused(&self) -> u32 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `ticks` ticks of 40 ms through an encoder that obeys, with requests before some of them.
    fn idrs(ticks: u64, requests: &[u64]) -> Vec<u64> {
        let mut key_frames = KeyFrames::new(Duration::from_secs(4));
        let mut idrs = Vec::new();
        for tick in 0..ticks {
            let now = Duration::from_millis(40 * tick);
            if requests.contains(&tick) {
                key_frames.handle_request();
            }
            let key = key_frames.is_due(now);
            key_frames.handle_encoded(now, key);
            idrs.extend(key.then_some(tick));
        }
        idrs
    }

    #[test]
    fn the_first_is_an_idr_and_then_one_each_period() {
        assert_eq!(idrs(301, &[]), [0, 100, 200, 300]);
    }

    #[test]
    fn a_request_is_served_at_once_and_starts_the_period_anew() {
        assert_eq!(idrs(200, &[50]), [0, 50, 150]);
    }

    #[test]
    fn requests_within_half_a_second_share_one_idr() {
        assert_eq!(idrs(100, &[20, 21, 22, 25, 30]), [0, 20, 33]);
    }

    #[test]
    fn a_storm_of_requests_makes_one_idr_each_half_second() {
        let storm: Vec<u64> = (1..=125).collect();
        let idrs = idrs(126, &storm);
        assert!(idrs.windows(2).all(|pair| pair[1] - pair[0] >= 13 || pair[0] == 0), "{idrs:?}");
        assert_eq!(idrs.len(), 11, "{idrs:?}");
    }

    #[test]
    fn a_request_made_while_idle_is_served_by_the_first_frame() {
        assert_eq!(idrs(99, &[0]), [0]);
    }

    #[test]
    fn a_request_that_the_encoder_passes_over_stays_open_and_is_counted() {
        let mut key_frames = KeyFrames::new(Duration::from_secs(4));
        let at = Duration::from_millis;
        key_frames.handle_encoded(at(0), true);
        key_frames.handle_request();
        for tick in 1..=3 {
            assert!(key_frames.is_due(at(40 * tick)));
            key_frames.handle_encoded(at(40 * tick), false);
            assert_eq!(key_frames.refused() as u64, tick);
        }
        key_frames.handle_encoded(at(160), true);
        assert!(!key_frames.is_due(at(200)));
        assert_eq!(key_frames.refused(), 0);
    }
}
