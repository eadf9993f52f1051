#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::gate::wire::{Item, Wire};

const GATE: &str = "rtsp://127.0.0.1:1/token";
const CAMERA: &str = "rtsp://cam.lan/live?token=q";
const SDP: &str = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n";
const DIGEST: &str = "WWW-Authenticate: Digest realm=\"c\", nonce=\"n1\"\r\n";

/// A dialogue with both its ends in the hands of the test, in virtual time.
struct Talk {
    dialogue: Dialogue,
    now: Instant,
    retina_cseq: u32,
}

impl Talk {
    fn new(url: &str, transport: Transport) -> Self {
        let source = SourceUrl::parse(url).unwrap();
        let dialogue = Dialogue::new(source, "10.0.0.3:554".parse().unwrap(), transport, GATE.into());
        Self { dialogue, now: Instant::now(), retina_cseq: 0 }
    }

    /// A session that plays, over TCP.
    fn playing(session: &str) -> Self {
        let mut talk = Self::new("rtsp://admin:right@cam.lan/live?token=q", Transport::Tcp);
        talk.retina("DESCRIBE", GATE);
        talk.described();
        talk.retina("SETUP", "rtsp://cam.lan/live/track1");
        talk.camera(&format!("200 OK\r\n{session}Transport: RTP/AVP/TCP;interleaved=0-1\r\n"));
        talk.retina("PLAY", "rtsp://cam.lan/live/");
        talk.camera("200 OK\r\n");
        assert!(talk.dialogue.is_playing());
        talk
    }

    fn retina(&mut self, method: &str, uri: &str) {
        self.retina_cseq += 1;
        let request = Message::request(method, uri).with("CSeq", self.retina_cseq.to_string());
        self.dialogue.handle_retina(self.now, &request);
    }

    /// The camera answers what it was asked last: a status and headers.
    fn camera(&mut self, answer: &str) -> Option<Message> {
        let asked = self.asked();
        let cseq = asked.as_ref().and_then(Message::cseq).or(self.dialogue.awaiting());
        let cseq = cseq.map_or(String::new(), |cseq| format!("CSeq: {cseq}\r\n"));
        self.camera_says(&format!("RTSP/1.0 {answer}{cseq}\r\n"));
        asked
    }

    fn described(&mut self) {
        self.camera_says(&format!("RTSP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{SDP}", SDP.len()));
        self.asked();
    }

    fn camera_says(&mut self, text: &str) {
        for message in messages(text.as_bytes()) {
            self.dialogue.handle_camera(self.now, message);
        }
    }

    /// What the camera was asked since the last call, the newest.
    fn asked(&mut self) -> Option<Message> {
        messages(&std::mem::take(self.dialogue.for_camera())).pop()
    }

    fn answered(&mut self) -> Vec<Message> {
        messages(&self.dialogue.take_to_retina())
    }

    fn after(&mut self, seconds: f64) {
        self.now += Duration::from_secs_f64(seconds);
        self.dialogue.handle_timeout(self.now);
    }

    /// The failure, if there is one.
    fn failure(&mut self) -> Option<Failure> {
        std::iter::from_fn(|| self.dialogue.poll_action()).find_map(|action| match action {
            Action::Fail(failure) => Some(failure),
            _ => None,
        })
    }

    fn methods(&mut self) -> Vec<String> {
        messages(&std::mem::take(self.dialogue.for_camera())).iter().map(method).collect()
    }
}

fn messages(bytes: &[u8]) -> Vec<Message> {
    let mut wire = Wire::new();
    wire.buffer().extend_from_slice(bytes);
    std::iter::from_fn(|| match wire.poll(Instant::now()).unwrap() {
        Some(Item::Message(message)) => Some(message),
        _ => None,
    })
    .collect()
}

fn method(message: &Message) -> String {
    match &message.start {
        Start::Request { method, .. } => method.clone(),
        Start::Response { status } => status.to_string(),
    }
}

