//! What moves a peer's packets: the crate `webrtc` as it comes, one UDP socket per peer and address.
//!
//! Everything the rest of the crate needs of it is here: negotiate, send a packet, watch the link, close. Nothing
//! outside this file names a type of `webrtc`.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::Slot;
use rtc::peer_connection::transport::{RTCDtlsRole, RTCDtlsTransportState};
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
    RTCRtpHeaderExtensionCapability, RTCRtpRtxParameters, RtpCodecKind,
};
use rtc::sdp::SessionDescription;
use tokio::sync::watch;
use webrtc::error::Error;
use webrtc::media_stream::MediaStreamTrack;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceConnectionState,
    RTCIceGatheringState, RTCPeerConnectionState, RTCSessionDescription, Registry, SettingEngineBuilder,
    configure_nack, configure_rtcp_reports,
};
use webrtc::rtp_transceiver::RtpSender;

use crate::feedback::{self, Feedback};
use crate::sdp::{Format, Offer};
use crate::track::{Extension, TrackIds};

/// Host candidates need no server, so they are there at once.
const GATHERING_TIMEOUT: Duration = Duration::from_secs(3);

/// The way to the viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Link {
    /// No connectivity check was answered yet.
    Checking,
    /// ICE found a way; DTLS shakes hands.
    Securing,
    /// Media flows.
    Connected,
    /// Connected once; the other side has been silent for five seconds. May come back.
    Silent,
    /// Silent for good (30 s), or the handshake failed.
    Ended,
}

/// A negotiated connection with one track. To be ended with [`Connection::close`]: its driver is a task of its own,
/// which dropping does not stop.
pub(crate) struct Connection {
    peer_connection: Arc<dyn PeerConnection>,
    track: Arc<TrackLocalStaticRTP>,
    sender: Arc<dyn RtpSender>,
    link: watch::Receiver<Link>,
}

/// The connection can send no more.
#[derive(Debug)]
pub(crate) struct Ended;

impl Connection {
    /// Answers `offer` with one sendonly track and gathers every candidate of `addresses`. The description is the
    /// core's answer to [`Offer::reduced`]. Must run to its end: a connection half made would not be closed.
    pub(crate) async fn answer(
        offer: &Offer,
        ids: TrackIds,
        feedback: Feedback,
        addresses: &[IpAddr],
    ) -> Result<(Self, SessionDescription), Error> {
        let mut media_engine = media_engine(offer)?;
        let registry = configure_nack(Registry::new(), &mut media_engine);
        let registry = configure_rtcp_reports(registry).with(Slot::from(feedback::SLOT), feedback);
        // Browsers begin the handshake the moment ICE is through and repeat lost flights after 50 ms; begun by us it took
        // 130 ms longer in Chromium.
        let role = if offer.waits_for_dtls() { RTCDtlsRole::Client } else { RTCDtlsRole::Server };
        let settings = SettingEngineBuilder::new()
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .with_answering_dtls_role(role)
            .build();
        let (link_sender, link) = watch::channel(Link::Checking);
        let (gathered_sender, mut gathered) = watch::channel(false);
        let events = Arc::new(Events { link: link_sender, gathered: gathered_sender });
        let peer_connection: Arc<dyn PeerConnection> = Arc::new(
            PeerConnectionBuilder::new()
                .with_media_engine(media_engine)
                .with_interceptor_registry(registry)
                .with_setting_engine(settings)
                .with_handler(events)
                .with_udp_addrs(addresses.iter().map(|&address| SocketAddr::new(address, 0)).collect())
                .build()
                .await?,
        );
        let track = Arc::new(TrackLocalStaticRTP::new(media_track(offer.format(), ids)));
        let sender = match peer_connection.add_track(Arc::clone(&track) as Arc<dyn TrackLocal>).await {
            Ok(sender) => sender,
            Err(error) => {
                let _ = peer_connection.close().await;
                return Err(error);
            }
        };
        let connection = Self { peer_connection, track, sender, link };
        let negotiated = async {
            let core = &connection.peer_connection;
            core.set_remote_description(RTCSessionDescription::offer(offer.reduced().marshal())?).await?;
            let answer = core.create_answer(None).await?;
            core.set_local_description(answer).await?;
            let complete = gathered.wait_for(|&complete| complete);
            let timeout = || Error::Other("host candidates were not gathered in time".to_owned());
            tokio::time::timeout(GATHERING_TIMEOUT, complete)
                .await
                .map_err(|_| timeout())?
                .map_err(|_| timeout())?;
            core.local_description().await.ok_or_else(timeout)?.unmarshal()
        };
        // The offer is a stranger's, and dropping a connection does not stop its driver: closed after a panic too.
        let panicked = |_| Err(Error::Other("the negotiation panicked".to_owned()));
        match AssertUnwindSafe(negotiated).catch_unwind().await.unwrap_or_else(panicked) {
            Ok(description) => Ok((connection, description)),
            Err(error) => {
                connection.close().await;
                Err(error)
            }
        }
    }

