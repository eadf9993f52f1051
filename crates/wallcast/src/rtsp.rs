//! The RTSP server (RFC 2326, RTSP/1.0): walls and cameras for recorders, players and other gateways.
//!
//! Whoever makes a stream pushes it into a [`Mount`]; the server finds mounts by name in [`Mounts`]. Reading
//! cameras is `wallcast_ingest`'s. TLS, multicast and RECORD are not served.

mod auth;
mod connection;
mod inbox;
mod mount;
mod packets;
mod parameter_sets;
mod reader;
mod reply;
mod requests;
mod rtp;
mod sdp;
mod seldom;
mod session;
mod state;
mod target;
mod transport;
mod udp;

use std::{
    io,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use rtsp_types::StatusCode;
use socket2::{Domain, Socket, Type};
use tokio::{io::AsyncWriteExt, net::TcpListener, net::TcpStream};
use tokio_util::sync::CancellationToken;

pub use mount::{Mount, MountStats, Mounts, NameInUse};
pub use reader::{ReaderStats, ReaderTransport};
pub use state::{Limits, RtspStats};

use connection::Connection;
use reply::Reply;
use state::{Shared, count};

use crate::auth::Authenticator;

const BACKLOG: i32 = 128;
/// When the process has no file left, accepting again at once would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
const STOP_WITHIN: Duration = Duration::from_secs(1);

/// A listening RTSP server; dropping it ends its connections too, without waiting for them.
#[derive(Debug)]
pub struct RtspServer {
    shared: Arc<Shared>,
    local: SocketAddr,
    /// Cancelled when nobody accepts connections any more.
    ended: CancellationToken,
}

/// Why a server could not listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program, or another Wallcast, has the port.
    #[error("the RTSP address {0} is in use by another program, expected a free port")]
    InUse(SocketAddr),
    /// The address belongs to no interface.
    #[error("the RTSP address {0} does not belong to this machine, expected one of its own")]
    NotHere(SocketAddr),
    /// Ports below 1024 need a privilege.
    #[error("listening for RTSP on {0} is not permitted, expected a port from 1024 on or the privilege")]
    NotPermitted(SocketAddr),
    /// The operating system said something else.
    #[error("cannot listen for RTSP on {address}")]
    Other {
        /// What was asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
}

impl RtspServer {
    /// Listens on `address` (port 0 takes a free one) and serves `mounts` to whom `authenticator` lets in: where it asks
    /// for tokens, a token's name is the user and the token the password. It is the HTTP server's too, so that guesses
    /// here and there are counted together. Has to be called within a tokio runtime.
    pub fn bind(
        address: SocketAddr,
        mounts: Arc<Mounts>,
        authenticator: Arc<Authenticator>,
    ) -> Result<Self, BindError> {
        Self::bind_with(address, mounts, authenticator, Limits::default())
    }

    /// The same with other limits.
    pub fn bind_with(
        address: SocketAddr,
        mounts: Arc<Mounts>,
        authenticator: Arc<Authenticator>,
        limits: Limits,
    ) -> Result<Self, BindError> {
        let refused = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse(address),
            io::ErrorKind::AddrNotAvailable => BindError::NotHere(address),
            io::ErrorKind::PermissionDenied => BindError::NotPermitted(address),
            _ => BindError::Other { address, source: error },
        };
        let listener = listen(address).map_err(refused)?;
        let local = listener.local_addr().map_err(refused)?;
        let shared = Shared::new(mounts, authenticator, limits);
        let ended = watched(&shared, accept(listener, Arc::clone(&shared), admit));
        Ok(Self { shared, local, ended })
    }

    /// The address it listens on, with the port that it got.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Waits until the server accepts no more connections. While it has not been stopped, that is a fault: what is
    /// connected goes on, but nobody can come any more.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Totals and what there is now.
    pub fn stats(&self) -> RtspStats {
        self.shared.stats()
    }

    /// Stops accepting, ends every connection and session, and waits for their tasks, at most a second.
    pub async fn stop(self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        if tokio::time::timeout(STOP_WITHIN, self.shared.tasks.wait()).await.is_err() {
            tracing::warn!(
                tasks = self.shared.tasks.len(),
                "RTSP connections were still open when the server ended"
            );
        }
    }
}

