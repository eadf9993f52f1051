//! When to try again: 1, 1, 2, 5, 10, then every 30 s, each ±20 %, from the beginning again once a session really
//! delivered. A refused login waits at least a minute, because cameras lock accounts out after a few of them.

use std::time::Duration;

const STEPS_SECONDS: [f64; 6] = [1.0, 1.0, 2.0, 5.0, 10.0, 30.0];
const JITTER: f64 = 0.2;
const AFTER_REFUSED_LOGIN_SECONDS: f64 = 60.0;

/// A session that delivered pictures for at least this long was a working one. Less does not reset the backoff, so
/// that a camera that falls over at the first frame is not asked every second for ever.
pub(crate) const DELIVERED: Duration = Duration::from_secs(10);

/// The next wait of one camera.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: usize,
}

/// How a session ended, as far as the next wait is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionEnd {
    /// The camera refused user name and password.
    pub(crate) login_refused: bool,
    /// From the first to the last decoded frame of the session.
    pub(crate) delivered: Duration,
}

impl Backoff {
    /// How long to wait after a session that ended like this. `jitter` is a random number in −1.0…1.0.
    pub(crate) fn wait_after(&mut self, end: SessionEnd, jitter: f64) -> Duration {
        if end.delivered >= DELIVERED {
            self.failures = 0;
        }
        let first = self.failures == 0;
        let step = STEPS_SECONDS[self.failures.min(STEPS_SECONDS.len() - 1)];
        self.failures = self.failures.saturating_add(1);

        let jitter = JITTER * jitter.clamp(-1.0, 1.0);
        Duration::from_secs_f64(match end.login_refused {
            true => AFTER_REFUSED_LOGIN_SECONDS * (1.0 + jitter.abs()),
            // A camera that worked is asked again within the second: spread downwards only.
            false if first => step * (1.0 - jitter.abs()),
            false => step * (1.0 + jitter),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: SessionEnd = SessionEnd { login_refused: false, delivered: Duration::ZERO };
    const WORKED: SessionEnd = SessionEnd { login_refused: false, delivered: DELIVERED };
    const REFUSED: SessionEnd = SessionEnd { login_refused: true, delivered: Duration::ZERO };

    fn waits(backoff: &mut Backoff, end: SessionEnd, jitter: f64, count: usize) -> Vec<f64> {
        (0..count).map(|_| backoff.wait_after(end, jitter).as_secs_f64()).collect()
    }

    #[test]
    fn waits_grow_to_thirty_seconds_and_stay_there() {
        assert_eq!(
            waits(&mut Backoff::default(), FAILED, 0.0, 8),
            [1.0, 1.0, 2.0, 5.0, 10.0, 30.0, 30.0, 30.0]
        );
    }

    #[test]
    fn jitter_spreads_by_a_fifth_but_never_delays_the_first_try_past_a_second() {
        assert_eq!(waits(&mut Backoff::default(), FAILED, 1.0, 6), [0.8, 1.2, 2.4, 6.0, 12.0, 36.0]);
        assert_eq!(waits(&mut Backoff::default(), FAILED, -1.0, 6), [0.8, 0.8, 1.6, 4.0, 8.0, 24.0]);
        assert!(waits(&mut Backoff::default(), FAILED, 77.0, 6)[5] <= 36.0);
    }

    #[test]
    fn only_a_session_that_delivered_for_a_while_starts_over() {
        let mut backoff = Backoff::default();
        waits(&mut backoff, FAILED, 0.0, 5);
        let briefly = SessionEnd { delivered: Duration::from_secs(9), ..FAILED };
        assert_eq!(backoff.wait_after(briefly, 0.0), Duration::from_secs(30));
        assert_eq!(backoff.wait_after(WORKED, 0.0), Duration::from_secs(1));
        assert_eq!(backoff.wait_after(FAILED, 0.0), Duration::from_secs(1));
        assert_eq!(backoff.wait_after(FAILED, 0.0), Duration::from_secs(2));
    }

    #[test]
    fn a_refused_login_waits_at_least_a_minute_every_time() {
        let mut backoff = Backoff::default();
        for jitter in [-1.0, -0.3, 0.0, 0.7, 1.0] {
            let wait = backoff.wait_after(REFUSED, jitter);
            assert!((60..=72).contains(&wait.as_secs()), "{wait:?}");
        }
    }
}
