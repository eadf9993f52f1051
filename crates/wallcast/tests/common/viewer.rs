//! A WHEP viewer: the crate `webrtc` as it comes. It receives and counts, and decodes nothing.

use super::http::{Reply, request};
use super::wallcast::Wallcast;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
    RTCPeerConnectionState, RTCSessionDescription, Registry, register_default_interceptors,
};
use webrtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};

/// One viewer with its own peer connection, closed when dropped.
pub struct Viewer {
    peer: Arc<dyn PeerConnection>,
    events: Arc<Events>,
    /// `/whep/wall/…`, the session's own address.
    pub session: String,
}

/// What a viewer has received so far.
#[derive(Clone, Debug, Default)]
pub struct Received {
    pub frames: u64,
    /// What a decoder can begin with. Not the first frame for certain: the library loses what comes before its track is open.
    pub key_frames: u64,
    /// The longest time between two frames, after the first.
    pub longest_gap: Duration,
    /// Every state the connection went through.
    pub states: Vec<RTCPeerConnectionState>,
    newest: Option<(u32, Instant)>,
}

#[derive(Default)]
struct Events {
    gathered: Notify,
    received: Mutex<Received>,
}

impl Viewer {
    /// Joins `/whep/{name}` and waits until the first frame is here.
    pub fn join(wallcast: &Wallcast, name: &str) -> Self {
        Self::join_with(wallcast, name, "127.0.0.1:0", str::to_owned).0
    }

    /// The same from another address of this machine, and with another offer made of the library's. Also returns the answer.
    pub fn join_with(
        wallcast: &Wallcast,
        name: &str,
        address: &'static str,
        change: impl FnOnce(&str) -> String,
    ) -> (Self, String) {
        let events = Arc::new(Events::default());
        let (peer, offer) = runtime().block_on(offer(&events, address));
        let offer = change(&offer);
        let url = format!("{}/whep/{name}", wallcast.http);
        let reply = request("POST", &url, &[("Content-Type", "application/sdp")], &offer);
        assert_eq!(reply.status, 201, "POST {url}: {}", reply.body);
        let session = reply.header("location").to_owned();
        let answer = RTCSessionDescription::answer(reply.body.clone()).unwrap();
        runtime().block_on(peer.set_remote_description(answer)).unwrap();
        let viewer = Self { peer, events, session };
        super::wait_until("a viewer's first frame", Duration::from_secs(10), || {
            let received = viewer.received();
            if received.frames > 0 { Ok(()) } else { Err(format!("{received:?}")) }
        });
        (viewer, reply.body)
    }

    pub fn received(&self) -> Received {
        self.events.received.lock().unwrap().clone()
    }

    /// Forgets the longest gap seen so far.
    pub fn reset_gap(&self) {
        self.events.received.lock().unwrap().longest_gap = Duration::ZERO;
    }

    /// Ends the session as WHEP says.
    pub fn delete(&self, wallcast: &Wallcast) -> Reply {
        request("DELETE", &format!("{}{}", wallcast.http, self.session), &[], "")
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let _ = runtime().block_on(self.peer.close());
    }
}

/// An offer to receive one video, as a browser would make it.
pub fn offer_of_a_viewer() -> String {
    let (peer, offer) = runtime().block_on(offer(&Arc::default(), "127.0.0.1:0"));
    runtime().block_on(peer.close()).unwrap();
    offer
}

async fn offer(events: &Arc<Events>, address: &'static str) -> (Arc<dyn PeerConnection>, String) {
    let mut media = MediaEngine::default();
    media.register_default_codecs().unwrap();
    let interceptors = register_default_interceptors(Registry::new(), &mut media).unwrap();
    let peer = PeerConnectionBuilder::new()
        .with_media_engine(media)
        .with_interceptor_registry(interceptors)
        .with_handler(Arc::new(Handler(Arc::clone(events))))
        .with_udp_addrs(vec![address])
        .build()
        .await
        .unwrap();
    let receive =
        RTCRtpTransceiverInit { direction: RTCRtpTransceiverDirection::Recvonly, ..Default::default() };
    peer.add_transceiver_from_kind(RtpCodecKind::Video, Some(receive)).await.unwrap();
    let offer = peer.create_offer(None).await.unwrap();
    peer.set_local_description(offer).await.unwrap();
    events.gathered.notified().await;
    let offer = peer.local_description().await.unwrap().sdp;
    (Arc::new(peer), offer)
}

struct Handler(Arc<Events>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.0.gathered.notify_one();
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.0.received.lock().unwrap().states.push(state);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let events = Arc::clone(&self.0);
        tokio::spawn(async move {
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event {
                    events.received.lock().unwrap().packet(packet.header.timestamp, &packet.payload);
                }
            }
        });
    }
}

impl Received {
    /// Frames are counted by their RTP time: packets of one frame share it, and its first packet tells whether it is a key frame.
    fn packet(&mut self, time: u32, payload: &[u8]) {
        let now = Instant::now();
        let key = starts_key_frame(payload);
        match self.newest {
            Some((newest, _)) if newest == time => return,
            Some((_, at)) => self.longest_gap = self.longest_gap.max(now - at),
            None => {}
        }
        self.frames += 1;
        self.key_frames += u64::from(key);
        self.newest = Some((time, now));
    }
}

/// Does this packet (RFC 6184) begin a frame that a decoder can start at? Parameter sets come right before the IDR slice.
fn starts_key_frame(payload: &[u8]) -> bool {
    const SPS: u8 = 7;
    const IDR: u8 = 5;
    let is_key = |header: &u8| matches!(header & 0x1f, SPS | IDR);
    match payload.first().map(|header| header & 0x1f) {
        Some(24) => payload.get(3).is_some_and(is_key), // STAP-A: two bytes of size, then the first NAL unit
        Some(28) => payload.get(1).is_some_and(|header| header & 0x80 != 0 && is_key(header)), // FU-A with the start bit
        Some(_) => payload.first().is_some_and(is_key),
        None => false,
    }
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    })
}