fn uri(message: &Message) -> &str {
    match &message.start {
        Start::Request { uri, .. } => uri,
        Start::Response { .. } => "",
    }
}

#[test]
fn a_session_is_opened_played_and_torn_down() {
    let mut talk = Talk::new(CAMERA, Transport::Tcp);
    talk.retina("DESCRIBE", GATE);
    let describe = talk.asked().unwrap();
    assert_eq!((method(&describe).as_str(), uri(&describe)), ("DESCRIBE", CAMERA));
    assert_eq!(describe.header("Accept"), Some("application/sdp"));
    talk.described();
    let answer = &talk.answered()[0];
    assert_eq!((answer.cseq(), answer.header("Content-Base")), (Some(1), Some(CAMERA)));
    assert_eq!(answer.header("Content-Type"), Some("application/sdp"));
    assert_eq!(talk.dialogue.payload_type(), 96);

    talk.retina("SETUP", "rtsp://cam.lan/live/track1");
    let setup = talk
        .camera("200 OK\r\nSession: A b;timeout=0\r\nTransport: RTP/AVP/TCP;interleaved=6-9\r\n")
        .unwrap();
    assert_eq!(setup.header("Transport"), Some("RTP/AVP/TCP;unicast;interleaved=0-1"));
    let answer = &talk.answered()[0];
    assert_eq!(answer.header("Session"), Some("wallcast"));
    assert_eq!(answer.header("Transport"), Some("RTP/AVP/TCP;unicast;interleaved=0-1"));
    assert_eq!(talk.dialogue.channels(), Some(Channels { rtp: 6, rtcp: 9 }));

    // Without a control URL of the whole, `retina` plays what it described.
    talk.retina("PLAY", GATE);
    let play = talk.camera("200 OK\r\nSession: other\r\n").unwrap();
    assert_eq!((uri(&play), play.header("Session")), (CAMERA, Some("A b")));
    assert!(talk.dialogue.is_playing());

    talk.dialogue.close(talk.now);
    let teardown = talk.camera("200 OK\r\n").unwrap();
    assert_eq!((method(&teardown).as_str(), teardown.header("Session")), ("TEARDOWN", Some("A b")));
    assert!(matches!(talk.dialogue.poll_action(), Some(Action::Close)));
}

#[test]
fn answers_are_known_without_their_numbers() {
    for cseq in ["", "CSeq: 77\r\n", "CSeq: nonsense\r\n"] {
        let mut talk = Talk::new(CAMERA, Transport::Tcp);
        talk.retina("DESCRIBE", GATE);
        talk.camera_says("RTSP/1.0 100 Continue\r\n\r\n");
        talk.camera_says(&format!("RTSP/1.0 200 OK\r\n{cseq}\r\n"));
        assert_eq!(talk.answered().len(), 1, "{cseq}");
    }
}

#[test]
fn an_answer_that_comes_too_late_is_not_taken_for_another() {
    let mut talk = Talk::playing("Session: 1;timeout=20\r\n");
    talk.after(10.0);
    let late = talk.asked().unwrap().cseq().unwrap();
    talk.after(10.0);
    let next = talk.asked().unwrap();
    talk.camera_says(&format!("RTSP/1.0 501 No\r\nCSeq: {late}\r\n\r\n"));
    assert_eq!(talk.dialogue.awaiting(), next.cseq());
}

#[test]
fn the_login_is_sent_when_it_is_asked_for_and_then_always() {
    let mut talk = Talk::new("rtsp://admin:right@cam.lan/live?token=q", Transport::Tcp);
    talk.retina("DESCRIBE", GATE);
    let first = talk.camera(&format!("401 Unauthorized\r\n{DIGEST}")).unwrap();
    assert_eq!(first.header("Authorization"), None);
    let second = talk.asked().unwrap();
    assert!(second.header("Authorization").unwrap().contains(&format!("uri=\"{CAMERA}\"")));
    talk.described();
    talk.retina("SETUP", "rtsp://cam.lan/live/track1");
    // The nonce has expired in between.
    let setup =
        talk.camera("401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"c\", nonce=\"n2\"\r\n").unwrap();
    assert!(setup.header("Authorization").unwrap().contains("nonce=\"n1\""));
    let again = talk.camera("200 OK\r\nSession: 1\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n").unwrap();
    assert!(again.header("Authorization").unwrap().contains("nonce=\"n2\""));
    assert_eq!(talk.failure(), None);
}

