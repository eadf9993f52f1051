//! What all connections of a server share: what it serves and to whom, limits, totals, and the UDP sessions.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    mount::Mounts,
    seldom::Seldom,
    udp::{Ended, Order, UdpSession},
};
use crate::{auth::Authenticator, client::network};

/// So many refused connections at once are told why; others are closed without a word.
const REFUSALS_AT_ONCE: usize = 32;

/// How much strangers can make a server do.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once, and UDP sessions at once. A recorder holds one for each stream it reads.
    pub connections: usize,
    /// Connections from one client's network: an IPv4 address or a /64 of IPv6.
    pub connections_per_network: usize,
    /// UDP sessions of one client's network. They are sent whether anybody listens or not.
    pub udp_sessions_per_network: usize,
    /// The longest message a client may send, in bytes, head and body together.
    pub message_bytes: usize,
    /// For the first request to come, and for a message that has begun to arrive in full.
    pub message_within: Duration,
    /// Where logins are set, a connection that has not logged in after so long is closed, whatever it asks.
    pub login_within: Duration,
    /// A connection without a session that is silent for so long is closed.
    pub idle: Duration,
    /// A client whose connection takes no byte for so long is gone.
    pub stalled: Duration,
    /// A session that does not play, or plays by UDP, ends when nothing is heard of its client for so long. SETUP
    /// announces it in whole seconds.
    pub session_timeout: Duration,
    /// The same for a UDP session whose client has closed its connection: then only RTCP, every five seconds with most
    /// clients (RFC 3550 section 6.2), or a keepalive on a new connection tells that it is there.
    pub abandoned_within: Duration,
    /// How long DESCRIBE waits for an idle stream's parameter sets.
    pub describe_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            connections_per_network: 64,
            udp_sessions_per_network: 8,
            message_bytes: 16 << 10,
            message_within: Duration::from_secs(10),
            login_within: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            stalled: Duration::from_secs(20),
            session_timeout: Duration::from_secs(60),
            abandoned_within: Duration::from_secs(15),
            describe_within: Duration::from_secs(3),
        }
    }
}

/// A server's totals since it was bound, and what it holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RtspStats {
    /// Open now.
    pub connections: u64,
    /// UDP sessions set up now; TCP sessions are connections.
    pub udp_sessions: u64,
    /// Accepted since the beginning.
    pub connections_accepted: u64,
    /// Turned away because of a limit.
    pub connections_refused: u64,
    /// TEARDOWN requests for a session there was.
    pub teardowns: u64,
    /// UDP sessions that ended because their client had fallen silent.
    pub sessions_expired: u64,
    /// Wrong user names or passwords that were looked at.
    pub logins_denied: u64,
    /// Messages that were not RTSP, or too long, or not whole in time.
    pub messages_malformed: u64,
    /// Connections lost while they were accepted, to a fault of this program.
    pub faults: u64,
}

#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) teardowns: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) denied: AtomicU64,
    pub(super) malformed: AtomicU64,
    pub(super) faults: AtomicU64,
    readers: AtomicU64,
}

pub(super) fn count(total: &AtomicU64) {
    total.fetch_add(1, Ordering::Relaxed);
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) mounts: Arc<Mounts>,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) limits: Limits,
    pub(super) totals: Totals,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
    pub(super) warnings: Warnings,
    /// For telling connections why they are refused.
    pub(super) refusals: Arc<Semaphore>,
    connections: Mutex<HashMap<IpAddr, usize>>,
    udp_sessions: Mutex<HashMap<String, UdpHandle>>,
}

/// What is logged about strangers.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    pub(super) refused: Seldom,
    pub(super) denied: Seldom,
    pub(super) no_ports: Seldom,
}

/// The way to a UDP session's task, for the address that set it up.
#[derive(Debug, Clone)]
pub(super) struct UdpHandle {
    pub(super) client: IpAddr,
    /// Where its RTP and its RTCP go to.
    pub(super) ports: [u16; 2],
    pub(super) orders: mpsc::Sender<Order>,
}

