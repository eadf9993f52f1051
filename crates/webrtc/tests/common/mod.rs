//! A wall without a picture, and viewers made of the crate `webrtc` as it comes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc::peer_connection::transport::RTCDtlsTransportState;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use rtc_rtp::codec::h264::H264Packet;
use rtc_rtp::packetizer::Depacketizer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use wallcast_webrtc::{
    Answer, OfferError, Peers, PeersConfig, ProfileLevelId, Rendition, Source, SourceFrame,
};
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
    RTCSessionDescription, Registry, register_default_interceptors,
};

/// Nothing here takes this long unless it never happens.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A source fed 50 access units a second, IDRs on request.
pub struct Wall {
    pub source: Arc<Source>,
    pub key_frames_asked: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

pub const SPS: &[u8] = &[0, 0, 0, 1, 0x67, 0x42, 0xe0, 0x28, 0x95];
pub const PPS: &[u8] = &[0, 0, 0, 1, 0x68, 0xce, 0x3c, 0x80];

/// A frame's number stands in its first slice bytes, so that viewers can tell what they got.
fn access_unit(number: u32, key: bool) -> Bytes {
    let mut unit = if key { [SPS, PPS].concat() } else { Vec::new() };
    unit.extend([0, 0, 0, 1, if key { 0x65 } else { 0x41 }]);
    unit.extend(number.to_be_bytes().map(|byte| byte | 0x80));
    let len = if key { 20_000 } else { 4_000 };
    unit.extend((0..len).map(|i| (i % 251) as u8 | 1));
    unit.into()
}

pub fn rendition(on_key_frame_needed: Box<dyn Fn() + Send + Sync>) -> Rendition {
    Rendition {
        name: "1080p".to_owned(),
        profile: ProfileLevelId::constrained_baseline(40),
        bitrate_bps: 4_000_000,
        on_key_frame_needed,
    }
}

impl Wall {
    pub fn start() -> Self {
        let key_frames_asked = Arc::new(AtomicUsize::new(0));
        let (asked, stop) = (Arc::clone(&key_frames_asked), Arc::new(AtomicBool::new(false)));
        let on_needed = Box::new(move || {
            asked.fetch_add(1, Ordering::SeqCst);
        });
        let source = Source::new("wall", vec![rendition(on_needed)]);
        let (asked, stopping, fed) = (Arc::clone(&key_frames_asked), Arc::clone(&stop), Arc::clone(&source));
        let thread = std::thread::spawn(move || {
            let mut served = 0;
            for number in 0u32.. {
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                let wanted = asked.load(Ordering::SeqCst);
                let key = wanted != std::mem::replace(&mut served, wanted);
                let data = access_unit(number, key);
                fed.push(
                    0,
                    &SourceFrame { data, key, rtp_time: number.wrapping_mul(1800), captured: Instant::now() },
                );
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { source, key_frames_asked, stop, thread: Some(thread) }
    }
}

impl Drop for Wall {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().map(std::thread::JoinHandle::join);
    }
}

pub fn peers(config: PeersConfig) -> Peers {
    Peers::new(config).unwrap()
}

pub fn on_loopback() -> PeersConfig {
    PeersConfig { bind: vec!["127.0.0.1".parse().unwrap()], ..PeersConfig::default() }
}

/// Waits until `condition` holds; says `what` it waited for when it never does.
pub async fn until(what: &str, patience: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A viewer: recvonly video, default codecs and interceptors.
pub struct Viewer {
    pub connection: Arc<dyn PeerConnection>,
    pub offer: String,
    packets: mpsc::Receiver<rtc_rtp::Packet>,
    track: watch::Receiver<Option<Arc<dyn TrackRemote>>>,
    depacketiser: H264Packet,
}

/// An access unit as a viewer got it.
pub struct Received {
    pub annex_b: Vec<u8>,
    pub ssrc: u32,
    pub payload_type: u8,
    pub first_sequence_number: u16,
    pub timestamp: u32,
    /// The extensions of its first packet, by id.
    pub extensions: HashMap<u8, Bytes>,
}

impl Received {
    pub fn is_key(&self) -> bool {
        self.annex_b.starts_with(SPS)
    }
}

struct Events {
    gathered: watch::Sender<bool>,
    packets: mpsc::Sender<rtc_rtp::Packet>,
    track: watch::Sender<Option<Arc<dyn TrackRemote>>>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        self.gathered.send_replace(state == RTCIceGatheringState::Complete);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        self.track.send_replace(Some(Arc::clone(&track)));
        let packets = self.packets.clone();
        tokio::spawn(async move {
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event {
                    // A test that does not read its packets is not to hold up the connection.
                    let _ = packets.try_send(packet);
                }
            }
        });
    }
}

impl Viewer {
    pub async fn new() -> Self {
        let mut media_engine = MediaEngine::default();
        media_engine.register_default_codecs().unwrap();
        let registry = register_default_interceptors(Registry::new(), &mut media_engine).unwrap();
        let (gathered_sender, mut gathered) = watch::channel(false);
        let (packet_sender, packets) = mpsc::channel(4096);
        let (track_sender, track) = watch::channel(None);
        let events = Events { gathered: gathered_sender, packets: packet_sender, track: track_sender };
        let connection: Arc<dyn PeerConnection> = Arc::new(
            PeerConnectionBuilder::new()
                .with_media_engine(media_engine)
                .with_interceptor_registry(registry)
                .with_handler(Arc::new(events))
                .with_udp_addrs(vec!["127.0.0.1:0"])
                .build()
                .await
                .unwrap(),
        );
        let init =
            RTCRtpTransceiverInit { direction: RTCRtpTransceiverDirection::Recvonly, ..Default::default() };
        connection.add_transceiver_from_kind(RtpCodecKind::Video, Some(init)).await.unwrap();
        let offer = connection.create_offer(None).await.unwrap();
        connection.set_local_description(offer).await.unwrap();
        timeout(PATIENCE, gathered.wait_for(|&complete| complete)).await.unwrap().unwrap();
        let offer = connection.local_description().await.unwrap().sdp;
        Self { connection, offer, packets, track, depacketiser: H264Packet::default() }
    }

