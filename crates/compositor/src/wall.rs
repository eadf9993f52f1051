//! A wall: the thread `wall-<name>` that composes at every tick, encodes once, and hands the result to its sinks.
//!
//! Nothing is composed or encoded while no sink is wanted; the clock goes on. What one sink does cannot be felt by
//! another or by the wall: [`Sink::deliver`] must not wait, and one that panics is counted and passed over. A tile that
//! panics is black, and no more than that. A panic or an error in encoding costs that tick and a new encoder, never the
//! process. Who the sinks are, and where pictures come from, is the binary's business.

mod run;
mod stats;

pub use self::stats::WallStats;

use self::run::{OpenEncoder, Worker};
use self::stats::Meters;
use crate::compose::TileSource;
use crate::encoder::{EncoderChoice, EncoderConfig, Level, OpenError, Opener};
use crate::geometry::{Bitrate, CanvasSize, FrameRate};
use crate::layout::Layout;
use crate::tick::CanvasTime;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thiserror::Error;

/// One encoded canvas, shared by all sinks.
#[derive(Clone, Debug)]
pub struct AccessUnit {
    /// An Annex B byte stream; SPS and PPS precede every IDR.
    pub data: Bytes,
    /// Whether it is an IDR.
    pub key: bool,
    /// When on the wall it is.
    pub canvas_time: CanvasTime,
    /// When the canvas was complete, before it was encoded.
    pub composed_at: Instant,
    /// Counts the wall's access units from 0, without gaps.
    pub sequence: u64,
}

/// Somebody who may want the wall's stream.
pub trait Sink: Send + Sync {
    /// Whether anybody watches through it; asked at every tick.
    fn is_wanted(&self) -> bool;

    /// Takes an access unit, at every tick at which it is wanted. It never waits: what cannot be taken is dropped and
    /// counted by the sink.
    fn deliver(&self, unit: &AccessUnit);
}

/// What a wall is.
#[derive(Clone, Debug)]
pub struct WallConfig {
    /// The wall's name, which is also its thread's.
    pub name: String,
    /// The canvas; the layout's.
    pub size: CanvasSize,
    /// Ticks a second.
    pub fps: FrameRate,
    /// Bits a second to aim at.
    pub bitrate: Bitrate,
    /// What encodes.
    pub encoder: EncoderChoice,
    /// Where the tiles are at first.
    pub layout: Layout,
    /// An IDR comes at least so often; 4 s by default.
    pub idr_every: Duration,
}

/// Tiles that a wall cannot show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RearrangeError {
    /// The layout was made for another canvas.
    #[error("found a layout for {}x{}, expected one for the wall's {}x{}", found.width(), found.height(), expected.width(), expected.height())]
    Canvas {
        /// The layout's canvas.
        found: CanvasSize,
        /// The wall's.
        expected: CanvasSize,
    },
    /// There are more sources than tiles.
    #[error("found {found} tile sources, expected at most {expected}, one for each tile of the layout")]
    Tiles {
        /// The sources that were given.
        found: usize,
        /// The layout's tiles.
        expected: usize,
    },
}

