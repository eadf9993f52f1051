//! An RTSP session (RFC 2326 appendix A.2): ready after SETUP, playing between PLAY and PAUSE.
//!
//! How packets travel does not belong here: `connection` interleaves them, `udp` sends datagrams.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use super::{
    mount::{Mount, Subscription},
    reader::{Reader, ReaderTransport},
    rtp::RtpStream,
};

/// How long PLAY's answer waits for the first access unit, to tell its RTP time.
const FIRST_UNIT_WITHIN: Duration = Duration::from_secs(2);

/// One client's claim on one mount.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) mount: Arc<Mount>,
    pub(super) rtp: RtpStream,
    reader_id: String,
    address: SocketAddr,
    transport: ReaderTransport,
    subscription: Option<Subscription>,
}

/// What RTP-Info tells about the first packet. There is no RTP time when no access unit came in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FirstPacket {
    pub(super) sequence: u16,
    pub(super) rtp_time: Option<u32>,
}

impl Session {
    /// A session that does not play yet, for a client at `address`.
    pub(super) fn new(
        mount: Arc<Mount>,
        reader_id: String,
        address: SocketAddr,
        transport: ReaderTransport,
    ) -> Self {
        Self { mount, rtp: RtpStream::new(), reader_id, address, transport, subscription: None }
    }

    pub(super) fn is_playing(&self) -> bool {
        self.subscription.is_some()
    }

    /// Where the access units come from while it plays.
    pub(super) fn reader(&self) -> Option<&Arc<Reader>> {
        self.subscription.as_ref().map(|subscription| &subscription.reader)
    }

    /// Joins the mount, unless it has already. The first access unit stays in the queue.
    pub(super) async fn play(&mut self) -> FirstPacket {
        let sequence = self.rtp.sequence();
        if self.is_playing() {
            return FirstPacket { sequence, rtp_time: None };
        }
        let subscription = self.mount.join(self.reader_id.clone(), self.address, self.transport);
        let first = tokio::time::timeout(FIRST_UNIT_WITHIN, subscription.reader.next_rtp_time()).await;
        let transport = self.transport.as_str();
        tracing::info!(mount = self.mount.name(), reader = %self.address, transport, "an RTSP reader plays");
        self.subscription = Some(subscription);
        FirstPacket { sequence, rtp_time: first.ok().flatten() }
    }

    /// Leaves the mount; `false` if it did not play.
    pub(super) fn pause(&mut self) -> bool {
        self.subscription.take().is_some()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.is_playing() {
            tracing::info!(mount = self.mount.name(), reader = %self.address, "an RTSP reader has left");
        }
    }
}
