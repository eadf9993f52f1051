//! The wiring: cameras → walls → outputs, built from a configuration and torn down from the outside in.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use wallcast_compositor::encoder::Level;
use wallcast_compositor::{RenditionConfig, Sink, Wall, WallConfig, WallView};
use wallcast_ingest::{Alignment, Camera, CameraConfig, CameraView};
use wallcast_webrtc::{Peers, PeersConfig, ProfileLevelId, Rendition, Source};

use crate::arrangement::Arrangement;
use crate::config::{CameraEntry, Config, LayoutRules, StateSetting, WallEntry, WebRtcConfig};
use crate::convert::{KeyFrameRequester, RtspSink, Watched, WebRtcSink};
use crate::director::as_guest;
use crate::public_addresses;
use crate::rtsp::{Mount, Mounts, NameInUse};
use crate::stage::{Cast, NoSuchCamera, Opening, Stage, StageTask};
use crate::state::{State, StateFile};

/// A wall that has kept no tick, or delivered nothing to its viewers, for so long stands still.
const STANDING_STILL_AFTER: Duration = Duration::from_secs(10);
/// How long a camera may take from PLAY to its first decoded picture: a group of pictures of 20 s is seen in the field.
const FIRST_FRAME_BUDGET: Duration = Duration::from_secs(20);
/// A camera without a decoded picture for so long is connected to again, whenever its walls turn black.
const SILENCE: Duration = Duration::from_secs(10);
/// A wall sends a key frame by itself this often.
const IDR_EVERY: Duration = Duration::from_secs(4);