/// A wall that did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Its tiles cannot be shown.
    #[error(transparent)]
    Tiles(#[from] RearrangeError),
    /// The encoder did not open.
    #[error("the encoder did not open")]
    Encoder(#[from] OpenError),
    /// The thread did not start.
    #[error("the wall's thread did not start")]
    Thread(#[source] std::io::Error),
}

/// A running wall. Dropping it stops and joins its thread.
#[derive(Debug)]
pub struct Wall {
    view: WallView,
    thread: Option<JoinHandle<()>>,
}

impl Wall {
    /// Opens the encoder and starts the thread. `tiles` are in the layout's order; placements without one show the
    /// background.
    pub fn start(
        config: WallConfig,
        tiles: Vec<Box<dyn TileSource>>,
        sinks: Vec<Arc<dyn Sink>>,
    ) -> Result<Wall, StartError> {
        let encoder = EncoderConfig { size: config.size, fps: config.fps, bitrate: config.bitrate };
        let mut opener = Opener::new(config.encoder);
        Wall::start_with(config, tiles, sinks, Box::new(move || opener.open(encoder)))
    }

    /// The same with any encoder. `open` is called again whenever one has failed.
    pub(crate) fn start_with(
        config: WallConfig,
        tiles: Vec<Box<dyn TileSource>>,
        sinks: Vec<Arc<dyn Sink>>,
        mut open: OpenEncoder,
    ) -> Result<Wall, StartError> {
        check(&config.layout, config.size, tiles.len())?;
        let encoder = open()?;
        let now = Instant::now();
        let shared = Arc::new(Shared {
            meters: Mutex::new(Meters::new(now, config.fps, encoder.name())),
            key_frame_wanted: AtomicBool::new(false),
            key_frame_requests: AtomicU64::new(0),
            stopping: Mutex::new(false),
            wake: Condvar::new(),
            scene: Mutex::new(Scene { layout: Arc::new(config.layout.clone()), next: None }),
            config,
        });
        let worker = Worker::new(Arc::clone(&shared), tiles, sinks, encoder, open);
        let thread = std::thread::Builder::new().name(format!("wall-{}", shared.config.name));
        let thread = thread.spawn(move || worker.run(Instant::now())).map_err(StartError::Thread)?;
        Ok(Wall { view: WallView(shared), thread: Some(thread) })
    }

    /// What others may see and ask of it.
    pub fn view(&self) -> WallView {
        self.view.clone()
    }

    /// Stops it and waits until its thread has ended: at most a tick's work.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Wall {
    fn drop(&mut self) {
        *self.view.0.stopping.lock() = true;
        self.view.0.wake.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(wall = self.view.name(), "the wall's thread had panicked");
        }
    }
}

/// A wall as others see it; cheap to clone, and it outlives the wall.
#[derive(Clone, Debug)]
pub struct WallView(Arc<Shared>);

impl WallView {
    /// The wall's name.
    pub fn name(&self) -> &str {
        &self.0.config.name
    }

    /// Where its tiles are: of what was asked for last, which is shown from the next tick on.
    pub fn layout(&self) -> Arc<Layout> {
        Arc::clone(&self.0.scene.lock().layout)
    }

    /// Shows other tiles in other places, all of it from the next tick on. `tiles` are in the layout's order; placements
    /// without one show the background. Viewers notice nothing but the picture.
    pub fn rearrange(&self, layout: Layout, tiles: Vec<Box<dyn TileSource>>) -> Result<(), RearrangeError> {
        check(&layout, self.0.config.size, tiles.len())?;
        let mut scene = self.0.scene.lock();
        scene.layout = Arc::new(layout);
        // What was asked for before and never shown is freed here, not on the wall's thread.
        let _unseen = scene.next.replace(tiles);
        drop(scene);
        Ok(())
    }

    /// The H.264 level that its stream declares; with it the `profile-level-id` to answer.
    pub fn level(&self) -> Level {
        Level::of(self.0.config.size, self.0.config.fps, self.0.config.bitrate)
    }

    /// Asks for an IDR, from any thread, without waiting. All requests together make at most one in 500 ms; one made
    /// while nobody watches is served by the first access unit there is.
    pub fn request_key_frame(&self) {
        self.0.key_frame_requests.fetch_add(1, Ordering::Relaxed);
        self.0.key_frame_wanted.store(true, Ordering::Release);
    }

    /// When a tick last ended as it should: with an access unit for the sinks, or with nobody watching. It stands still
    /// while viewers look at a frozen picture. For a watchdog: unlike [`WallView::stats`] it costs next to nothing.
    pub fn last_progress(&self) -> Instant {
        self.0.meters.lock().last_progress
    }

    /// How it is doing at `now`.
    pub fn stats(&self, now: Instant) -> WallStats {
        let requests = self.0.key_frame_requests.load(Ordering::Relaxed);
        let meters = self.0.meters.lock().clone();
        meters.stats(now, &self.0.config, requests)
    }
}

fn check(layout: &Layout, size: CanvasSize, tiles: usize) -> Result<(), RearrangeError> {
    if layout.canvas() != size {
        return Err(RearrangeError::Canvas { found: layout.canvas(), expected: size });
    }
    let expected = layout.placements().len();
    match tiles <= expected {
        true => Ok(()),
        false => Err(RearrangeError::Tiles { found: tiles, expected }),
    }
}

/// What is to be shown.
struct Scene {
    layout: Arc<Layout>,
    /// The sources of its tiles, until the wall's thread takes them.
    next: Option<Vec<Box<dyn TileSource>>>,
}

impl fmt::Debug for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scene").field("layout", &self.layout).finish_non_exhaustive()
    }
}

/// What the wall's thread and its views share.
#[derive(Debug)]
struct Shared {
    config: WallConfig,
    /// Held for the time of a few additions, or of one copy: the copy is summed and sorted without the lock, because the
    /// wall's thread takes it at every tick.
    meters: Mutex<Meters>,
    scene: Mutex<Scene>,
    key_frame_wanted: AtomicBool,
    key_frame_requests: AtomicU64,
    stopping: Mutex<bool>,
    wake: Condvar,
}

impl Shared {
    fn is_stopping(&self) -> bool {
        *self.stopping.lock()
    }

    /// Sleeps until `due`, or until the wall is stopped.
    fn sleep_until(&self, due: Instant) {
        let mut stopping = self.stopping.lock();
        while !*stopping && !self.wake.wait_until(&mut stopping, due).timed_out() {}
    }
}

#[cfg(test)]
mod tests;
