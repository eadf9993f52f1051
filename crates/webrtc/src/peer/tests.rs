//! A peer and the library's own viewer (`rtc`, without sockets) over an emulated network, in virtual time.

#[path = "network.rs"]
mod network;
#[path = "slow_tests.rs"]
mod slow;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::SystemTime;

use bytes::BytesMut;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::peer_connection::configuration::setting_engine::SettingEngineBuilder;
use rtc::peer_connection::event::RTCPeerConnectionEvent;
use rtc::peer_connection::message::RTCMessage;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::transport::{CandidateConfig, CandidateHostConfig, RTCIceCandidate};
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use rtc::sansio::Protocol as _;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};

use super::*;
use crate::ice::message::viewer;
use crate::packetise::frames::of_slice;
use crate::path::Protocol;
use crate::profile::ProfileLevelId;
use crate::sdp::{self, Ours};
use network::{Link, Network};

const FRAME_INTERVAL: Duration = Duration::from_millis(40);

fn server() -> SocketAddr {
    "192.0.2.1:8082".parse().unwrap()
}

fn home() -> SocketAddr {
    "203.0.113.9:40000".parse().unwrap()
}

fn wall() -> ProfileLevelId {
    ProfileLevelId::constrained_baseline(40)
}

/// What is shown, and to whom.
#[derive(Clone, Copy)]
struct Film {
    /// 1080p at 4 Mb/s; with two, 540p at 1 Mb/s as well.
    renditions: usize,
    /// Of which renditions every second frame is needed by no other.
    has_layers: [bool; 2],
    /// Without, the viewer sends receiver reports alone.
    has_transport_cc: bool,
    /// Encoders make a key frame by themselves this often.
    idr_every: Option<Duration>,
}

impl Film {
    const PLAIN: Self =
        Self { renditions: 1, has_layers: [false; 2], has_transport_cc: true, idr_every: None };

    fn rates(self, rendition: usize) -> Rates {
        let all_bps = [3_700_000, 925_000][rendition];
        Rates { all_bps, kept_bps: if self.has_layers[rendition] { all_bps * 65 / 100 } else { all_bps } }
    }
}

/// An encoder works while its frames are wanted.
#[derive(Clone, Copy, Default)]
struct Encoder {
    since: Option<Instant>,
    key_frame_wanted: bool,
    key_frame_at: Option<Instant>,
    key_frames: usize,
}

/// A frame on its way to the viewer's decoder.
struct Pending {
    at: Instant,
    packets: Range<i64>,
    key: bool,
    disposable: bool,
}

struct World {
    film: Film,
    now: Instant,
    start: Instant,
    peer: Peer,
    viewer: RTCPeerConnection,
    viewer_is_there: bool,
    /// Changes when the viewer moves; the library does not know.
    viewer_address: SocketAddr,
    down: Network<Vec<u8>>,
    up: Network<Vec<u8>>,
    next_frame: Instant,
    frames: u32,
    encoders: [Encoder; 2],
    follows: Renditions,
    pending: VecDeque<Pending>,
    is_broken: bool,
    asked_at: Instant,
    /// When a frame was shown, and how late.
    shown: Vec<(Instant, Duration)>,
    /// To which addresses the peer laid claim.
    claims: Vec<(SocketAddr, Claim)>,
    /// Otherwise its answers to our checks are lost.
    viewer_answers: bool,
    handshake_sent: usize,
    handshake_received: usize,
    /// When the viewer began to get something else.
    shares: Vec<(Instant, Share)>,
    connected_at: Option<Instant>,
    ended: Option<&'static str>,
    counters: Arc<Counters>,
    /// Sequence number, unwrapped: when it came, its time, its marker.
    received: BTreeMap<i64, (Instant, u32, bool)>,
}

