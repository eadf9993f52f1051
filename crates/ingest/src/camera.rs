//! One camera: its owner, and the view that everybody else holds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::decode::{DecodeThread, SpawnError};
use crate::ffmpeg::{self, FfmpegTooOld};
use crate::gate::Certificate;
use crate::queue::queue;
use crate::record::Record;
use crate::session;
use crate::session::rtsp::RtspSource;
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

/// What there is to know to start a camera.
#[derive(Debug, Clone)]
pub struct CameraConfig {
    /// Name in logs and of the thread `decode-<name>`.
    pub name: String,
    /// Where it is.
    pub source: SourceUrl,
    /// How RTP comes.
    pub transport: Transport,
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
    /// A camera with the defaults: TCP, 10 s of silence, 20 s for the first frame.
    #[must_use]
    pub fn new(name: impl Into<String>, source: SourceUrl) -> Self {
        Self {
            name: name.into(),
            source,
            transport: Transport::default(),
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

/// Owner of a camera: its session (a tokio task) and its thread `decode-<name>`. Dropping it ends the session and
/// joins the thread; [`Camera::stop`] also waits until the camera has confirmed the end (TEARDOWN).
#[derive(Debug)]
pub struct Camera {
    view: CameraView,
    stop: CancellationToken,
    session: Option<JoinHandle<()>>,
    decoding: Option<DecodeThread>,
}

/// What is known of a camera at any moment. Cheap to clone; outlives the camera.
#[derive(Clone)]
pub struct CameraView {
    record: Arc<Record>,
}

impl Camera {
    /// Starts connecting. Returns at once; how it goes is told by [`CameraView::tile`].
    ///
    /// # Errors
    /// If this machine cannot decode: no usable FFmpeg, no thread.
    pub fn start(config: CameraConfig, runtime: &Handle) -> Result<Self, StartError> {
        ffmpeg::check_ffmpeg()?;
        let name = config.name.clone();
        let record =
            Record::new(name.clone(), config.source.to_string(), Moment::now(), config.first_frame_budget);
        let (feeder, units) = queue(record.clone());
        let decoding = DecodeThread::spawn(units, record.clone())
            .map_err(|SpawnError(source)| StartError::Thread { name, source })?;

        record.progressed(&format!("connecting to {}:{}", config.source.host(), config.source.port()));
        let view = CameraView { record: record.clone() };
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let session = runtime.spawn(async move {
            let mut source = RtspSource::new(config, record.clone(), feeder);
            session::run(stopped, record, &mut source).await;
            source.torn_down().await;
        });
        Ok(Self { view, stop, session: Some(session), decoding: Some(decoding) })
    }

    /// A view to keep.
    #[must_use]
    pub fn view(&self) -> CameraView {
        self.view.clone()
    }

    /// Ends the session, waits for the answer to TEARDOWN (at most 1 s), and joins the decode thread.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(session) = self.session.take() {
            // Panics were caught inside; a runtime that shuts down is as good as an end.
            let _ = session.await;
        }
        let decoding = self.decoding.take();
        let _ = tokio::task::spawn_blocking(move || drop(decoding)).await;
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl CameraView {
    /// The camera's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.record.name()
    }

    /// What a tile of this camera shows at `now`, black after `black_after` without a decoded frame. For walls, at
    /// every tick: the frame counts as seen (see [`CameraStats::frames_overwritten`]). Never waits for the network or
    /// the decoder.
    #[must_use]
    pub fn tile(&self, now: Instant, black_after: Duration) -> Tile {
        self.record.tile(now, black_after)
    }

    /// How a tile of this camera is at `now`, for whoever does not show its picture. Changes nothing.
    #[must_use]
    pub fn status(&self, now: Instant, black_after: Duration) -> TileStatus {
        self.record.status(now, black_after)
    }

    /// Figures; the state is that of a tile which turns black after 10 s, the default of walls.
    #[must_use]
    pub fn stats(&self, now: Instant) -> CameraStats {
        self.record.stats(now, STATS_BLACK_AFTER)
    }
}

impl std::fmt::Debug for CameraView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CameraView").field("name", &self.name()).finish_non_exhaustive()
    }
}
