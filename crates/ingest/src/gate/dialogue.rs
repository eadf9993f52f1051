//! What is said to the camera and to `retina`, without I/O and in virtual time: each request of `retina` is made one
//! that this camera understands, each answer one that `retina` understands (RFC 2326 sections 10 to 12).
//!
//! `retina` sends DESCRIBE, SETUP and PLAY, one after the other; its keepalives are answered here. Everything it cannot
//! do is done here: logging in, redirects, the other transport, keepalives in the camera's dialect, requests of the
//! camera, TEARDOWN. One request to the camera is open at a time, so an answer needs no right number to be known.
//!
//! Interleaved packets do not come here: they are the relay's.

mod headers;
mod outcome;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::keepalive::{DEFAULT_TIMEOUT, Dialect, Keepalive};
use super::login::{Login, Refused, Sent};
use super::message::{Message, Start, parameter};
use super::sdp::{self, Video};
use super::wire::Channels;
use crate::camera::Transport;
use crate::session::failure::{Failure, Step};
use crate::source::SourceUrl;
use headers::{Answered, base_url};

/// How long a camera may take for an answer.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a session that ends waits for the answer to TEARDOWN.
pub(crate) const TEARDOWN_TIMEOUT: Duration = Duration::from_secs(1);
/// The same after more than a camera may send: it is told, and hardly waited for.
const SHORT_TEARDOWN_TIMEOUT: Duration = Duration::from_millis(100);
const MAX_REDIRECTS: u32 = 3;
/// Answers that may still come for requests no longer waited for.
const MAX_ABANDONED: usize = 8;
/// A camera that asks without reading what it is told gets no more answers.
const MAX_UNSENT: usize = 64 * 1024;
const USER_AGENT: &str = concat!("Wallcast/", env!("CARGO_PKG_VERSION"));
/// What `retina` knows the session as: cameras' own names for it have had every character in them.
const SESSION: &str = "wallcast";
/// What `retina` receives on, whatever the camera sends on.
pub(crate) const RETINA_CHANNELS: Channels = Channels { rtp: 0, rtcp: 1 };

/// What the relay has to do. Poll until there is nothing left.
#[derive(Debug)]
pub(crate) enum Action {
    /// Connect to this address instead, then call [`Dialogue::handle_connected`].
    Connect(SourceUrl),
    /// Bind two UDP ports, then call [`Dialogue::handle_ports`] or [`Dialogue::handle_no_ports`].
    BindUdp,
    /// The camera will send from here.
    Udp { source: Option<IpAddr>, ports: Option<(u16, u16)> },
    /// The session is over because of this. If there is a session at the camera, TEARDOWN is under way.
    Fail(Failure),
    /// There is nothing more to say to the camera.
    Close,
}

/// One session with one camera.
pub(crate) struct Dialogue {
    /// What `retina` was told to ask for, and what is asked of the camera.
    gate_url: String,
    source: SourceUrl,
    configured: SourceUrl,
    login: Login,
    /// The login is the configured one, and not one that a redirect brought.
    has_own_login: bool,
    /// The camera has answered a request with a login otherwise than by asking for one.
    has_logged_in: bool,
    /// The login is kept back, because a redirect led to somebody else.
    withheld: bool,
    /// By what address the camera is known to be itself.
    peer: SocketAddr,
    transport: Transport,
    refused_transports: u32,
    next_cseq: u32,
    open: Option<Open>,
    abandoned: VecDeque<u32>,
    /// A request of `retina` that waits for the relay.
    waiting: Option<FromRetina>,
    redirects: u32,
    video: Video,
    channels: Option<Channels>,
    ssrc: Option<u32>,
    session: Option<Session>,
    state: State,
    keepalive: Option<Keepalive>,
    teardown_timeout: Duration,
    actions: VecDeque<Action>,
    to_camera: Vec<u8>,
    to_retina: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Opening,
    Playing,
    /// TEARDOWN is sent, or there was nothing to tear down.
    Closing,
}

/// What the camera set up.
struct Session {
    id: Option<String>,
    timeout: Duration,
    /// The address of the whole, if it was played, else of the stream.
    uri: String,
}

/// The request that waits for an answer.
struct Open {
    cseq: u32,
    request: Message,
    method: String,
    uri: String,
    purpose: Purpose,
    sent: Sent,
    deadline: Instant,
}

