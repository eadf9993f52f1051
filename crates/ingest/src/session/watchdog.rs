//! Silence is judged by *decoded* frames: a frozen camera often keeps its connection up, and sometimes even goes on
//! sending at the same bit rate (<https://github.com/bluenviron/mediamtx/issues/196>).
//!
//! When a tile turns black is no business of this module. A wall that goes black after one second must not make a
//! slow camera reconnect for ever, and one that holds pictures for an hour must not keep a dead session that long.

use std::time::{Duration, Instant};

use super::failure::Failure;
use crate::pace::SessionFrames;

/// The first access unit may always take this long: cameras start an encoder for a new client.
pub(crate) const FIRST_ACCESS_UNIT: Duration = Duration::from_secs(10);

/// One picture may be missing before a slow camera counts as silent.
const INTERVALS: u32 = 2;

/// No camera is waited for any longer between two frames. One that sends a frame every ten minutes is asked again
/// each time; a connection that is dead is noticed long before by RTSP's own keepalive.
const LONGEST_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// Decides when a session that plays has been silent for too long. One per camera, through all its sessions, because
/// a camera that sends a picture a minute cannot show its pace in a session that ends after ten seconds: each
/// session that fell silent before it showed one doubles the patience with the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watchdog {
    /// No frame for so long ends the session of a camera that is not known to be slower.
    silence: Duration,
    /// The first frame of a session may take longer while data arrives: until the next key frame of a long group of
    /// pictures (more than 40 s are reported, <https://github.com/blakeblackshear/frigate/issues/11041>).
    first_frame_budget: Duration,
    /// What is waited in a session that has not shown a pace yet.
    patience: Duration,
}

impl Watchdog {
    pub(crate) fn new(silence: Duration, first_frame_budget: Duration) -> Self {
        Self { silence, first_frame_budget, patience: silence }
    }

    /// When the session is over if nothing more comes, and as what. `last_received` is its last access unit. Frames
    /// can move it to an earlier time, but never to less than [`Watchdog::silence`] after the last of them.
    pub(crate) fn deadline(
        &self,
        playing_since: Instant,
        last_received: Option<Instant>,
        frames: Option<&SessionFrames>,
    ) -> (Instant, Failure) {
        if let Some(frames) = frames {
            let wait = self.wait_after(frames);
            return (frames.last + wait, Failure::Silent { seconds: seconds(wait) });
        }
        let for_data = self.patience.max(FIRST_ACCESS_UNIT);
        let for_a_frame = self.first_frame_budget.max(for_data);
        let received_nothing = last_received.unwrap_or(playing_since) + for_data;
        let decoded_nothing = playing_since + for_a_frame;
        match received_nothing <= decoded_nothing {
            true => (received_nothing, Failure::NothingSent { seconds: seconds(for_data) }),
            false => (decoded_nothing, Failure::NotDecodable { seconds: seconds(for_a_frame) }),
        }
    }

    /// The shortest time in which a session can become silent.
    pub(crate) fn silence(&self) -> Duration {
        self.silence
    }

    /// Learns from a session that has ended.
    pub(crate) fn session_ended(&mut self, frames: Option<&SessionFrames>, failure: &Failure) {
        let Some(frames) = frames else { return };
        let wait = self.wait_after(frames);
        if frames.show_a_pace() {
            self.patience = wait;
        } else if matches!(failure, Failure::Silent { .. }) {
            self.patience = self.limited(wait.saturating_mul(2));
        }
    }

    fn wait_after(&self, frames: &SessionFrames) -> Duration {
        let at_least = if frames.show_a_pace() { self.silence } else { self.patience };
        self.limited(frames.longest_interval().saturating_mul(INTERVALS).max(at_least))
    }

    fn limited(&self, wait: Duration) -> Duration {
        wait.min(LONGEST_PATIENCE.max(self.silence))
    }
}

