//! Viewers who mean harm: strangers who know part of a session, and one with a session of its own, whose keys it uses.
//! Nobody is answered who has no right to it, and nobody else's picture suffers.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::atomic::AtomicBool;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::dtls::{Dtls, Step};
use crate::ice::message::{is_stun, viewer};
use crate::profile::ProfileLevelId;
use crate::source::{Rendition, SourceFrame};
use crate::srtp::Srtp;

const CHROMIUM: &str = include_str!("../sdp/fixtures/chromium-156.sdp");
const PATIENCE: Duration = Duration::from_secs(20);

/// A source that is fed 50 times a second.
struct Wall {
    source: Arc<Source>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Wall {
    fn start() -> Self {
        let (stop, wanted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
        let asked = Arc::clone(&wanted);
        let rendition = Rendition {
            name: "1080p".to_owned(),
            profile: ProfileLevelId::constrained_baseline(40),
            bitrate_bps: 4_000_000,
            on_key_frame_needed: Box::new(move || asked.store(true, Ordering::Relaxed)),
        };
        let source = Source::new("wall", vec![rendition]);
        let (fed, stopping) = (Arc::clone(&source), Arc::clone(&stop));
        let feed = move || {
            for number in 0.. {
                if stopping.load(Ordering::Relaxed) {
                    return;
                }
                let key = wanted.swap(false, Ordering::Relaxed);
                let unit = [&[0, 0, 0, 1, if key { 0x65 } else { 0x41 }][..], &[0x80; 3000]].concat();
                let (rtp_time, captured) = (number * 1800, Instant::now());
                fed.push(0, &SourceFrame { data: unit.into(), key, rtp_time, captured });
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        Self { source, stop, thread: Some(std::thread::spawn(feed)) }
    }
}

impl Drop for Wall {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// A viewer of our own making, which does what a browser would and can do more.
struct Viewer {
    socket: UdpSocket,
    server: SocketAddr,
    id: SessionId,
    ours: Credentials,
    theirs: Credentials,
    crypto: Arc<dyn rtc::crypto::RTCCryptoProvider>,
    dtls: Dtls,
    srtp: Option<Box<Srtp>>,
    media: usize,
}

impl Viewer {
    async fn watch(peers: &Peers, wall: &Wall) -> Self {
        let identity = Arc::new(Identity::generate().unwrap());
        let fingerprint = |line: &str| line.starts_with("a=fingerprint:");
        // Each has a password of its own.
        let password = Credentials::random().password;
        let lines = CHROMIUM.lines().map(|line| match fingerprint(line) {
            true => format!("a=fingerprint:{}\r\n", identity.fingerprint()),
            false if line.starts_with("a=ice-pwd:") => format!("a=ice-pwd:{password}\r\n"),
            false => format!("{line}\r\n"),
        });
        let offer: String = lines.collect();
        let ours = Offer::parse(&offer, wall.source.profile()).unwrap().credentials();
        let answer = peers.answer(&wall.source, &offer, Ipv4Addr::LOCALHOST.into()).await.unwrap();
        let value = |key: &str| {
            answer.sdp.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().to_owned()
        };
        let theirs = Credentials { ufrag: value("a=ice-ufrag:"), password: value("a=ice-pwd:") };
        let expected = value("a=fingerprint:sha-256 ");
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        Self {
            socket,
            server: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), peers.port()),
            id: answer.id,
            ours,
            theirs,
            crypto: Arc::clone(&identity.crypto),
            dtls: Dtls::new(identity, expected, Role::Client),
            srtp: None,
            media: 0,
        }
    }

    /// A check as the session's own viewer signs it.
    fn check(&self) -> Vec<u8> {
        let username = format!("{}:{}", self.theirs.ufrag, self.ours.ufrag);
        viewer::check(&username, &self.theirs.password, true, self.crypto.crypto())
    }

    fn send(&self, datagram: &[u8]) {
        self.socket.send_to(datagram, self.server).unwrap();
    }

    /// Takes everything that has come, as a browser would.
    fn receive(&mut self) {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = self.socket.recv_from(&mut buffer) {
            let datagram = &buffer[..len];
            match datagram[0] {
                _ if is_stun(datagram) => {
                    let answer = viewer::answer(datagram, from, &self.ours.password, self.crypto.crypto());
                    answer.iter().for_each(|answer| self.send(answer));
                    if viewer::is_success(datagram) {
                        self.dtls.start(Instant::now()).unwrap();
                    }
                }
                20..=63 => {
                    for step in self.dtls.handle_datagram(Instant::now(), datagram).unwrap_or_default() {
                        if let Step::Keys(srtp) = step {
                            self.srtp = Some(srtp);
                        }
                    }
                }
                _ => self.media += 1,
            }
        }
        if self.dtls.poll_timeout().is_some_and(|due| due <= Instant::now()) {
            self.dtls.handle_timeout(Instant::now());
        }
        while let Some(datagram) = self.dtls.poll_transmit() {
            self.send(&datagram);
        }
    }

    /// Connects, and goes on until `media` more packets have come.
    fn receive_media(&mut self, media: usize) {
        let (begun, wanted) = (Instant::now(), self.media + media);
        let mut next_check = Instant::now();
        while self.media < wanted {
            if next_check <= Instant::now() {
                self.send(&self.check());
                next_check = Instant::now() + Duration::from_millis(200);
            }
            self.receive();
            assert!(begun.elapsed() < PATIENCE, "{} of {wanted} packets", self.media);
        }
    }
}

fn peers() -> Peers {
    let bind = vec![Ipv4Addr::LOCALHOST.into()];
    // On one thread, where they could get into each other's way most.
    Peers::new(PeersConfig { bind, threads: 1, ..PeersConfig::default() }).unwrap()
}

/// RTCP that only somebody with the keys can send: plausible packets with something wrong, and rubbish.
fn rtcp(random: &mut StdRng) -> Vec<u8> {
    let mut packet: Vec<u8> = Vec::new();
    for _ in 0..random.random_range(1..4) {
        let body: Vec<u8> = (0..random.random_range(0..300)).map(|_| random.random()).collect();
        let words = match random.random_range(0..3) {
            0 => body.len() / 4,
            1 => random.random_range(0..80),
            _ => 0xffff,
        };
        let kind = random.random_range(192..=210);
        packet.extend([0x80 | random.random_range(0..64), kind]);
        packet.extend((words as u16).to_be_bytes());
        packet.extend(body);
    }
    packet.truncate(1200);
    packet
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_knows_a_session_but_not_its_password_is_not_answered() {
    let (wall, peers) = (Wall::start(), peers());
    let mut good = Viewer::watch(&peers, &wall).await;
    good.receive_media(10);
    let waiting = Viewer::watch(&peers, &wall).await;
    let crypto = Arc::clone(&waiting.crypto);
    let check = |username: String, password: &str| viewer::check(&username, password, true, crypto.crypto());
    let (theirs, ours) = (&waiting.theirs, &waiting.ours);
    let right = format!("{}:{}", theirs.ufrag, ours.ufrag);
    let mut unsigned = waiting.check();
    // What comes last is the fingerprint, then the signature: 8 and 24 bytes.
    unsigned.truncate(unsigned.len() - 32);
    let len = (unsigned.len() - 20) as u16;
    unsigned[2..4].copy_from_slice(&len.to_be_bytes());
    let mut changed = waiting.check();
    changed[30] ^= 1;
    let attempts = [
        check(right.clone(), "a password that is not it"),
        check(right.clone(), &ours.password),
        check(right, ""),
        check(format!("{}:another", theirs.ufrag), &theirs.password),
        check(format!("{}:{}", good.theirs.ufrag, ours.ufrag), &theirs.password),
        check(format!("nobody:{}", ours.ufrag), &theirs.password),
        unsigned,
        changed,
        b"\x16\xfe\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00".to_vec(),
        vec![0x80, 201, 0, 1, 0, 0, 0, 1],
    ];
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    for attempt in &attempts {
        stranger.send_to(attempt, waiting.server).unwrap();
    }
    let heard = stranger.recv_from(&mut [0; 2048]);
    assert!(heard.is_err(), "over UDP: {heard:?}");
    for attempt in &attempts {
        let mut stranger = TcpStream::connect(waiting.server).unwrap();
        stranger.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let frame = [&(attempt.len() as u16).to_be_bytes()[..], attempt].concat();
        stranger.write_all(&frame).unwrap();
        let read = stranger.read(&mut [0; 2048]);
        // Closed, or nothing said.
        assert!(matches!(read, Ok(0) | Err(_)), "over TCP: {read:?}");
    }
    good.receive_media(10);
    peers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_viewer_sends_with_its_keys_harms_nobody_else() {
    let (wall, peers) = (Wall::start(), peers());
    let mut good = Viewer::watch(&peers, &wall).await;
    let mut hostile = Viewer::watch(&peers, &wall).await;
    good.receive_media(10);
    hostile.receive_media(10);
    let mut random = StdRng::seed_from_u64(0x00ba_dbad);
    let mut sealed = 0;
    for round in 0..20_000 {
        // First nothing but RTCP under its keys; a made up alert ends its own session, and rightly so.
        let datagram = match if round < 10_000 { 0 } else { round % 3 } {
            0 => match hostile.srtp.as_mut().unwrap().seal_rtcp(&rtcp(&mut random)) {
                Ok(packet) => {
                    sealed += 1;
                    packet
                }
                Err(_) => continue,
            },
            1 => {
                // DTLS from its own address: records of the right form around anything.
                let mut record = vec![random.random_range(20..=26), 0xfe, 0xfd, 0, random.random_range(0..3)];
                record.extend((0..random.random_range(0..200)).map(|_| random.random::<u8>()));
                record
            }
            _ => {
                let mut check = hostile.check();
                let at = random.random_range(0..check.len());
                check[at] = random.random();
                check.truncate(random.random_range(20..=check.len()));
                check
            }
        };
        hostile.send(&datagram);
        if round == 9_999 {
            assert_eq!(peers.stats().len(), 2, "RTCP alone ends nobody's session");
        }
        if round % 100 == 0 {
            good.receive();
            good.send(&good.check());
            hostile.receive();
        }
    }
    assert!(sealed > 9_000, "{sealed}");
    good.receive_media(50);
    let stats = peers.stats();
    let good_one = stats.iter().find(|peer| peer.id == good.id.label()).unwrap();
    assert_eq!((good_one.state, good_one.frames_dropped), (crate::PeerState::Connected, 0), "{stats:?}");
    // It may still be there; whether or not, the thread that it was on takes others.
    let mut next = Viewer::watch(&peers, &wall).await;
    next.receive_media(10);
    let _gone_already = peers.close(&hostile.id).await;
    assert_eq!(peers.stats().len(), 2);
    peers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datagram_longer_than_any_of_a_viewer_is_a_strangers_whoever_sends_it() {
    let (wall, peers) = (Wall::start(), peers());
    let mut viewer = Viewer::watch(&peers, &wall).await;
    viewer.receive_media(10);
    let long = |len: usize| [&[0x80, 201][..], &vec![7; len - 2]].concat();
    viewer.send(&long(2048));
    viewer.receive_media(10);
    assert_eq!(peers.io_stats().datagrams_of_strangers, 0);
    viewer.send(&long(2049));
    // Two that the kernel may join.
    (0..2).for_each(|_| viewer.send(&long(20_000)));
    viewer.receive_media(10);
    assert_eq!(peers.io_stats().datagrams_of_strangers, 3);
    peers.stop().await;
}

fn framed(datagram: &[u8]) -> Vec<u8> {
    [&(datagram.len() as u16).to_be_bytes()[..], datagram].concat()
}

/// A connection over TCP from another address of this machine.
fn connect(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(from.into(), 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.into()
}

fn is_closed(mut connection: &TcpStream) -> bool {
    matches!(connection.read(&mut [0; 2048]), Ok(0))
        || connection.take_error().is_ok_and(|error| error.is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_over_tcp_keep_nobody_out_and_a_name_alone_keeps_none_open() {
    let (wall, peers) = (Wall::start(), peers());
    let viewer = Viewer::watch(&peers, &wall).await;
    let crowd: Vec<_> = (0..9).map(|_| connect([127, 0, 0, 2], viewer.server)).collect();
    assert!(is_closed(&crowd[0]), "nine of one address: the oldest made way");
    let others = (3..10).flat_map(|last| [last; 8]);
    let mut others: Vec<_> = others.map(|last| connect([127, 0, 0, last], viewer.server)).collect();
    let mut named = connect([127, 0, 0, 11], viewer.server);
    let username = format!("{}:{}", viewer.theirs.ufrag, viewer.ours.ufrag);
    let unproved = viewer::check(&username, "a password that is not it", true, viewer.crypto.crypto());
    named.write_all(&framed(&unproved)).unwrap();
    assert!(is_closed(&crowd[1]), "64 from everywhere: the oldest made way");
    let mut good = connect([127, 0, 0, 1], viewer.server);
    good.write_all(&framed(&viewer.check())).unwrap();
    let mut answer = [0; 200];
    let len = good.read(&mut answer).unwrap();
    assert!(len > 2 && viewer::is_success(&answer[2..len]), "{len} bytes");
    assert!(is_closed(&named), "it has not proved whose it is");
    assert!(is_closed(&others.pop().unwrap()));
    good.write_all(&framed(&viewer.check())).unwrap();
    assert!(good.read(&mut answer).unwrap() > 2, "whoever has proved it stays");
    peers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_goes_on_after_a_fault_with_all_its_viewers_or_where_they_are_in_disorder_with_new_ones() {
    let (wall, peers) = (Wall::start(), peers());
    let mut viewer = Viewer::watch(&peers, &wall).await;
    viewer.receive_media(10);
    peers.shared().order(0, Order::Panic { is_whole: true }).unwrap();
    viewer.receive_media(50);
    assert_eq!((peers.io_stats().panics, peers.stats().len()), (1, 1));
    peers.shared().order(0, Order::Panic { is_whole: false }).unwrap();
    let begun = Instant::now();
    while !peers.stats().is_empty() {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut next = Viewer::watch(&peers, &wall).await;
    next.receive_media(50);
    assert_eq!(peers.io_stats().panics, 2);
    peers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_cannot_take_the_address_of_another() {
    let (wall, peers) = (Wall::start(), peers());
    let mut good = Viewer::watch(&peers, &wall).await;
    let mut hostile = Viewer::watch(&peers, &wall).await;
    good.receive_media(10);
    hostile.receive_media(10);
    let key = |viewer: &Viewer| peers.table.guests.lock()[&viewer.id].key;
    let (its, others) = (key(&good), key(&hostile));
    let owner = |address| peers.shared().demux.lock().route(address, &[23, 254, 253]);
    let address = good.socket.local_addr().unwrap();
    for _ in 0..50 {
        // As if the other forged the address that it sends from.
        good.send(&hostile.check());
        good.receive_media(1);
        assert_eq!(owner(address), Some(its));
    }
    // Whoever is there and answers may have it: a browser that uses a port again.
    std::mem::swap(&mut good.socket, &mut hostile.socket);
    let begun = Instant::now();
    while owner(address) != Some(others) {
        hostile.send(&hostile.check());
        hostile.receive();
        assert!(begun.elapsed() < PATIENCE);
    }
    peers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_checks_from_a_thousand_ports_gets_a_few() {
    let (wall, peers) = (Wall::start(), peers());
    let mut hostile = Viewer::watch(&peers, &wall).await;
    hostile.receive_media(10);
    let key = peers.table.guests.lock()[&hostile.id].key;
    let mut addresses = Vec::new();
    for round in 0..1000 {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(&hostile.check(), hostile.server).unwrap();
        addresses.push(socket.local_addr().unwrap());
        if round % 50 == 0 {
            hostile.receive_media(2);
        }
    }
    hostile.receive_media(10);
    addresses.sort_unstable();
    addresses.dedup();
    let owner = |address| peers.shared().demux.lock().route(address, &[23, 254, 253]);
    let bound = addresses.iter().filter(|&&address| owner(address) == Some(key)).count();
    assert!((1..32).contains(&bound), "{bound}");
    peers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_restarts_ice_once_a_second() {
    let (wall, peers) = (Wall::start(), peers());
    let mut good = Viewer::watch(&peers, &wall).await;
    good.receive_media(10);
    let fragment = |name: &str| format!("a=ice-ufrag:{name}\r\na=ice-pwd:0123456789012345678901\r\n");
    let patch = |name: &str| peers.patch(&good.id, &fragment(name), None);
    assert!(matches!(patch("one1"), Ok(Patched::Restarted { .. })));
    let begun = Instant::now();
    assert_eq!(patch("one1"), Ok(Patched::Trickled), "candidates come as they come");
    let answer = patch("two2");
    if begun.elapsed() < Duration::from_millis(900) {
        assert_eq!(answer, Err(PatchError::TooOften));
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let last = patch(if answer.is_ok() { "more" } else { "two2" });
    assert!(matches!(last, Ok(Patched::Restarted { .. })), "{last:?}");
    assert_eq!(patch(&"u".repeat(257)), Err(PatchError::Unreadable));
    peers.stop().await;
}