#[derive(Debug, Clone)]
enum Purpose {
    Retina(FromRetina),
    Keepalive(Dialect),
    Teardown,
}

/// A request of `retina` that the camera has to answer.
#[derive(Debug, Clone)]
struct FromRetina {
    step: Step,
    cseq: String,
    uri: String,
}

impl Dialogue {
    /// `peer` is the address that the connection leads to, `gate_url` what `retina` asks for.
    pub(crate) fn new(source: SourceUrl, peer: SocketAddr, transport: Transport, gate_url: String) -> Self {
        Self {
            gate_url,
            login: Login::new(source.login().cloned()),
            has_own_login: true,
            has_logged_in: false,
            withheld: false,
            configured: source.clone(),
            source,
            peer,
            transport,
            refused_transports: 0,
            next_cseq: 1,
            open: None,
            abandoned: VecDeque::new(),
            waiting: None,
            redirects: 0,
            video: Video::default(),
            channels: None,
            ssrc: None,
            session: None,
            state: State::Opening,
            keepalive: None,
            teardown_timeout: TEARDOWN_TIMEOUT,
            actions: VecDeque::new(),
            to_camera: Vec::new(),
            to_retina: Vec::new(),
        }
    }

    // What the relay asks.

    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Bytes to send to the camera.
    pub(crate) fn for_camera(&mut self) -> &mut Vec<u8> {
        &mut self.to_camera
    }