#[test]
fn a_wrong_login_is_tried_once() {
    let mut talk = Talk::new("rtsp://admin:wrong@cam.lan/live", Transport::Tcp);
    talk.retina("DESCRIBE", GATE);
    talk.camera(&format!("401 Unauthorized\r\n{DIGEST}"));
    talk.camera("401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"c\", nonce=\"n2\"\r\n").unwrap();
    assert_eq!((talk.asked(), talk.failure()), (None, Some(Failure::WrongLogin)));
}

#[test]
fn a_camera_that_never_has_enough_of_logins_is_left() {
    let mut talk = Talk::new("rtsp://admin:right@cam.lan/live", Transport::Tcp);
    talk.retina("DESCRIBE", GATE);
    let mut requests = 0;
    while talk.failure().is_none() {
        requests += 1;
        talk.camera(&format!(
            "401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"c\", nonce=\"{requests}\", stale=true\r\n"
        ));
    }
    assert_eq!(requests, 3);
}

#[test]
fn a_camera_that_does_not_answer_has_ten_seconds() {
    let mut talk = Talk::new(CAMERA, Transport::Tcp);
    talk.retina("DESCRIBE", GATE);
    talk.after(9.9);
    assert_eq!(talk.failure(), None);
    talk.after(0.2);
    let failure = talk.failure().unwrap();
    assert_eq!(failure.to_string(), "no answer from 10.0.0.3:554 within 10 s");
}

#[test]
fn the_session_is_kept_alive_in_the_cameras_dialect_and_time() {
    let mut talk = Talk::playing("Session: 1;timeout=15\r\n");
    talk.after(7.5);
    let options = talk.camera("200 OK\r\nPublic: DESCRIBE, GET_PARAMETER\r\n").unwrap();
    assert_eq!((method(&options).as_str(), options.header("Session")), ("OPTIONS", Some("1")));
    assert_eq!(talk.methods(), ["GET_PARAMETER"], "at once, for a camera that does not count OPTIONS");
    talk.camera("501 Not Implemented\r\n");
    assert_eq!(talk.methods(), ["OPTIONS"]);
    // Nor is anything an answer that would end it.
    talk.camera("454 Session Not Found\r\n");
    talk.after(60.0);
    assert_eq!(talk.failure(), None);
    assert!(talk.dialogue.is_playing());
}

#[test]
fn a_nonce_that_expired_at_a_keepalive_is_renewed_and_the_session_lives_on() {
    let mut talk = Talk::playing("Session: 1\r\n");
    talk.after(30.0);
    talk.camera(&format!("401 Unauthorized\r\n{DIGEST}"));
    let again = talk.camera("200 OK\r\n").unwrap();
    assert!(again.header("Authorization").unwrap().contains("nonce=\"n1\""));
    talk.after(30.0);
    assert!(talk.camera("200 OK\r\n").unwrap().header("Authorization").is_some());
    assert_eq!(talk.failure(), None);
}

#[test]
fn a_login_refused_at_a_keepalive_is_not_repeated() {
    let mut talk = Talk::playing("Session: 1\r\n");
    talk.after(30.0);
    talk.camera(&format!("401 Unauthorized\r\n{DIGEST}"));
    talk.camera(&format!("401 Unauthorized\r\n{DIGEST}"));
    talk.after(60.0);
    assert_eq!((talk.methods(), talk.failure()), (vec![], None));
}

