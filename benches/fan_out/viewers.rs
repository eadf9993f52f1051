//! Very many viewers on one thread: each with a socket, ICE and a DTLS handshake of its own; then they receive.
//!
//! A viewer reads what browsers send on: it answers consent checks, asks for consent, sends a receiver report a second and,
//! where packets are numbered for that, ten reports of arrivals.
//! It does not decrypt, but one in fifty or so does: that one looks for gaps in the sequence, puts frames together and compares
//! them with the film. Sequence numbers stand outside of the cipher, so losses are counted for everybody.
//!
//! Nobody waits on a socket: they are all emptied every few milliseconds. So the sender never wakes a thread for a
//! packet, as it would not for a viewer on another machine, and the kernel's own time-stamp says when a packet arrived.
//! Receive offload (`UDP_GRO`) is off.

mod arrivals;
mod handshake;
mod ice;
mod stream;
mod terms;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rand::random_range;
use rtc::srtp::context::Context;
use rtc::srtp::protection_profile::ProtectionProfile;

use super::film::Recogniser;
use super::sockets::{self, Inbox};
use arrivals::Arrivals;
use handshake::{Handshake, Identity};
use ice::Ice;
use stream::{Checker, Stream};
pub(super) use terms::H264;
pub use terms::{Credentials, Introduction, Terms};

/// Between two looks at every socket.
const SWEEP: Duration = Duration::from_millis(8);
/// A third of a second of the stream, should the sweep be late.
const RECEIVE_BUFFER: usize = 1 << 20;
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);

/// How a server lets a viewer in.
pub trait Door {
    /// Tells the server of a viewer, and the viewer of the server.
    fn enter(&mut self, viewer: &Introduction) -> anyhow::Result<Admission>;

    /// Where viewers of this server receive. All of it is on this machine, and goes over loopback.
    fn home(&self) -> Ipv4Addr {
        Ipv4Addr::LOCALHOST
    }
}

/// How a viewer goes on.
pub enum Admission {
    /// By ICE and DTLS.
    WebRtc(Terms),
    /// At once, with this master key and salt.
    Keys {
        /// Whence packets come.
        server: SocketAddr,
        /// 16 bytes.
        key: Vec<u8>,
        /// 12 bytes.
        salt: Vec<u8>,
    },
}

/// All of them.
pub struct Fleet {
    identity: Arc<Identity>,
    /// What is decrypted is compared with it; without, it is kept.
    recogniser: Option<Arc<Recogniser>>,
    /// 0: nobody decrypts.
    one_in: usize,
    viewers: Vec<Viewer>,
    inbox: Inbox,
}

/// What all viewers together have received.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Those who get the stream.
    pub watching: usize,
    /// Those for whom it is over; see [`Fleet::why_one_ended`].
    pub ended: usize,
    /// RTP packets.
    pub packets: u64,
    /// Of them the last ones of a frame.
    pub frames: u64,
    /// Gaps in the sequence, filled by nobody.
    pub lost: u64,
    /// Frames that were decrypted and found whole and in order.
    pub whole: u64,
    /// Frames that were not.
    pub broken: u64,
}

impl Fleet {
    /// Nobody yet. The first viewer decrypts, and every `one_in`th.
    pub fn new(recogniser: Recogniser, one_in: usize) -> anyhow::Result<Self> {
        Self::with(Some(Arc::new(recogniser)), one_in)
    }

    /// The same for a stream of which nothing is known: what is decrypted is kept for [`Fleet::take_frames`].
    pub fn keeping(one_in: usize) -> anyhow::Result<Self> {
        Self::with(None, one_in)
    }

    /// Nobody yet, and nobody will decrypt.
    pub fn counting() -> anyhow::Result<Self> {
        Self::with(None, 0)
    }

    fn with(recogniser: Option<Arc<Recogniser>>, one_in: usize) -> anyhow::Result<Self> {
        let identity = Arc::new(Identity::generate()?);
        Ok(Self { identity, recogniser, one_in, viewers: Vec::new(), inbox: Inbox::default() })
    }

    /// Lets viewers in one after another until there are `count`, and waits until each of them gets packets.
    pub fn grow(&mut self, count: usize, door: &mut dyn Door) -> anyhow::Result<()> {
        while self.viewers.len() < count {
            self.join(door)?;
        }
        let deadline = Instant::now() + JOIN_TIMEOUT;
        while self.totals().watching < count {
            let why = || self.why_one_ended().unwrap_or("nobody ended");
            ensure!(
                Instant::now() < deadline,
                "of {count} viewers not all got packets: {:?}; {}",
                self.totals(),
                why()
            );
            self.run(SWEEP);
        }
        Ok(())
    }

    /// Lets one more in, and does not wait for its packets.
    pub fn join(&mut self, door: &mut dyn Door) -> anyhow::Result<()> {
        let number = self.viewers.len() + 1;
        let decrypts = self.one_in > 0 && (number == 1 || number.is_multiple_of(self.one_in));
        let viewer = self.enter(decrypts, door).with_context(|| format!("viewer {number}"))?;
        self.viewers.push(viewer);
        self.sweep();
        Ok(())
    }