    /// Bytes to send to `retina`.
    pub(crate) fn take_to_retina(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.to_retina)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let keepalive = self.keepalive.as_ref().map(Keepalive::next_deadline);
        let answer = self.open.as_ref().map(|open| open.deadline);
        keepalive.into_iter().chain(answer).min()
    }

    /// The number of the request that waits for an answer.
    pub(crate) fn awaiting(&self) -> Option<u32> {
        self.open.as_ref().map(|open| open.cseq)
    }

    /// Where the stream comes, once it is set up interleaved.
    pub(crate) fn channels(&self) -> Option<Channels> {
        self.channels
    }

    pub(crate) fn is_playing(&self) -> bool {
        self.state == State::Playing
    }

    /// What the camera sends over, once it plays; else what it is asked for.
    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    /// What the camera is connected to at.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The configured login is in a request that opens the session and waits for an answer, or to be sent, and whether
    /// it is right is not known yet.
    pub(crate) fn is_logging_in(&self) -> bool {
        let is_asked = self
            .open
            .as_ref()
            .is_some_and(|open| open.sent.with_login && matches!(open.purpose, Purpose::Retina(_)));
        is_asked && self.has_own_login && !self.has_logged_in
    }

    /// The login is right.
    pub(crate) fn has_logged_in(&self) -> bool {
        self.has_logged_in
    }

    /// It has not refused TCP.
    pub(crate) fn can_do_tcp(&self) -> bool {
        self.refused_transports == 0
    }

    pub(crate) fn payload_type(&self) -> u8 {
        self.video.payload_type
    }

    /// The SSRC that the camera announced.
    pub(crate) fn ssrc(&self) -> Option<u32> {
        self.ssrc
    }

    /// Annex B, for what `retina` cannot hold.
    pub(crate) fn take_parameter_sets(&mut self) -> Option<Vec<u8>> {
        self.video.parameter_sets.take()
    }

    // What the relay tells.

    pub(crate) fn handle_retina(&mut self, now: Instant, message: &Message) {
        let Start::Request { method, uri } = &message.start else { return };
        let step = match method.as_str() {
            "DESCRIBE" => Step::Describe,
            "SETUP" => Step::Setup,
            "PLAY" => Step::Play,
            // Its keepalives: the camera has ours.
            _ => {
                return self
                    .answer_retina(message.header("CSeq").unwrap_or_default(), Message::response(200));
            }
        };
        let uri = if *uri == self.gate_url { self.source.request_url().to_string() } else { uri.clone() };
        let cseq = message.header("CSeq").unwrap_or_default().to_owned();
        self.forward(now, FromRetina { step, cseq, uri });
    }

    pub(crate) fn handle_camera(&mut self, now: Instant, message: Message) {
        match message.start {
            Start::Response { status: 100..=199 } => {}
            Start::Response { status } => self.handle_answer(now, status, &message),
            Start::Request { .. } => self.handle_request(now, &message),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some(open) = self.open.take_if(|open| open.deadline <= now) {
            match open.purpose {
                Purpose::Retina(_) => {
                    self.abandon(open.cseq);
                    self.fail(
                        now,
                        Failure::NoAnswer { address: self.peer.to_string(), after: ANSWER_TIMEOUT },
                    );
                }
                Purpose::Keepalive(_) => self.abandon(open.cseq),
                Purpose::Teardown => self.actions.push_back(Action::Close),
            }
        }
        if let Some(dialect) = self.keepalive.as_mut().and_then(|keepalive| keepalive.poll(now)) {
            self.send_keepalive(now, dialect);
        }
    }

    /// Follows [`Action::Connect`].
    pub(crate) fn handle_connected(&mut self, now: Instant, peer: SocketAddr) {
        self.peer = peer;
        if let Some(waiting) = self.waiting.take() {
            self.forward(now, waiting);
        }
    }

    /// Follows [`Action::BindUdp`].
    pub(crate) fn handle_ports(&mut self, now: Instant, ports: (u16, u16)) {
        let Some(waiting) = self.waiting.take() else { return };
        let transport = format!("RTP/AVP;unicast;client_port={}-{}", ports.0, ports.1);
        let request = Message::request("SETUP", &waiting.uri).with("Transport", transport);
        self.send(now, request, Purpose::Retina(waiting));
    }

    /// What [`Dialogue::is_logging_in`] told of is sent only now.
    pub(crate) fn handle_turn(&mut self, now: Instant) {
        if let Some(open) = &mut self.open {
            open.deadline = now + ANSWER_TIMEOUT;
        }
    }

    /// Follows [`Action::BindUdp`] where there are none.
    pub(crate) fn handle_no_ports(&mut self, now: Instant) {
        match self.waiting.take() {
            Some(waiting) if self.can_do_tcp() => self.try_the_other_transport(now, waiting),
            _ => self.fail(now, Failure::Internal),
        }
    }

    /// The session is to end, because nobody wants it any more.
    pub(crate) fn close(&mut self, now: Instant) {
        if self.state == State::Closing {
            return;
        }
        self.state = State::Closing;
        self.keepalive = None;
        self.waiting = None;
        if let Some(open) = self.open.take() {
            self.abandon(open.cseq);
        }
        match &self.session {
            Some(session) => {
                let request = Message::request("TEARDOWN", &session.uri);
                self.send(now, request, Purpose::Teardown);
            }
            None => self.actions.push_back(Action::Close),
        }
    }

    // Requests.

    fn forward(&mut self, now: Instant, from: FromRetina) {
        let request = match from.step {
            Step::Describe => Message::request("DESCRIBE", &from.uri).with("Accept", "application/sdp"),
            Step::Setup if self.transport == Transport::Udp => {
                self.waiting = Some(from);
                return self.actions.push_back(Action::BindUdp);
            }
            Step::Setup => {
                let Channels { rtp, rtcp } = RETINA_CHANNELS;
                let transport = format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}");
                Message::request("SETUP", &from.uri).with("Transport", transport)
            }
            Step::Play => Message::request("PLAY", &from.uri).with("Range", "npt=0.000-"),
        };
        self.send(now, request, Purpose::Retina(from));
    }

    fn send_keepalive(&mut self, now: Instant, dialect: Dialect) {
        if let Some(open) = self.open.take() {
            self.abandon(open.cseq);
        }
        let Some(session) = &self.session else { return };
        let request = Message::request(dialect.method(), &session.uri);
        self.send(now, request, Purpose::Keepalive(dialect));
    }

    fn send(&mut self, now: Instant, request: Message, purpose: Purpose) {
        let Start::Request { method, uri } = &request.start else { return };
        let (method, uri) = (method.clone(), uri.clone());
        let open = Open { cseq: 0, request, method, uri, purpose, sent: Sent::default(), deadline: now };
        self.send_again(now, open);
    }

    /// Sends a request, with the login that is known by now.
    fn send_again(&mut self, now: Instant, mut open: Open) {
        open.cseq = self.next_cseq;
        self.next_cseq = self.next_cseq.wrapping_add(1);
        open.deadline = match open.purpose {
            // However often it is sent.
            Purpose::Teardown if open.sent.answers > 0 => open.deadline,
            Purpose::Teardown => now + self.teardown_timeout,
            Purpose::Retina(_) | Purpose::Keepalive(_) => now + ANSWER_TIMEOUT,
        };
        let mut message = open.request.clone();
        message.headers.insert(0, ("CSeq".into(), open.cseq.to_string()));
        if let Some(authorization) = self.login.authorize(&open.method, &open.uri) {
            open.sent.with_login = true;
            message = message.with("Authorization", authorization);
        }
        message = message.with("User-Agent", USER_AGENT);
        if let Some(id) = self.session.as_ref().and_then(|session| session.id.as_ref()) {
            message = message.with("Session", id);
        }
        message.print(&mut self.to_camera);
        self.open = Some(open);
    }

    fn abandon(&mut self, cseq: u32) {
        if self.abandoned.len() == MAX_ABANDONED {
            self.abandoned.pop_front();
        }
        self.abandoned.push_back(cseq);
    }

    // Answers.

    fn handle_answer(&mut self, now: Instant, status: u16, message: &Message) {
        // Cameras send the wrong number, or none. One request is open, so only a number that is known to belong to
        // something else tells that this is no answer to it.
        let cseq = message.cseq();
        if let Some(known) = self.abandoned.iter().position(|abandoned| cseq == Some(*abandoned)) {
            self.abandoned.remove(known);
            return;
        }
        let Some(mut open) = self.open.take() else { return };
        self.has_logged_in |= open.sent.with_login && status != 401;
        if status == 401 {
            match self.login.handle_challenges(message.all("WWW-Authenticate"), open.sent) {
                Ok(()) => {
                    open.sent.answers += 1;
                    return self.send_again(now, open);
                }
                Err(refused) if matches!(open.purpose, Purpose::Retina(_)) => {
                    let failure = self.login_failure(refused);
                    return self.fail(now, failure);
                }
                // The camera may show pictures all the same. It is not asked again, because it would count the
                // failures and lock the account.
                Err(_) => self.keepalive = None,
            }
        }
        match open.purpose {
            Purpose::Teardown => self.actions.push_back(Action::Close),
            Purpose::Keepalive(dialect) => {
                if let Some(keepalive) = &mut self.keepalive {
                    keepalive.handle_answer(now, dialect, status, message.header("Public"));
                    self.handle_timeout(now);
                }
            }
            Purpose::Retina(from) => self.handle_outcome(now, status, message, from),
        }
    }

    fn handle_request(&mut self, now: Instant, message: &Message) {
        let Start::Request { method, .. } = &message.start else { return };
        let status = match method.as_str() {
            "OPTIONS" | "GET_PARAMETER" | "SET_PARAMETER" | "ANNOUNCE" | "REDIRECT" | "TEARDOWN" => 200,
            _ => 501,
        };
        if self.to_camera.len() < MAX_UNSENT {
            let mut answer = Message::response(status);
            for name in ["CSeq", "Session"] {
                if let Some(value) = message.header(name) {
                    answer = answer.with(name, value);
                }
            }
            if method == "OPTIONS" {
                answer = answer
                    .with("Public", "OPTIONS, GET_PARAMETER, SET_PARAMETER, ANNOUNCE, REDIRECT, TEARDOWN");
            }
            answer.print(&mut self.to_camera);
        }
        match method.as_str() {
            // RFC 2326 section 10.10: the camera wants to be asked anew.
            "REDIRECT" => self.fail(now, Failure::SentAway),
            "TEARDOWN" => {
                self.session = None;
                self.fail(now, Failure::Closed);
            }
            _ => {}
        }
    }

    fn answer_retina(&mut self, cseq: &str, answer: Message) {
        answer.with("CSeq", cseq).print(&mut self.to_retina);
    }

    /// The session cannot go on. TEARDOWN is sent if the camera has a session.
    pub(crate) fn fail(&mut self, now: Instant, failure: Failure) {
        if self.state != State::Closing {
            if failure.is_misbehaviour() {
                self.teardown_timeout = SHORT_TEARDOWN_TIMEOUT;
            }
            self.actions.push_back(Action::Fail(failure));
            self.close(now);
        }
    }

    fn login_failure(&self, refused: Refused) -> Failure {
        match refused {
            Refused::Needed if self.withheld => Failure::LoginWithheld { address: self.peer.to_string() },
            Refused::Needed => Failure::LoginNeeded,
            Refused::NotUnderstood => Failure::LoginNotUnderstood,
            Refused::Wrong => Failure::WrongLogin,
            Refused::Endless => Failure::LoginEndless,
        }
    }
}

#[cfg(test)]
mod tests;
