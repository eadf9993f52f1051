//! One viewer's life: answer, connect or give up, send frames, end. One task; the only one that closes its connection.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::FutureExt;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::connection::{Connection, Ended, Link};
use crate::error::OfferError;
use crate::feedback::Feedback;
use crate::sdp::{self, Offer};
use crate::session_id::SessionId;
use crate::source::Source;
use crate::stats::{Counters, PeerState, PeerStats};
use crate::track::{Track, TrackIds};

/// From the first answered check to the end of the DTLS handshake, whose lost flights are repeated after 1, 2, 4 s.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// How often a connection is asked whether its viewer has left.
const GOODBYE_INTERVAL: Duration = Duration::from_millis(500);

/// What is known of a peer from outside of its task.
pub(crate) struct Peer {
    id: SessionId,
    source: Arc<Source>,
    counters: Arc<Counters>,
    /// Cancelled to end the peer.
    pub(crate) closing: CancellationToken,
    /// Cancelled to end every peer, this one with them.
    stopping: CancellationToken,
    /// Cancelled once everything of it is freed.
    pub(crate) closed: CancellationToken,
}

impl Peer {
    pub(crate) fn new(id: SessionId, source: &Arc<Source>, stopping: &CancellationToken) -> Self {
        Self {
            id,
            source: Arc::clone(source),
            counters: Arc::new(Counters::new(Instant::now(), SystemTime::now())),
            closing: stopping.child_token(),
            stopping: stopping.clone(),
            closed: CancellationToken::new(),
        }
    }

    pub(crate) fn stats(&self, now: Instant) -> PeerStats {
        self.counters.snapshot(now, self.id.label(), self.source.name())
    }

    /// The whole life. The SDP answer goes to `answered`; when nobody waits for it any more, there is no viewer either.
    pub(crate) async fn run(
        &self,
        offer: Offer,
        addresses: Vec<IpAddr>,
        ice_timeout: Duration,
        answered: oneshot::Sender<Result<String, OfferError>>,
    ) {
        let ids = TrackIds::random(offer.format().payload_type);
        let feedback = Feedback::new(ids.ssrc, Arc::clone(&self.source), Arc::clone(&self.counters));
        let (connection, description) = match Connection::answer(&offer, ids, feedback, &addresses).await {
            Ok(negotiated) => negotiated,
            Err(error) => {
                tracing::warn!(id = self.id.label(), %error, "an offer could not be answered");
                let _ = answered.send(Err(OfferError::Internal(error.to_string())));
                return;
            }
        };
        let mut connected = None;
        let life = async {
            let sdp = sdp::answer(&offer, description, self.source.profile());
            let rejected = || OfferError::Internal("the WebRTC core rejected its section".to_owned());
            let refused = sdp.is_none();
            if answered.send(sdp.ok_or_else(rejected)).is_err() || refused {
                return "it got no answer";
            }
            if let Err(why) = connect(&connection, ice_timeout).await {
                return why;
            }
            connected = Some(Instant::now());
            tracing::info!(id = self.id.label(), source = self.source.name(), "viewer connected");
            self.serve(&connection, Track::new(ids, offer.extensions().to_vec())).await
        };
        let why = tokio::select! {
            biased;
            () = self.closing.cancelled() => match self.stopping.is_cancelled() {
                true => "the server is stopping",
                false => "the viewer ended its session",
            },
            // The connection has to be closed after a panic too: dropping it does not stop its driver.
            ended = AssertUnwindSafe(life).catch_unwind() => ended.unwrap_or("its task panicked"),
        };
        self.log_end(connected, why);
        connection.close().await;
    }

    fn log_end(&self, connected: Option<Instant>, why: &str) {
        let (id, source, frames) = (self.id.label(), self.source.name(), self.counters.frames_sent());
        match connected.map(|connected| connected.elapsed().as_secs_f64()) {
            Some(seconds) => {
                let watched = format_args!("{seconds:.1} s");
                tracing::info!(id, source, why, %watched, frames, "viewer gone");
            }
            None => tracing::info!(id, source, why, "viewer never connected"),
        }
    }

    /// Sends frames until the connection ends; returns why it did.
    async fn serve(&self, connection: &Connection, mut track: Track) -> &'static str {
        let mut link = connection.link();
        let mut goodbye = tokio::time::interval(GOODBYE_INTERVAL);
        let watch = async {
            loop {
                let now = *link.borrow_and_update();
                match now {
                    Link::Ended => return "the viewer fell silent",
                    Link::Silent => self.counters.set_state(PeerState::Disconnected),
                    Link::Checking | Link::Securing | Link::Connected => {
                        self.counters.set_state(PeerState::Connected)
                    }
                }
                tokio::select! {
                    changed = link.changed() => if changed.is_err() { return "the connection's driver is gone" },
                    _ = goodbye.tick() => if connection.is_closed_by_viewer().await { return "the viewer left" },
                }
            }
        };
        tokio::select! {
            Ended = self.send_frames(connection, &mut track) => "the connection's driver stopped",
            why = watch => why,
        }
    }

    async fn send_frames(&self, connection: &Connection, track: &mut Track) -> Ended {
        let mut subscription = self.source.subscribe(Arc::clone(&self.counters.frames_dropped));
        loop {
            let Some(frame) = subscription.frames.recv().await else { return Ended };
            for packet in track.packets(&frame) {
                if connection.send(packet).await.is_err() {
                    return Ended;
                }
            }
            let bytes = frame.payloads.iter().map(bytes::Bytes::len).sum();
            self.counters.frame_sent(Instant::now(), bytes);
        }
    }
}

/// Waits until media may flow; says why it never will.
async fn connect(connection: &Connection, ice_timeout: Duration) -> Result<(), &'static str> {
    let mut link = connection.link();
    for (goal, patience, late) in [
        (Link::Securing, ice_timeout, "ICE never started"),
        (Link::Connected, HANDSHAKE_TIMEOUT, "the DTLS handshake was not finished in time"),
    ] {
        match timeout(patience, link.wait_for(|&link| link >= goal)).await {
            Err(_) => return Err(late),
            Ok(Err(_)) => return Err("the connection's driver is gone"),
            Ok(Ok(link)) if *link == Link::Ended => return Err("ICE or the DTLS handshake failed"),
            Ok(Ok(_)) => {}
        }
    }
    Ok(())
}