#[test]
fn retinas_own_keepalives_are_answered_here() {
    let mut talk = Talk::playing("Session: 1\r\n");
    talk.answered();
    talk.retina("OPTIONS", "rtsp://cam.lan/live/");
    assert_eq!((talk.methods(), talk.answered().len()), (vec![], 1));
}

#[test]
fn requests_of_the_camera_are_answered() {
    let mut talk = Talk::playing("Session: 1\r\n");
    for (request, status) in
        [("OPTIONS", "200"), ("SET_PARAMETER", "200"), ("ANNOUNCE", "200"), ("RECORD", "501")]
    {
        talk.camera_says(&format!("{request} * RTSP/1.0\r\nCSeq: 5\r\nSession: 1\r\n\r\n"));
        let answer = talk.asked().unwrap();
        assert_eq!((method(&answer).as_str(), answer.cseq()), (status, Some(5)), "{request}");
    }
    assert_eq!(talk.failure(), None);
    (0..100_000).for_each(|_| talk.camera_says("OPTIONS * RTSP/1.0\r\nCSeq: 5\r\n\r\n"));
    assert!(talk.dialogue.for_camera().len() < 2 * MAX_UNSENT);
    talk.camera_says("REDIRECT * RTSP/1.0\r\nCSeq: 6\r\n\r\n");
    assert_eq!(talk.failure(), Some(Failure::SentAway));
    let mut talk = Talk::playing("Session: 1\r\n");
    talk.camera_says("TEARDOWN * RTSP/1.0\r\nCSeq: 6\r\n\r\n");
    assert_eq!(talk.failure(), Some(Failure::Closed));
    assert_eq!(talk.methods(), ["200"], "and nothing is torn down that is not there any more");
}

#[test]
fn a_refused_transport_is_followed_by_the_other_one() {
    let mut talk = Talk::new(CAMERA, Transport::Udp);
    talk.retina("SETUP", "rtsp://cam.lan/live/track1");
    assert!(matches!(talk.dialogue.poll_action(), Some(Action::BindUdp)));
    talk.dialogue.handle_ports(talk.now, (5000, 5001));
    let udp = talk.camera("461 Unsupported Transport\r\n").unwrap();
    assert_eq!(udp.header("Transport"), Some("RTP/AVP;unicast;client_port=5000-5001"));
    let tcp = talk.camera("461 Unsupported Transport\r\n").unwrap();
    assert!(tcp.header("Transport").unwrap().contains("interleaved"));
    assert_eq!(talk.failure(), Some(Failure::Status { step: Step::Setup, status: 461 }), "both were tried");

    let mut talk = Talk::new(CAMERA, Transport::Tcp);
    talk.retina("SETUP", "rtsp://cam.lan/live/track1");
    talk.camera("461 Unsupported Transport\r\n");
    assert!(matches!(talk.dialogue.poll_action(), Some(Action::BindUdp)));
    talk.dialogue.handle_ports(talk.now, (5000, 5001));
    talk.camera(
        "200 OK\r\nSession: 1\r\nTransport: RTP/AVP;unicast;source=10.0.0.4;server_port=6000-6001\r\n",
    );
    let Some(Action::Udp { source, ports }) = talk.dialogue.poll_action() else { panic!("UDP") };
    assert_eq!((source, ports), ("10.0.0.4".parse().ok(), Some((6000, 6001))));
    assert_eq!(talk.answered()[0].header("Transport"), Some("RTP/AVP/TCP;unicast;interleaved=0-1"));
}

/// A camera that answers SETUP for TCP with a session over UDP.
fn wrongly_set_up() -> Talk {
    let mut talk = Talk::new(CAMERA, Transport::Tcp);
    talk.retina("SETUP", "rtsp://cam.lan/live/track1");
    talk.camera(
        "200 OK\r\nSession: 77;timeout=30\r\nTransport: RTP/AVP;unicast;client_port=4-5;server_port=6-7\r\n",
    );
    assert!(matches!(talk.dialogue.poll_action(), Some(Action::BindUdp)));
    talk.dialogue.handle_ports(talk.now, (5000, 5001));
    talk
}