/// Why the wiring could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A camera's thread or session could not be started.
    #[error("cannot start the camera {camera}")]
    Camera {
        /// The camera's name.
        camera: String,
        /// What was in the way.
        source: wallcast_ingest::StartError,
    },
    /// A wall's encoder or thread could not be started.
    #[error("cannot start the wall {wall}")]
    Wall {
        /// The wall's name.
        wall: String,
        /// What was in the way.
        source: Box<wallcast_compositor::StartError>,
    },
    /// A wall is to show a camera that there is not.
    #[error("cannot arrange the wall {wall}")]
    Stage {
        /// The wall's name.
        wall: String,
        /// What was in the way.
        source: NoSuchCamera,
    },
    /// WebRTC could not be set up.
    #[error(transparent)]
    WebRtc(#[from] wallcast_webrtc::BindError),
    /// The thread that saves arrangements did not start.
    #[error("cannot start the thread of the state file")]
    State(#[source] std::io::Error),
    /// Two walls, or a wall and a simulated camera, want the same name over RTSP.
    #[error("cannot serve a wall over RTSP")]
    Rtsp(#[from] NameInUse),
}

/// Everything that runs: owner of cameras, walls and peers. Ended by [`Pipeline::stop`].
pub struct Pipeline {
    cameras: Vec<Camera>,
    walls: Vec<RunningWall>,
    peers: Arc<Peers>,
    webrtc: Arc<WebRtcConfig>,
    /// Looks up the names among the public addresses.
    _announcing: Option<AbortOnDropHandle<()>>,
    state: Option<StateFile>,
}

struct RunningWall {
    wall: Wall,
    task: StageTask,
    output: WallOutput,
}

/// A wall as the outputs see it: where viewers subscribe, and what it can tell of itself.
#[derive(Clone)]
pub struct WallOutput {
    /// The wall's statistics and key frames.
    pub view: WallView,
    /// What WebRTC peers are fed from.
    pub source: Arc<Source>,
    /// What RTSP readers are fed from.
    pub mount: Arc<Mount>,
    /// What it shows, and who changes that.
    pub stage: Arc<Stage>,
    /// The cameras that it shows, to wake them before a viewer is there.
    pub watched: Watched,
    /// What keeps the tiles in step, where the wall is to align them.
    pub alignment: Option<Arc<Alignment>>,
    /// When a tile of this wall goes black.
    pub black_after: Duration,
    /// As it is configured.
    pub entry: Arc<WallEntry>,
    /// What another arrangement of it has to fit.
    pub rules: Arc<LayoutRules>,
}

/// What HTTP reads: cheap to clone, owns nothing that must be stopped.
#[derive(Clone)]
pub struct Running {
    /// In the order of the configuration.
    pub cameras: Arc<[CameraView]>,
    /// In the order of the configuration; the first is the default wall.
    pub walls: Arc<[WallOutput]>,
    /// Every WebRTC viewer.
    pub peers: Arc<Peers>,
    /// What they are told, and how many there may be.
    pub webrtc: Arc<WebRtcConfig>,
    /// Where arrangements are saved, if they are.
    pub state: Option<State>,
    /// When the pipeline was started.
    pub started: Instant,
}

impl Running {
    /// The wall of this name.
    pub fn wall(&self, name: &str) -> Option<&WallOutput> {
        self.walls.iter().find(|wall| wall.view.name() == name)
    }

    /// Shows `camera` large on `wall` for a while. Returns until when.
    ///
    /// Where it has no tile, it is shown as this wall is configured to show it, or as other walls do; and what is blacked
    /// out on any of them, now or by the configuration, is blacked out there.
    pub fn promote(&self, wall: &WallOutput, camera: &str, length: Duration) -> Instant {
        let others = self.walls.iter().filter(|other| other.view.name() != wall.view.name());
        let walls: Vec<&WallOutput> = std::iter::once(wall).chain(others).collect();
        let now: Vec<Arc<Arrangement>> = walls.iter().map(|wall| wall.stage.current().arrangement).collect();
        let each = walls.iter().zip(&now).flat_map(|(wall, now)| [&**now, &wall.entry.arrangement]);
        wall.stage.promote(camera, as_guest(camera, each), length)
    }
}

impl WallOutput {
    /// Whether the wall has kept a tick lately: delivered a picture, or had nobody to deliver one to.
    pub fn is_alive(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.view.last_progress()) < STANDING_STILL_AFTER
    }
}

impl Pipeline {
    /// Starts every camera and every wall, and adds each wall to the RTSP `mounts`.
    ///
    /// Cameras that cannot be reached are no error: their tiles say so.
    ///
    /// # Errors
    /// A thread, an encoder or WebRTC could not be started.
    pub fn start(config: &Config, mounts: &Mounts, runtime: &Handle) -> Result<Self, BuildError> {
        let webrtc = Arc::new(config.webrtc.clone());
        let peers = Arc::new(Peers::new(peers_config(&webrtc))?);
        let announcing = public_addresses::announce(&webrtc.public_addresses, &peers, runtime);
        let own = wallcast_webrtc::host_addresses(&addresses(webrtc.listen.ip()));
        if let Some(warning) = public_addresses::warning(&own, &webrtc.public_addresses) {
            tracing::warn!("{warning}");
        }
        let cameras =
            config.cameras.iter().map(|entry| start_camera(entry, runtime)).collect::<Result<Vec<_>, _>>()?;
        let views: Arc<[CameraView]> = cameras.iter().map(Camera::view).collect();
        let (state, mut restored) = match &config.state {
            StateSetting::At(path) => {
                let opened = StateFile::open(path, &config.walls, &config.cameras);
                let (file, restored) = opened.map_err(BuildError::State)?;
                (Some(file), restored)
            }
            StateSetting::Default | StateSetting::None => (None, HashMap::new()),
        };
        let start = |entry: &WallEntry| {
            let begins = restored.remove(&entry.name).unwrap_or_else(|| entry.arrangement.clone());
            start_wall(entry, begins, config, &views, mounts, runtime)
        };
        let walls = config.walls.iter().map(start).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { cameras, walls, peers, webrtc, _announcing: announcing, state })
    }

    /// What the outputs and `/stats` read.
    pub fn running(&self) -> Running {
        Running {
            cameras: self.cameras.iter().map(Camera::view).collect(),
            walls: self.walls.iter().map(|running| running.output.clone()).collect(),
            peers: Arc::clone(&self.peers),
            webrtc: Arc::clone(&self.webrtc),
            state: self.state.as_ref().map(StateFile::state),
            started: Instant::now(),
        }
    }

    /// Ends everything from the outside in: peers, then walls, then cameras, which are told TEARDOWN.
    pub async fn stop(self) {
        self.peers.stop().await;
        let (tasks, walls): (Vec<StageTask>, Vec<Wall>) =
            self.walls.into_iter().map(|running| (running.task, running.wall)).unzip();
        futures::future::join_all(tasks.into_iter().map(StageTask::stop)).await;
        // A disk that hangs keeps no camera waiting for its TEARDOWN.
        let state = self.state;
        let saved = tokio::task::spawn_blocking(move || drop(state));
        // Joining a wall's thread waits for at most one tick; still not a thing for an async thread to wait for.
        let joined = tokio::task::spawn_blocking(|| walls.into_iter().for_each(Wall::stop)).await;
        if joined.is_err() {
            tracing::error!("a wall's thread panicked while it was stopped");
        }
        futures::future::join_all(self.cameras.into_iter().map(Camera::stop)).await;
        if saved.await.is_err() {
            tracing::error!("the state file was not closed");
        }
    }
}

fn peers_config(webrtc: &WebRtcConfig) -> PeersConfig {
    PeersConfig {
        bind: addresses(webrtc.listen.ip()),
        port: webrtc.listen.port(),
        max_peers: webrtc.max_viewers,
        max_peers_per_client: webrtc.max_viewers_per_address,
        ice_lite: webrtc.ice_lite,
        ..PeersConfig::default()
    }
}