    /// The last `count` leave: they say goodbye (DTLS `close_notify`), or they are `rude` and are just not there any more.
    pub fn leave(&mut self, count: usize, rude: bool) {
        for mut viewer in self.viewers.drain(self.viewers.len().saturating_sub(count)..) {
            if !rude {
                viewer.say_goodbye(Instant::now());
            }
        }
    }

    /// Of each viewer, in the order of their coming: from its offer to the end of its first frame.
    pub fn first_frames(&self) -> impl Iterator<Item = Option<Duration>> + '_ {
        self.viewers.iter().map(|viewer| viewer.first_frame)
    }

    /// Receives for so long.
    pub fn run(&mut self, span: Duration) {
        let end = Instant::now() + span;
        loop {
            let next = Instant::now() + SWEEP;
            self.sweep();
            std::thread::sleep(next.min(end).saturating_duration_since(Instant::now()));
            if Instant::now() >= end {
                return;
            }
        }
    }

    /// Since the beginning.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for viewer in &self.viewers {
            totals.watching += usize::from(viewer.stream.packets > 0);
            totals.ended += usize::from(viewer.ended.is_some());
            totals.packets += viewer.stream.packets;
            totals.frames += viewer.stream.frames;
            totals.lost += viewer.stream.lost();
            if let Some(checker) = &viewer.stream.checker {
                totals.whole += checker.whole;
                totals.broken += checker.broken;
            }
        }
        totals
    }

    /// Of the first one that did.
    pub fn why_one_ended(&self) -> Option<&str> {
        self.viewers.iter().find_map(|viewer| viewer.ended.as_deref())
    }

    /// From handing in a frame to its last packet's arrival, of each decrypted frame since this was asked last.
    pub fn take_delays(&mut self) -> Vec<Duration> {
        let checkers = self.viewers.iter_mut().filter_map(|viewer| viewer.stream.checker.as_mut());
        checkers.flat_map(|checker| std::mem::take(&mut checker.delays)).collect()
    }

    /// When each frame's last packet arrived since this was asked last, by the clock of 1970, and the frame (Annex B); for each
    /// viewer who decrypts.
    pub fn take_frames(&mut self) -> Vec<Vec<(Duration, Vec<u8>)>> {
        let checkers = self.viewers.iter_mut().filter_map(|viewer| viewer.stream.checker.as_mut());
        checkers.map(|checker| std::mem::take(&mut checker.kept)).collect()
    }

    fn enter(&mut self, decrypts: bool, door: &mut dyn Door) -> anyhow::Result<Viewer> {
        let socket = UdpSocket::bind((door.home(), 0))?;
        socket.set_nonblocking(true)?;
        sockets::set_room(&socket, RECEIVE_BUFFER)?;
        if decrypts {
            sockets::stamp(&socket)?;
        }
        let credentials = Credentials::random();
        let fingerprint = self.identity.fingerprint.clone();
        let address = socket.local_addr()?;
        let introduction = Introduction { credentials: credentials.clone(), fingerprint, address };
        let now = Instant::now();
        let checker = decrypts.then(|| Box::new(Checker::new(self.recogniser.clone())));
        let mut stream = Stream::new(terms::H264, checker);
        let (server, phase) = match door.enter(&introduction)? {
            Admission::WebRtc(terms) => {
                stream.payload_type = terms.payload_type;
                let ice = Ice::new(now, credentials, &terms);
                let handshake = Handshake::new(Arc::clone(&self.identity), terms.fingerprint, terms.address);
                (terms.address, Phase::Joining { ice, handshake: Box::new(handshake) })
            }
            Admission::Keys { server, key, salt } => {
                stream.decrypt_with(self.identity.context(&key, &salt, ProtectionProfile::AeadAes128Gcm)?);
                (server, Phase::Bare)
            }
        };
        socket.connect(server)?;
        let report_due = now + REPORT_INTERVAL.mul_f64(random_range(1.0..2.0));
        let (entered, first_frame, reports, ended) = (now, None, None, None);
        let arrivals = Arrivals::new(now, report_due);
        Ok(Viewer {
            socket,
            server,
            entered,
            first_frame,
            phase,
            stream,
            arrivals,
            reports,
            report_due,
            ended,
        })
    }

    fn sweep(&mut self) {
        let now = Instant::now();
        for viewer in &mut self.viewers {
            viewer.receive(now, &mut self.inbox, &self.identity);
            if now >= viewer.due() {
                viewer.timeout(now, &self.identity);
            }
        }
    }
}

struct Viewer {
    socket: UdpSocket,
    server: SocketAddr,
    entered: Instant,
    first_frame: Option<Duration>,
    phase: Phase,
    stream: Stream,
    arrivals: Arrivals,
    /// Seals receiver reports.
    reports: Option<Box<Context>>,
    report_due: Instant,
    /// Why it is over.
    ended: Option<String>,
}

