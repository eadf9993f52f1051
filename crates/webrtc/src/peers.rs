//! Every viewer of a process: admits, finds, counts and ends them.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::addresses::host_addresses;
use crate::demux::PeerKey;
use crate::dtls::{Identity, Role};
use crate::error::{OfferError, PatchError};
use crate::ice::Credentials;
use crate::path::Protocol;
use crate::peer::{Peer, Setup};
use crate::sdp::{self, Offer, Ours, fragment};
use crate::selection::Renditions;
use crate::session_id::SessionId;
use crate::sockets::Sockets;
use crate::source::Source;
use crate::stats::{Counters, IoStats, PeerStats};
use crate::track::TrackIds;
use crate::worker::Resident;
use crate::worker::mailbox::{Order, Shared, Workers};

/// How viewers are served.
#[derive(Clone, Debug)]
pub struct PeersConfig {
    /// Addresses viewers are told to send to; `0.0.0.0` and `::` stand for every interface, loopback included.
    pub bind: Vec<IpAddr>,
    /// One port for all viewers, UDP and TCP, on each address; 0 is any that is free.
    pub port: u16,
    /// Threads that send; one serves about a thousand viewers of 4 Mb/s.
    pub threads: usize,
    /// Viewers at a time, those still connecting included.
    pub max_peers: usize,
    /// The same for one client, by the address given to [`Peers::answer`]. Loopback is exempt: behind a reverse proxy
    /// everybody comes from there.
    pub max_peers_per_client: usize,
    /// A viewer that has not begun ICE by then is freed.
    pub ice_timeout: Duration,
    /// Checks of connectivity are answered only, and the answer says so (ICE-lite, RFC 8445 section 2.5).
    pub ice_lite: bool,
}

impl Default for PeersConfig {
    fn default() -> Self {
        // The other half of the machine decodes and encodes.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            bind: vec![Ipv4Addr::UNSPECIFIED.into()],
            port: 0,
            threads: (cores / 2).clamp(1, 4),
            max_peers: 1000,
            max_peers_per_client: 64,
            ice_timeout: Duration::from_secs(10),
            ice_lite: false,
        }
    }
}

/// An answered offer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Names the session from now on.
    pub id: SessionId,
    /// The answer, complete: all candidates are in it.
    pub sdp: String,
    /// Names the ICE session, as HTTP's `ETag` does; another after each restart.
    pub ice_session: String,
}

/// What a fragment led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patched {
    /// Candidates, taken note of: none is ever dialled.
    Trickled,
    /// ICE was restarted.
    Restarted {
        /// Our half of it, an SDP fragment.
        fragment: String,
        /// The new [`Answer::ice_session`].
        ice_session: String,
    },
}

/// Viewers cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program, or another Wallcast, has the port.
    #[error(
        "the WebRTC address {0} is in use by another program, expected a port that is free for UDP and TCP"
    )]
    InUse(SocketAddr),
    /// The address belongs to no interface.
    #[error("the WebRTC address {0} does not belong to this machine, expected one of its own")]
    NotHere(SocketAddr),
    /// Ports below 1024 need a privilege.
    #[error("listening for WebRTC on {0} is not permitted, expected a port from 1024 on or the privilege")]
    NotPermitted(SocketAddr),
    /// The operating system said something else.
    #[error("cannot listen for WebRTC on {address}")]
    Address {
        /// As configured.
        address: SocketAddr,
        /// What was in the way.
        source: std::io::Error,
    },
    /// The threads could not be started.
    #[error("the threads that send to viewers cannot be started")]
    Threads(#[source] std::io::Error),
    /// No key pair could be made.
    #[error("no certificate can be made: {0}")]
    Certificate(String),
}

impl BindError {
    fn of(address: SocketAddr, source: std::io::Error) -> Self {
        match source.kind() {
            ErrorKind::AddrInUse => Self::InUse(address),
            ErrorKind::AddrNotAvailable => Self::NotHere(address),
            ErrorKind::PermissionDenied => Self::NotPermitted(address),
            _ => Self::Address { address, source },
        }
    }
}

