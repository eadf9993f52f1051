//! What the wall's thread and everybody else share, and what everybody else may see and ask of a wall.

use super::bell::Bell;
use super::stats::{Meters, RenditionMeters};
use super::{EncoderFailure, WallConfig, WallStats};
use crate::compose::{TileSource, panic_text};
use crate::encoder::Level;
use crate::geometry::{Bitrate, CanvasSize, FrameRate};
use crate::layout::Layout;
use parking_lot::Mutex;
use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;
use thiserror::Error;

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

/// A frame rate or bitrate that a running wall cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("found {} fps at {} b/s, which is level {found}; expected at most level {expected}, which the wall's viewers were told", fps.get(), bitrate.bps())]
pub struct ChangeError {
    /// The frame rate asked for.
    pub fps: FrameRate,
    /// The bitrate asked for.
    pub bitrate: Bitrate,
    /// The level that the two would need.
    pub found: Level,
    /// The level of the wall.
    pub expected: Level,
}

/// A wall as others see it; cheap to clone, and it outlives the wall.
#[derive(Clone, Debug)]
pub struct WallView(pub(super) Arc<Shared>);

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
    ///
    /// The sources of before are freed by the wall's thread at that tick. A wall that has stopped frees these at once.
    pub fn rearrange(&self, layout: Layout, tiles: Vec<Box<dyn TileSource>>) -> Result<(), RearrangeError> {
        check(&layout, self.0.config.size, tiles.len())?;
        let layout = Arc::new(layout);
        let mut scene = self.0.scene.lock();
        let unseen = match scene.has_ended {
            true => Some(tiles),
            // What was asked for before and never shown is freed here, not on the wall's thread.
            false => scene.next.replace(tiles),
        };
        let before = std::mem::replace(&mut scene.layout, layout);
        drop(scene);
        drop((unseen, before));
        Ok(())
    }

    /// The H.264 level that viewers are told (the `profile-level-id` of an SDP answer), of the frame rate and bitrate that
    /// the wall started with. Its stream never needs a higher one, and may declare a lower one after a change.
    pub fn level(&self) -> Level {
        self.0.level
    }

    /// Aims at another bitrate from the next canvas on, without a key frame where the encoder can do that.
    ///
    /// Refused where the stream would need a higher [`WallView::level`]: a viewer chose its decoder by the level it was told,
    /// and cannot be told another one without connecting again.
    pub fn set_bitrate(&self, bitrate: Bitrate) -> Result<(), ChangeError> {
        self.change(|figures| figures.bitrate = bitrate)
    }

    /// Ticks so often from now on. Canvas time goes on without a jump; a new encoder begins with a key frame.
    ///
    /// Refused under the rule of [`WallView::set_bitrate`].
    pub fn set_fps(&self, fps: FrameRate) -> Result<(), ChangeError> {
        self.change(|figures| figures.fps = fps)
    }

    /// Both at once, or nothing. Refused under the rule of [`WallView::set_bitrate`].
    pub fn set_rates(&self, fps: FrameRate, bitrate: Bitrate) -> Result<(), ChangeError> {
        self.change(|figures| *figures = Figures { fps, bitrate })
    }

    /// The frame rate and the bitrate that it aims at.
    pub fn rates(&self) -> (FrameRate, Bitrate) {
        let Figures { fps, bitrate } = *self.0.figures.lock();
        (fps, bitrate)
    }

    fn change(&self, change: impl FnOnce(&mut Figures)) -> Result<(), ChangeError> {
        let mut figures = self.0.figures.lock();
        let mut wanted = *figures;
        change(&mut wanted);
        let Figures { fps, bitrate } = wanted;
        let (found, expected) = (Level::of(self.0.config.size, fps, bitrate), self.0.level);
        if found > expected {
            return Err(ChangeError { fps, bitrate, found, expected });
        }
        *figures = wanted;
        drop(figures);
        self.0.bell.ring();
        Ok(())
    }

    /// Asks for an IDR, from any thread, without waiting. All requests together make at most one in 500 ms; one made
    /// while nobody watches is served by the first access unit there is.
    pub fn request_key_frame(&self) {
        self.request_key_frame_of(0);
    }

    /// The same of one rendition: 0 is the wall's own, and then come the smaller ones as they were configured.
    pub fn request_key_frame_of(&self, rendition: usize) {
        if let Some(told) = self.0.renditions.get(rendition) {
            told.key_frame_requests.fetch_add(1, Ordering::Relaxed);
            told.key_frame_wanted.store(true, Ordering::Release);
        }
    }

    /// When a tick last ended as it should: with an access unit for the sinks, with a canvas that needed none, or with
    /// nobody watching. It stands still while viewers of the wall's own rendition look at a frozen picture; a smaller one
    /// that fails is no reason to think that the wall does. For a watchdog: unlike [`WallView::stats`] it costs next to
    /// nothing.
    pub fn last_progress(&self) -> Instant {
        self.0.meters.lock().last_progress
    }

    /// Why the wall needs help from outside, if it does: two encoders of its own rendition in a row have stalled. `Ok`
    /// again as soon as one has proved that it works.
    pub fn health(&self) -> Result<(), EncoderFailure> {
        self.0.renditions[0].meters.lock().failure().map_or(Ok(()), Err)
    }

    /// How it is doing at `now`.
    pub fn stats(&self, now: Instant) -> WallStats {
        let figures = *self.0.figures.lock();
        let meters = self.0.meters.lock().clone();
        meters.stats(now, &self.0, figures)
    }
}

