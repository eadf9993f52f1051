//! What a wall shows now, and who changes it: the one place where a [`Director`]'s word becomes tiles of a wall.
//!
//! A wall has a [`Stage`], which HTTP talks to, and a task `stage-<wall>` that puts on the wall what the director says: at
//! once when it was told something, otherwise when a promotion or a turn ends. A change is one frame. A camera that was
//! not shown before is woken first, and given a moment to decode up to the present, so that it does not come up black.

mod curtain;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wallcast_compositor::{Presentation, TileSource, WallView};
use wallcast_ingest::{Alignment, CameraView, OnWall, TileSize, TileState};

use self::curtain::Curtain;
use crate::arrangement::Arrangement;
use crate::convert::{CameraTile, Watched, tile_size};
use crate::director::{Director, Promotion, Readiness, Scene};

/// How long somebody who changed something waits until it is seen. It takes one tick, and the moment for new cameras.
const SETTLED_WITHIN: Duration = Duration::from_secs(1);

/// What a wall shows, and by whom it is changed.
pub struct Stage {
    cast: Cast,
    director: Mutex<Director>,
    changed: Notify,
    shown: watch::Sender<Arc<Shown>>,
}

/// The cameras, and how this wall shows them.
#[derive(Clone)]
pub struct Cast {
    /// Every camera there is.
    pub cameras: Arc<[CameraView]>,
    /// When a tile goes black.
    pub black_after: Duration,
    /// What keeps the tiles in step, if the wall is to align them.
    pub alignment: Option<Arc<Alignment>>,
    /// The cameras that are shown, to be woken before a viewer is there.
    pub watched: Watched,
}

/// What is on a wall.
pub struct Shown {
    /// The places, and whose they are.
    pub scene: Scene,
    /// Of the scene's first places, in their order.
    pub tiles: Vec<ShownTile>,
    revision: u64,
}

/// One tile that is on a wall.
pub struct ShownTile {
    /// Its camera.
    pub camera: CameraView,
    /// Its number in the alignment's figures, where there are some.
    pub place: Option<usize>,
}

/// An arrangement and how many came before it.
#[derive(Clone)]
pub struct Current {
    /// What was asked for last.
    pub arrangement: Arc<Arrangement>,
    /// Counts the arrangements of this run, from 1.
    pub version: u64,
}

/// What a wall shows at first, before there is a wall.
pub struct Opening {
    cast: Cast,
    director: Director,
    shown: Shown,
    sources: Vec<Box<dyn TileSource>>,
}

/// The task of one stage. To be stopped before its wall is.
pub struct StageTask {
    wall: String,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Opening {
    /// Chooses what is shown first. `elsewhere`: how cameras without a tile on this wall are shown when they are promoted.
    pub fn new(cast: Cast, base: Arrangement, elsewhere: HashMap<String, Presentation>) -> Opening {
        let now = Instant::now();
        let mut director = Director::new(base, elsewhere, now);
        let revision = director.revision();
        // Nobody is gone before it was there.
        let scene = director.poll(now, &|_| Readiness::Coming);
        let (shown, sources) = cast.set_up(scene, revision);
        Opening { cast, director, shown, sources }
    }

    /// What is shown first.
    pub fn scene(&self) -> &Scene {
        &self.shown.scene
    }

    /// The sources of its tiles, once.
    pub fn take_sources(&mut self) -> Vec<Box<dyn TileSource>> {
        std::mem::take(&mut self.sources)
    }

    /// Goes on on `wall`, which shows the sources. `is_watched`: whether anybody looks at it.
    pub fn go_on(
        self,
        wall: WallView,
        is_watched: impl Fn() -> bool + Send + 'static,
        runtime: &Handle,
    ) -> (Arc<Stage>, StageTask) {
        let name = wall.name().to_owned();
        let stage = Arc::new(Stage {
            cast: self.cast,
            director: Mutex::new(self.director),
            changed: Notify::new(),
            shown: watch::Sender::new(Arc::new(self.shown)),
        });
        let stop = CancellationToken::new();
        let hand = StageHand {
            stage: Arc::clone(&stage),
            wall,
            is_watched: Box::new(is_watched),
            curtain: Curtain::default(),
            kept: (0, Vec::new()),
        };
        let task = runtime.spawn(hand.run(stop.clone()));
        (stage, StageTask { wall: name, stop, task })
    }
}

impl Stage {
    /// What was asked for last, without promotions.
    pub fn current(&self) -> Current {
        current(&self.director.lock())
    }