fn viewer(now: Instant) -> (RTCPeerConnection, String) {
    let mut engine = MediaEngine::default();
    engine.register_default_codecs().unwrap();
    let registry = rtc::interceptor::Registry::new();
    let registry = register_default_interceptors(registry, &mut engine).unwrap();
    let settings = SettingEngineBuilder::new().with_multicast_dns_mode(MulticastDnsMode::Disabled).build();
    let mut viewer = RTCPeerConnectionBuilder::new()
        .with_media_engine(engine)
        .with_setting_engine(settings)
        .with_interceptor_registry(registry)
        .build(now)
        .unwrap();
    viewer.add_transceiver_from_kind(RtpCodecKind::Video, None).unwrap();
    let base_config = CandidateConfig {
        network: "udp".to_owned(),
        address: home().ip().to_string(),
        port: home().port(),
        component: 1,
        ..CandidateConfig::default()
    };
    let candidate = CandidateHostConfig { base_config, ..CandidateHostConfig::default() };
    let candidate = candidate.new_candidate_host().unwrap();
    viewer.add_local_candidate(RTCIceCandidate::from(&candidate).to_json().unwrap()).unwrap();
    let offer = viewer.create_offer(None).unwrap();
    viewer.set_local_description(now, offer).unwrap();
    let offer = viewer.local_description().unwrap().sdp;
    (viewer, offer)
}

impl World {
    fn new(down: Link, up: Link) -> Self {
        Self::showing(Film::PLAIN, down, up)
    }

    fn showing(film: Film, down: Link, up: Link) -> Self {
        let now = Instant::now();
        let (mut viewer, mut offer) = viewer(now);
        if !film.has_transport_cc {
            offer = offer.replace(" transport-cc", " x-transport-cc");
        }
        let offer = Offer::parse(&offer, wall()).unwrap();
        let identity = Arc::new(Identity::generate().unwrap());
        let (credentials, format) = (Credentials::random(), offer.format());
        let ids = TrackIds::random(format.payload_type, format.rtx_payload_type);
        let ours = Ours {
            credentials: &credentials,
            fingerprint: identity.fingerprint(),
            role: Role::Server,
            ice_lite: false,
            candidates: &[(Protocol::Udp, server())],
            ids,
            stream: wall(),
        };
        let answer = RTCSessionDescription::answer(sdp::answer(&offer, &ours)).unwrap();
        viewer.set_remote_description(now, answer).unwrap();
        let counters = Arc::new(Counters::new(now, SystemTime::UNIX_EPOCH));
        let peer = Peer::new(Setup {
            now,
            offer: &offer,
            identity,
            credentials,
            role: Role::Server,
            ids,
            ice_timeout: Duration::from_secs(10),
            counters: Arc::clone(&counters),
            bitrates: [4_000_000, 1_000_000][..film.renditions].into(),
        });
        Self {
            film,
            now,
            start: now,
            peer,
            viewer,
            viewer_is_there: true,
            viewer_address: home(),
            down: Network::new(down, 0x9e37_79b9_7f4a_7c15),
            up: Network::new(up, 0x2545_f491_4f6c_dd1d),
            next_frame: now,
            frames: 0,
            encoders: Default::default(),
            follows: Renditions::default(),
            pending: VecDeque::new(),
            is_broken: true,
            asked_at: now,
            shown: Vec::new(),
            claims: Vec::new(),
            viewer_answers: true,
            handshake_sent: 0,
            handshake_received: 0,
            shares: Vec::new(),
            connected_at: None,
            ended: None,
            counters,
            received: BTreeMap::new(),
        }
    }

    fn path(&self) -> Path {
        Path { protocol: Protocol::Udp, local: server(), remote: self.viewer_address }
    }

    fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.pump();
            let viewer = if self.viewer_is_there { self.viewer.poll_timeout() } else { None };
            let due =
                [self.peer.poll_timeout(), viewer, self.down.due(), self.up.due(), Some(self.next_frame)];
            let next = due.into_iter().flatten().min().unwrap_or(end);
            self.now = next.max(self.now).min(end);
            if self.peer.poll_timeout().is_some_and(|due| due <= self.now) {
                self.peer.handle_timeout(self.now);
                assert!(self.peer.poll_timeout().is_none_or(|due| due > self.now), "the runner would spin");
            }
            if self.viewer_is_there && self.viewer.poll_timeout().is_some_and(|due| due <= self.now) {
                // A handshake that stalls is what some tests are about.
                let _ = self.viewer.handle_timeout(self.now);
            }
            while let Some(datagram) = self.up.receive(self.now) {
                if !self.viewer_answers && viewer::is_success(&datagram) {
                    continue;
                }
                self.handshake_received += usize::from(matches!(datagram[0], 20..=63));
                self.peer.handle_datagram(self.now, self.path(), &datagram);
            }
            while let Some(datagram) = self.down.receive(self.now) {
                self.viewer_gets(&datagram);
            }
            if self.next_frame <= self.now {
                self.next_frame += FRAME_INTERVAL;
                self.send_frames();
                self.decode();
            }
        }
        self.pump();
    }

    fn viewer_gets(&mut self, datagram: &[u8]) {
        let transport = TransportContext {
            local_addr: home(),
            peer_addr: server(),
            ecn: None,
            transport_protocol: TransportProtocol::UDP,
        };
        let message = TaggedBytesMut { now: self.now, transport, message: BytesMut::from(datagram) };
        // What a duplicate or a late packet is to it is not our affair.
        let _ = self.viewer.handle_read(message);
    }

    fn pump(&mut self) {
        while let Some((path, datagram)) = self.peer.poll_transmit() {
            assert_eq!(path.local, server());
            self.handshake_sent += usize::from(matches!(datagram[0], 20..=63));
            self.down.send(self.now, datagram);
        }
        while let Some(event) = self.peer.poll_event() {
            match event {
                Event::Path(path, claim) => self.claims.push((path.remote, claim)),
                Event::PathLeft(_) => {}
                Event::Connected => self.connected_at = Some(self.now),
                Event::KeyFrameNeeded(rendition) => self.encoders[rendition].key_frame_wanted = true,
                Event::Share(share) => self.shares.push((self.now, share)),
                Event::Ended(why) => self.ended = Some(why),
            }
        }
        if !self.viewer_is_there {
            return;
        }
        while let Some(message) = self.viewer.poll_write() {
            self.up.send(self.now, message.message.to_vec());
        }
        while let Some(event) = self.viewer.poll_event() {
            let _: RTCPeerConnectionEvent = event;
        }
        while let Some(message) = self.viewer.poll_read() {
            if let RTCMessage::RtpPacket(_, packet) = message.message {
                let last = self
                    .received
                    .keys()
                    .next_back()
                    .copied()
                    .unwrap_or(i64::from(packet.header.sequence_number));
                let step = packet.header.sequence_number.wrapping_sub(last as u16) as i16;
                let (timestamp, marker) = (packet.header.timestamp, packet.header.marker);
                self.received.entry(last + i64::from(step)).or_insert((self.now, timestamp, marker));
            }
        }
    }

    /// One tick of the wall: each rendition that is wanted, the smaller ones later.
    fn send_frames(&mut self) {
        let wanted = self.peer.renditions();
        for rendition in self.follows.without(wanted).iter() {
            self.encoders[rendition].since = None;
        }
        for rendition in wanted.without(self.follows).iter() {
            let encoder = &mut self.encoders[rendition];
            (encoder.since, encoder.key_frame_wanted) = (Some(self.now), true);
        }
        self.follows = wanted;
        self.frames += 1;
        for rendition in 0..self.film.renditions {
            self.send_frame(rendition);
        }
    }

    fn send_frame(&mut self, rendition: usize) {
        let (film, encoder, now) = (self.film, &mut self.encoders[rendition], self.now);
        // The first is always at work; others are opened first.
        let opening = Duration::from_millis(100) * rendition as u32;
        if encoder.since.is_none_or(|since| now < since + opening) {
            return;
        }
        let since_key = encoder.key_frame_at.map(|at| now - at);
        let due = film.idr_every.is_some_and(|every| since_key.is_none_or(|since| since >= every));
        let may = since_key.is_none_or(|since| since >= Duration::from_millis(500));
        let key = due || encoder.key_frame_wanted && may;
        if key {
            (encoder.key_frame_wanted, encoder.key_frame_at) = (false, Some(now));
            encoder.key_frames += 1;
        }
        let disposable = !key && film.has_layers[rendition] && self.frames % 2 == 1;
        let (header, len) = match (key, film.has_layers[rendition], disposable) {
            (true, ..) => (0x65, 60_000),
            (_, false, _) => (0x41, 18_000),
            (_, true, false) => (0x41, 23_400),
            (_, true, true) => (0x01, 12_600),
        };
        let len = if rendition == 0 { len } else { len / 4 };
        let frame = of_slice(header, self.frames * 3600, len, film.rates(rendition));
        let Some(begun) = self.peer.begin(now, rendition, &frame, Room::Drained) else { return };
        let mut burst = Burst::default();
        self.peer.write(now, begun, 0..begun.packets, &mut burst);
        for packet in burst.packets() {
            self.down.send(now, packet.to_vec());
        }
        let first = begun.first as i64;
        let packets = first..first + begun.packets as i64;
        self.pending.push_back(Pending { at: now, packets, key, disposable });
    }

    /// The viewer's decoder, in order; it waits for what may yet come, and asks for a key frame when it shows nothing.
    fn decode(&mut self) {
        let received = &self.received;
        let complete = |frame: &Pending| frame.packets.clone().all(|number| received.contains_key(&number));
        if let Some(fresh) = self.pending.iter().rposition(|frame| frame.key && complete(frame)) {
            let waits = self.pending.iter().take(fresh).any(|frame| !complete(frame));
            if waits || self.is_broken {
                self.pending.drain(..fresh);
            }
        }
        while let Some(frame) = self.pending.front() {
            let is_late = frame.at + Duration::from_millis(700) < self.now;
            if complete(frame) {
                self.is_broken &= !frame.key;
                if !self.is_broken {
                    self.shown.push((self.now, self.now - frame.at));
                }
            } else if is_late {
                self.is_broken |= !frame.disposable;
            } else {
                break;
            }
            self.pending.pop_front();
        }
        let shown = self.shown.last().map_or(self.start, |&(at, _)| at);
        let every = Duration::from_millis(500);
        let gets_something =
            self.received.values().next_back().is_some_and(|&(at, ..)| at + every > self.now);
        if !self.up.is_cut && gets_something && shown + every < self.now && self.asked_at + every < self.now {
            self.asked_at = self.now;
            if !self.peer.gets_key_frames_alone() {
                self.peer.ask_for_key_frame(self.now);
            }
        }
    }

    /// Frames shown in the last `time`, of a hundred that the wall had.
    fn shown_percent(&self, time: Duration) -> f64 {
        let shown = self.shown.iter().filter(|(at, _)| *at + time > self.now).count();
        shown as f64 * 100.0 / (time.as_secs_f64() / FRAME_INTERVAL.as_secs_f64())
    }

    /// The longest time since `from` without a new picture.
    fn longest_freeze(&self, from: Instant) -> Duration {
        let mut times: Vec<_> = self.shown.iter().map(|&(at, _)| at).filter(|&at| at >= from).collect();
        times.insert(0, from);
        times.push(self.now);
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    fn key_frames(&self) -> usize {
        self.encoders[0].key_frames
    }

    /// The frames that came whole within `time` after being sent, of a hundred that were sent.
    fn whole(&self, within: Duration) -> f64 {
        let mut whole = 0;
        let mut frames: BTreeMap<u32, Vec<(i64, Instant, bool)>> = BTreeMap::new();
        for (&number, &(at, timestamp, marker)) in &self.received {
            frames.entry(timestamp).or_default().push((number, at, marker));
        }
        for packets in frames.values() {
            let (first, last) = (packets[0], packets[packets.len() - 1]);
            let begins = self.received.keys().next() == Some(&first.0)
                || self.received.get(&(first.0 - 1)).is_some_and(|&(_, _, marker)| marker);
            let complete = last.2 && last.0 - first.0 + 1 == packets.len() as i64 && begins;
            let (oldest, newest) = (packets.iter().map(|p| p.1).min(), packets.iter().map(|p| p.1).max());
            let late = newest.zip(oldest).is_none_or(|(newest, oldest)| newest - oldest > within);
            whole += usize::from(complete && !late);
        }
        whole as f64 * 100.0 / self.counters.frames_sent() as f64
    }

    fn stats(&self) -> crate::stats::PeerStats {
        self.counters.snapshot(self.now, String::new(), "wall", "")
    }
}

