//! Every viewer of a process: admits, finds, counts and ends them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::addresses::host_addresses;
use crate::error::OfferError;
use crate::peer::Peer;
use crate::sdp::Offer;
use crate::session_id::SessionId;
use crate::source::Source;
use crate::stats::PeerStats;

/// How viewers are served.
#[derive(Clone, Debug)]
pub struct PeersConfig {
    /// Addresses viewers are told to send to; `0.0.0.0` and `::` stand for every interface, loopback included.
    pub bind: Vec<IpAddr>,
    /// Viewers at a time, those still connecting included.
    pub max_peers: usize,
    /// The same for one client, by the address given to [`Peers::answer`]. Loopback is exempt: behind a reverse proxy
    /// everybody comes from there.
    pub max_peers_per_client: usize,
    /// A viewer that has not begun ICE by then is freed.
    pub ice_timeout: Duration,
}

impl Default for PeersConfig {
    fn default() -> Self {
        Self {
            bind: vec![Ipv4Addr::UNSPECIFIED.into()],
            max_peers: 1000,
            max_peers_per_client: 64,
            ice_timeout: Duration::from_secs(10),
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
}

/// An address of [`PeersConfig::bind`] that cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("no UDP socket can be bound to {address}")]
pub struct BindError {
    /// As configured.
    pub address: IpAddr,
    source: std::io::Error,
}

/// Owns every peer. Dropping it ends them; [`Peers::stop`] also waits.
pub struct Peers {
    config: PeersConfig,
    runtime: Handle,
    table: Arc<Table>,
    closing: CancellationToken,
}

type Table = Mutex<HashMap<SessionId, Guest>>;

/// A peer, and the client whose offer it answers.
struct Guest {
    peer: Arc<Peer>,
    client: IpAddr,
}

impl Peers {
    /// How long [`Peers::stop`] waits for peers to take their leave: the process has cameras to say goodbye to as well.
    const STOP_TIMEOUT: Duration = Duration::from_secs(1);

    /// Peers live on `runtime`. Tries every address of the configuration, so that one which this machine does not have
    /// is found at the start and not by the first viewer.
    pub fn new(config: PeersConfig, runtime: &Handle) -> Result<Self, BindError> {
        for &address in &config.bind {
            UdpSocket::bind((address, 0)).map_err(|source| BindError { address, source })?;
        }
        Ok(Self {
            config,
            runtime: runtime.clone(),
            table: Arc::default(),
            closing: CancellationToken::new(),
        })
    }

    /// Answers the offer of a viewer at `client` (an address, or the network that counts as one client) to watch `source`.
    /// The viewer's session begins with it, and is freed when it never connects, closes or falls silent.
    pub async fn answer(
        &self,
        source: &Arc<Source>,
        offer: &str,
        client: IpAddr,
    ) -> Result<Answer, OfferError> {
        let offer = Offer::parse(offer, source.profile())?;
        let id = SessionId::new().map_err(|error| OfferError::Internal(format!("no randomness: {error}")))?;
        let peer = Arc::new(Peer::new(id, source, &self.closing));
        let seat = self.admit(id, &peer, client)?;
        let addresses = host_addresses(&self.config.bind);
        let ice_timeout = self.config.ice_timeout;
        let (answered, answer) = oneshot::channel();
        // A task from the start: were this future dropped half way (the viewer hung up), the connection must still be
        // closed.
        self.runtime.spawn(async move {
            let _seat = seat;
            peer.run(offer, addresses, ice_timeout, answered).await;
        });
        let sdp =
            answer.await.map_err(|_| OfferError::Internal("the peer's task ended early".to_owned()))??;
        Ok(Answer { id, sdp })
    }

    /// Ends a session; `false` when there is none of that name. Returns once it is freed.
    pub async fn close(&self, id: &SessionId) -> bool {
        let Some(peer) = self.table.lock().get(id).map(|guest| Arc::clone(&guest.peer)) else { return false };
        peer.closing.cancel();
        // The bound is for a library that hangs; the session has ended all the same.
        let _hanging = tokio::time::timeout(Self::STOP_TIMEOUT, peer.closed.cancelled()).await;
        true
    }

    /// Every peer, in no order.
    pub fn stats(&self) -> Vec<PeerStats> {
        let now = Instant::now();
        self.table.lock().values().map(|guest| guest.peer.stats(now)).collect()
    }

    /// Admits nobody any more, ends every peer and waits until they are freed, but for a second at most.
    pub async fn stop(&self) {
        self.closing.cancel();
        let leaving: Vec<_> = self.table.lock().values().map(|guest| Arc::clone(&guest.peer)).collect();
        let all = async {
            for peer in &leaving {
                peer.closed.cancelled().await;
            }
        };
        if tokio::time::timeout(Self::STOP_TIMEOUT, all).await.is_err() {
            tracing::warn!(left = self.table.lock().len(), "peers did not end in time");
        }
    }

    fn admit(&self, id: SessionId, peer: &Arc<Peer>, client: IpAddr) -> Result<Seat, OfferError> {
        let mut table = self.table.lock();
        // Under the lock: whoever is admitted is seen by `stop`, which cancels first and looks at the table then.
        if self.closing.is_cancelled() {
            return Err(OfferError::Internal("the server is stopping".to_owned()));
        }
        if table.len() >= self.config.max_peers {
            return Err(OfferError::Full { max_peers: self.config.max_peers });
        }
        let limit = self.config.max_peers_per_client;
        let is_limited = !client.to_canonical().is_loopback();
        if is_limited && table.values().filter(|guest| guest.client == client).count() >= limit {
            return Err(OfferError::Full { max_peers: limit });
        }
        table.insert(id, Guest { peer: Arc::clone(peer), client });
        Ok(Seat { id, table: Arc::clone(&self.table) })
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// A peer's place in the table, held by its task and given up with it, even by a panic.
struct Seat {
    id: SessionId,
    table: Arc<Table>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let guest = self.table.lock().remove(&self.id);
        if let Some(guest) = guest {
            guest.peer.closed.cancel();
        }
    }
}
