//! Between `retina` and the camera stands the gate, in our own process. `retina` connects to it over loopback and sees a
//! camera without fault: interleaved TCP, no login, one SSRC, sequence numbers without jumps, messages within limits, a
//! session description without traps. The gate has the real connection, with everything that cameras get wrong.
//!
//! What is told apart here: [`wire`] cuts bytes into messages and packets, [`dialogue`] translates messages, [`rtp`] and
//! [`reorder`] put packets right, all without I/O; [`relay`] has the sockets and the clock. What the gate finds wrong is
//! a [`Failure`] that comes before whatever `retina` then says. Nothing here decodes.

mod account;
mod connect;
mod dialogue;
pub(crate) mod fuzzing;
mod impairment;
mod keepalive;
mod login;
mod message;
mod relay;
mod reorder;
mod resolve;
mod rtp;
mod sdp;
mod tls;
mod udp;
mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

pub(crate) use account::{Member, Paused};
pub use impairment::Impairments;
pub(crate) use impairment::{Counted, Impairment};
pub(crate) use message::{MAX_BODY, TooLarge};
pub use tls::{Certificate, UnknownCertificate};
pub(crate) use wire::Broken;

use crate::camera::{CameraConfig, Transport};
use crate::record::Record;
use crate::session::failure::Failure;
use crate::source::{SourceUrl, shown_words};
use relay::Relay;
#[cfg(test)]
pub(crate) use relay::tests::PANICS;

/// For looking up the camera's name and trying its addresses, each of which has five seconds.
const CONNECT_BUDGET: Duration = Duration::from_secs(15);

/// What is looked through for secrets. Much less is shown.
const MAX_WORDS: usize = 4_096;

/// One session's way to the camera. Dropping it ends the session with TEARDOWN, which the task from
/// [`Gate::take_relay`] still does.
pub(crate) struct Gate {
    url: Url,
    told: Arc<Told>,
    pictures: Pictures,
    relay: Option<JoinHandle<()>>,
    _stop: DropGuard,
}

/// What the relay tells, all but redirects at most once.
#[derive(Default)]
struct Told {
    /// Where the camera led to: addresses with secrets of their own.
    redirects: Mutex<Vec<SourceUrl>>,
    failure: OnceLock<Failure>,
    parameter_sets: OnceLock<Vec<u8>>,
    transport: OnceLock<Transport>,
}

/// How many pictures `retina` has put together so far: what it holds on to begins after the last one.
#[derive(Debug, Clone, Default)]
struct Pictures(Arc<AtomicU64>);

impl Gate {
    /// Connects to the camera. Nothing is said to it before `retina` connects to [`Gate::url`].
    ///
    /// # Errors
    /// If there is no connection.
    pub(crate) async fn open(
        config: &CameraConfig,
        transport: Transport,
        account: Option<Arc<Member>>,
        record: Arc<Record>,
    ) -> Result<Self, Failure> {
        let connection = connect::connect(&config.source, config.certificate, CONNECT_BUDGET).await?;
        let (address, listener) = listen().await.map_err(|error| {
            tracing::error!(camera = %config.name, "no port on loopback for the session: {error}");
            Failure::Internal
        })?;
        // Unguessable: whoever else on this machine finds the port gets nothing.
        let url = format!("rtsp://{address}/{:032x}", rand::random::<u128>());
        let url = Url::parse(&url).map_err(|_| Failure::Internal)?;

        let told = Arc::new(Told::default());
        let stop = CancellationToken::new();
        let pictures = Pictures::default();
        let relay = Relay::new(
            config,
            transport,
            account,
            connection,
            url.to_string(),
            record,
            (told.clone(), pictures.clone()),
            stop.clone(),
        );
        let relay = tokio::spawn(relay.run(listener));
        Ok(Self { url, told, pictures, relay: Some(relay), _stop: stop.drop_guard() })
    }

    /// Where `retina` finds the camera.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Why the session is over, if the gate knows. Set before `retina` notices anything.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.told.failure.get().cloned()
    }

    /// What somebody said in this session, for the log.
    pub(crate) fn cleaned(&self, text: &str) -> String {
        let line: String = text.lines().next().unwrap_or_default().chars().take(MAX_WORDS).collect();
        let redirects = self.told.redirects.lock();
        shown_words(&redirects.iter().fold(line, |line, target| target.scrub(&line)))
    }

    /// What the camera sends over, once it plays.
    pub(crate) fn transport(&self) -> Option<Transport> {
        self.told.transport.get().copied()
    }

    /// `retina` has put a picture together, or given one up.
    pub(crate) fn picture_came(&self) {
        self.pictures.0.fetch_add(1, Relaxed);
    }

    /// Annex B to put before each key frame: more parameter sets than `retina` holds.
    pub(crate) fn parameter_sets(&self) -> Option<&[u8]> {
        self.told.parameter_sets.get().map(Vec::as_slice)
    }

    /// The task that ends when the session has ended at the camera, too, or a second after this gate was dropped.
    pub(crate) fn take_relay(&mut self) -> Option<JoinHandle<()>> {
        self.relay.take()
    }
}

/// A port for `retina`. Not on the address that everybody uses, where it exists: a port there that is free again may
/// next be a server's, and our own connection would look like one to it.
async fn listen() -> std::io::Result<(SocketAddr, TcpListener)> {
    let listener = match TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?,
    };
    Ok((listener.local_addr()?, listener))
}
