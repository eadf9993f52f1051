//! Silence is judged by *decoded* frames, not by the connection and not by bytes (failures.md C1, C2).

use std::time::{Duration, Instant};

use super::failure::Failure;

/// Decides when a session that plays has been silent for too long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watchdog {
    /// When the camera agreed to play.
    pub(crate) playing_since: Instant,
    /// No frame for so long ends the session.
    pub(crate) silence: Duration,
    /// The first frame of a session may take longer: until the next key frame of a long group of pictures (C3).
    pub(crate) first_frame_budget: Duration,
}

impl Watchdog {
    /// When the session is over if nothing more comes, and as what. `last_received` is the last access unit,
    /// `last_decoded` the last frame, both of this session.
    pub(crate) fn deadline(
        &self,
        last_received: Option<Instant>,
        last_decoded: Option<Instant>,
    ) -> (Instant, Failure) {
        if let Some(last_decoded) = last_decoded {
            return (last_decoded + self.silence, Failure::Silent { seconds: self.silence.as_secs_f64() });
        }
        let received_nothing = last_received.unwrap_or(self.playing_since) + self.silence;
        let decoded_nothing = self.playing_since + self.first_frame_budget;
        match received_nothing < decoded_nothing {
            true => (received_nothing, Failure::NothingSent { seconds: self.silence.as_secs_f64() }),
            false => {
                (decoded_nothing, Failure::NotDecodable { seconds: self.first_frame_budget.as_secs_f64() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_ends_a_session_ten_seconds_after_the_last_decoded_frame_whatever_is_received() {
        let now = Instant::now();
        let s = |seconds| now + Duration::from_secs(seconds);
        let watchdog = Watchdog {
            playing_since: now,
            silence: Duration::from_secs(10),
            first_frame_budget: Duration::from_secs(20),
        };
        let check = |received, decoded, seconds, words: &str| {
            let (deadline, failure) = watchdog.deadline(received, decoded);
            assert_eq!((deadline, failure.to_string().as_str()), (s(seconds), words));
        };
        check(None, None, 10, "connected, but the camera sent no video for 10 s");
        check(Some(s(3)), None, 13, "connected, but the camera sent no video for 10 s");
        check(Some(s(15)), None, 20, "video arrives, but no picture could be decoded within 20 s");
        check(Some(s(99)), Some(s(40)), 50, "no picture for 10 s");
    }
}