/// Owns every peer. Dropping it ends them; [`Peers::stop`] also waits.
pub struct Peers {
    config: PeersConfig,
    identity: Arc<Identity>,
    table: Arc<Table>,
    /// See [`Peers::announce`].
    announced: Mutex<Vec<SocketAddr>>,
    next_number: AtomicU64,
    workers: Workers,
}

#[derive(Default)]
pub(crate) struct Table {
    guests: Mutex<HashMap<SessionId, Guest>>,
    /// Told to stop: nobody is admitted any more.
    closing: CancellationToken,
}

/// What is known of a peer from outside of its thread.
struct Guest {
    key: PeerKey,
    client: IpAddr,
    source: Arc<Source>,
    counters: Arc<Counters>,
    /// The names of both sides in ICE, and the section they belong to.
    local_ufrag: String,
    remote_ufrag: String,
    /// The viewer's before its last restart.
    former_ufrag: Option<String>,
    mid: String,
    restarts: u32,
    restarted: Option<Instant>,
    /// Cancelled once everything of it is freed.
    closed: CancellationToken,
}

impl Guest {
    fn ice_session(&self, id: &SessionId) -> String {
        format!("{}-{}", id.label(), self.restarts)
    }
}

impl Peers {
    /// How long [`Peers::stop`] and [`Peers::close`] wait.
    const STOP_TIMEOUT: Duration = Duration::from_secs(1);
    /// A session restarts ICE once in this time at most: a viewer has a reason to when its network changes.
    const RESTART_INTERVAL: Duration = Duration::from_secs(1);

    /// Binds the sockets and starts the threads.
    ///
    /// # Errors
    /// An address is not this machine's, its port is taken, or there are no threads to be had.
    pub fn new(config: PeersConfig) -> Result<Self, BindError> {
        let identity = Identity::generate().map_err(|error| BindError::Certificate(error.to_string()))?;
        let sockets = Sockets::bind(&config.bind, config.port)
            .map_err(|(address, source)| BindError::of(address, source))?;
        let workers = Workers::start(sockets, config.threads).map_err(BindError::Threads)?;
        let (identity, next_number) = (Arc::new(identity), AtomicU64::new(0));
        let (table, announced) = Default::default();
        Ok(Self { config, identity, table, announced, next_number, workers })
    }

    /// The port that all viewers use, UDP and TCP.
    pub fn port(&self) -> u16 {
        self.shared().sockets.port()
    }

    /// Tells viewers from now on to try these addresses too: those of a router or a host that forwards to ours.
    pub fn announce(&self, addresses: Vec<SocketAddr>) {
        *self.announced.lock() = addresses;
    }

