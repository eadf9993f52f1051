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
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    mount::Mounts,
    udp::{Command, Ended, UdpSession},
};
use crate::auth::Authenticator;

/// How much strangers can make a server do.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once, and UDP sessions at once. A recorder holds one for each stream it reads.
    pub connections: usize,
    /// The same from one address.
    pub connections_per_address: usize,
    /// The longest message a client may send, in bytes, head and body together.
    pub message_bytes: usize,
    /// For the first request to come, and for a message that has begun to arrive in full.
    pub message_within: Duration,
    /// A connection without a session that is silent for so long is closed.
    pub idle: Duration,
    /// A client whose connection takes no byte for so long is gone.
    pub stalled: Duration,
    /// A session that does not play, or plays by UDP, ends when nothing is heard of its client for so long. SETUP
    /// announces it in whole seconds.
    pub session_timeout: Duration,
    /// How long DESCRIBE waits for an idle stream's parameter sets.
    pub describe_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            connections_per_address: 64,
            message_bytes: 16 << 10,
            message_within: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            stalled: Duration::from_secs(20),
            session_timeout: Duration::from_secs(60),
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
    connections: Mutex<HashMap<IpAddr, usize>>,
    udp_sessions: Mutex<HashMap<String, UdpHandle>>,
}

/// The way to a UDP session's task, for the address that set it up.
#[derive(Debug, Clone)]
pub(super) struct UdpHandle {
    pub(super) client: IpAddr,
    pub(super) commands: mpsc::Sender<Command>,
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
            connections: Mutex::default(),
            udp_sessions: Mutex::default(),
        })
    }

    /// Room for one more connection from `address`, until the slot is dropped.
    pub(super) fn slot(self: &Arc<Self>, address: IpAddr) -> Option<Slot> {
        let mut connections = self.connections.lock();
        let total: usize = connections.values().sum();
        let from_address = connections.entry(address).or_default();
        if total >= self.limits.connections || *from_address >= self.limits.connections_per_address {
            if *from_address == 0 {
                connections.remove(&address);
            }
            return None;
        }
        *from_address += 1;
        Some(Slot { shared: Arc::clone(self), address })
    }

    /// A name for a reader in statistics.
    pub(super) fn reader_id(&self) -> String {
        format!("rtsp-{}", self.totals.readers.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// There are as many UDP sessions as there may be, altogether or for `client`.
    pub(super) fn is_full_of_udp(&self, client: IpAddr) -> bool {
        let sessions = self.udp_sessions.lock();
        sessions.len() >= self.limits.connections
            || sessions.values().filter(|handle| handle.client == client).count()
                >= self.limits.connections_per_address
    }

    /// Starts a UDP session's task under the session's identifier.
    pub(super) fn start_udp(self: &Arc<Self>, id: String, handle: UdpHandle, task: UdpSession) {
        self.udp_sessions.lock().insert(id.clone(), handle);
        let entry = UdpEntry { shared: Arc::clone(self), id };
        self.tasks.spawn(async move {
            let ended = task.run(entry.shared.stop.clone()).await;
            if ended == Ended::Expired {
                count(&entry.shared.totals.expired);
            }
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
    address: IpAddr,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut connections = self.shared.connections.lock();
        if let Some(from_address) = connections.get_mut(&self.address) {
            *from_address -= 1;
            if *from_address == 0 {
                connections.remove(&self.address);
            }
        }
    }
}

/// One UDP session's place among the limits; its task holds it, and may panic.
#[derive(Debug)]
struct UdpEntry {
    shared: Arc<Shared>,
    id: String,
}

impl Drop for UdpEntry {
    fn drop(&mut self) {
        self.shared.udp_sessions.lock().remove(&self.id);
    }
}