    pub async fn accept(&self, answer: &str) {
        let answer = RTCSessionDescription::answer(answer.to_owned()).unwrap();
        self.connection.set_remote_description(answer).await.unwrap();
    }

    pub async fn watch(peers: &Peers, source: &Arc<Source>) -> Result<(Self, Answer), OfferError> {
        let viewer = Self::new().await;
        match peers.answer(source, &viewer.offer, std::net::Ipv4Addr::LOCALHOST.into()).await {
            Ok(answer) => {
                viewer.accept(&answer.sdp).await;
                Ok((viewer, answer))
            }
            Err(error) => {
                viewer.connection.close().await.unwrap();
                Err(error)
            }
        }
    }

    /// The next access unit, which must be whole.
    pub async fn frame(&mut self) -> Received {
        let mut received: Option<Received> = None;
        let mut expected = None;
        loop {
            let packet = timeout(PATIENCE, self.packets.recv()).await.expect("no packet came").unwrap();
            let header = &packet.header;
            assert!(
                expected.is_none_or(|expected| expected == header.sequence_number),
                "a gap within a frame"
            );
            expected = Some(header.sequence_number.wrapping_add(1));
            let received = received.get_or_insert_with(|| Received {
                annex_b: Vec::new(),
                ssrc: header.ssrc,
                payload_type: header.payload_type,
                first_sequence_number: header.sequence_number,
                timestamp: header.timestamp,
                extensions: header.extensions.iter().map(|found| (found.id, found.payload.clone())).collect(),
            });
            received.annex_b.extend(self.depacketiser.depacketize(&packet.payload).unwrap());
            if header.marker {
                let annex_b = std::mem::take(&mut received.annex_b);
                return Received {
                    annex_b,
                    extensions: std::mem::take(&mut received.extensions),
                    ..*received
                };
            }
        }
    }