#[test]
fn over_a_good_path_a_viewer_connects_at_once_and_gets_everything() {
    let mut world = World::new(Link::GOOD, Link::GOOD);
    world.run(Duration::from_secs(20));
    let connected = world.connected_at.unwrap() - world.start;
    assert!(connected < Duration::from_millis(700), "{connected:?}");
    assert!(world.whole(Duration::from_secs(1)) > 99.0, "{}", world.whole(Duration::from_secs(1)));
    let stats = world.stats();
    assert_eq!((stats.retransmitted, stats.packets_lost, world.key_frames()), (0, 0, 1));
    assert!((45.0..60.0).contains(&stats.rtt_ms.unwrap()), "{stats:?}");
    assert_eq!((stats.state, world.ended), (PeerState::Connected, None));
}

#[test]
fn an_address_is_claimed_by_a_check_and_again_with_each_answer() {
    let mut world = World::new(Link::GOOD, Link::GOOD);
    world.run(Duration::from_secs(20));
    assert_eq!(world.claims[..2], [(home(), Claim::Check), (home(), Claim::Answer)]);
    let answers = world.claims[2..].iter().filter(|&&claim| claim == (home(), Claim::Answer)).count();
    assert_eq!(answers, world.claims.len() - 2);
    assert!((2..10).contains(&answers), "{answers}");
}