    /// What is on the wall.
    pub fn shown(&self) -> Arc<Shown> {
        Arc::clone(&self.shown.borrow())
    }

    /// Who is large for a while, the camera that was promoted last first.
    pub fn promotions(&self) -> Vec<Promotion> {
        self.director.lock().promotions().to_vec()
    }

    /// Shows another arrangement if `agrees` to what it replaces; nothing can come between. Otherwise says what there is.
    pub fn arrange(
        &self,
        arrangement: Arrangement,
        agrees: impl FnOnce(&Current) -> bool,
    ) -> Result<Current, Current> {
        let mut director = self.director.lock();
        let before = current(&director);
        if !agrees(&before) {
            return Err(before);
        }
        director.handle_arrangement(Instant::now(), arrangement);
        let after = current(&director);
        drop(director);
        self.changed.notify_one();
        Ok(after)
    }

    /// Shows `camera` large for a while. Returns until when.
    pub fn promote(&self, camera: &str, length: Duration) -> Instant {
        let until = self.director.lock().handle_promotion(Instant::now(), camera, length);
        self.changed.notify_one();
        until
    }

    /// Ends the promotion of `camera`, or of all. Returns how many ended.
    pub fn end_promotions(&self, camera: Option<&str>) -> usize {
        let ended = self.director.lock().handle_end(Instant::now(), camera);
        self.changed.notify_one();
        ended
    }

    /// Waits until all that was asked for until now is on the wall, or for a second.
    pub async fn settled(&self) {
        let revision = self.director.lock().revision();
        let mut shown = self.shown.subscribe();
        let _too_late =
            tokio::time::timeout(SETTLED_WITHIN, shown.wait_for(|shown| shown.revision >= revision)).await;
    }

    /// Whether there is a camera of this name.
    pub fn camera(&self, name: &str) -> Option<&CameraView> {
        self.cast.camera(name)
    }

    /// The names of all cameras.
    pub fn camera_names(&self) -> Vec<&str> {
        self.cast.cameras.iter().map(CameraView::name).collect()
    }
}

fn current(director: &Director) -> Current {
    Current { arrangement: Arc::clone(director.base()), version: director.version() }
}

impl Cast {
    fn camera(&self, name: &str) -> Option<&CameraView> {
        self.cameras.iter().find(|camera| camera.name() == name)
    }

    fn readiness(&self, now: Instant, name: &str) -> Readiness {
        let state = self.camera(name).map(|camera| camera.status(now, self.black_after).state);
        match state {
            Some(TileState::Live | TileState::Holding) => Readiness::Ready,
            Some(TileState::Connecting) => Readiness::Coming,
            Some(TileState::Offline) | None => Readiness::Gone,
        }
    }