    /// Answers the offer of a viewer at `client` (an address, or the network that counts as one client) to watch `source`.
    /// The viewer's session begins with it, and is freed when it never connects, closes or falls silent.
    ///
    /// # Errors
    /// The offer cannot be read or served, or there is no place.
    pub async fn answer(
        &self,
        source: &Arc<Source>,
        offer: &str,
        client: IpAddr,
    ) -> Result<Answer, OfferError> {
        let offer = Offer::parse(offer, source.profile())?;
        let id = SessionId::new().map_err(|error| OfferError::Internal(format!("no randomness: {error}")))?;
        let (now, shared) = (Instant::now(), self.shared());
        let counters = Arc::new(Counters::new(now, SystemTime::now()));
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let key = PeerKey { worker: shared.idlest(), number };
        let credentials = Credentials::random();
        let guest = Guest {
            key,
            client,
            source: Arc::clone(source),
            counters: Arc::clone(&counters),
            local_ufrag: credentials.ufrag.clone(),
            remote_ufrag: offer.credentials().ufrag,
            former_ufrag: None,
            mid: offer.transport_mid().to_owned(),
            restarts: 0,
            restarted: None,
            closed: CancellationToken::new(),
        };
        let ice_session = guest.ice_session(&id);
        let seat = self.admit(id, guest)?;
        let format = offer.format();
        let ids = TrackIds::random(format.payload_type, format.rtx_payload_type);
        // Browsers begin the handshake the moment ICE is through and repeat lost flights after 50 ms; begun by us it took
        // 130 ms longer in Chromium.
        let role = if offer.waits_for_dtls() { Role::Client } else { Role::Server };
        let ours = Ours {
            credentials: &credentials,
            fingerprint: self.identity.fingerprint(),
            role,
            ice_lite: self.config.ice_lite,
            candidates: &self.candidates(),
            ids,
            stream: source.profile(),
        };
        let sdp = sdp::answer(&offer, &ours);
        shared.demux.lock().expect(&credentials.ufrag, key);
        let mut peer = Peer::new(Setup {
            now,
            offer: &offer,
            identity: Arc::clone(&self.identity),
            credentials,
            role,
            ids,
            ice_timeout: self.config.ice_timeout,
            counters,
            bitrates: source.bitrates(),
        });
        if self.config.ice_lite {
            peer.be_ice_lite();
        }
        shared.demux.lock().expect_answers(peer.mark(), key);
        let resident = Resident {
            number,
            peer,
            source: Arc::clone(source),
            label: id.label(),
            seat,
            connected: None,
            due: None,
            follows: Renditions::default(),
            waiting: 0,
        };
        shared.order(key.worker, Order::Take(Box::new(resident))).map_err(|error| {
            shared.demux.lock().forget(key);
            OfferError::Internal(error.to_string())
        })?;
        Ok(Answer { id, sdp, ice_session })
    }

    /// The [`Answer::ice_session`] that a session is at now; none if there is no such session, or it watches another source.
    pub fn ice_session(&self, id: &SessionId, source: &Arc<Source>) -> Option<String> {
        let guests = self.table.guests.lock();
        let guest = guests.get(id).filter(|guest| Arc::ptr_eq(&guest.source, source))?;
        Some(guest.ice_session(id))
    }

    /// Takes a viewer's SDP fragment: further candidates, or, with a new ufrag, a restart of ICE. `expected` is the
    /// [`Answer::ice_session`] that the viewer knows of, for candidates; a restart replaces any.
    ///
    /// # Errors
    /// There is no such session, the fragment belongs to none of its ICE sessions, or ICE was restarted a moment ago.
    pub fn patch(
        &self,
        id: &SessionId,
        fragment: &str,
        expected: Option<&str>,
    ) -> Result<Patched, PatchError> {
        let remote = fragment::read(fragment);
        let mut guests = self.table.guests.lock();
        let guest = guests.get_mut(id).ok_or(PatchError::Gone)?;
        let remote = remote.ok_or(PatchError::Unreadable)?;
        if expected.is_some_and(|expected| expected != guest.ice_session(id)) {
            return Err(PatchError::Stale);
        }
        if remote.ufrag == guest.remote_ufrag {
            return Ok(Patched::Trickled);
        }
        // Candidates that were on their way when the viewer restarted.
        if guest.former_ufrag.as_ref() == Some(&remote.ufrag) {
            return Err(PatchError::Stale);
        }
        let now = Instant::now();
        if guest.restarted.is_some_and(|restarted| restarted + Self::RESTART_INTERVAL > now) {
            return Err(PatchError::TooOften);
        }
        let (local, shared) = (Credentials::random(), self.shared());
        let order =
            Order::RestartIce { peer: guest.key.number, local: local.clone(), remote: remote.clone() };
        shared.order(guest.key.worker, order).map_err(|error| PatchError::Internal(error.to_string()))?;
        let mut demux = shared.demux.lock();
        demux.expect(&local.ufrag, guest.key);
        demux.keep(guest.key, [&guest.local_ufrag, &local.ufrag]);
        drop(demux);
        guest.local_ufrag.clone_from(&local.ufrag);
        guest.former_ufrag = Some(std::mem::replace(&mut guest.remote_ufrag, remote.ufrag));
        guest.restarts += 1;
        guest.restarted = Some(now);
        let (mid, ice_session) = (guest.mid.clone(), guest.ice_session(id));
        // Looking up our addresses takes a while, and everybody needs the table.
        drop(guests);
        let fragment = fragment::write(&mid, &local, self.config.ice_lite, &self.candidates());
        Ok(Patched::Restarted { fragment, ice_session })
    }

