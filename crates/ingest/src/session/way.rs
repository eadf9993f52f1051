//! Which way a camera's packets are asked for: as configured, but what turned out to work is asked for first, so that a
//! camera which does not do as it is told is not told so at every session. Pure, in virtual time.

use std::time::{Duration, Instant};

use super::failure::Failure;
use crate::camera::Transport;

/// After so long the configured way has another chance, at the next session: a network may have been put right. A
/// session that works is never ended for it.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(3_600);

/// The way of one stream, through all its sessions.
#[derive(Debug)]
pub(crate) struct Way {
    configured: Transport,
    /// What was found to work instead, and when that was found.
    instead: Option<(Transport, Instant)>,
    /// The camera plays over this.
    playing: Option<Transport>,
}

impl Way {
    pub(crate) fn new(configured: Transport) -> Self {
        Self { configured, instead: None, playing: None }
    }

    /// What the next session is to ask for.
    pub(crate) fn asked(&mut self, now: Instant) -> Transport {
        self.playing = None;
        match self.instead {
            Some((instead, since)) if now.saturating_duration_since(since) < TRY_AGAIN_AFTER => instead,
            _ => self.configured,
        }
    }

    /// The camera was asked for one way and plays, maybe by the other.
    pub(crate) fn plays(&mut self, now: Instant, asked: Transport, used: Transport) {
        self.playing = Some(used);
        if used == self.configured {
            self.instead = None;
        } else if used != asked {
            self.instead = Some((used, now));
        }
    }

    /// The session ended. Whoever gets no video over UDP gets it over TCP, if at all.
    pub(crate) fn failed(&mut self, now: Instant, failure: &Failure) {
        let next = match failure {
            Failure::LossyUdp | Failure::DeadUdp { .. } => Transport::Tcp,
            Failure::NothingSent { .. } if self.playing == Some(Transport::Udp) => Transport::Tcp,
            Failure::AnotherTransport { next } => *next,
            _ => return,
        };
        // A camera configured for TCP is read over UDP only because it refuses TCP.
        let has_refused = self.configured == Transport::Tcp && self.playing == Some(Transport::Udp);
        if !has_refused {
            self.instead = (next != self.configured).then_some((next, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Transport::{Tcp, Udp};
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn after_losses_over_udp_tcp_is_asked_for_and_udp_again_after_an_hour() {
        for failure in [
            Failure::LossyUdp,
            Failure::DeadUdp { after: 10 * MINUTE },
            Failure::NothingSent { seconds: 10.0 },
        ] {
            let start = Instant::now();
            let mut way = Way::new(Udp);
            assert_eq!(way.asked(start), Udp);
            way.plays(start, Udp, Udp);
            way.failed(start, &failure);
            for minutes in [0, 30, 59] {
                let now = start + minutes * MINUTE;
                assert_eq!(way.asked(now), Tcp, "after {minutes} minutes");
                way.plays(now, Tcp, Tcp);
                way.failed(now, &Failure::Closed);
            }
            let later = start + 60 * MINUTE;
            assert_eq!(way.asked(later), Udp, "{failure:?}");
            way.plays(later, Udp, Udp);
            assert_eq!(way.asked(later + MINUTE), Udp, "it works now");
            way.plays(later, Udp, Udp);
            way.failed(later, &failure);
            assert_eq!(way.asked(later + 59 * MINUTE), Tcp, "it does not");
        }
    }

    #[test]
    fn a_camera_that_does_one_way_only_is_asked_for_that_one_the_next_time() {
        let start = Instant::now();
        let mut way = Way::new(Tcp);
        way.plays(start, Tcp, Udp);
        assert_eq!(way.asked(start + MINUTE), Udp);
        way.plays(start + MINUTE, Udp, Udp);
        way.failed(start + MINUTE, &Failure::LossyUdp);
        assert_eq!(way.asked(start + 2 * MINUTE), Udp, "there is nothing to fall back to");
        assert_eq!(way.asked(start + 60 * MINUTE), Tcp);

        way.failed(start + 60 * MINUTE, &Failure::AnotherTransport { next: Udp });
        assert_eq!(way.asked(start + 61 * MINUTE), Udp);
        way.failed(start + 61 * MINUTE, &Failure::AnotherTransport { next: Tcp });
        assert_eq!(way.asked(start + 61 * MINUTE), Tcp);
    }

    #[test]
    fn a_failure_that_has_nothing_to_do_with_the_way_changes_nothing() {
        let start = Instant::now();
        let mut way = Way::new(Udp);
        way.asked(start);
        way.failed(start, &Failure::NothingSent { seconds: 10.0 });
        way.plays(start, Udp, Udp);
        way.failed(start, &Failure::Closed);
        assert_eq!(way.asked(start), Udp);
    }
}