impl Shared {
    pub(super) fn new(mounts: Arc<Mounts>, authenticator: Arc<Authenticator>, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            mounts,
            authenticator,
            limits,
            totals: Totals::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            warnings: Warnings::default(),
            refusals: Arc::new(Semaphore::new(REFUSALS_AT_ONCE)),
            connections: Mutex::default(),
            udp_sessions: Mutex::default(),
        })
    }

    /// Room for one more connection from `address`, until the slot is dropped.
    pub(super) fn slot(self: &Arc<Self>, address: IpAddr) -> Option<Slot> {
        let network = network(address);
        let mut connections = self.connections.lock();
        let total: usize = connections.values().sum();
        let from_network = connections.get(&network).copied().unwrap_or_default();
        if total >= self.limits.connections || from_network >= self.limits.connections_per_network {
            return None;
        }
        connections.insert(network, from_network + 1);
        Some(Slot { shared: Arc::clone(self), network })
    }

    /// A name for a reader in statistics.
    pub(super) fn reader_id(&self) -> String {
        format!("rtsp-{}", self.totals.readers.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Room for one more UDP session, known by `id` until the place is dropped. There is none when there are as many as
    /// there may be, altogether or for the client's network, or when another session sends to one of its ports: nobody
    /// can read two streams there, and the bytes would be the same client's twice.
    pub(super) fn udp_place(self: &Arc<Self>, id: &str, handle: UdpHandle) -> Option<UdpPlace> {
        let mut sessions = self.udp_sessions.lock();
        let client = network(handle.client);
        let of_network = sessions.values().filter(|other| network(other.client) == client).count();
        let sends_there = |other: &UdpHandle| {
            other.client == handle.client && other.ports.iter().any(|port| handle.ports.contains(port))
        };
        if sessions.len() >= self.limits.connections
            || of_network >= self.limits.udp_sessions_per_network
            || sessions.values().any(sends_there)
        {
            return None;
        }
        sessions.insert(id.to_owned(), handle);
        Some(UdpPlace { shared: Arc::clone(self), id: id.to_owned() })
    }

    /// Starts a UDP session's task.
    pub(super) fn start_udp(&self, place: UdpPlace, mut task: UdpSession) {
        self.tasks.spawn(async move {
            let ended = task.run(place.shared.stop.clone()).await;
            if ended == Ended::Expired {
                count(&place.shared.totals.expired);
            }
            // Whoever hears of the end, by the task's going, finds the ports free.
            drop(place);
            drop(task);
        });
    }

    /// The UDP session of that identifier, for the address that set it up.
    pub(super) fn udp_session(&self, id: &str, client: IpAddr) -> Option<UdpHandle> {
        self.udp_sessions.lock().get(id).filter(|handle| handle.client == client).cloned()
    }

    pub(super) fn stats(&self) -> RtspStats {
        let total = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RtspStats {
            connections: self.connections.lock().values().sum::<usize>() as u64,
            udp_sessions: self.udp_sessions.lock().len() as u64,
            connections_accepted: total(&self.totals.accepted),
            connections_refused: total(&self.totals.refused),
            teardowns: total(&self.totals.teardowns),
            sessions_expired: total(&self.totals.expired),
            logins_denied: total(&self.totals.denied),
            messages_malformed: total(&self.totals.malformed),
            faults: total(&self.totals.faults),
        }
    }
}

/// One connection's place among the limits.
#[derive(Debug)]
pub(super) struct Slot {
    shared: Arc<Shared>,
    network: IpAddr,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut connections = self.shared.connections.lock();
        if let Some(from_network) = connections.get_mut(&self.network) {
            *from_network -= 1;
            if *from_network == 0 {
                connections.remove(&self.network);
            }
        }
    }
}

/// One UDP session's place among the limits; its task holds it, and may panic.
#[derive(Debug)]
pub(super) struct UdpPlace {
    shared: Arc<Shared>,
    id: String,
}

impl Drop for UdpPlace {
    fn drop(&mut self) {
        self.shared.udp_sessions.lock().remove(&self.id);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::auth::Auth;

    fn shared(limits: Limits) -> Arc<Shared> {
        Shared::new(Mounts::new(), Arc::new(Authenticator::new(Auth::Open)), limits)
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_share_its_connections() {
        let shared = shared(Limits { connections_per_network: 2, ..Limits::default() });
        let slot = |address: &str| shared.slot(address.parse().unwrap());
        let first = slot("2001:db8:1:2::1").unwrap();
        let _second = slot("2001:db8:1:2::2").unwrap();
        assert!(slot("2001:db8:1:2:ffff::3").is_none());
        assert!(slot("2001:db8:1:3::3").is_some());
        drop(first);
        assert!(slot("2001:db8:1:2:ffff::3").is_some());
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_share_its_udp_sessions() {
        let shared = shared(Limits::default());
        let place = |address: &str, port: u16| {
            let handle = UdpHandle {
                client: address.parse().unwrap(),
                ports: [port, port + 1],
                orders: mpsc::channel(1).0,
            };
            shared.udp_place(&format!("{address}-{port}"), handle)
        };
        let places: Vec<_> = (1..=8).map(|n| place(&format!("2001:db8:1:2::{n}"), 5000).unwrap()).collect();
        assert!(place("2001:db8:1:2::9", 5000).is_none(), "eight for a network");
        assert!(place("2001:db8:1:3::1", 5000).is_some());
        drop(places);
        assert!(place("2001:db8:1:2::9", 5000).is_some());
    }

    #[test]
    fn one_udp_session_is_sent_to_a_port() {
        let shared = shared(Limits::default());
        let place = |id: &str, client: &str, ports| {
            let handle = UdpHandle { client: client.parse().unwrap(), ports, orders: mpsc::channel(1).0 };
            shared.udp_place(id, handle)
        };
        let first = place("a", "10.0.0.1", [5000, 5001]).unwrap();
        for ports in [[5000, 5001], [5001, 5002], [4999, 5000]] {
            assert!(place("b", "10.0.0.1", ports).is_none(), "{ports:?}");
        }
        assert!(place("b", "10.0.0.1", [5002, 5003]).is_some());
        assert!(place("b", "10.0.0.2", [5000, 5001]).is_some());
        drop(first);
        assert!(place("b", "10.0.0.1", [5000, 5001]).is_some());
    }
}
