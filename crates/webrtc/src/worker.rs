//! A thread `webrtc-<n>` and the peers that live on it: sockets and clocks in, [`Peer`]'s calls out.
//!
//! All threads send on the same sockets; thread 0 alone receives, and hands over what is another thread's. A viewer
//! sends one packet for every twenty it gets, so one receiver serves several senders; `SO_REUSEPORT` would save the
//! handing over, but the kernel spreads by address, and a viewer has several addresses until ICE has chosen.
//!
//! Nothing keeps anything else waiting for long: a turn sends frames for some milliseconds, reads datagrams for some, and
//! shakes hands for one. A handshake costs a thousand times what another datagram does, so that of hundreds of viewers
//! who join at once, each waits a little; those who watch get their frames, and a thread that has more frames than it can
//! send still hears its viewers.
//!
//! A panic in one peer's code ends that peer; one elsewhere, at worst, all of the thread's, but not the thread.

mod connections;
pub(crate) mod mailbox;
mod newcomers;
mod round;
mod tcp;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::congestion::Limit;
use crate::demux::PeerKey;
use crate::gate::Room;
use crate::path::{Path, Protocol};
use crate::peer::{Event, Peer};
use crate::peers::Seat;
use crate::selection::Renditions;
use crate::sockets::{Inbox, Patience, Sockets};
use crate::source::Source;
use crate::stats::Share;
use crate::track::Burst;
use mailbox::{Order, Shared};
use round::Stream;
use tcp::Connection;

/// Of a turn, for the frames of one stream.
const SENDING_SLICE: Duration = Duration::from_millis(4);
/// Of a turn, whatever a flood costs.
const RECEIVING_SLICE: Duration = Duration::from_millis(2);
/// Of a turn: a fifth or so of a thread that has more to do than it can.
const HANDSHAKE_SLICE: Duration = Duration::from_millis(1);
/// Datagrams of handshakes that wait: four of each of a thousand viewers. More are dropped, counted, and repeated.
const MAX_HANDSHAKES: usize = 4096;
/// Of those, one viewer's: two flights in small datagrams.
const MAX_WAITING: usize = 16;
/// Longer ones no viewer sends: STUN, DTLS and RTCP keep below the path's MTU.
const MAX_DATAGRAM: usize = 2048;
/// A connection over TCP proves whose it is by then.
const TELL_WITHIN: Duration = Duration::from_secs(5);
const AFTER_PANIC: Duration = Duration::from_millis(10);

const WAKE: Token = Token(0);
/// Then a token for each UDP socket, then for each listener, then for each connection.
const FIRST_SOCKET: usize = 1;

/// A peer with what belongs to it.
pub(crate) struct Resident {
    pub(crate) number: u64,
    pub(crate) peer: Peer,
    pub(crate) source: Arc<Source>,
    pub(crate) label: String,
    /// Given up with the resident.
    pub(crate) seat: Seat,
    pub(crate) connected: Option<Instant>,
    pub(crate) due: Option<Instant>,
    /// Whose frames it is offered.
    pub(crate) follows: Renditions,
    /// Datagrams of its handshake that wait for their turn.
    pub(crate) waiting: usize,
}

struct Worker {
    number: usize,
    poll: Poll,
    shared: Arc<Shared>,
    orders: Receiver<Order>,
    handed_over: Receiver<(u64, Path, Vec<u8>)>,
    residents: HashMap<u64, Resident>,
    streams: Vec<Stream>,
    /// Peers that have ended since the streams were looked at.
    left: Vec<u64>,
    /// Peers that are to be offered other renditions than before.
    moved: Vec<u64>,
    timers: BTreeSet<(Instant, u64)>,
    inbox: Inbox,
    /// UDP sockets that may have more.
    readable: Vec<bool>,
    connections: HashMap<Token, Connection>,
    /// Those that may have more.
    unread: Vec<Token>,
    next_token: usize,
    /// When listeners are asked again, after there were no more descriptors.
    accept_again: Option<Instant>,
    /// Datagrams of handshakes that wait for their turn.
    handshakes: VecDeque<(u64, Path, Vec<u8>)>,
    burst: Burst,
    /// The one that is being served.
    current: Option<u64>,
    /// Not while streams and who follows them are changed.
    is_whole: bool,
}

