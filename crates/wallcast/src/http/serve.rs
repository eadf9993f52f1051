//! The accept loop: HTTP/1.1 connections with a deadline for the request's head and a cap per address.
//!
//! `axum::serve` has neither (failures P2, P8): a client that sends its headers a byte a minute, or an `accept` that
//! fails because descriptors ran out, must not take the page away from everybody else.

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
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Layer, ServiceExt};

/// A request's head must be complete after this long.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections open at once, all addresses together.
const MAX_CONNECTIONS: usize = 4096;
/// Connections open at once from one address; a kiosk's browser opens six, a reverse proxy a few dozen.
const MAX_CONNECTIONS_PER_ADDRESS: usize = 512;
/// How long to wait after `accept` failed, so that running out of descriptors is not a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).with_upgrades();
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// How many connections each address has open.
#[derive(Default)]
struct OpenConnections(Mutex<HashMap<IpAddr, usize>>);

/// A place taken; dropping it gives it back.
struct Place {
    open: Arc<OpenConnections>,
    address: IpAddr,
}

impl OpenConnections {
    fn enter(open: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut counts = open.0.lock();
        if counts.values().sum::<usize>() >= MAX_CONNECTIONS {
            return None;
        }
        let count = counts.entry(address).or_default();
        if *count >= MAX_CONNECTIONS_PER_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Place { open: Arc::clone(open), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.open.0.lock();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// Binds `address` for HTTP.
///
/// # Errors
/// The address is taken, not this machine's, or not permitted.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_its_place_back_when_a_connection_ends() {
        let open = Arc::new(OpenConnections::default());
        let address: IpAddr = [127, 0, 0, 1].into();
        let places: Vec<_> =
            (0..MAX_CONNECTIONS_PER_ADDRESS).map(|_| OpenConnections::enter(&open, address)).collect();
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