    /// An offer with new credentials.
    pub async fn restart_ice(&self) -> String {
        self.connection.restart_ice().await.unwrap();
        let offer = self.connection.create_offer(None).await.unwrap();
        self.connection.set_local_description(offer.clone()).await.unwrap();
        offer.sdp
    }

    /// The first key frame, asked for again if it did not come first: on a busy machine the library loses what comes
    /// before it has opened its track, which is as soon as the handshake is through. Browsers ask, too.
    pub async fn key_frame(&mut self) -> Received {
        let mut asked = false;
        loop {
            let frame = self.frame().await;
            if frame.is_key() {
                return frame;
            }
            if !std::mem::replace(&mut asked, true) {
                self.send_pli(frame.ssrc).await;
            }
        }
    }

    /// Waits for the other side's goodbye (DTLS close_notify).
    pub async fn told_goodbye(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        loop {
            let receivers = self.connection.get_receivers().await;
            let transport = receivers[0].transport().await.unwrap().unwrap();
            if transport.state().await.unwrap() == RTCDtlsTransportState::Closed {
                return;
            }
            assert!(Instant::now() < deadline, "the viewer was not told");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn send_pli(&mut self, media_ssrc: u32) {
        let track = self.track.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        track.write_rtcp(vec![Box::new(PictureLossIndication { sender_ssrc: 1, media_ssrc })]).await.unwrap();
    }
}

/// A way to the server's `port` that loses one media packet in `one_in` towards the viewer; where to send instead.
pub async fn lossy_path(port: u16, one_in: u32) -> u16 {
    let (front, back) =
        (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    back.connect(("127.0.0.1", port)).await.unwrap();
    let address = front.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut viewer, mut media_packets) = (None, 0);
        let (mut up, mut down) = ([0; 2048], [0; 2048]);
        loop {
            tokio::select! {
                received = front.recv_from(&mut up) => {
                    let Ok((len, from)) = received else { return };
                    viewer = Some(from);
                    let _ = back.send(&up[..len]).await;
                }
                received = back.recv(&mut down) => {
                    let (Ok(len), Some(viewer)) = (received, viewer) else { continue };
                    // RFC 7983 tells media from STUN and DTLS, RFC 5761 from RTCP.
                    let is_media = (128..192).contains(&down[0]) && !(64..96).contains(&(down[1] & 0x7f));
                    media_packets += u32::from(is_media);
                    if !is_media || media_packets % one_in != 0 {
                        let _ = front.send_to(&down[..len], viewer).await;
                    }
                }
            }
        }
    });
    address.port()
}

/// A way to the server's `port` over TCP alone (RFC 4571); where to send by UDP instead.
pub async fn tcp_path(port: u16) -> u16 {
    let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (mut down, mut up) = TcpStream::connect(("127.0.0.1", port)).await.unwrap().into_split();
    let (address, front) = (front.local_addr().unwrap(), Arc::new(front));
    let (viewer_sender, mut viewer) = watch::channel(None);
    let inward = Arc::clone(&front);
    tokio::spawn(async move {
        let mut datagram = [0; 2048];
        while let Ok((len, from)) = inward.recv_from(&mut datagram).await {
            viewer_sender.send_replace(Some(from));
            let frame = [&(len as u16).to_be_bytes()[..], &datagram[..len]].concat();
            if up.write_all(&frame).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        let viewer = viewer.wait_for(Option::is_some).await.unwrap().unwrap();
        let mut frame = [0; 2048];
        while let Ok(len) = down.read_u16().await {
            let datagram = &mut frame[..usize::from(len)];
            if down.read_exact(datagram).await.is_err() {
                return;
            }
            let _ = front.send_to(datagram, viewer).await;
        }
    });
    address.port()
}