impl Worker {
    fn new(
        number: usize,
        poll: Poll,
        shared: Arc<Shared>,
        orders: Receiver<Order>,
        handed_over: Receiver<(u64, Path, Vec<u8>)>,
    ) -> io::Result<Self> {
        let mut next_token = FIRST_SOCKET;
        let mut readable = Vec::new();
        if number == 0 {
            let udp = shared.sockets.udp().map(AsRawFd::as_raw_fd);
            let descriptors: Vec<_> =
                udp.chain(shared.sockets.tcp().iter().map(AsRawFd::as_raw_fd)).collect();
            for descriptor in descriptors {
                poll.registry().register(
                    &mut SourceFd(&descriptor),
                    Token(next_token),
                    Interest::READABLE,
                )?;
                next_token += 1;
            }
            readable = vec![true; shared.sockets.udp().count()];
        }
        Ok(Self {
            number,
            poll,
            shared,
            orders,
            handed_over,
            residents: HashMap::new(),
            streams: Vec::new(),
            left: Vec::new(),
            moved: Vec::new(),
            timers: BTreeSet::new(),
            // Only the first one receives.
            inbox: if number == 0 { Inbox::new() } else { Inbox::none() },
            readable,
            connections: HashMap::new(),
            unread: Vec::new(),
            next_token,
            accept_again: None,
            handshakes: VecDeque::new(),
            burst: Burst::default(),
            current: None,
            is_whole: true,
        })
    }