impl Drop for RtspServer {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restart must not wait for the old connections' last packets.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Runs a task of the server, and tells when it has ended, by a panic too.
fn watched(shared: &Shared, task: impl Future<Output = ()> + Send + 'static) -> CancellationToken {
    let ended = CancellationToken::new();
    let guard = ended.clone().drop_guard();
    shared.tasks.spawn(async move {
        let _guard = guard;
        task.await;
    });
    ended
}

/// Hands every connection to `admit`. When that panics, the connection is closed and the next one is accepted.
async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    admit: impl Fn(&Arc<Shared>, TcpStream, SocketAddr),
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, from)) => {
                // Nothing is shared with the next connection but counters and maps, which a panic leaves whole.
                if catch_unwind(AssertUnwindSafe(|| admit(&shared, socket, from))).is_err() {
                    count(&shared.totals.faults);
                    tracing::error!(client = %from, "an RTSP connection was lost to a fault of this program");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "an RTSP connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn admit(shared: &Arc<Shared>, socket: TcpStream, from: SocketAddr) {
    count(&shared.totals.accepted);
    // An IPv4 client of a listener for both families is itself, for limits and for UDP.
    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
    let Some(slot) = shared.slot(from.ip()) else {
        count(&shared.totals.refused);
        if let Some(times) = shared.warnings.refused.times(Instant::now()) {
            tracing::warn!(client = %from, times, "an RTSP connection was refused: there are too many");
        }
        if let Ok(permit) = Arc::clone(&shared.refusals).try_acquire_owned() {
            shared.tasks.spawn(async move {
                turn_away(socket).await;
                drop(permit);
            });
        }
        return;
    };
    let Ok(connection) = Connection::new(Arc::clone(shared), socket, from, slot) else { return };
    shared.tasks.spawn(async move {
        let closed = connection.run().await;
        tracing::debug!(client = %from, ?closed, "an RTSP connection ended");
    });
}

/// Says why, if that can be said without waiting.
async fn turn_away(mut socket: TcpStream) {
    let mut answer = Vec::new();
    Reply::new(StatusCode::ServiceUnavailable).write(None, &mut answer);
    let said = async {
        socket.write_all(&answer).await?;
        socket.shutdown().await
    };
    let _ = tokio::time::timeout(ACCEPT_PAUSE, said).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use tokio::{io::AsyncReadExt, time::timeout};

    use super::*;
    use crate::auth::{Auth, Roles, Token};

    fn shared() -> Arc<Shared> {
        Shared::new(Mounts::new(), Arc::new(Authenticator::new(Auth::Open)), Limits::default())
    }

    #[tokio::test]
    async fn a_panic_while_a_connection_is_admitted_ends_that_connection_only() {
        let shared = shared();
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let is_first = AtomicBool::new(true);
        let admit = move |shared: &Arc<Shared>, socket, from| {
            assert!(!is_first.swap(false, Ordering::Relaxed), "a fault, to see who suffers from it");
            super::admit(shared, socket, from);
        };
        let ended = watched(&shared, accept(listener, Arc::clone(&shared), admit));

        let mut lost = TcpStream::connect(address).await.unwrap();
        assert!(matches!(lost.read(&mut [0; 1]).await, Ok(0) | Err(_)), "closed");
        let mut next = TcpStream::connect(address).await.unwrap();
        next.write_all(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n").await.unwrap();
        let mut answer = [0; 15];
        timeout(Duration::from_secs(10), next.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(&answer, b"RTSP/1.0 200 OK");
        assert_eq!((shared.stats().faults, ended.is_cancelled()), (1, false));
        shared.stop.cancel();
        timeout(Duration::from_secs(10), ended.cancelled()).await.expect("the end is told");
    }

    #[tokio::test]
    async fn a_refused_connection_is_told_why_unless_there_are_too_many_of_them() {
        let limits = Limits { connections: 0, ..Limits::default() };
        let shared = Shared::new(Mounts::new(), Arc::new(Authenticator::new(Auth::Open)), limits);
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let refused = async || {
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (socket, from) = listener.accept().await.unwrap();
            admit(&shared, socket, from);
            let mut answer = String::new();
            timeout(Duration::from_secs(10), client.read_to_string(&mut answer)).await.unwrap().unwrap();
            answer
        };
        assert!(refused().await.starts_with("RTSP/1.0 503 "));
        let others = Arc::clone(&shared.refusals).acquire_many_owned(32).await.unwrap();
        assert_eq!(refused().await, "");
        assert!(shared.tasks.is_empty());
        drop(others);
        assert!(refused().await.starts_with("RTSP/1.0 503 "));
        assert_eq!(shared.stats().connections_refused, 3);
    }

    /// Counts warnings, and forgets everything else.
    #[derive(Default)]
    struct CountWarnings(Arc<AtomicUsize>);

    impl tracing::Subscriber for CountWarnings {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            *metadata.level() <= tracing::Level::WARN && metadata.target().starts_with("wallcast::rtsp")
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn event(&self, _: &tracing::Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }

    #[tokio::test]
    async fn refused_connections_and_wrong_logins_are_a_line_each_and_not_one_every_time() {
        let warnings = CountWarnings::default();
        let count = Arc::clone(&warnings.0);
        let _logging = tracing::subscriber::set_default(warnings);
        let token = Token::new("viewer", "s3cret".into(), Roles::ALL);
        let limits = Limits { connections: 1, ..Limits::default() };
        let keys = Arc::new(Authenticator::new(Auth::Tokens(vec![token])));
        let server =
            RtspServer::bind_with("127.0.0.1:0".parse().unwrap(), Mounts::new(), keys, limits).unwrap();
        let mut guesser = TcpStream::connect(server.local_addr()).await.unwrap();
        let guess =
            b"DESCRIBE rtsp://x/wall RTSP/1.0\r\nCSeq: 1\r\nAuthorization: Basic dmlld2VyOndyb25n\r\n\r\n";
        guesser.write_all(&guess.repeat(2)).await.unwrap();
        let both = async {
            while server.stats().logins_denied < 2 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(10), both).await.unwrap();
        for _ in 0..5 {
            let mut refused = TcpStream::connect(server.local_addr()).await.unwrap();
            let _ = refused.read_to_end(&mut Vec::new()).await;
        }
        assert_eq!(server.stats().connections_refused, 5);
        assert_eq!(count.load(Ordering::Relaxed), 2, "one of each kind");
    }

    #[tokio::test]
    async fn an_end_by_panic_is_told_too() {
        let shared = shared();
        let ended = watched(&shared, async { panic!("a fault, to see whether anybody is told") });
        timeout(Duration::from_secs(10), ended.cancelled()).await.expect("the end is told");
    }
}
