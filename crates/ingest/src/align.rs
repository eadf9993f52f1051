//! Showing the cameras of a wall in step: every tile the picture nearest to one common instant.
//!
//! [`clock`] finds out when a picture was taken, [`ring`] keeps the last few pictures of a camera, [`group`] chooses
//! the instant that a wall shows. All three are told the time and never ask for it. A wall that does not align uses
//! nothing of this but the clock.

pub(crate) mod clock;
mod group;
pub(crate) mod ring;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

pub use self::group::{AlignmentStats, TileAlignment};

use self::group::{Group, Shown};
use crate::camera::CameraView;
use crate::record::CameraRecord;
use crate::shown::TileSize;
use crate::tile::{Tile, TileState};

/// Keeps the tiles of one wall in step.
#[derive(Debug)]
pub struct Alignment {
    /// Locked for a few comparisons only; by the wall's thread, and by whoever asks for figures.
    group: Mutex<Group>,
}

/// A camera on a wall that shows its cameras in step.
pub struct AlignedTile {
    alignment: Arc<Alignment>,
    place: usize,
    camera: Arc<CameraRecord>,
    /// Of the picture that was shown last: a tile never goes back.
    sequence: u64,
}

/// Which picture a tile that is in step wants of its camera.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Want {
    /// Taken so long ago; `None`: the newest.
    pub(crate) back: Option<Duration>,
    /// And of this sequence number or a later one.
    pub(crate) sequence: u64,
}

impl Alignment {
    /// A wall that ticks every `tick` and shows pictures that were taken `align` ago; longer ago when a camera's pictures
    /// take longer than that, though never by more than 500 ms.
    #[must_use]
    pub fn new(align: Duration, tick: Duration) -> Arc<Self> {
        Arc::new(Self { group: Mutex::new(Group::new(align, tick)) })
    }

    /// One more tile of the wall, for as long as it lives.
    #[must_use]
    pub fn tile(self: &Arc<Self>, camera: &CameraView) -> AlignedTile {
        self.tile_of(Arc::clone(camera.record()))
    }

    /// How well the tiles keep in step.
    #[must_use]
    pub fn stats(&self, now: Instant) -> AlignmentStats {
        self.group.lock().stats(now)
    }

    fn tile_of(self: &Arc<Self>, camera: Arc<CameraRecord>) -> AlignedTile {
        let place = self.group.lock().add_place();
        AlignedTile { alignment: Arc::clone(self), place, camera, sequence: 0 }
    }
}

impl std::fmt::Debug for AlignedTile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AlignedTile").field("camera", &self.camera.name()).finish_non_exhaustive()
    }
}

impl Drop for AlignedTile {
    fn drop(&mut self) {
        self.alignment.group.lock().remove_place(self.place);
    }
}

impl AlignedTile {
    /// Its number in [`AlignmentStats::tiles`]; another tile may have it when this one is gone.
    #[must_use]
    pub fn place(&self) -> usize {
        self.place
    }

    /// What [`CameraView::tile`] says, but with the picture that was taken nearest to the wall's common instant. All tiles
    /// of a wall are asked with the same `now` at a tick. The state is by the newest picture all the same.
    #[must_use]
    pub fn tile(&mut self, now: Instant, black_after: Duration, shown: TileSize) -> Tile {
        let back = self.alignment.group.lock().look_back(self.place, now);
        let want = Want { back, sequence: self.sequence };
        let (tile, timing) = self.camera.tile_in_step(now, black_after, shown, want);
        if let Some(frame) = &tile.frame {
            self.sequence = frame.sequence();
        }
        let live = tile.frame.as_ref().filter(|_| tile.status.state == TileState::Live);
        let shown = live.map(|frame| Shown { at: now, captured: frame.captured_at(), timing });
        self.alignment.group.lock().handle_shown(self.place, shown);
        tile
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