#[test]
fn nobody_is_sent_a_handshake_who_has_not_answered_a_check() {
    let mut world = World::new(Link::GOOD, Link::GOOD);
    world.viewer_answers = false;
    world.run(Duration::from_secs(2));
    assert!(world.handshake_received > 0, "the viewer shakes hands");
    assert_eq!((world.handshake_sent, world.connected_at), (0, None));
    assert_eq!(world.claims, [(home(), Claim::Check)]);
    world.viewer_answers = true;
    world.run(Duration::from_secs(8));
    assert!(world.connected_at.is_some());
    assert!(world.handshake_sent < 40, "{}", world.handshake_sent);
}

#[test]
fn what_is_lost_is_sent_again_in_time() {
    for (per_mille, bar) in [(10, 98.0), (50, 90.0), (100, 75.0)] {
        let mut world = World::new(Link::losing(per_mille), Link::losing(per_mille));
        world.run(Duration::from_secs(60));
        let (whole, stats) = (world.whole(Duration::from_millis(500)), world.stats());
        assert!(whole >= bar, "{per_mille} of a thousand lost: {whole} % of the frames whole");
        assert!(stats.retransmitted > 0 && stats.packets_lost > 0, "{stats:?}");
        assert_eq!(world.ended, None);
    }
}

#[test]
fn bursts_jitter_and_duplicates_are_survived() {
    let link =
        Link { jitter: Duration::from_millis(15), duplicated: 20, burst: Some((2, 100)), ..Link::GOOD };
    let mut world = World::new(link, link);
    world.run(Duration::from_secs(60));
    assert!(world.down.lost > 100, "there were bursts");
    assert!(world.whole(Duration::from_millis(700)) > 90.0, "{}", world.whole(Duration::from_millis(700)));
    assert_eq!(world.ended, None);
}

#[test]
fn an_outage_of_eight_seconds_is_shown_and_survived() {
    let mut world = World::new(Link::GOOD, Link::GOOD);
    world.run(Duration::from_secs(10));
    (world.down.is_cut, world.up.is_cut) = (true, true);
    world.run(Duration::from_secs(8));
    assert_eq!(world.stats().state, PeerState::Disconnected);
    (world.down.is_cut, world.up.is_cut) = (false, false);
    let back = world.now;
    world.run(Duration::from_secs(5));
    assert_eq!((world.stats().state, world.ended), (PeerState::Connected, None));
    let first = world.received.values().map(|&(at, ..)| at).find(|&at| at > back).unwrap();
    assert!(first - back < Duration::from_secs(1), "{:?}", first - back);
}

