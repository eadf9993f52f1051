//! Whether a canvas is worth encoding on which nothing was painted. Pure logic, in canvas time.
//!
//! A picture that stands still costs an encoder as much as one that moves, and most of the bitrate. So after a change
//! the wall goes on encoding until the encoder has spent some bits on making it sharp ([`SETTLES_IN`]); then one access
//! unit in [`HEARTBEAT`] shows that there is a stream. When an IDR is due is not decided here but in
//! [`crate::key_frames`]; it is encoded whatever is said here.

use std::time::Duration;

/// How long after a change the picture still gets better.
pub(crate) const SETTLES_IN: Duration = Duration::from_millis(500);
/// Something comes so often, so that neither players nor recorders take the stream for dead.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(1);

/// Decides for every canvas. Tell it of changes, ask [`Stillness::is_due`], and tell what came of encoding.
#[derive(Debug, Default)]
pub(crate) struct Stillness {
    changed: Option<Duration>,
    last: Option<Duration>,
    /// The last canvas that was to be encoded was left out.
    owed: bool,
}

impl Stillness {
    /// The canvas at `now` is not the one before, or somebody sees it for the first time.
    pub(crate) fn handle_change(&mut self, now: Duration) {
        self.changed = Some(now);
    }

    /// Whether the canvas at `now` is to be encoded.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        let within = |then: Option<Duration>, span| then.is_some_and(|then| now.saturating_sub(then) < span);
        self.owed || within(self.changed, SETTLES_IN) || !within(self.last, HEARTBEAT)
    }

    /// The canvas at `now` was given to the encoder: an access unit came of it, or none.
    pub(crate) fn handle_encoded(&mut self, now: Duration, came: bool) {
        self.owed = !came;
        if came {
            self.last = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ticks (of 40 ms) that are encoded, of a canvas that changes at some of them. The encoder leaves some out.
    fn encoded(ticks: u64, changes: &[u64], left_out: &[u64]) -> Vec<u64> {
        let mut stillness = Stillness::default();
        let mut encoded = Vec::new();
        for tick in 0..ticks {
            let now = Duration::from_millis(40 * tick);
            if changes.contains(&tick) {
                stillness.handle_change(now);
            }
            if stillness.is_due(now) {
                stillness.handle_encoded(now, !left_out.contains(&tick));
                encoded.push(tick);
            }
        }
        encoded
    }

    #[test]
    fn what_never_changes_beats_once_a_second() {
        assert_eq!(encoded(101, &[], &[]), [0, 25, 50, 75, 100]);
    }

    #[test]
    fn a_change_is_encoded_at_once_and_for_half_a_second_and_the_heart_beats_from_its_end() {
        let expected: Vec<u64> = [0].into_iter().chain(10..=22).chain([47, 72]).collect();
        assert_eq!(encoded(90, &[10], &[]), expected);
    }

    #[test]
    fn what_changes_all_the_time_is_encoded_at_every_tick() {
        let all: Vec<u64> = (0..200).collect();
        assert_eq!(encoded(200, &all, &[]), all);
        // A camera at 5 frames a second keeps the wall at its full rate.
        let seldom: Vec<u64> = (0..200).step_by(5).collect();
        assert_eq!(encoded(200, &seldom, &[]), all);
    }

    #[test]
    fn a_canvas_that_the_encoder_left_out_is_given_again() {
        assert_eq!(encoded(60, &[], &[25, 26, 27]), [0, 25, 26, 27, 28, 53]);
    }
}