    fn run(mut self) {
        let mut events = Events::with_capacity(256);
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.turn(&mut events))) {
                Ok(false) => {}
                Ok(true) => return,
                Err(_) if self.shared.is_stopping() => return,
                Err(_) => {
                    // What it leaves undone, it tries again after the next one.
                    let _ = catch_unwind(AssertUnwindSafe(|| self.recover()));
                }
            }
        }
    }

    /// `true` when the thread is to end.
    fn turn(&mut self, events: &mut Events) -> bool {
        let wait = if self.has_more() {
            Some(Duration::ZERO)
        } else {
            self.next_due().map(|due| due.saturating_duration_since(Instant::now()))
        };
        // Interrupted by a signal: nothing is lost by another turn.
        let _ = self.poll.poll(events, wait);
        for event in &*events {
            self.happened(event.token());
        }
        if self.obey() {
            return true;
        }
        // Before anything is sent: viewers are not to be taken for silent because this thread had no time to listen.
        self.receive();
        self.take_handed_over();
        self.is_whole = false;
        self.send_frames();
        self.is_whole = true;
        std::mem::take(&mut self.unread).into_iter().for_each(|token| self.connection_ready(token));
        self.shake_hands();
        self.tick();
        self.is_whole = false;
        self.follow();
        self.is_whole = true;
        false
    }

    /// After a panic: ends whom it may have left in disorder.
    fn recover(&mut self) {
        self.shared.panicked();
        // One that comes again and again is not to take the processor and the log for itself.
        std::thread::sleep(AFTER_PANIC);
        let current = self.current.take();
        let ending: Vec<_> = match std::mem::replace(&mut self.is_whole, true) {
            true => current.into_iter().collect(),
            false => {
                self.streams.clear();
                self.moved.clear();
                self.residents.keys().copied().collect()
            }
        };
        tracing::error!(thread = self.number, viewers = ending.len(), "a fault ends viewers, others go on");
        // The kernel does not say again what it has said in the turn that was cut short.
        self.readable.fill(true);
        self.unread = self.connections.keys().copied().collect();
        if self.number == 0 {
            (self.inbox, self.accept_again) = (Inbox::new(), Some(Instant::now()));
        }
        self.shared.wake(self.number);
        ending.into_iter().for_each(|number| self.remove(number, Instant::now(), "the server had a fault"));
    }

    /// There is something to do that nothing will wake the thread for.
    fn has_more(&self) -> bool {
        self.readable.contains(&true)
            || !self.unread.is_empty()
            || !self.handshakes.is_empty()
            || !self.orders.is_empty()
            || self.streams.iter().any(Stream::has_work)
    }

    fn next_due(&self) -> Option<Instant> {
        let rounds = self.streams.iter().filter_map(Stream::due).min();
        let timers = self.timers.first().map(|&(due, _)| due);
        let unknown = self.connections.values().filter(|connection| !connection.is_authenticated);
        let unknown = unknown.map(|connection| connection.since + TELL_WITHIN).min();
        [rounds, timers, unknown, self.accept_again].into_iter().flatten().min()
    }

    fn happened(&mut self, token: Token) {
        let Some(socket) = token.0.checked_sub(FIRST_SOCKET) else { return };
        let (udp, tcp) = (self.readable.len(), self.shared.sockets.tcp().len());
        if token != WAKE && socket < udp {
            self.readable[socket] = true;
        } else if !self.readable.is_empty() && socket < udp + tcp {
            self.accept();
        } else {
            self.connection_ready(token);
        }
    }

    /// `true` when the thread is to end.
    fn obey(&mut self) -> bool {
        if self.shared.is_stopping() {
            let everybody: Vec<_> = self.residents.keys().copied().collect();
            for number in everybody {
                self.with_peer(number, |peer, now| peer.close(now, "the server is stopping"));
            }
            return true;
        }
        // Whatever comes meanwhile is for the next turn.
        for _ in 0..self.orders.len() {
            let Ok(order) = self.orders.try_recv() else { break };
            match order {
                Order::Take(resident) => {
                    let number = resident.number;
                    self.residents.insert(number, *resident);
                    self.with_peer(number, |_, _| ());
                }
                Order::Close(number) => {
                    self.with_peer(number, |peer, now| peer.close(now, "the viewer ended its session"))
                }
                Order::RestartIce { peer, local, remote } => {
                    self.with_peer(peer, |peer, _| peer.restart_ice(local, remote));
                }
                Order::Adopt(peer, handed) => self.adopt(peer, *handed),
                #[cfg(test)]
                Order::Panic { is_whole } => {
                    self.is_whole = is_whole;
                    panic!("as a test wants it");
                }
            }
        }
        false
    }

    fn receive(&mut self) {
        let begun = Instant::now();
        let mut inbox = std::mem::replace(&mut self.inbox, Inbox::none());
        for socket in 0..self.readable.len() {
            while self.readable[socket] && begun.elapsed() < RECEIVING_SLICE {
                let shared = Arc::clone(&self.shared);
                self.readable[socket] = shared.sockets.receive(socket, &mut inbox, |received| {
                    for datagram in received.datagrams() {
                        self.deliver(received.path, datagram);
                    }
                });
            }
        }
        self.inbox = inbox;
    }

    /// Passes a datagram on to whose it is.
    fn deliver(&mut self, path: Path, datagram: &[u8]) {
        let is_sane = datagram.len() <= MAX_DATAGRAM;
        let key = is_sane.then(|| self.shared.demux.lock().route(path.remote, datagram)).flatten();
        match key {
            Some(key) if key.worker == self.number => self.hear(key.number, path, datagram),
            Some(key) => self.shared.hand_over(key, path, datagram),
            None => {
                self.shared.strangers.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn take_handed_over(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < RECEIVING_SLICE {
            let Ok((number, path, datagram)) = self.handed_over.try_recv() else { return };
            self.hear(number, path, &datagram);
        }
        self.shared.wake(self.number);
    }

    /// Gives a peer what came for it, DTLS (RFC 7983 section 7) in its turn.
    fn hear(&mut self, number: u64, path: Path, datagram: &[u8]) {
        match datagram {
            [20..=63, ..] => {
                let Some(resident) = self.residents.get_mut(&number) else { return };
                if self.handshakes.len() >= MAX_HANDSHAKES || resident.waiting >= MAX_WAITING {
                    return self.shared.dropped();
                }
                resident.waiting += 1;
                self.handshakes.push_back((number, path, datagram.to_vec()));
            }
            _ => self.with_peer(number, |peer, now| peer.handle_datagram(now, path, datagram)),
        }
    }

    fn shake_hands(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < HANDSHAKE_SLICE {
            let Some((number, path, datagram)) = self.handshakes.pop_front() else { return };
            if let Some(resident) = self.residents.get_mut(&number) {
                resident.waiting -= 1;
            }
            self.with_peer(number, |peer, now| peer.handle_datagram(now, path, &datagram));
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        while let Some(&(due, number)) = self.timers.first().filter(|(due, _)| *due <= now) {
            self.timers.remove(&(due, number));
            self.with_peer(number, |peer, now| peer.handle_timeout(now));
        }
        if self.accept_again.is_some_and(|due| due <= now) {
            self.accept_again = None;
            self.accept();
        }
        let late =
            |connection: &Connection| !connection.is_authenticated && connection.since + TELL_WITHIN <= now;
        let late: Vec<_> = self
            .connections
            .iter()
            .filter(|(_, connection)| late(connection))
            .map(|(token, _)| *token)
            .collect();
        late.into_iter().for_each(|token| self.disconnect(token));
    }

    /// Lets a peer do something, and does what it wants done then. A panic ends the peer.
    fn with_peer(&mut self, number: u64, act: impl FnOnce(&mut Peer, Instant)) {
        let Some(resident) = self.residents.get_mut(&number) else { return };
        let now = Instant::now();
        self.current = Some(number);
        let mut ended = None;
        let worked = catch_unwind(AssertUnwindSafe(|| act(&mut resident.peer, now)));
        if worked.is_err() {
            self.shared.panicked();
            ended = Some("its code panicked");
        }
        while let Some((path, datagram)) = resident.peer.poll_transmit() {
            send(&self.shared.sockets, &mut self.connections, path, &datagram);
        }
        let key = PeerKey { worker: self.number, number };
        while let (None, Some(event)) = (ended, resident.peer.poll_event()) {
            let source = Arc::clone(&resident.source);
            let happened = catch_unwind(AssertUnwindSafe(|| match event {
                Event::Path(Path { protocol: Protocol::Udp, remote, .. }, claim) => {
                    self.shared.demux.lock().bind(now, remote, key, claim);
                    None
                }
                Event::Path(path, _) => {
                    if let Some(connection) = connection_of(&mut self.connections, path) {
                        connection.is_authenticated = true;
                    }
                    None
                }
                Event::PathLeft(Path { protocol: Protocol::Udp, remote, .. }) => {
                    self.shared.demux.lock().unbind(remote, key);
                    None
                }
                Event::PathLeft(_) => None,
                Event::Connected => {
                    resident.connected = Some(now);
                    tracing::info!(id = resident.label, source = source.name(), "viewer connected");
                    None
                }
                Event::KeyFrameNeeded(rendition) => {
                    source.key_frame_needed(rendition);
                    None
                }
                Event::Share(share) => {
                    resident.log_share(share);
                    None
                }
                Event::Ended(why) => Some(why),
            }));
            ended = happened.unwrap_or_else(|_| {
                self.shared.panicked();
                Some("its code panicked")
            });
        }
        match ended {
            Some(why) => self.remove(number, now, why),
            None => {
                if resident.peer.renditions() != resident.follows {
                    self.moved.push(number);
                }
                let due = resident.peer.poll_timeout();
                if due != resident.due {
                    resident.due.take().map(|due| self.timers.remove(&(due, number)));
                    self.timers.extend(due.map(|due| (due, number)));
                    resident.due = due;
                }
            }
        }
        self.current = None;
    }

    /// Ends a peer's life, whatever state it is in.
    fn remove(&mut self, number: u64, now: Instant, why: &'static str) {
        let Some(mut resident) = self.residents.remove(&number) else { return };
        // Nothing to say once it has ended; after a panic the viewer is told, if that can be done.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            resident.peer.close(now, why);
            while let Some((path, datagram)) = resident.peer.poll_transmit() {
                send(&self.shared.sockets, &mut self.connections, path, &datagram);
            }
        }));
        resident.due.map(|due| self.timers.remove(&(due, number)));
        self.streams.retain_mut(|stream| stream.leave(number));
        self.left.push(number);
        self.shared.peer_left(self.number);
        let owned = self.connections.iter().filter(|(_, connection)| connection.peer == Some(number));
        let owned: Vec<_> = owned.map(|(token, _)| *token).collect();
        owned.into_iter().for_each(|token| self.disconnect(token));
        resident.log_end(now, why);
        drop(resident.seat);
        // Last: as long as it has a seat, a restart of ICE names another ufrag of it.
        self.shared.demux.lock().forget(PeerKey { worker: self.number, number });
    }
}