    /// Waits only for this connection's own driver.
    pub(crate) async fn send(&self, packet: rtc_rtp::Packet) -> Result<(), Ended> {
        self.track.write_rtp(packet).await.map_err(|_| Ended)
    }

    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    /// The other side has said goodbye (DTLS close_notify). To be asked now and then: by the rules of W3C a connection
    /// whose DTLS transport is closed is still `connected`, so the library raises no event.
    pub(crate) async fn is_closed_by_viewer(&self) -> bool {
        let Ok(Some(transport)) = self.sender.transport().await else { return false };
        transport.state().await.is_ok_and(|state| state == RTCDtlsTransportState::Closed)
    }

    /// Tells the other side (DTLS close_notify) and frees the sockets. Never from one of the library's callbacks, which
    /// run on the very driver that this waits for.
    pub(crate) async fn close(self) {
        if let Err(error) = self.peer_connection.close().await {
            tracing::debug!(%error, "closing a peer connection");
        }
    }
}

/// Only passes on: nothing may be awaited on the driver.
struct Events {
    link: watch::Sender<Link>,
    gathered: watch::Sender<bool>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.send_replace(true);
        }
    }

    async fn on_ice_connection_state_change(&self, state: RTCIceConnectionState) {
        if matches!(state, RTCIceConnectionState::Connected | RTCIceConnectionState::Completed) {
            self.link.send_modify(|link| *link = (*link).max(Link::Securing));
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let now = match state {
            RTCPeerConnectionState::Connected => Link::Connected,
            RTCPeerConnectionState::Disconnected => Link::Silent,
            RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed => Link::Ended,
            _ => return,
        };
        self.link.send_modify(|link| {
            // Ended is final, whatever the library reports while it winds up.
            if *link != Link::Ended {
                *link = now;
            }
        });
    }
}

/// Knows exactly the formats and extensions that the reduced offer has, so that there is nothing left to match.
fn media_engine(offer: &Offer) -> Result<MediaEngine, Error> {
    let mut engine = MediaEngine::default();
    let Format { payload_type, rtx_payload_type, .. } = offer.format();
    let rtp_codec = h264(offer.format());
    engine.register_codec(RTCRtpCodecParameters { rtp_codec, payload_type }, RtpCodecKind::Video)?;
    if let Some(rtx) = rtx_payload_type {
        let rtp_codec = RTCRtpCodec {
            mime_type: "video/rtx".to_owned(),
            clock_rate: 90_000,
            sdp_fmtp_line: format!("apt={payload_type}"),
            ..RTCRtpCodec::default()
        };
        engine.register_codec(RTCRtpCodecParameters { rtp_codec, payload_type: rtx }, RtpCodecKind::Video)?;
    }
    for (extension, _) in offer.extensions() {
        let uri = Extension::uri(*extension).to_owned();
        engine.register_header_extension(
            RTCRtpHeaderExtensionCapability { uri },
            RtpCodecKind::Video,
            None,
        )?;
    }
    Ok(engine)
}

fn h264(format: Format) -> RTCRtpCodec {
    let feedback =
        |typ: &str, parameter: &str| RTCPFeedback { typ: typ.to_owned(), parameter: parameter.to_owned() };
    RTCRtpCodec {
        mime_type: "video/H264".to_owned(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: format.fmtp(),
        rtcp_feedback: vec![feedback("nack", ""), feedback("nack", "pli"), feedback("ccm", "fir")],
    }
}

fn media_track(format: Format, ids: TrackIds) -> MediaStreamTrack {
    let rtx = format.rtx_payload_type.map(|_| RTCRtpRtxParameters { ssrc: ids.rtx_ssrc });
    let rtp_coding_parameters = RTCRtpCodingParameters { ssrc: Some(ids.ssrc), rtx, ..Default::default() };
    let encoding =
        RTCRtpEncodingParameters { rtp_coding_parameters, codec: h264(format), ..Default::default() };
    // The stream's name is also the CNAME: the same word for every viewer tells nobody anything.
    let [stream, track, label] = ["wallcast", "video", "wallcast"].map(str::to_owned);
    MediaStreamTrack::new(stream, track, label, RtpCodecKind::Video, vec![encoding])
}
