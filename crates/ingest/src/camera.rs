//! One camera: its owner, and the view that everybody else holds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::decode::{DecodeThread, Hardware, SpawnError};
use crate::ffmpeg::{self, FfmpegTooOld};
use crate::gate::Certificate;
use crate::queue::queue;
use crate::record::{About, CameraRecord, InCommon, Record, Stream};
use crate::session;
use crate::session::rtsp::RtspSource;
use crate::shown::TileSize;
use crate::source::SourceUrl;
use crate::stats::CameraStats;
use crate::tile::{Moment, Tile, TileStatus};

/// How RTP comes from the camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Transport {
    /// Interleaved in the RTSP connection (RFC 2326 section 10.12): no loss, no firewall.
    #[default]
    Tcp,
    /// Its own UDP ports. Lost and reordered packets cost pictures.
    Udp,
}

impl Transport {
    /// `tcp` or `udp`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// What there is to know to start a camera.
#[derive(Debug, Clone)]
pub struct CameraConfig {
    /// Name in logs and of the thread `decode-<name>`.
    pub name: String,
    /// Where it is.
    pub source: SourceUrl,
    /// A smaller stream of the same scene, used where tiles are small.
    pub substream: Option<SourceUrl>,
    /// How RTP comes.
    pub transport: Transport,
    /// What decodes it.
    pub hwaccel: Hardware,
    /// Connected only while somebody looks, and 10 s longer.
    pub on_demand: bool,
    /// Which certificate is accepted of a camera behind `rtsps://`.
    pub certificate: Certificate,
    /// Without a decoded frame for so long, the session is closed and opened again; longer for a camera that is found
    /// to be slower than that, and at least 10 s for the first data of a session. 10 s by default. When its tiles turn
    /// black is another matter, see [`CameraView::tile`].
    pub silence: Duration,
    /// How long the first frame of a session may take while data arrives (a long group of pictures). 20 s by default.
    pub first_frame_budget: Duration,
}

impl CameraConfig {
    /// A camera with the defaults: one stream, TCP, software, always connected, 10 s of silence, 20 s for the first frame.
    #[must_use]
    pub fn new(name: impl Into<String>, source: SourceUrl) -> Self {
        Self {
            name: name.into(),
            source,
            substream: None,
            transport: Transport::default(),
            hwaccel: Hardware::default(),
            on_demand: false,
            certificate: Certificate::default(),
            silence: Duration::from_secs(10),
            first_frame_budget: Duration::from_secs(20),
        }
    }
}

/// A camera belongs to no wall, or to several with different ideas of when to turn black.
const STATS_BLACK_AFTER: Duration = Duration::from_secs(10);

/// Why a camera cannot be started; a camera that does not answer is no reason.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// FFmpeg cannot decode.
    #[error(transparent)]
    Ffmpeg(#[from] FfmpegTooOld),
    /// The operating system refused a thread.
    #[error("cannot start the camera {name}")]
    Thread {
        /// The camera.
        name: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
}

/// Owner of a camera: for each of its streams a session (a tokio task) and a thread, `decode-<name>` and
/// `decode-<name>-sub`. Dropping it ends the sessions and joins the threads; [`Camera::stop`] also waits until the camera
/// has confirmed the end (TEARDOWN).
#[derive(Debug)]
pub struct Camera {
    view: CameraView,
    stop: CancellationToken,
    sessions: Vec<JoinHandle<()>>,
    decoding: Vec<DecodeThread>,
}

/// What is known of a camera at any moment. Cheap to clone; outlives the camera.
#[derive(Clone)]
pub struct CameraView {
    record: Arc<CameraRecord>,
}

/// As long as it lives, the camera has a place on a wall: though nobody may look, its newest picture is at hand.
#[derive(Debug)]
pub struct OnWall {
    camera: CameraView,
}

impl Camera {
    /// Starts connecting. Returns at once; how it goes is told by [`CameraView::tile`].
    ///
    /// # Errors
    /// If this machine cannot decode: no usable FFmpeg, no thread.
    pub fn start(config: CameraConfig, runtime: &Handle) -> Result<Self, StartError> {
        ffmpeg::check_ffmpeg()?;
        let about = About {
            name: config.name.clone(),
            url: config.source.to_string(),
            sub_url: config.substream.as_ref().map(ToString::to_string),
            in_common: in_common(&config),
            on_demand: config.on_demand,
            first_frame_budget: config.first_frame_budget,
        };
        let record = CameraRecord::new(about, Moment::now());
        let mut camera = Self {
            view: CameraView { record },
            stop: CancellationToken::new(),
            sessions: Vec::new(),
            decoding: Vec::new(),
        };
        if let Some(source) = config.substream.clone() {
            camera.start_stream(Stream::Sub, CameraConfig { source, ..config.clone() }, runtime)?;
        }
        camera.start_stream(Stream::Main, config, runtime)?;
        Ok(camera)
    }

    fn start_stream(
        &mut self,
        stream: Stream,
        config: CameraConfig,
        runtime: &Handle,
    ) -> Result<(), StartError> {
        let record = Record::new(self.view.record.clone(), stream);
        let (feeder, units) = queue(record.clone());
        let decoding = DecodeThread::spawn(config.hwaccel, units, record.clone())
            .map_err(|SpawnError(source)| StartError::Thread { name: config.name.clone(), source })?;
        self.decoding.push(decoding);
        record.progressed(&format!("connecting to {}:{}", config.source.host(), config.source.port()));
        let stop = self.stop.clone();
        self.sessions.push(runtime.spawn(async move {
            let mut source = RtspSource::new(config, record.clone(), feeder);
            session::run(stop, record, &mut source).await;
            source.torn_down().await;
        }));
        Ok(())
    }

    /// A view to keep.
    #[must_use]
    pub fn view(&self) -> CameraView {
        self.view.clone()
    }

    /// Ends the sessions, waits for the answer to TEARDOWN (at most 1 s), and joins the decode threads.
    pub async fn stop(mut self) {
        self.stop.cancel();
        // Panics were caught inside; a runtime that shuts down is as good as an end.
        let _ = futures::future::join_all(self.sessions.drain(..)).await;
        let decoding = std::mem::take(&mut self.decoding);
        let _ = tokio::task::spawn_blocking(move || drop(decoding)).await;
    }
}

fn in_common(config: &CameraConfig) -> InCommon {
    let (main, sub) = (&config.source, config.substream.as_ref());
    let is_one_host = |sub: &SourceUrl| sub.host() == main.host();
    InCommon {
        place: sub
            .is_none_or(|sub| is_one_host(sub) && (sub.port(), sub.is_tls()) == (main.port(), main.is_tls())),
        account: sub.is_none_or(|sub| is_one_host(sub) && sub.login() == main.login()),
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl CameraView {
    pub(crate) fn record(&self) -> &Arc<CameraRecord> {
        &self.record
    }

    /// The camera's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.record.name()
    }

    /// What a tile of this camera, `shown` that large, shows at `now`, black after `black_after` without a decoded frame.
    /// For walls, at every tick that somebody watches: the frame counts as seen (see
    /// [`CameraStats::frames_overwritten`]), and the camera is decoded as long as somebody asks. The size decides which
    /// stream is decoded, and how carefully. Never waits for the network or the decoder.
    #[must_use]
    pub fn tile(&self, now: Instant, black_after: Duration, shown: TileSize) -> Tile {
        self.record.tile(now, black_after, shown)
    }

    /// Somebody is about to look, within some seconds: the camera connects if need be, and decodes.
    pub fn wake(&self, now: Instant, shown: TileSize) {
        self.record.wake(now, shown);
    }

    /// A wall has a tile of this camera, which may be looked at at any moment. A camera on no wall is not decoded at all
    /// beyond a session's first picture.
    #[must_use]
    pub fn put_on_wall(&self, now: Instant, shown: TileSize) -> OnWall {
        self.record.put_on_wall(now, shown);
        OnWall { camera: self.clone() }
    }

    /// How a tile of this camera is at `now`, for whoever does not show its picture. Changes nothing.
    #[must_use]
    pub fn status(&self, now: Instant, black_after: Duration) -> TileStatus {
        self.record.status(now, black_after)
    }

    /// Width, height, and width to height of a sample, of the newest picture there is, shown or not. Changes nothing.
    #[must_use]
    pub fn picture_shape(&self) -> Option<(u32, u32, (u32, u32))> {
        self.record.picture_shape()
    }

    /// Figures; the state is that of a tile which turns black after 10 s, the default of walls.
    #[must_use]
    pub fn stats(&self, now: Instant) -> CameraStats {
        self.record.stats(now, STATS_BLACK_AFTER)
    }
}

impl Drop for OnWall {
    fn drop(&mut self) {
        self.camera.record.removed_from_wall();
    }
}

impl std::fmt::Debug for CameraView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CameraView").field("name", &self.name()).finish_non_exhaustive()
    }
}