pub(super) fn check(layout: &Layout, size: CanvasSize, tiles: usize) -> Result<(), RearrangeError> {
    if layout.canvas() != size {
        return Err(RearrangeError::Canvas { found: layout.canvas(), expected: size });
    }
    let expected = layout.placements().len();
    match tiles <= expected {
        true => Ok(()),
        false => Err(RearrangeError::Tiles { found: tiles, expected }),
    }
}

/// What may change while a wall runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) fps: FrameRate,
    pub(super) bitrate: Bitrate,
}

/// What is to be shown.
pub(super) struct Scene {
    pub(super) layout: Arc<Layout>,
    /// The sources of its tiles, until the wall's thread takes them.
    pub(super) next: Option<Vec<Box<dyn TileSource>>>,
    /// Nobody will take them any more.
    pub(super) has_ended: bool,
}

impl fmt::Debug for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scene").field("layout", &self.layout).finish_non_exhaustive()
    }
}

/// What the wall's thread and its views share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: WallConfig,
    /// Of the configuration.
    level: Level,
    pub(super) figures: Mutex<Figures>,
    /// Held for the time of a few additions, or of one copy: the copy is summed and sorted without the lock, because the
    /// wall's thread takes it at every tick.
    pub(super) meters: Mutex<Meters>,
    /// Held to exchange what is in it, never while a source is freed.
    pub(super) scene: Mutex<Scene>,
    /// The wall's own first: there is always that one.
    pub(super) renditions: Vec<Told>,
    pub(super) bell: Arc<Bell>,
}

/// What the wall's thread and its views share of one rendition.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) name: String,
    pub(super) size: CanvasSize,
    /// The wall's own has that of the [`Figures`].
    bitrate: Option<Bitrate>,
    /// Held as shortly as those of the wall.
    pub(super) meters: Mutex<RenditionMeters>,
    pub(super) key_frame_wanted: AtomicBool,
    pub(super) key_frame_requests: AtomicU64,
}

impl Shared {
    /// For a wall whose own encoder is open, and is this one.
    pub(super) fn new(config: WallConfig, encoder: &'static str) -> Shared {
        let now = Instant::now();
        let told = |name: String, size, bitrate, encoder| Told {
            name,
            size,
            bitrate,
            meters: Mutex::new(RenditionMeters::new(now, encoder)),
            key_frame_wanted: AtomicBool::new(false),
            key_frame_requests: AtomicU64::new(0),
        };
        let own = told(format!("{}p", config.size.height()), config.size, None, Some(encoder));
        let smaller = config.renditions.iter();
        let smaller = smaller.map(|small| told(small.name.clone(), small.size, Some(small.bitrate), None));
        Shared {
            level: Level::of(config.size, config.fps, config.bitrate),
            figures: Mutex::new(Figures { fps: config.fps, bitrate: config.bitrate }),
            meters: Mutex::new(Meters::new(now)),
            scene: Mutex::new(Scene {
                layout: Arc::new(config.layout.clone()),
                next: None,
                has_ended: false,
            }),
            renditions: std::iter::once(own).chain(smaller).collect(),
            bell: Arc::default(),
            config,
        }
    }

    /// Counts and tells of a panic that was caught.
    pub(super) fn note_panic(&self, whose: &str, panic: &(dyn Any + Send)) {
        self.meters.lock().panics += 1;
        tracing::error!(whose, panic = panic_text(panic), "caught a panic");
    }
}

impl Told {
    /// What its encoder is to be, of what the wall is to be. A smaller rendition never has more bits than the wall.
    pub(super) fn of(&self, figures: Figures) -> Figures {
        Figures { bitrate: self.bitrate.map_or(figures.bitrate, |own| own.min(figures.bitrate)), ..figures }
    }
}