enum Phase {
    Joining {
        ice: Ice,
        handshake: Box<Handshake>,
    },
    /// The handshake is through; it is for the goodbye.
    Watching {
        ice: Ice,
        handshake: Box<Handshake>,
    },
    /// It has nothing to say.
    Bare,
}

impl Viewer {
    fn receive(&mut self, now: Instant, inbox: &mut Inbox, identity: &Identity) {
        let Self { socket, stream, arrivals, phase, .. } = self;
        // A sweep takes its time.
        let looked = Instant::now();
        let mut rest = Vec::new();
        // A viewer that only counts needs no more than the beginning of a packet.
        let is_counting = stream.checker.is_none() && !matches!(phase, Phase::Joining { .. });
        inbox.empty(socket, is_counting, |datagram, arrived| {
            // RFC 7983 section 7, RFC 5761 section 4.
            match *datagram {
                [128..=191, second, ..] if !(64..96).contains(&(second & 0x7f)) => {
                    stream.packet(datagram, arrived);
                    arrivals.packet(datagram, looked);
                }
                [128..=191, ..] => {}
                _ => rest.push(datagram.to_vec()),
            }
        });
        if self.first_frame.is_none() && self.stream.frames > 0 {
            self.first_frame = Some(now - self.entered);
        }
        for datagram in rest {
            self.handle(now, &datagram, identity);
        }
    }

    fn say_goodbye(&mut self, now: Instant) {
        if let Phase::Joining { handshake, .. } | Phase::Watching { handshake, .. } = &mut self.phase {
            handshake.close(now);
            while let Some(datagram) = handshake.poll_transmit() {
                let _ = self.socket.send(&datagram);
            }
        }
    }

    /// STUN and DTLS.
    fn handle(&mut self, now: Instant, datagram: &[u8], identity: &Identity) {
        let is_stun = datagram.first().is_some_and(|first| *first < 4);
        match &mut self.phase {
            Phase::Joining { ice, .. } | Phase::Watching { ice, .. } if is_stun => {
                let answer = ice.handle(now, datagram, self.server, identity.crypto());
                let _ = answer.map(|answer| self.socket.send(&answer));
            }
            Phase::Joining { handshake, .. } => {
                if let Err(error) = handshake.handle(now, datagram) {
                    self.ended.get_or_insert_with(|| format!("its handshake failed: {error:#}"));
                }
            }
            // The server says goodbye (an alert).
            Phase::Watching { .. } if datagram.first() == Some(&21) => {
                self.ended.get_or_insert_with(|| "the server said goodbye".to_owned());
            }
            Phase::Watching { .. } | Phase::Bare => {}
        }
        self.advance(now);
    }

    fn due(&self) -> Instant {
        match &self.phase {
            Phase::Joining { ice, handshake } => ice.due().min(handshake.due()),
            Phase::Watching { ice, .. } => ice.due().min(self.report_due).min(self.arrivals.due),
            Phase::Bare => self.report_due + Duration::from_secs(3600),
        }
    }

    fn timeout(&mut self, now: Instant, identity: &Identity) {
        if let Phase::Joining { ice, .. } | Phase::Watching { ice, .. } = &mut self.phase {
            let check = ice.poll(now, identity.crypto());
            let _ = check.map(|check| self.socket.send(&check));
            if ice.is_lost(now) {
                let phase =
                    if self.stream.packets > 0 { "while it watched" } else { "before it got a packet" };
                self.ended.get_or_insert_with(|| format!("the server answered no check for 30 s, {phase}"));
            }
        }
        if let Phase::Joining { handshake, .. } = &mut self.phase
            && let Err(error) = handshake.timeout(now)
        {
            self.ended.get_or_insert_with(|| format!("its handshake was given up: {error:#}"));
        }
        if now >= self.arrivals.due {
            let report = self.reports.as_mut().zip(self.arrivals.report(now));
            let sealed = report.and_then(|(context, report)| context.encrypt_rtcp(&report).ok());
            let _ = sealed.map(|sealed| self.socket.send(&sealed));
        }
        if now >= self.report_due {
            self.report_due = now + REPORT_INTERVAL;
            let report = self.reports.as_mut().zip(self.stream.report());
            let sealed = report.and_then(|(context, report)| context.encrypt_rtcp(&report).ok());
            let _ = sealed.map(|sealed| self.socket.send(&sealed));
        }
        self.advance(now);
    }

    /// Whatever follows from what was heard, or from time.
    fn advance(&mut self, now: Instant) {
        let Phase::Joining { ice, handshake } = &mut self.phase else { return };
        if ice.is_nominated()
            && let Err(error) = handshake.start(now)
        {
            self.ended.get_or_insert_with(|| format!("its handshake did not begin: {error:#}"));
        }
        while let Some(datagram) = handshake.poll_transmit() {
            let _ = self.socket.send(&datagram);
        }
        let Some(keys) = handshake.take_keys() else { return };
        self.reports = Some(Box::new(keys.outbound));
        self.stream.decrypt_with(keys.inbound);
        if let Phase::Joining { ice, handshake } = std::mem::replace(&mut self.phase, Phase::Bare) {
            self.phase = Phase::Watching { ice, handshake };
        }
    }
}
