//! The connection to a camera: its addresses one after the other, TCP, and TLS if the address asks for it. What is
//! said over it is not known here.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::client::TlsStream;

use super::resolve::resolve;
use super::tls::{self, Certificate};
use crate::session::failure::Failure;
use crate::source::{SourceUrl, shown_host};

/// How long one address may take to answer, and then again to agree on a cipher. A camera on the other side of a slow
/// link takes one second; one that is off never answers, and its next address should have its turn.
const LIMIT: Duration = Duration::from_secs(5);
/// A camera that lost its power leaves a connection that is silent for ever. Silence has its own watchdog; this one
/// lets the kernel forget a connection that nobody listens to any more.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// A connection, secret or not.
#[derive(Debug)]
pub(crate) struct Connection {
    local: SocketAddr,
    peer: SocketAddr,
    stream: Stream,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects to the first of the camera's addresses that answers, within `budget` all in all.
///
/// # Errors
/// Says what went wrong with the address that came nearest.
pub(crate) async fn connect(
    source: &SourceUrl,
    certificate: Certificate,
    budget: Duration,
) -> Result<Connection, Failure> {
    let deadline = Instant::now() + budget;
    let host = source.host();
    let addresses = match timeout(budget, resolve(&host, source.port())).await {
        Ok(addresses) => addresses?,
        Err(_) => return Err(Failure::NameServerSilent { host: shown_host(&host), after: budget }),
    };
    connect_to_first(addresses, source, certificate, deadline).await
}

async fn connect_to_first(
    addresses: Vec<SocketAddr>,
    source: &SourceUrl,
    certificate: Certificate,
    deadline: Instant,
) -> Result<Connection, Failure> {
    let mut nearest: Option<Failure> = None;
    for address in addresses {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() && nearest.is_some() {
            break;
        }
        match connect_to(address, source, certificate, left).await {
            Ok(connection) => return Ok(connection),
            Err(failure) if nearest.as_ref().is_none_or(|known| rank(known) < rank(&failure)) => {
                nearest = Some(failure);
            }
            Err(_) => {}
        }
    }
    Err(nearest.unwrap_or_else(|| Failure::NoSuchHost { host: shown_host(&source.host()) }))
}

async fn connect_to(
    peer: SocketAddr,
    source: &SourceUrl,
    certificate: Certificate,
    left: Duration,
) -> Result<Connection, Failure> {
    let deadline = Instant::now() + left;
    let limit = left.min(LIMIT);
    let silent = |after| Failure::NoAnswer { address: peer.to_string(), after };
    let lost = |error: io::Error| Failure::of_connect(error.kind(), &peer.to_string());
    let stream = timeout(limit, TcpStream::connect(peer)).await.map_err(|_| silent(limit))?.map_err(lost)?;
    let local = stream.local_addr().map_err(lost)?;
    // Requests are small and waited for. Neither option is worth a connection.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream)
        .set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL));
    let stream = if source.is_tls() {
        let limit = deadline.saturating_duration_since(Instant::now()).min(LIMIT);
        let host = source.host();
        let handshake = tls::handshake(stream, peer, &host, certificate);
        Stream::Tls(Box::new(timeout(limit, handshake).await.map_err(|_| silent(limit))??))
    } else {
        Stream::Plain(stream)
    };
    Ok(Connection { local, peer, stream })
}

/// The further an address got, the more its failure says.
fn rank(failure: &Failure) -> u8 {
    match failure {
        Failure::Unreachable { .. } => 0,
        Failure::NotConnected { .. } => 1,
        Failure::NoAnswer { .. } => 2,
        Failure::Refused { .. } => 3,
        _ => 4,
    }
}

impl Connection {
    /// Our end: where the camera can send UDP to.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// The camera.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests;
