//! What becomes of the camera's final answer to DESCRIBE, SETUP or PLAY.

use super::*;

impl Dialogue {
    pub(super) fn handle_outcome(&mut self, now: Instant, status: u16, message: &Message, from: FromRetina) {
        match (status, from.step) {
            (200..=299, Step::Describe) => self.described(message, &from),
            (200..=299, Step::Setup) => self.set_up(now, message, from),
            (200..=299, Step::Play) => self.played(now, from),
            (301 | 302 | 303 | 305 | 307 | 308, Step::Describe) => self.redirected(now, message, from),
            // RFC 2326 section 11.3.19: the transport is not supported.
            (461, Step::Setup) => self.try_the_other_transport(now, from),
            // It does not change a session that it has set up (RFC 2326 section 10.4), so the next one begins with it.
            (_, Step::Setup) if self.session.is_some() => {
                self.fail(now, Failure::AnotherTransport { next: self.transport });
            }
            (403, _) => self.fail(now, Failure::Denied),
            (404, _) => self.fail(now, Failure::NoSuchStream),
            (status, step) => self.fail(now, Failure::Status { step, status }),
        }
    }

    fn described(&mut self, message: &Message, from: &FromRetina) {
        let cleaned = sdp::clean(&message.body);
        self.video = cleaned.video.unwrap_or_default();
        let base = base_url(message, self.source.request_url());
        let mut answer = Message::response(200)
            .with("Content-Type", "application/sdp")
            .with("Content-Base", base.as_str());
        answer.body = cleaned.sdp.into_bytes();
        self.answer_retina(&from.cseq, answer);
    }

    fn set_up(&mut self, now: Instant, message: &Message, from: FromRetina) {
        // Cameras have few sessions to give (failure C25). One that is of no use is set up anew under the same name, and
        // torn down by it if that fails.
        let session = message.header("Session").unwrap_or_default();
        let id = session.split(';').next().map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned);
        let id = id.or(self.session.take().and_then(|session| session.id));
        let timeout = parameter(session, "timeout").and_then(|seconds| seconds.parse().ok());
        let timeout = timeout.filter(|seconds| *seconds > 0).map_or(DEFAULT_TIMEOUT, Duration::from_secs);
        self.session = Some(Session { id, timeout, uri: from.uri.clone() });
        let answered = match Answered::parse(message, self.transport) {
            Some(answered) => answered,
            // It set up something else than it was asked for.
            None => return self.try_the_other_transport(now, from),
        };
        self.ssrc = answered.ssrc;
        self.channels = answered.channels;
        match answered.channels {
            Some(_) => self.transport = Transport::Tcp,
            None => self.actions.push_back(Action::Udp { source: answered.source, ports: answered.ports }),
        }
        let Channels { rtp, rtcp } = RETINA_CHANNELS;
        let answer = Message::response(200)
            .with("Session", SESSION)
            .with("Transport", format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}"));
        self.answer_retina(&from.cseq, answer);
    }

    fn played(&mut self, now: Instant, from: FromRetina) {
        if let Some(session) = &mut self.session {
            session.uri = from.uri;
            self.keepalive = Some(Keepalive::new(now, session.timeout));
        }
        self.state = State::Playing;
        self.answer_retina(&from.cseq, Message::response(200).with("Session", SESSION));
    }

    /// Once: a camera that refuses both has refused.
    pub(super) fn try_the_other_transport(&mut self, now: Instant, from: FromRetina) {
        if self.refused_transports > 0 {
            return self.fail(now, Failure::Status { step: from.step, status: 461 });
        }
        self.refused_transports += 1;
        self.transport = match self.transport {
            Transport::Tcp => Transport::Udp,
            Transport::Udp => Transport::Tcp,
        };
        self.forward(now, from);
    }

    /// The login is for the configured camera. Whoever a camera names instead gets none: a camera that was taken over,
    /// or somebody who answers in its place, could otherwise collect passwords, or, with Digest, nonces answered that
    /// it has chosen. Staying on the same host is no such thing, unless it leaves TLS; and an address that brings a login
    /// of its own is asked with that one.
    fn redirected(&mut self, now: Instant, message: &Message, from: FromRetina) {
        self.redirects += 1;
        if self.redirects > MAX_REDIRECTS {
            return self.fail(now, Failure::RedirectedTooOften { times: MAX_REDIRECTS });
        }
        let here = self.source.request_url();
        let target = message.header("Location").and_then(|location| here.join(location.trim()).ok());
        let Some(target) = target.and_then(|target| SourceUrl::parse(target.as_str()).ok()) else {
            return self.fail(now, Failure::RedirectedNowhere);
        };
        let host = target.host();
        let is_same_host = host.eq_ignore_ascii_case(&self.configured.host())
            || self.source.host() == self.configured.host() && host.parse() == Ok(self.peer.ip());
        let leaves_tls = self.configured.is_tls() && !target.is_tls();
        let own = self.configured.login();
        self.has_own_login = target.login().is_none();
        let login = target.login().or(own.filter(|_| is_same_host && !leaves_tls)).cloned();
        self.withheld = own.is_some() && login.is_none();
        self.login = Login::new(login);
        self.waiting = Some(FromRetina { uri: target.request_url().to_string(), ..from });
        self.source = target.clone();
        self.actions.push_back(Action::Connect(target));
    }
}