#[test]
fn a_session_with_the_wrong_transport_is_set_up_anew_and_not_left_behind() {
    for session in ["", "Session: 77\r\n", "Session: 78\r\n"] {
        let mut talk = wrongly_set_up();
        let again = talk
            .camera(&format!("200 OK\r\n{session}Transport: RTP/AVP;unicast;server_port=6000-6001\r\n"))
            .unwrap();
        assert_eq!((method(&again).as_str(), again.header("Session")), ("SETUP", Some("77")));
        assert_eq!(again.header("Transport"), Some("RTP/AVP;unicast;client_port=5000-5001"));
        assert!(matches!(talk.dialogue.poll_action(), Some(Action::Udp { .. })));
        talk.retina("PLAY", "rtsp://cam.lan/live/");
        let play = talk.camera("200 OK\r\n").unwrap();
        let id = if session.contains("78") { "78" } else { "77" };
        assert_eq!((play.header("Session"), talk.dialogue.transport()), (Some(id), Transport::Udp));
    }
}

#[test]
fn a_session_that_cannot_be_changed_is_torn_down_and_the_next_one_begins_with_the_other_transport() {
    for (answer, failure) in [
        ("455 Method Not Valid In This State\r\n", Failure::AnotherTransport { next: Transport::Udp }),
        ("461 Unsupported Transport\r\n", Failure::Status { step: Step::Setup, status: 461 }),
        (
            "200 OK\r\nTransport: RTP/AVP;multicast;port=6-7\r\n",
            Failure::Status { step: Step::Setup, status: 461 },
        ),
    ] {
        let mut talk = wrongly_set_up();
        talk.camera(answer);
        let teardown = talk.asked().unwrap();
        assert_eq!((method(&teardown).as_str(), teardown.header("Session")), ("TEARDOWN", Some("77")));
        assert_eq!(talk.failure(), Some(failure));
    }
}

#[test]
fn without_udp_ports_of_our_own_the_camera_is_asked_for_tcp() {
    let mut talk = Talk::new(CAMERA, Transport::Udp);
    talk.retina("SETUP", "rtsp://cam.lan/live/track1");
    assert!(matches!(talk.dialogue.poll_action(), Some(Action::BindUdp)));
    talk.dialogue.handle_no_ports(talk.now);
    let setup = talk.camera("200 OK\r\nSession: 1\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n").unwrap();
    assert_eq!(setup.header("Transport"), Some("RTP/AVP/TCP;unicast;interleaved=0-1"));
    assert_eq!((talk.failure(), talk.answered().len()), (None, 1));

    let mut talk = Talk::new(CAMERA, Transport::Tcp);
    talk.retina("SETUP", "rtsp://cam.lan/live/track1");
    talk.camera("461 Unsupported Transport\r\n");
    assert!(matches!(talk.dialogue.poll_action(), Some(Action::BindUdp)));
    talk.dialogue.handle_no_ports(talk.now);
    assert_eq!(talk.failure(), Some(Failure::Internal), "a camera that knows nothing but UDP");
}

/// Follows one redirect of `DESCRIBE` and returns what is asked there after a challenge.
fn redirected(from: &str, location: &str) -> (Talk, Option<SourceUrl>) {
    let mut talk = Talk::new(from, Transport::Tcp);
    talk.retina("DESCRIBE", GATE);
    talk.camera(&format!("302 Moved\r\nLocation: {location}\r\n"));
    let target = match talk.dialogue.poll_action() {
        Some(Action::Connect(target)) => Some(target),
        other => {
            talk.dialogue.actions.extend(other);
            None
        }
    };
    if target.is_some() {
        talk.dialogue.handle_connected(talk.now, "10.0.0.9:554".parse().unwrap());
        talk.camera("401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"c\"\r\n");
    }
    (talk, target)
}

