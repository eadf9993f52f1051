//! Which viewer a connection over TCP belongs to, and which thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mio::{Interest, Token};

use super::Worker;
use super::mailbox::{Handed, Order};
use super::tcp::Connection;
use crate::demux::PeerKey;

/// Connections that have not told yet whose they are.
const MAX_UNKNOWN: usize = 64;
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
        connection.peer = Some(peer);
        let path = connection.path;
        if self.keep(connection) {
            for datagram in datagrams {
                self.hear(peer, path, &datagram);
            }
        }
    }

    /// `false`: there are too many; it is closed.
    fn keep(&mut self, mut connection: Connection) -> bool {
        let limit = if connection.peer.is_some() { MAX_CONNECTIONS } else { MAX_UNKNOWN };
        let token = Token(self.next_token);
        self.next_token += 1;
        let interest = Interest::READABLE | Interest::WRITABLE;
        if self.connections_of(connection.peer) >= limit
            || self.poll.registry().register(connection.stream(), token, interest).is_err()
        {
            return false;
        }
        self.connections.insert(token, connection);
        true
    }

    fn connections_of(&self, peer: Option<u64>) -> usize {
        self.connections.values().filter(|connection| connection.peer == peer).count()
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
                        if self.connections_of(Some(key.number)) >= MAX_CONNECTIONS {
                            return self.disconnect(token);
                        }
                        if let Some(connection) = self.connections.get_mut(&token) {
                            connection.peer = Some(key.number);
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