/// To the tenth, for showing.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_secs(10);
    const BUDGET: Duration = Duration::from_secs(20);

    /// Frames decoded at these seconds after `start`.
    fn frames(start: Instant, at: impl IntoIterator<Item = f64>) -> SessionFrames {
        let mut at = at.into_iter().map(|seconds| start + Duration::from_secs_f64(seconds));
        let mut frames = SessionFrames::begin(at.next().expect("at least one"));
        at.for_each(|at| frames.add(at));
        frames
    }

    /// Seconds of the deadline after `start`, when the session began, and the words.
    fn deadline(
        watchdog: &Watchdog,
        start: Instant,
        received: Option<f64>,
        frames: Option<&SessionFrames>,
    ) -> (f64, String) {
        let received = received.map(|seconds| start + Duration::from_secs_f64(seconds));
        let (deadline, failure) = watchdog.deadline(start, received, frames);
        (deadline.duration_since(start).as_secs_f64(), failure.to_string())
    }

    #[test]
    fn silence_ends_a_session_ten_seconds_after_the_last_decoded_frame_whatever_is_received() {
        let start = Instant::now();
        let watchdog = Watchdog::new(SILENCE, BUDGET);
        let check = |received, frames: Option<&SessionFrames>, seconds, words: &str| {
            assert_eq!(deadline(&watchdog, start, received, frames), (seconds, words.to_owned()));
        };
        check(None, None, 10.0, "connected, but the camera sent no video for 10 s");
        check(Some(3.0), None, 13.0, "connected, but the camera sent no video for 10 s");
        check(Some(15.0), None, 20.0, "video arrives, but no picture could be decoded within 20 s");
        check(Some(99.0), Some(&frames(start, [40.0])), 50.0, "no picture for 10 s");
        let fast = frames(start, (0..=1_000).map(|i| f64::from(i) * 0.04));
        check(Some(99.0), Some(&fast), 50.0, "no picture for 10 s");
    }

    #[test]
    fn a_short_silence_is_no_shorter_wait_for_the_first_access_unit() {
        let start = Instant::now();
        let watchdog = Watchdog::new(Duration::from_secs(1), BUDGET);
        assert_eq!(deadline(&watchdog, start, None, None).0, 10.0);
        assert_eq!(deadline(&watchdog, start, None, Some(&frames(start, [8.0]))).0, 9.0);
    }

    /// How many of the sessions with a camera that sends a frame at once and then one every `interval` seconds end by
    /// silence, until one has delivered a hundred frames.
    fn sessions_lost(interval: f64) -> Option<u32> {
        let mut watchdog = Watchdog::new(SILENCE, BUDGET);
        (0..20).find(|_| {
            let start = Instant::now();
            let mut sent = frames(start, [0.0]);
            for number in 1..100 {
                let next = start + Duration::from_secs_f64(interval * f64::from(number));
                let (deadline, failure) = watchdog.deadline(start, Some(next), Some(&sent));
                if deadline <= next {
                    watchdog.session_ended(Some(&sent), &failure);
                    return false;
                }
                sent.add(next);
            }
            true
        })
    }

    #[test]
    fn a_camera_slower_than_the_silence_loses_a_few_sessions_and_then_none() {
        assert_eq!(sessions_lost(0.04), Some(0));
        assert_eq!(sessions_lost(9.0), Some(0));
        assert_eq!(sessions_lost(11.0), Some(1));
        assert_eq!(sessions_lost(60.0), Some(3));
        assert_eq!(sessions_lost(290.0), Some(5));
        assert_eq!(sessions_lost(600.0), None, "the patience ends somewhere");
    }

    #[test]
    fn what_was_learned_of_a_slow_camera_is_forgotten_when_it_is_fast() {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(SILENCE, BUDGET);
        let alone = frames(start, [0.0]);
        (0..4).for_each(|_| watchdog.session_ended(Some(&alone), &Failure::Silent { seconds: 10.0 }));
        assert_eq!(deadline(&watchdog, start, None, Some(&alone)).0, 160.0);
        assert_eq!(deadline(&watchdog, start, None, None).0, 160.0, "its first frame may be as slow");
        let fast = frames(start, (0..25).map(|i| f64::from(i) * 0.04));
        assert_eq!(deadline(&watchdog, start, None, Some(&fast)).0, 10.96);
        watchdog.session_ended(Some(&fast), &Failure::Closed);
        assert_eq!(deadline(&watchdog, start, None, Some(&alone)).0, 10.0);
    }

    #[test]
    fn a_stall_of_a_fast_camera_is_soon_forgotten() {
        let start = Instant::now();
        let watchdog = Watchdog::new(SILENCE, BUDGET);
        let stalled = frames(start, (0..10).map(|i| f64::from(i) + if i < 5 { 0.0 } else { 9.0 }));
        assert_eq!(deadline(&watchdog, start, None, Some(&stalled)).0, 18.0 + 20.0);
        let recovered = frames(start, (0..11).map(|i| f64::from(i) + if i < 5 { 0.0 } else { 9.0 }));
        assert_eq!(deadline(&watchdog, start, None, Some(&recovered)).0, 19.0 + 10.0);
    }
}
