//! The crate `webrtc` as it comes: what a server costs that lets its driver do everything, one socket and one task a viewer.
//!
//! Packetised once for all; the interceptors are those a video server needs (retransmissions, sender reports).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use bytes::Bytes;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::transport::RTCDtlsRole;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
    RTCRtpRtxParameters, RtpCodecKind,
};
use rtc_rtp::codec::h264::H264Payloader;
use rtc_rtp::packetizer::Payloader;
use rtc_rtp::{Header, Packet};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use webrtc::media_stream::MediaStreamTrack;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
    RTCPeerConnectionState, RTCSessionDescription, Registry, SettingEngineBuilder, configure_nack,
    configure_rtcp_reports,
};

use super::MAX_PAYLOAD;
use super::whep::{self, Answering};
use crate::fan_out::film::Film;

/// Frames a viewer may lag behind.
const QUEUE: usize = 12;
const H264: u8 = 102;
const RTX: u8 = 103;
const FMTP: &str = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";

#[derive(Default)]
struct Plain {
    queues: Mutex<Vec<mpsc::Sender<Arc<Packetised>>>>,
    key_frame_wanted: AtomicBool,
}

struct Packetised {
    payloads: Vec<Bytes>,
    key: bool,
    rtp_time: u32,
}

pub(super) fn serve(film: Film, hold: Duration) -> anyhow::Result<()> {
    let plain = Arc::new(Plain::default());
    let fed = Arc::clone(&plain);
    std::thread::Builder::new().name("film".to_owned()).spawn(move || {
        let mut payloader = H264Payloader::default();
        film.play(hold, &fed.key_frame_wanted, |frame| {
            let Ok(payloads) = payloader.payload(MAX_PAYLOAD, &frame.annex_b) else { return };
            let packetised = Arc::new(Packetised { payloads, key: frame.key, rtp_time: frame.rtp_time });
            let mut queues = fed.queues.lock().unwrap_or_else(PoisonError::into_inner);
            queues.retain(|queue| {
                !matches!(queue.try_send(Arc::clone(&packetised)), Err(mpsc::error::TrySendError::Closed(_)))
            });
        });
    })?;
    Runtime::new()?.block_on(whep::serve(Arc::new(Server(plain))))
}

struct Server(Arc<Plain>);

#[async_trait]
impl Answering for Server {
    async fn answer(&self, offer: String) -> anyhow::Result<String> {
        let (gathered_sender, mut gathered) = watch::channel(false);
        let (connected_sender, mut connected) = watch::channel(false);
        let settings = SettingEngineBuilder::new()
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .with_answering_dtls_role(RTCDtlsRole::Server)
            .build();
        let mut media_engine = media_engine()?;
        let registry = configure_rtcp_reports(configure_nack(Registry::new(), &mut media_engine));
        let connection: Arc<dyn PeerConnection> = Arc::new(
            PeerConnectionBuilder::new()
                .with_media_engine(media_engine)
                .with_interceptor_registry(registry)
                .with_setting_engine(settings)
                .with_handler(Arc::new(Events { gathered: gathered_sender, connected: connected_sender }))
                .with_udp_addrs(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))])
                .build()
                .await?,
        );
        let ssrc = rand::random();
        let track = Arc::new(TrackLocalStaticRTP::new(media_track(ssrc)));
        connection.add_track(Arc::clone(&track) as Arc<dyn TrackLocal>).await?;
        connection.set_remote_description(RTCSessionDescription::offer(offer)?).await?;
        let answer = connection.create_answer(None).await?;
        connection.set_local_description(answer).await?;
        gathered.wait_for(|gathered| *gathered).await?;
        let answer = connection.local_description().await.context("no local description")?.sdp;
        let plain = Arc::clone(&self.0);
        tokio::spawn(async move {
            // For the viewer's life: the connection ends with it.
            let _connection = connection;
            if connected.wait_for(|connected| *connected).await.is_ok() {
                plain.send(&track, ssrc).await;
            }
        });
        Ok(answer)
    }
}

impl Plain {
    async fn send(&self, track: &TrackLocalStaticRTP, ssrc: u32) {
        let (sender, mut frames) = mpsc::channel(QUEUE);
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        self.key_frame_wanted.store(true, Ordering::Relaxed);
        let (mut sequence_number, mut has_begun) = (rand::random::<u16>(), false);
        while let Some(frame) = frames.recv().await {
            has_begun |= frame.key;
            if !has_begun {
                continue;
            }
            for (index, payload) in frame.payloads.iter().enumerate() {
                let header = Header {
                    version: 2,
                    marker: index + 1 == frame.payloads.len(),
                    payload_type: H264,
                    sequence_number,
                    timestamp: frame.rtp_time,
                    ssrc,
                    ..Header::default()
                };
                sequence_number = sequence_number.wrapping_add(1);
                if track.write_rtp(Packet { header, payload: payload.clone() }).await.is_err() {
                    return;
                }
            }
        }
    }
}

struct Events {
    gathered: watch::Sender<bool>,
    connected: watch::Sender<bool>,
}

#[async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.send_replace(true);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        if state == RTCPeerConnectionState::Connected {
            self.connected.send_replace(true);
        }
    }
}

fn media_engine() -> anyhow::Result<MediaEngine> {
    let mut engine = MediaEngine::default();
    let rtx = RTCRtpCodec {
        mime_type: "video/rtx".to_owned(),
        clock_rate: 90_000,
        sdp_fmtp_line: format!("apt={H264}"),
        ..RTCRtpCodec::default()
    };
    for (rtp_codec, payload_type) in [(h264(), H264), (rtx, RTX)] {
        engine.register_codec(RTCRtpCodecParameters { rtp_codec, payload_type }, RtpCodecKind::Video)?;
    }
    Ok(engine)
}

fn h264() -> RTCRtpCodec {
    let feedback =
        |typ: &str, parameter: &str| RTCPFeedback { typ: typ.to_owned(), parameter: parameter.to_owned() };
    RTCRtpCodec {
        mime_type: "video/H264".to_owned(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: FMTP.to_owned(),
        rtcp_feedback: vec![feedback("nack", ""), feedback("nack", "pli"), feedback("ccm", "fir")],
    }
}

fn media_track(ssrc: u32) -> MediaStreamTrack {
    let rtx = Some(RTCRtpRtxParameters { ssrc: rand::random() });
    let rtp_coding_parameters = RTCRtpCodingParameters { ssrc: Some(ssrc), rtx, ..Default::default() };
    let encoding = RTCRtpEncodingParameters { rtp_coding_parameters, codec: h264(), ..Default::default() };
    let [stream, track, label] = ["film", "video", "film"].map(str::to_owned);
    MediaStreamTrack::new(stream, track, label, RtpCodecKind::Video, vec![encoding])
}