#[test]
fn a_redirect_is_followed_but_the_login_goes_to_the_camera_only() {
    const CAMERA: &str = "rtsp://admin:right@cam.lan/live";
    let logs_in = |from: &str, location: &str| {
        let (mut talk, target) = redirected(from, location);
        let authorization = talk.asked().and_then(|asked| asked.header("Authorization").map(str::to_owned));
        assert_eq!(authorization.is_some(), talk.failure().is_none(), "{location}");
        (target.map(|target| target.request_url().to_string()).unwrap_or_default(), authorization.is_some())
    };
    assert_eq!(
        logs_in(CAMERA, "rtsp://CAM.lan:8554/other?a=b"),
        ("rtsp://CAM.lan:8554/other?a=b".into(), true)
    );
    assert_eq!(logs_in(CAMERA, "/other"), ("rtsp://cam.lan/other".into(), true));
    assert!(logs_in(CAMERA, "rtsp://10.0.0.3/by-number").1, "it is the address that cam.lan has");
    assert!(!logs_in(CAMERA, "rtsp://evil.lan/live").1);
    assert!(!logs_in(CAMERA, "rtsp://cam.lan.evil/live").1);
    assert!(logs_in(CAMERA, "rtsp://guest:guest@other.lan/live").1, "with the login that it brings");
    assert!(!logs_in("rtsps://admin:right@cam.lan/live", "rtsp://cam.lan/live").1, "not without TLS");
    let (mut talk, _) = redirected(CAMERA, "rtsp://evil.lan/live");
    assert!(matches!(talk.failure(), Some(Failure::LoginWithheld { .. })));
}

#[test]
fn redirects_lead_to_cameras_and_have_an_end() {
    for location in ["http://cam.lan/", "file:///etc/passwd", "", "rtsp://"] {
        let (mut talk, target) = redirected(CAMERA, location);
        let failure = talk.failure();
        assert!(
            target.is_none() && failure == Some(Failure::RedirectedNowhere) || location.is_empty(),
            "{location}: {failure:?}"
        );
    }
    let mut talk = Talk::new(CAMERA, Transport::Tcp);
    talk.retina("DESCRIBE", GATE);
    for times in 1..=4 {
        talk.camera(&format!("301 Moved\r\nLocation: rtsp://cam.lan/{times}\r\n"));
        match talk.dialogue.poll_action() {
            Some(Action::Connect(_)) if times < 4 => {
                talk.dialogue.handle_connected(talk.now, "10.0.0.3:554".parse().unwrap())
            }
            Some(Action::Fail(failure)) if times == 4 => {
                assert_eq!(failure, Failure::RedirectedTooOften { times: 3 })
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_the_camera_refuses_is_said_in_words() {
    for (status, failure) in [
        (403, Failure::Denied),
        (404, Failure::NoSuchStream),
        (453, Failure::Status { step: Step::Describe, status: 453 }),
        (503, Failure::Status { step: Step::Describe, status: 503 }),
    ] {
        let mut talk = Talk::new(CAMERA, Transport::Tcp);
        talk.retina("DESCRIBE", GATE);
        talk.camera(&format!("{status} No\r\n"));
        assert_eq!(talk.failure(), Some(failure));
    }
}

#[test]
fn a_teardown_that_is_not_answered_has_a_second_even_if_it_has_to_log_in() {
    let mut talk = Talk::playing("Session: 1\r\n");
    talk.dialogue.close(talk.now);
    talk.camera(&format!("401 Unauthorized\r\n{DIGEST}"));
    assert!(talk.asked().unwrap().header("Authorization").is_some());
    talk.after(0.9);
    assert!(talk.dialogue.poll_action().is_none());
    talk.after(0.2);
    assert!(matches!(talk.dialogue.poll_action(), Some(Action::Close)));
}
