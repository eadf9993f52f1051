//! Keeping a session alive (RFC 2326 section 12.37), in the dialect that the camera understands, in virtual time.
//!
//! RTSP 1.0 has no request for it. Cameras want OPTIONS, GET_PARAMETER or SET_PARAMETER, and answer the others with
//! 400, 405, 451 or 501, or not at all (<https://github.com/bluenviron/mediamtx/issues/1066>,
//! <https://github.com/AlexxIT/go2rtc/pull/2409>). OPTIONS comes first, because it tells which are understood. No answer,
//! and no missing answer, is a reason to end a session: only missing pictures are, which is not decided here.

use std::time::{Duration, Instant};

/// RFC 2326 section 12.37: what holds when the camera says nothing.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// Even a generous camera may stand behind a router that forgets connections.
const LONGEST_INTERVAL: Duration = Duration::from_secs(30);
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// A request that keeps a session alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Options,
    GetParameter,
    SetParameter,
}

impl Dialect {
    /// In the order in which they are tried when nothing is known.
    const ALL: [Self; 3] = [Self::Options, Self::GetParameter, Self::SetParameter];

    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Options => "OPTIONS",
            Self::GetParameter => "GET_PARAMETER",
            Self::SetParameter => "SET_PARAMETER",
        }
    }
}

/// Says when to send which request. Calling order: [`Keepalive::poll`] at [`Keepalive::next_deadline`], then
/// [`Keepalive::handle_answer`] if one comes.
#[derive(Debug)]
pub(crate) struct Keepalive {
    interval: Duration,
    due: Instant,
    dialect: Dialect,
    refused: Vec<Dialect>,
    unanswered: bool,
}

impl Keepalive {
    /// A session that the camera would end after `timeout` of silence.
    pub(crate) fn new(now: Instant, timeout: Duration) -> Self {
        let interval = (timeout / 2).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
        let due = now + interval;
        Self { interval, due, dialect: Dialect::Options, refused: Vec::new(), unanswered: false }
    }

    pub(crate) fn next_deadline(&self) -> Instant {
        self.due
    }

    /// What to send now.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Dialect> {
        if now < self.due {
            return None;
        }
        if self.unanswered {
            self.refuse(self.dialect);
        }
        self.due = now + self.interval;
        self.unanswered = true;
        Some(self.dialect)
    }

    /// An answer to what was sent last, with its header `Public`. What is learned is used at once: a camera that does
    /// not count OPTIONS must not wait for another interval.
    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        dialect: Dialect,
        status: u16,
        public: Option<&str>,
    ) {
        self.unanswered = false;
        let before = self.dialect;
        if !(200..300).contains(&status) {
            if self.refuse(dialect) {
                self.due = now;
            }
            return;
        }
        if dialect == Dialect::Options
            && let Some(public) = public
        {
            let offers = |wanted: Dialect| {
                public.split([',', ' ']).any(|method| method.trim().eq_ignore_ascii_case(wanted.method()))
            };
            // GET_PARAMETER before SET_PARAMETER, which Tapo cameras offer and then answer with 400.
            let better = [Dialect::GetParameter, Dialect::SetParameter];
            let better = better.into_iter().find(|known| offers(*known) && !self.refused.contains(known));
            self.dialect = better.unwrap_or(Dialect::Options);
        }
        if self.dialect != before {
            self.due = now;
        }
    }

    /// Goes on to a dialect that was not refused yet. When there is none, OPTIONS is the least offending; `false`.
    fn refuse(&mut self, dialect: Dialect) -> bool {
        if !self.refused.contains(&dialect) {
            self.refused.push(dialect);
        }
        let next = Dialect::ALL.into_iter().find(|known| !self.refused.contains(known));
        self.dialect = next.unwrap_or(Dialect::Options);
        next.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is sent in two minutes to a camera that answers like this, in seconds after the start.
    fn sent(
        timeout: u64,
        answer: impl Fn(Dialect) -> Option<(u16, Option<&'static str>)>,
    ) -> Vec<(u64, Dialect)> {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(start, Duration::from_secs(timeout));
        let mut sent = Vec::new();
        loop {
            let now = keepalive.next_deadline();
            let seconds = now.duration_since(start).as_secs();
            if seconds > 120 || sent.len() > 200 {
                return sent;
            }
            let dialect = keepalive.poll(now).expect("it is due");
            assert_eq!(keepalive.poll(now), None, "once");
            sent.push((seconds, dialect));
            if let Some((status, public)) = answer(dialect) {
                keepalive.handle_answer(now, dialect, status, public);
            }
        }
    }

    use Dialect::{GetParameter, Options, SetParameter};

    #[test]
    fn the_dialect_that_the_camera_offers_is_learned_and_used_at_once() {
        let all = Some((200, Some("OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER,SET_PARAMETER")));
        let start = [(30, Options), (30, GetParameter), (60, GetParameter)];
        assert_eq!(sent(60, |_| all)[..3], start);
        assert_eq!(sent(600, |_| all)[..3], start, "no longer than 30 s");
        assert_eq!(sent(15, |_| all)[..3], [(7, Options), (7, GetParameter), (15, GetParameter)]);
        assert_eq!(
            sent(60, |_| Some((200, Some("set_parameter"))))[..2],
            [(30, Options), (30, SetParameter)]
        );
        assert_eq!(sent(60, |_| Some((200, None)))[..3], [(30, Options), (60, Options), (90, Options)]);
    }

    #[test]
    fn a_refused_dialect_is_not_tried_again() {
        let tapo = |dialect| match dialect {
            Options => Some((200, Some("OPTIONS, SET_PARAMETER"))),
            _ => Some((400, None)),
        };
        let expected = [(30, Options), (30, SetParameter), (30, GetParameter)];
        assert!(sent(60, tapo).starts_with(&expected[..2]), "{:?}", sent(60, tapo));
        assert!(sent(60, tapo).iter().filter(|(_, dialect)| *dialect == SetParameter).count() == 1);
        let no_options = |dialect| Some((if dialect == Options { 405 } else { 200 }, None));
        assert_eq!(sent(60, no_options)[..3], [(30, Options), (30, GetParameter), (60, GetParameter)]);
    }

    #[test]
    fn a_camera_that_refuses_everything_is_asked_no_more_than_once_an_interval() {
        let sent = sent(60, |_| Some((501, None)));
        let at: Vec<u64> = sent.iter().map(|(at, _)| *at).collect();
        assert_eq!(at, [30, 30, 30, 60, 90, 120]);
    }

    #[test]
    fn no_answer_leads_to_another_dialect_and_to_nothing_worse() {
        let sent = sent(60, |_| None);
        assert_eq!(sent, [(30, Options), (60, GetParameter), (90, SetParameter), (120, Options)]);
    }

    #[test]
    fn a_timeout_of_nothing_floods_nobody() {
        assert!(sent(0, |_| None).len() <= 120);
    }
}