impl Resident {
    fn log_share(&self, share: Share) {
        let Share { level, limited_by } = share;
        let (id, source, frames) = (self.label.as_str(), self.source.name(), level.share.as_str());
        let rendition = self.source.rendition_name(level.rendition);
        match limited_by.map(Limit::as_str) {
            Some(limited_by) => tracing::info!(id, source, rendition, frames, limited_by, "viewer gets less"),
            None => tracing::info!(id, source, rendition, frames, "viewer gets everything again"),
        }
    }

    fn log_end(&self, now: Instant, why: &str) {
        let (id, source) = (self.label.as_str(), self.source.name());
        match self.connected {
            Some(connected) => {
                let watched = format_args!("{:.1} s", now.saturating_duration_since(connected).as_secs_f64());
                let frames = self.peer.counters().frames_sent();
                tracing::info!(id, source, why, %watched, frames, "viewer gone");
            }
            None => tracing::info!(id, source, why, "viewer never connected"),
        }
    }
}

fn connection_of(connections: &mut HashMap<Token, Connection>, path: Path) -> Option<&mut Connection> {
    connections.values_mut().find(|connection| connection.path == path)
}

/// A connection that breaks is noticed when it is read.
fn send(sockets: &Sockets, connections: &mut HashMap<Token, Connection>, path: Path, datagram: &[u8]) {
    match path.protocol {
        Protocol::Udp => sockets.send_one(path, datagram),
        Protocol::Tcp => {
            let _ =
                connection_of(connections, path).map(|connection| connection.write([datagram].into_iter()));
        }
    }
}

fn send_burst(
    sockets: &Sockets,
    connections: &mut HashMap<Token, Connection>,
    path: Path,
    burst: &Burst,
    patience: &mut Patience,
) {
    match path.protocol {
        Protocol::Udp => sockets.send(path, burst, patience),
        Protocol::Tcp => {
            let _ = connection_of(connections, path).map(|connection| connection.write(burst.packets()));
        }
    }
}

fn room(connections: &mut HashMap<Token, Connection>, path: Path) -> Room {
    match path.protocol {
        Protocol::Udp => Room::Drained,
        Protocol::Tcp => connection_of(connections, path).map_or(Room::None, |connection| connection.room()),
    }
}