#[test]
fn a_viewer_that_vanishes_is_given_up_when_its_consent_has_expired() {
    let mut world = World::new(Link::GOOD, Link::GOOD);
    world.run(Duration::from_secs(10));
    (world.up.is_cut, world.viewer_is_there) = (true, false);
    let gone = world.now;
    while world.ended.is_none() {
        world.run(Duration::from_millis(100));
        assert!(world.now - gone < Duration::from_secs(35));
    }
    assert_eq!(world.ended, Some("the viewer fell silent"));
    assert!(world.now - gone > Duration::from_secs(23), "{:?}", world.now - gone);
    assert_eq!(world.peer.path(), None);
}

#[test]
fn a_viewer_that_never_comes_is_given_up_after_ten_seconds() {
    let mut world = World::new(Link::GOOD, Link::GOOD);
    world.up.is_cut = true;
    world.run(Duration::from_secs(11));
    assert_eq!(world.ended, Some("ICE never started"));
}

#[test]
fn a_viewer_that_never_shakes_hands_is_given_up_after_fifteen_more() {
    let mut world = World::new(Link::GOOD, Link::GOOD);
    world.run(Duration::from_millis(100));
    // Its checks go on coming from us to us: nobody answers, but one check was heard.
    world.up.is_cut = true;
    world.run(Duration::from_secs(14));
    assert_eq!(world.ended, None);
    world.run(Duration::from_secs(2));
    assert_eq!(world.ended, Some("the DTLS handshake was not finished in time"));
}

#[test]
fn a_viewer_that_says_goodbye_is_gone_at_once_and_one_we_end_is_told() {
    let mut world = World::new(Link::GOOD, Link::GOOD);
    world.run(Duration::from_secs(2));
    world.viewer.close().unwrap();
    world.run(Duration::from_millis(100));
    assert_eq!(world.ended, Some("the viewer left"));

    let mut world = World::new(Link::GOOD, Link::GOOD);
    world.run(Duration::from_secs(2));
    world.peer.close(world.now, "the viewer ended its session");
    let (_, goodbye) = world.peer.poll_transmit().unwrap();
    assert_eq!(goodbye[0], 21, "a DTLS alert");
    world.pump();
    assert_eq!(world.ended, Some("the viewer ended its session"));
    assert_eq!(world.peer.poll_timeout(), None);
}

#[test]
fn rubbish_from_anywhere_changes_nothing() {
    let mut world = World::new(Link::GOOD, Link::GOOD);
    let stranger = Path { remote: "198.51.100.1:9".parse().unwrap(), ..world.path() };
    let mut seed = 1_u32;
    for round in 0..400 {
        world.run(Duration::from_millis(20));
        for path in [world.path(), stranger] {
            let datagram: Vec<u8> = (0..round % 90)
                .map(|at| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    // The first byte decides what it is taken for.
                    if at == 0 {
                        [0, 1, 20, 22, 23, 63, 128, 129, 191, 255][round % 10]
                    } else {
                        (seed >> 24) as u8
                    }
                })
                .collect();
            world.peer.handle_datagram(world.now, path, &datagram);
        }
    }
    assert_eq!((world.stats().state, world.ended), (PeerState::Connected, None));
    assert!(world.whole(Duration::from_secs(1)) > 99.0);
}

#[test]
fn a_viewer_whose_address_changes_is_followed() {
    let mut world = World::new(Link::GOOD, Link::GOOD);
    world.run(Duration::from_secs(5));
    // As a NAT does that has forgotten: the same viewer from another port.
    world.viewer_address = "203.0.113.9:50000".parse().unwrap();
    world.run(Duration::from_secs(15));
    assert_eq!(
        world.peer.path().map(|path| path.remote),
        Some(world.viewer_address),
        "{:?}",
        world.elapsed()
    );
    assert_eq!(world.claims.last(), Some(&(world.viewer_address, Claim::Answer)));
    assert_eq!(world.ended, None);
}
