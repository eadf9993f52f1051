//! The accept loop: HTTP/1.1 connections with a deadline for the request's head and a cap per address.
//!
//! `axum::serve` has neither: a client that sends its headers a byte a minute or does not read its answers, or an
//! `accept` that fails because descriptors ran out, must not take the page away from everybody else.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Layer, ServiceExt};

use crate::client::network;

/// A request's head must be complete after this long.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections open at once, all addresses together.
const MAX_CONNECTIONS: usize = 4096;
/// An answer that its client does not read is given up after this long without progress.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
/// A request's head is at most this long.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Connections open at once from one client (see [`network`]); a kiosk's browser opens six, a reverse proxy a few dozen.
const MAX_CONNECTIONS_PER_CLIENT: usize = 256;
/// How long to wait after `accept` failed, so that running out of descriptors is not a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why HTTP could not listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program, or another Wallcast, has the port.
    #[error("the HTTP address {0} is in use by another program, expected a free port")]
    InUse(SocketAddr),
    /// The address belongs to no interface.
    #[error("the HTTP address {0} does not belong to this machine, expected one of its own")]
    NotHere(SocketAddr),
    /// Ports below 1024 need a privilege.
    #[error("listening for HTTP on {0} is not permitted, expected a port from 1024 on or the privilege")]
    NotPermitted(SocketAddr),
    /// The operating system said something else.
    #[error("cannot listen for HTTP on {address}")]
    Other {
        /// What was asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Serves `router` on `listener` until `stop` is cancelled, then lets open requests finish for a moment.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let open = Arc::new(OpenConnections::default());
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(place) = OpenConnections::enter(&open, peer.ip()) else {
                    tracing::debug!(%peer, "refused a connection: too many are open");
                    continue;
                };
                let connection = connection(stream, peer, router.clone(), stop.clone());
                tasks.spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%peer, %error, "an HTTP connection ended early");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept an HTTP connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    // Requests here take milliseconds; what is still open after a second is a client that does not read.
    let _timed_out = tokio::time::timeout(Duration::from_secs(1), tasks.wait()).await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    stop: CancellationToken,
) -> Result<(), hyper::Error> {
    let _unsupported = stream.set_nodelay(true);
    let service = axum::Extension(ConnectInfo(peer))
        .layer(router)
        .map_request(|request: hyper::Request<hyper::body::Incoming>| request.map(axum::body::Body::new));
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(MAX_HEAD_BYTES);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let connection = builder
        .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(service))
        .with_upgrades();
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// How many connections each client has open.
#[derive(Default)]
struct OpenConnections(Mutex<HashMap<IpAddr, usize>>);

/// A place taken; dropping it gives it back.
struct Place {
    open: Arc<OpenConnections>,
    client: IpAddr,
}

impl OpenConnections {
    fn enter(open: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let client = network(address);
        let mut counts = open.0.lock();
        if counts.values().sum::<usize>() >= MAX_CONNECTIONS {
            return None;
        }
        let count = counts.entry(client).or_default();
        if *count >= MAX_CONNECTIONS_PER_CLIENT {
            return None;
        }
        *count += 1;
        Some(Place { open: Arc::clone(open), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.open.0.lock();
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

/// Binds `address` for HTTP.
///
/// # Errors
/// The address is taken, not this machine's, or not permitted.
pub fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    let bind = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    bind().map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse(address),
        io::ErrorKind::AddrNotAvailable => BindError::NotHere(address),
        io::ErrorKind::PermissionDenied => BindError::NotPermitted(address),
        _ => BindError::Other { address, source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_its_place_back_when_a_connection_ends() {
        let open = Arc::new(OpenConnections::default());
        let address: IpAddr = [127, 0, 0, 1].into();
        let places: Vec<_> =
            (0..MAX_CONNECTIONS_PER_CLIENT).map(|_| OpenConnections::enter(&open, address)).collect();
        assert!(places.iter().all(Option::is_some));
        assert!(OpenConnections::enter(&open, address).is_none(), "one more than the cap");
        assert!(
            OpenConnections::enter(&open, [127, 0, 0, 2].into()).is_some(),
            "another address is not affected"
        );
        drop(places);
        assert!(OpenConnections::enter(&open, address).is_some());
        assert!(open.0.lock().len() <= 1, "addresses without connections are forgotten");
    }
}