/// `[::]` is every interface of both families, as it is for HTTP.
fn addresses(listen: IpAddr) -> Vec<IpAddr> {
    match listen {
        IpAddr::V6(address) if address.is_unspecified() => vec![listen, Ipv4Addr::UNSPECIFIED.into()],
        _ => vec![listen],
    }
}

fn start_camera(entry: &CameraEntry, runtime: &Handle) -> Result<Camera, BuildError> {
    let camera = CameraConfig {
        name: entry.name.clone(),
        source: entry.source.clone(),
        substream: entry.substream.clone(),
        transport: entry.transport,
        certificate: entry.certificate,
        hwaccel: entry.hwaccel,
        on_demand: entry.on_demand,
        silence: SILENCE,
        first_frame_budget: FIRST_FRAME_BUDGET,
    };
    Camera::start(camera, runtime).map_err(|source| BuildError::Camera { camera: entry.name.clone(), source })
}

fn start_wall(
    entry: &WallEntry,
    begins: Arrangement,
    config: &Config,
    cameras: &Arc<[CameraView]>,
    mounts: &Mounts,
    runtime: &Handle,
) -> Result<RunningWall, BuildError> {
    let watched = Watched::default();
    let key_frames = KeyFrameRequester::waking(watched.clone());
    let source = Source::new(&entry.name, renditions(entry, &key_frames));
    let mount = Mount::with_frame_rate(&entry.name, f64::from(entry.fps.get()), key_frames.callback());
    mounts.add(Arc::clone(&mount))?;

    let alignment = entry.align.map(|align| Alignment::new(align, entry.fps.time_of(1)));
    let cast = Cast {
        cameras: Arc::clone(cameras),
        black_after: entry.black_after,
        alignment: alignment.clone(),
        watched: watched.clone(),
    };
    let mut opening = Opening::new(cast, begins)
        .map_err(|source| BuildError::Stage { wall: entry.name.clone(), source })?;
    // What can be left out of a picture costs all viewers 3 to 8 % of the bits. Viewers of a wall that has smaller renditions
    // are switched to one of those before anything is left out for them.
    let halves = |rendition| rendition > 0 || entry.renditions.is_empty();
    let sink = |rendition| WebRtcSink { source: Arc::clone(&source), rendition, halves: halves(rendition) };
    let mut sinks: Vec<Arc<dyn Sink>> = vec![Arc::new(RtspSink(Arc::clone(&mount)))];
    sinks.extend((0..=entry.renditions.len()).map(|rendition| Arc::new(sink(rendition)) as Arc<dyn Sink>));
    let wall = WallConfig {
        name: entry.name.clone(),
        size: entry.size,
        fps: entry.fps,
        bitrate: entry.bitrate,
        encoder: entry.encoder,
        layout: opening.scene().layout.clone(),
        idr_every: IDR_EVERY,
        renditions: entry.renditions.clone(),
    };
    let wall = Wall::start(wall, opening.take_sources(), sinks)
        .map_err(|source| BuildError::Wall { wall: entry.name.clone(), source: Box::new(source) })?;
    key_frames.connect(wall.view());
    let is_watched = {
        let (source, mount) = (Arc::clone(&source), Arc::clone(&mount));
        move || source.is_watched() || mount.is_wanted()
    };
    let (stage, task) = opening.go_on(wall.view(), is_watched, runtime);
    let output = WallOutput {
        view: wall.view(),
        source,
        mount,
        stage,
        watched,
        alignment,
        black_after: entry.black_after,
        rules: Arc::new(LayoutRules::new(entry.size, &config.cameras)),
        entry: Arc::new(entry.clone()),
    };
    Ok(RunningWall { wall, task, output })
}

/// What WebRTC is told of a wall's encodings: its own, then the smaller ones.
fn renditions(entry: &WallEntry, key_frames: &KeyFrameRequester) -> Vec<Rendition> {
    let own = RenditionConfig { name: entry.own_rendition(), size: entry.size, bitrate: entry.bitrate };
    let all = std::iter::once(&own).chain(&entry.renditions).enumerate();
    all.map(|(number, RenditionConfig { name, size, bitrate })| Rendition {
        name: name.clone(),
        profile: ProfileLevelId::constrained_baseline(Level::of(*size, entry.fps, *bitrate).idc()),
        bitrate_bps: u64::from(bitrate.bps()),
        on_key_frame_needed: key_frames.callback_of(number),
    })
    .collect()
}

/// The address that viewers of a wildcard listener are told to open.
pub fn shown_address(ip: IpAddr) -> IpAddr {
    if ip.is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { ip }
}
