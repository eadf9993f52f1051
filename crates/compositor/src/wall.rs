//! A wall: the thread `wall-<name>` that composes at every tick, encodes once, and hands the result to its sinks.
//!
//! Nothing is composed or encoded while no sink is wanted; the clock goes on. What one sink does cannot be felt by
//! another or by the wall: [`Sink::deliver`] must not wait, and one that panics is counted and passed over. A tile that
//! panics is black, and no more than that. The encoder works on a thread of its own: a panic, an error or a stall in it
//! costs some ticks and a new encoder, never the clock or the process. Who the sinks are, and where pictures come from, is
//! the binary's business.

mod bell;
mod encoding;
mod health;
mod run;
mod stats;
mod view;

pub use self::health::{EncoderFailure, Stall};
pub use self::stats::WallStats;
pub use self::view::{ChangeError, RearrangeError, WallView};

use self::encoding::{Encoding, OpenEncoder};
use self::run::Worker;
use self::view::Shared;
use crate::compose::TileSource;
use crate::encoder::{EncoderChoice, EncoderConfig, OpenError, Opener};
use crate::geometry::{Bitrate, CanvasSize, FrameRate};
use crate::layout::Layout;
use crate::tick::CanvasTime;
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
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
    /// Ticks a second at first.
    pub fps: FrameRate,
    /// Bits a second to aim at, at first.
    pub bitrate: Bitrate,
    /// What encodes.
    pub encoder: EncoderChoice,
    /// Where the tiles are at first.
    pub layout: Layout,
    /// An IDR comes at least so often; 4 s by default.
    pub idr_every: Duration,
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

/// A running wall. Dropping it stops and joins its threads.
#[derive(Debug)]
pub struct Wall {
    view: WallView,
    thread: Option<JoinHandle<()>>,
}

impl Wall {
    /// Opens the encoder and starts the threads. `tiles` are in the layout's order; placements without one show the
    /// background.
    pub fn start(
        config: WallConfig,
        tiles: Vec<Box<dyn TileSource>>,
        sinks: Vec<Arc<dyn Sink>>,
    ) -> Result<Wall, StartError> {
        let opener = Mutex::new(Opener::new(config.encoder));
        let open = move |encoder: EncoderConfig| match opener.try_lock() {
            Some(mut opener) => opener.open(encoder),
            None => Err(OpenError {
                encoder: config.encoder.as_str(),
                config: encoder,
                source: "the one before it is still being opened".into(),
            }),
        };
        Wall::start_with(config, tiles, sinks, Arc::new(open))
    }

    /// The same with any encoder. `open` is called again whenever one has failed.
    pub(crate) fn start_with(
        config: WallConfig,
        tiles: Vec<Box<dyn TileSource>>,
        sinks: Vec<Arc<dyn Sink>>,
        open: OpenEncoder,
    ) -> Result<Wall, StartError> {
        view::check(&config.layout, config.size, tiles.len())?;
        let for_encoder = EncoderConfig { size: config.size, fps: config.fps, bitrate: config.bitrate };
        // Opened here, so that what cannot be opened is told to whoever starts the wall.
        let span = tracing::error_span!("wall", name = config.name);
        let encoder = span.in_scope(|| open(for_encoder))?;
        let shared = Arc::new(Shared::new(config, encoder.name()));
        let ready = move || Ok(encoder);
        let encoding = Encoding::start(&shared.config.name, for_encoder, Arc::clone(&shared.bell), ready);
        let worker =
            Worker::new(Arc::clone(&shared), tiles, sinks, encoding.map_err(StartError::Thread)?, open);
        let thread = std::thread::Builder::new().name(format!("wall-{}", shared.config.name));
        let thread = thread.spawn(move || worker.run(Instant::now())).map_err(StartError::Thread)?;
        Ok(Wall { view: WallView(shared), thread: Some(thread) })
    }

    /// What others may see and ask of it.
    pub fn view(&self) -> WallView {
        self.view.clone()
    }

    /// Stops it and waits until its threads have ended: at most a tick's work, and half a second more for an encoder
    /// that does not return.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Wall {
    fn drop(&mut self) {
        self.view.0.bell.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(wall = self.view.name(), "the wall's thread had panicked");
        }
    }
}

#[cfg(test)]
mod tests;