    /// Ends a session; `false` when there is none of that name. Returns once it is freed.
    pub async fn close(&self, id: &SessionId) -> bool {
        let found = self.table.guests.lock().get(id).map(|guest| (guest.key, guest.closed.clone()));
        let Some((key, closed)) = found else { return false };
        if self.shared().order(key.worker, Order::Close(key.number)).is_ok() {
            // The bound is for a thread that hangs; the session has ended all the same.
            let _hanging = tokio::time::timeout(Self::STOP_TIMEOUT, closed.cancelled()).await;
        }
        true
    }

    /// Every peer, in no order.
    pub fn stats(&self) -> Vec<PeerStats> {
        let now = Instant::now();
        let guests = self.table.guests.lock();
        let stats = guests.iter().map(|(id, guest)| {
            let rendition = guest.source.rendition_name(guest.counters.share().level.rendition);
            guest.counters.snapshot(now, id.label(), guest.source.name(), rendition)
        });
        stats.collect()
    }

    /// What is lost on the way, for all peers together.
    pub fn io_stats(&self) -> IoStats {
        self.shared().stats()
    }

    /// Admits nobody any more, ends every peer and waits until they are freed, but for a second at most.
    pub async fn stop(&self) {
        self.table.closing.cancel();
        let leaving: Vec<_> = self.table.guests.lock().values().map(|guest| guest.closed.clone()).collect();
        self.shared().stop();
        let all = async {
            for closed in &leaving {
                closed.cancelled().await;
            }
        };
        if tokio::time::timeout(Self::STOP_TIMEOUT, all).await.is_err() {
            tracing::warn!(left = self.table.guests.lock().len(), "peers did not end in time");
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        self.workers.shared()
    }

    /// Where viewers can reach us: every address by UDP, then every one by TCP; our own first, being nearest.
    fn candidates(&self) -> Vec<(Protocol, SocketAddr)> {
        let own = host_addresses(&self.config.bind).into_iter().map(|ip| SocketAddr::new(ip, self.port()));
        let mut addresses: Vec<SocketAddr> = own.collect();
        for &announced in self.announced.lock().iter() {
            if !addresses.contains(&announced) {
                addresses.push(announced);
            }
        }
        let by = |protocol| addresses.iter().map(move |&address| (protocol, address));
        by(Protocol::Udp).chain(by(Protocol::Tcp)).collect()
    }

    fn admit(&self, id: SessionId, guest: Guest) -> Result<Seat, OfferError> {
        let mut guests = self.table.guests.lock();
        // Under the lock: whoever is admitted is seen by `stop`, which cancels first and looks at the table then.
        if self.table.closing.is_cancelled() {
            return Err(OfferError::Internal("the server is stopping".to_owned()));
        }
        if guests.len() >= self.config.max_peers {
            return Err(OfferError::Full { max_peers: self.config.max_peers });
        }
        let limit = self.config.max_peers_per_client;
        let is_limited = !guest.client.to_canonical().is_loopback();
        if is_limited && guests.values().filter(|found| found.client == guest.client).count() >= limit {
            return Err(OfferError::Full { max_peers: limit });
        }
        guests.insert(id, guest);
        Ok(Seat { id, table: Arc::clone(&self.table) })
    }
}

/// A peer's place in the table, held by its thread and given up with it, even by a panic.
pub(crate) struct Seat {
    id: SessionId,
    table: Arc<Table>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let guest = self.table.guests.lock().remove(&self.id);
        if let Some(guest) = guest {
            guest.closed.cancel();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod hostile;
