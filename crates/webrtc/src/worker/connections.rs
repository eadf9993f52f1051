//! Which viewer a connection over TCP belongs to, and which thread.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mio::{Interest, Token};

use super::Worker;
use super::mailbox::{Handed, Order};
use super::tcp::Connection;
use crate::demux::PeerKey;
use crate::path::Path;

/// Connections that have not proved yet whose they are.
const MAX_UNKNOWN: usize = 64;
/// Of those, a network's: nobody is to keep all others out with a few idle connections.
const MAX_UNKNOWN_OF_NETWORK: usize = 8;
/// A viewer's connections.
const MAX_CONNECTIONS: usize = 4;

impl Worker {
    pub(super) fn accept(&mut self) {
        let shared = Arc::clone(&self.shared);
        for listener in shared.sockets.tcp() {
            loop {
                match listener.accept() {
                    Ok((stream, remote)) => {
                        if let Ok(connection) = Connection::new(Instant::now(), stream, remote) {
                            self.keep(connection);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error)
                        if matches!(
                            error.kind(),
                            io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
                        ) => {}
                    Err(error) => {
                        tracing::debug!(%error, "no connection could be accepted");
                        self.accept_again = Some(Instant::now() + Duration::from_secs(1));
                        break;
                    }
                }
            }
        }
    }

    pub(super) fn adopt(&mut self, peer: u64, handed: Handed) {
        let Handed { mut connection, datagrams } = handed;
        let path = connection.path;
        (connection.peer, connection.is_authenticated) = (Some(peer), self.has_proved(peer, path));
        if self.keep(connection) {
            for datagram in datagrams {
                self.hear(peer, path, &datagram);
            }
        }
    }

    /// `false`: there are too many; it is closed.
    fn keep(&mut self, mut connection: Connection) -> bool {
        if !self.make_room(connection.peer, connection.path.remote.ip()) {
            return false;
        }
        let token = Token(self.next_token);
        self.next_token += 1;
        let interest = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(connection.stream(), token, interest).is_err() {
            return false;
        }
        self.connections.insert(token, connection);
        true
    }

    /// For one more connection, of a peer or from an address. Where there are too many, the oldest that has not proved
    /// whose it is makes way: a viewer proves it with the first word. `false`: there is none.
    fn make_room(&mut self, peer: Option<u64>, remote: IpAddr) -> bool {
        match peer {
            Some(_) => {
                self.close_oldest(MAX_CONNECTIONS, |connection| connection.peer == peer);
                self.connections.values().filter(|connection| connection.peer == peer).count()
                    < MAX_CONNECTIONS
            }
            None => {
                let is_unknown = |connection: &Connection| !connection.is_authenticated;
                let network = network(remote);
                self.close_oldest(MAX_UNKNOWN_OF_NETWORK, |connection| {
                    is_unknown(connection) && self::network(connection.path.remote.ip()) == network
                });
                self.close_oldest(MAX_UNKNOWN, is_unknown);
                true
            }
        }
    }

    /// When there are `limit` of those or more.
    fn close_oldest(&mut self, limit: usize, of: impl Fn(&Connection) -> bool) {
        let found: Vec<_> = self.connections.iter().filter(|(_, connection)| of(connection)).collect();
        if found.len() >= limit {
            let unknown = found.into_iter().filter(|(_, connection)| !connection.is_authenticated);
            let oldest = unknown.min_by_key(|(_, connection)| connection.since).map(|(token, _)| *token);
            oldest.into_iter().for_each(|token| self.disconnect(token));
        }
    }

    /// A viewer that connects again from the same port has proved it before.
    fn has_proved(&self, peer: u64, path: Path) -> bool {
        self.residents.get(&peer).is_some_and(|resident| resident.peer.has_authenticated(path))
    }

    pub(super) fn connection_ready(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let (flushed, read) = (connection.flush(), connection.read());
        let (path, peer) = (connection.path, connection.peer);
        let (Ok(()), Ok((datagrams, has_more))) = (flushed, read) else { return self.disconnect(token) };
        if has_more {
            self.unread.push(token);
        }
        let peer = match (peer, datagrams.first()) {
            (Some(peer), _) => peer,
            (None, None) => return,
            (None, Some(first)) => {
                // The first word must be a check to a session of ours.
                let key = self.shared.demux.lock().route_check(first);
                match key {
                    None => {
                        self.shared.strangers.fetch_add(1, Ordering::Relaxed);
                        return self.disconnect(token);
                    }
                    Some(key) if key.worker != self.number => return self.pass_on(token, key, datagrams),
                    Some(key) => {
                        if !self.make_room(Some(key.number), path.remote.ip()) {
                            return self.disconnect(token);
                        }
                        let is_authenticated = self.has_proved(key.number, path);
                        if let Some(connection) = self.connections.get_mut(&token) {
                            (connection.peer, connection.is_authenticated) =
                                (Some(key.number), is_authenticated);
                        }
                        key.number
                    }
                }
            }
        };
        for datagram in datagrams {
            self.hear(peer, path, &datagram);
        }
    }

    fn pass_on(&mut self, token: Token, key: PeerKey, datagrams: Vec<Vec<u8>>) {
        let Some(mut connection) = self.connections.remove(&token) else { return };
        let _ = self.poll.registry().deregister(connection.stream());
        // Not taken: closed, and the viewer connects again.
        let handed = Box::new(Handed { connection, datagrams });
        let _ = self.shared.order(key.worker, Order::Adopt(key.number, handed));
    }

    pub(super) fn disconnect(&mut self, token: Token) {
        if let Some(mut connection) = self.connections.remove(&token) {
            let _ = self.poll.registry().deregister(connection.stream());
        }
    }
}

/// What one client may have all of: an address, or 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address => address,
    }
}
