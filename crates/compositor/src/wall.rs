//! A wall: the thread `wall-<name>` that composes at every tick, encodes once, and hands the result to its sinks. It may
//! have smaller renditions besides, for viewers whose link does not carry its own; each is encoded once as well.
//!
//! Nothing is composed or encoded while no sink is wanted; the clock goes on. What one sink does cannot be felt by
//! another or by the wall: [`Sink::deliver`] must not wait, and one that panics is counted and passed over. A tile that
//! panics is black, and no more than that. The encoder works on a thread of its own: a panic, an error or a stall in it
//! costs some ticks and a new encoder, never the clock or the process. Who the sinks are, and where pictures come from, is
//! the binary's business.

mod audience;
mod bell;
mod encoding;
mod fault;
mod health;
mod rendition;
mod run;
mod smaller;
mod stats;
mod view;

pub use self::health::{EncoderFailure, Stall};
pub use self::stats::{RenditionStats, WallStats};
pub use self::view::{ChangeError, RearrangeError, WallView};

use self::encoding::{Encoding, OpenEncoder};
use self::rendition::Rendition;
use self::run::Worker;
use self::smaller::Smaller;
use self::view::{Figures, Shared};
use crate::compose::TileSource;
use crate::encoder::{EncoderChoice, EncoderConfig, OpenError, Opener};
use crate::geometry::{Bitrate, CanvasSize, FrameRate};
use crate::layout::Layout;
use crate::shrink::Shrinker;
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
    /// Counts the access units of one rendition from 0, without gaps.
    pub sequence: u64,
}

/// Somebody who may want the wall's stream.
pub trait Sink: Send + Sync {
    /// Whether anybody watches through it; asked at every tick.
    fn is_wanted(&self) -> bool;

    /// Takes an access unit: at every tick at which it is wanted and the canvas changed, and once a second while nothing
    /// does. It never waits: what cannot be taken is dropped and
    /// counted by the sink.
    fn deliver(&self, unit: &AccessUnit);

    /// Whether somebody who watches through it may be sent half of the pictures: those that others need (nal_ref_idc is not
    /// 0). Asked at every tick. Pictures come in two such layers from a key frame on, if the encoder can do that; it costs
    /// all viewers some bits.
    fn wants_halves(&self) -> bool {
        false
    }

    /// Which of the wall's renditions it takes: 0 is the wall's own, and then come the smaller ones as they are configured.
    /// Asked once, when the wall starts.
    fn rendition(&self) -> usize {
        0
    }
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
    /// Smaller encodings of the same canvases, besides the wall's own.
    pub renditions: Vec<RenditionConfig>,
}

/// A smaller encoding of a wall's canvases, for viewers whose link does not carry the wall's own. It costs nothing while
/// no sink of it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenditionConfig {
    /// Its name, such as `540p`; its thread is called after the wall and it.
    pub name: String,
    /// The size that the canvas is scaled to; not larger than the wall's in either direction.
    pub size: CanvasSize,
    /// Bits a second to aim at; not more than the wall's at its start.
    pub bitrate: Bitrate,
}

/// A wall that did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Its tiles cannot be shown.
    #[error(transparent)]
    Tiles(#[from] RearrangeError),
    /// A smaller rendition is not smaller.
    #[error("found a rendition of {}x{} at {} b/s, expected at most the wall's {}x{} at {} b/s", found.size.width(), found.size.height(), found.bitrate.bps(), size.width(), size.height(), bitrate.bps())]
    Rendition {
        /// What was found.
        found: RenditionConfig,
        /// The wall's size.
        size: CanvasSize,
        /// The wall's bitrate.
        bitrate: Bitrate,
    },
    /// A sink takes a rendition that there is not.
    #[error("found a sink of rendition {found}, expected one of 0 to {last}")]
    Sink {
        /// The number that the sink has.
        found: usize,
        /// The last that there is.
        last: usize,
    },
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
    /// background. Encoders of smaller renditions are opened when they are needed.
    pub fn start(
        config: WallConfig,
        tiles: Vec<Box<dyn TileSource>>,
        sinks: Vec<Arc<dyn Sink>>,
    ) -> Result<Wall, StartError> {
        let choice = config.encoder;
        let smaller = config.renditions.iter().map(|_| Opener::preferring(choice));
        let openers = std::iter::once(Opener::new(choice)).chain(smaller);
        let opens = openers.map(|opener| one_at_a_time(choice, opener)).collect();
        Wall::start_with(config, tiles, sinks, opens)
    }

    /// The same with any encoders, for each rendition in their order. They are opened again whenever one has failed.
    pub(crate) fn start_with(
        config: WallConfig,
        tiles: Vec<Box<dyn TileSource>>,
        sinks: Vec<Arc<dyn Sink>>,
        opens: Vec<OpenEncoder>,
    ) -> Result<Wall, StartError> {
        view::check(&config.layout, config.size, tiles.len())?;
        check(&config, &sinks)?;
        let WallConfig { size, fps, bitrate, .. } = config;
        let for_encoder = EncoderConfig { size, fps, bitrate };
        let span = tracing::error_span!("wall", name = config.name);
        let _span = span.enter();
        // Opened here, so that what cannot be opened is told to whoever starts the wall.
        let encoder = opens[0](for_encoder)?;
        let shared = Arc::new(Shared::new(config, encoder.name()));
        let ready = move || Ok(encoder);
        let encoding = Encoding::start(&shared.config.name, for_encoder, Arc::clone(&shared.bell), ready);
        let mut encoding = Some(encoding.map_err(StartError::Thread)?);
        let mut renditions = (0..).zip(opens).map(|(number, open)| {
            let ours = sinks.iter().filter(|sink| sink.rendition() == number).map(Arc::clone).collect();
            Rendition::new(Arc::clone(&shared), number, ours, encoding.take(), open)
        });
        let own = renditions.next().expect("the wall has one of its own");
        let smaller = renditions.map(|rendition| {
            let shrinker = Shrinker::new(size, rendition.told().size);
            Smaller::new(rendition, shrinker, Figures { fps, bitrate })
        });
        let worker = Worker::new(Arc::clone(&shared), tiles, own, smaller.collect());
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

/// Whether there is a rendition for each sink, and none that viewers of the wall's own could not decode.
fn check(config: &WallConfig, sinks: &[Arc<dyn Sink>]) -> Result<(), StartError> {
    let WallConfig { size, bitrate, .. } = *config;
    let is_smaller = |small: &RenditionConfig| {
        small.size.width() <= size.width() && small.size.height() <= size.height() && small.bitrate <= bitrate
    };
    if let Some(found) = config.renditions.iter().find(|small| !is_smaller(small)) {
        return Err(StartError::Rendition { found: found.clone(), size, bitrate });
    }
    let last = config.renditions.len();
    match sinks.iter().map(|sink| sink.rendition()).find(|&found| found > last) {
        Some(found) => Err(StartError::Sink { found, last }),
        None => Ok(()),
    }
}

/// From any thread; where one opening hangs, the next is refused.
fn one_at_a_time(choice: EncoderChoice, opener: Opener) -> OpenEncoder {
    let opener = Mutex::new(opener);
    Arc::new(move |config| match opener.try_lock() {
        Some(mut opener) => opener.open(config),
        None => Err(OpenError {
            encoder: choice.as_str(),
            config,
            source: "the one before it is still being opened".into(),
        }),
    })
}

#[cfg(test)]
mod tests;