    /// The sources of a scene's tiles. From now on its cameras are the ones that are woken.
    fn set_up(&self, scene: Scene, revision: u64) -> (Shown, Vec<Box<dyn TileSource>>) {
        let places = scene.layout.placements().iter().map(tile_size);
        // Names were checked when the arrangement was read.
        let cast = scene.cameras.iter().filter_map(|name| self.camera(name)).zip(places);
        let tiles: Vec<(CameraTile, CameraView, TileSize)> = cast
            .map(|(camera, size)| {
                let tile = CameraTile::new(camera.clone(), self.black_after, size, self.alignment.as_ref());
                (tile, camera.clone(), size)
            })
            .collect();
        self.watched.set(tiles.iter().map(|(_, camera, size)| (camera.clone(), *size)));
        let (shown, sources) = tiles
            .into_iter()
            .map(|(tile, camera, _)| {
                let shown = ShownTile { camera, place: tile.place() };
                (shown, Box::new(tile) as Box<dyn TileSource>)
            })
            .unzip();
        (Shown { scene, tiles: shown, revision }, sources)
    }
}

/// What the task owns.
struct StageHand {
    stage: Arc<Stage>,
    wall: WallView,
    is_watched: Box<dyn Fn() -> bool + Send>,
    curtain: Curtain,
    /// Cameras that take turns are kept ready; since which revision.
    kept: (u64, Vec<OnWall>),
}

impl StageHand {
    async fn run(mut self, stop: CancellationToken) {
        let stage = Arc::clone(&self.stage);
        loop {
            let stepped = catch_unwind(AssertUnwindSafe(|| self.step(Instant::now())));
            let next = stepped.unwrap_or_else(|_panic| {
                tracing::error!(wall = self.wall.name(), "caught a panic while changing what is shown");
                Some(Instant::now() + SETTLED_WITHIN)
            });
            let until_next = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = stage.changed.notified() => {}
                () = until_next => {}
            }
        }
    }

    /// Puts on the wall what is due. Returns when to look again.
    fn step(&mut self, now: Instant) -> Option<Instant> {
        let cast = &self.stage.cast;
        let readiness = |name: &str| cast.readiness(now, name);
        let is_watched = (self.is_watched)();
        let mut director = self.stage.director.lock();
        let scene = director.poll(now, &readiness);
        let (revision, next) = (director.revision(), director.poll_at(now));
        let upcoming = if is_watched { director.upcoming(now, &readiness) } else { Vec::new() };
        if self.kept.0 != revision {
            let size = |place: usize| scene.layout.placements().get(place).map(tile_size);
            let waiting =
                director.waiting().filter_map(|(name, place)| Some((cast.camera(name)?, size(place)?)));
            self.kept = (revision, waiting.map(|(camera, size)| camera.put_on_wall(now, size)).collect());
        }
        drop(director);
        for (name, place) in upcoming {
            if let (Some(camera), Some(place)) = (cast.camera(&name), scene.layout.placements().get(place)) {
                camera.wake(now, tile_size(place));
            }
        }
        let shown = self.stage.shown();
        if shown.scene == scene {
            self.curtain.reset();
            if shown.revision != revision {
                let tiles = shown.tiles.iter().map(ShownTile::again).collect();
                let _before = self.stage.shown.send_replace(Arc::new(Shown { scene, tiles, revision }));
            }
            return next;
        }
        if is_watched && let Some(look_again) = self.curtain.wait(now, cast, &shown.scene, &scene) {
            return Some(next.map_or(look_again, |next| next.min(look_again)));
        }
        self.curtain.reset();
        self.show(scene, revision);
        next
    }

    fn show(&self, scene: Scene, revision: u64) {
        let layout = scene.layout.clone();
        let (shown, sources) = self.stage.cast.set_up(scene, revision);
        if let Err(error) = self.wall.rearrange(layout, sources) {
            // The director never leaves the wall's canvas, so this is a fault of ours.
            tracing::error!(wall = self.wall.name(), %error, "the wall cannot show what it is to show");
        }
        let _before = self.stage.shown.send_replace(Arc::new(shown));
    }
}

impl ShownTile {
    fn again(&self) -> ShownTile {
        ShownTile { camera: self.camera.clone(), place: self.place }
    }
}

impl StageTask {
    /// Ends it.
    pub async fn stop(self) {
        self.stop.cancel();
        if self.task.await.is_err() {
            tracing::error!(wall = self.wall, "the task of the wall's stage had panicked");
        }
    }
}
