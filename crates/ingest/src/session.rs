//! Keeping one camera's session alive: [`run`] retries, [`rtsp::RtspSource::run_once`] works.

pub(crate) mod failure;
pub(crate) mod rtsp;
pub(crate) mod watchdog;
mod way;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::backoff::{Backoff, SessionEnd};
use crate::record::{Blame, Record};
use crate::tile::Moment;
use failure::Failure;

/// What sessions are held with. The seam for tests in virtual time.
pub(crate) trait Source {
    /// Holds session number `session` (from 1) until it cannot go on, and says why. Cancel safe.
    fn run_once(&mut self, session: u64) -> impl Future<Output = Failure> + Send;
}

/// Runs one session after the other until `stop`, with one attempt in flight at a time, as long as this stream of the
/// camera is wanted. A panic inside counts as a failure of this camera alone.
pub(crate) async fn run(stop: CancellationToken, record: Arc<Record>, source: &mut impl Source) {
    let mut backoff = Backoff::default();
    let mut is_retry = false;
    for session in 1.. {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = may_connect(&record) => {}
        }
        record.session_began(session, is_retry);
        let ended = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = record.until_wanted(false) => None,
            ended = AssertUnwindSafe(source.run_once(session)).catch_unwind() => Some(ended.unwrap_or_else(|_| {
                record.count_panic();
                tracing::error!(camera = %record.name(), "panic in the session, starting the camera again");
                Failure::Internal
            })),
        };
        is_retry = ended.is_some();
        let Some(failure) = ended else {
            tracing::debug!(camera = %record.name(), stream = record.stream().as_str(), "not needed, disconnected");
            record.session_ended();
            backoff = Backoff::default();
            continue;
        };
        record.failed(Moment::now(), &in_words(&failure, &record), blame(&failure));

        let delivered = record.session_frames().map_or(Duration::ZERO, |frames| frames.last - frames.first);
        let end = SessionEnd { login_refused: failure.is_refused_login(), delivered };
        let wait = match failure {
            Failure::LoginPaused { until } => until.saturating_duration_since(Instant::now().into_std()),
            _ if failure.is_changeover() => Duration::ZERO,
            _ => backoff.wait_after(end, rand::random_range(-1.0..=1.0)),
        };
        if end.login_refused {
            record.login_refused((Instant::now() + wait).into_std(), blame(&failure));
        }
        tracing::debug!(camera = %record.name(), ?wait, "session ended: {failure}");
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = sleep(wait) => {}
            () = record.until_wanted(false) => backoff = Backoff::default(),
        }
    }
}

/// Waits until a session is wanted, and a login that the camera refused, on whatever stream, is long enough ago.
async fn may_connect(record: &Record) {
    loop {
        record.until_wanted(true).await;
        match record.no_login_before() {
            Some(until) if Instant::now() < until.into() => tokio::time::sleep_until(until.into()).await,
            _ => return,
        }
    }
}

/// A frozen camera is silent by what it sends, which is worth saying.
fn in_words(failure: &Failure, record: &Record) -> String {
    match failure {
        Failure::Silent { seconds } if record.is_frozen() => {
            format!("the same picture again and again for {seconds} s")
        }
        failure => failure.to_string(),
    }
}

/// A camera whose other stream would fail in the same way is not asked for that one (failure C25). Cameras deny single
/// streams (403), such as a substream that is switched off.
fn blame(failure: &Failure) -> Blame {
    match failure {
        Failure::Denied => Blame::Stream,
        Failure::LoginPaused { .. } => Blame::Account,
        failure if failure.is_refused_login() => Blame::Account,
        Failure::NoSuchHost { .. }
        | Failure::NameServerFailed { .. }
        | Failure::NameServerSilent { .. }
        | Failure::Refused { .. }
        | Failure::Unreachable { .. }
        | Failure::NoAnswer { .. }
        | Failure::NotConnected { .. }
        | Failure::NotTls { .. }
        | Failure::TlsTooOld { .. }
        | Failure::TlsFailed { .. }
        | Failure::CertificateRefused { .. }
        | Failure::NoAuthorities => Blame::Place,
        _ => Blame::Stream,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::BoxFuture;

    /// A source that notes when its sessions begin, in seconds of virtual time, and hangs in the last one.
    struct Scripted {
        begin: Instant,
        starts: Vec<f64>,
        sessions: usize,
        stop: CancellationToken,
        session: fn() -> BoxFuture<'static, Failure>,
    }

    impl Source for Scripted {
        async fn run_once(&mut self, _session: u64) -> Failure {
            self.starts.push(self.begin.elapsed().as_secs_f64());
            if self.starts.len() == self.sessions {
                self.stop.cancel();
                return std::future::pending().await;
            }
            (self.session)().await
        }
    }

    /// Waits between the starts of so many sessions that end like this.
    async fn waits(sessions: usize, session: fn() -> BoxFuture<'static, Failure>) -> (Vec<f64>, Arc<Record>) {
        let (record, stop) = (Record::for_tests(), CancellationToken::new());
        let mut source =
            Scripted { begin: Instant::now(), starts: Vec::new(), sessions, stop: stop.clone(), session };
        run(stop, record.clone(), &mut source).await;
        assert_eq!(source.starts.len(), sessions);
        (source.starts.windows(2).map(|pair| pair[1] - pair[0]).collect(), record)
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_follow_the_backoff() {
        let (waits, record) = waits(7, || async { Failure::Closed }.boxed()).await;
        for (wait, step) in waits.iter().zip([1.0, 1.0, 2.0, 5.0, 10.0, 30.0]) {
            assert!((0.8 * step - 0.01..=1.2 * step + 0.01).contains(wait), "{waits:?}");
        }
        assert!(waits[0] <= 1.01, "{waits:?}");
        assert_eq!(record.stats(std::time::Instant::now(), Duration::from_secs(10)).reconnects, 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_login_is_tried_once_a_minute() {
        let (waits, _) = waits(4, || async { Failure::WrongLogin }.boxed()).await;
        assert!(waits.iter().all(|wait| *wait >= 60.0), "{waits:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_refused_elsewhere_is_waited_for_exactly_as_long_as_nobody_may_try() {
        let session = || {
            let until = Instant::now().into_std() + Duration::from_secs(42);
            async move { Failure::LoginPaused { until } }.boxed()
        };
        let (waits, _) = waits(4, session).await;
        assert!(waits.iter().all(|wait| (42.0..42.1).contains(wait)), "{waits:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_a_failure_like_any_other_and_is_counted() {
        let (waits, record) = waits(4, || async { panic!("on purpose") }.boxed()).await;
        assert!(waits[2] > 1.5, "{waits:?}");
        let stats = record.stats(std::time::Instant::now(), Duration::from_secs(10));
        assert_eq!((stats.panics, stats.reconnects), (3, 3));
        assert_eq!(stats.reason.as_deref(), Some("internal error, see the log"));
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_interrupts_a_session_and_a_wait() {
        let sessions: [fn() -> BoxFuture<'static, Failure>; 2] =
            [|| async { Failure::Closed }.boxed(), || std::future::pending().boxed()];
        for session in sessions {
            let (begin, stop) = (Instant::now(), CancellationToken::new());
            let mut source =
                Scripted { begin, starts: Vec::new(), sessions: 99, stop: CancellationToken::new(), session };
            let stopper = stop.clone();
            tokio::spawn(async move {
                sleep(Duration::from_millis(500)).await;
                stopper.cancel();
            });
            run(stop, Record::for_tests(), &mut source).await;
            assert!(begin.elapsed() < Duration::from_millis(600));
        }
    }
}
