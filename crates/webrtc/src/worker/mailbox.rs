//! What the threads have in common, and how they are told what to do.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_channel::{Sender, TrySendError, bounded};
use mio::{Poll, Waker};
use parking_lot::Mutex;

use super::tcp::Connection;
use super::{Resident, WAKE, Worker};
use crate::demux::{Demux, PeerKey};
use crate::ice::Credentials;
use crate::path::Path;
use crate::sockets::Sockets;
use crate::stats::IoStats;

/// Datagrams on their way to another thread; more are dropped, and counted.
const HANDED_OVER: usize = 1024;
/// Orders on their way: a peer to take and one to close, for as many as there may be.
const ORDERS: usize = 8192;

/// What the threads have in common.
pub(crate) struct Shared {
    pub(crate) sockets: Sockets,
    pub(crate) demux: Mutex<Demux>,
    mailboxes: Vec<Mailbox>,
    /// Looked at in each turn: an order to stop could find its queue full.
    stopping: AtomicBool,
    pub(super) strangers: AtomicU64,
    datagrams_dropped: AtomicU64,
    panics: AtomicU64,
}

struct Mailbox {
    orders: Sender<Order>,
    datagrams: Sender<(u64, Path, Vec<u8>)>,
    waker: Waker,
    peers: AtomicU64,
}

pub(crate) enum Order {
    Take(Box<Resident>),
    Close(u64),
    RestartIce {
        peer: u64,
        local: Credentials,
        remote: Credentials,
    },
    /// A viewer's connection over TCP, with what came over it.
    Adopt(u64, Box<Handed>),
    #[cfg(test)]
    Panic {
        is_whole: bool,
    },
}

pub(crate) struct Handed {
    pub(super) connection: Connection,
    pub(super) datagrams: Vec<Vec<u8>>,
}

/// The thread is not there, or has more to do than it can.
#[derive(Debug, thiserror::Error)]
#[error("the WebRTC thread takes no more orders")]
pub(crate) struct Unreachable;

/// The threads, and the way to them. Dropping it ends and joins them.
pub(crate) struct Workers {
    shared: Arc<Shared>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Workers {
    pub(crate) fn start(sockets: Sockets, count: usize) -> io::Result<Self> {
        let (mut workers, mut mailboxes) = (Vec::new(), Vec::new());
        for _ in 0..count.max(1) {
            let poll = Poll::new()?;
            let (orders, order_inbox) = bounded(ORDERS);
            let (datagrams, datagram_inbox) = bounded(HANDED_OVER);
            let waker = Waker::new(poll.registry(), WAKE)?;
            mailboxes.push(Mailbox { orders, datagrams, waker, peers: AtomicU64::new(0) });
            workers.push((poll, order_inbox, datagram_inbox));
        }
        let (demux, stopping, strangers, datagrams_dropped, panics) = Default::default();
        let shared =
            Arc::new(Shared { sockets, demux, mailboxes, stopping, strangers, datagrams_dropped, panics });
        let mut started = Self { shared: Arc::clone(&shared), threads: Vec::new() };
        for (number, (poll, orders, datagrams)) in workers.into_iter().enumerate() {
            let worker = Worker::new(number, poll, Arc::clone(&shared), orders, datagrams)?;
            let thread = std::thread::Builder::new().name(format!("webrtc-{number}"));
            started.threads.push(thread.spawn(move || worker.run())?);
        }
        Ok(started)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.stop();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// The thread that has the fewest peers.
    pub(crate) fn idlest(&self) -> usize {
        let peers = |mailbox: &Mailbox| mailbox.peers.load(Ordering::Relaxed);
        (0..self.mailboxes.len()).min_by_key(|&number| peers(&self.mailboxes[number])).unwrap_or(0)
    }

    pub(crate) fn order(&self, worker: usize, order: Order) -> Result<(), Unreachable> {
        let mailbox = self.mailboxes.get(worker).ok_or(Unreachable)?;
        let arrives = matches!(order, Order::Take(_));
        mailbox.orders.try_send(order).map_err(|_| Unreachable)?;
        if arrives {
            mailbox.peers.fetch_add(1, Ordering::Relaxed);
        }
        self.wake(worker);
        Ok(())
    }

    /// Tells all threads to end their peers and themselves.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        (0..self.mailboxes.len()).for_each(|worker| self.wake(worker));
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(super) fn peer_left(&self, worker: usize) {
        self.mailboxes[worker].peers.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> IoStats {
        IoStats {
            packets_unsent: self.sockets.unsent.load(Ordering::Relaxed),
            datagrams_of_strangers: self.strangers.load(Ordering::Relaxed),
            datagrams_dropped: self.datagrams_dropped.load(Ordering::Relaxed),
            panics: self.panics.load(Ordering::Relaxed),
        }
    }

    pub(super) fn wake(&self, worker: usize) {
        // Fails only when the counter behind it is full, and then the thread is awake.
        let _ = self.mailboxes[worker].waker.wake();
    }

    pub(super) fn hand_over(&self, key: PeerKey, path: Path, datagram: &[u8]) {
        match self.mailboxes[key.worker].datagrams.try_send((key.number, path, datagram.to_vec())) {
            Ok(()) => self.wake(key.worker),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.dropped(),
        }
    }

    pub(super) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// A datagram of a viewer had to be dropped.
    pub(super) fn dropped(&self) {
        self.datagrams_dropped.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn threads_end_however_many_orders_are_on_their_way() {
        let sockets = Sockets::bind(&["127.0.0.1".parse().unwrap()], 0).unwrap();
        let workers = Workers::start(sockets, 2).unwrap();
        let (shared, begun) = (Arc::clone(workers.shared()), Instant::now());
        let feeding = std::thread::spawn(move || {
            while !shared.is_stopping() {
                while shared.order(1, Order::Close(1)).is_ok() {}
            }
        });
        std::thread::sleep(Duration::from_millis(50));
        drop(workers);
        assert!(begun.elapsed() < Duration::from_secs(20));
        feeding.join().unwrap();
    }
}
