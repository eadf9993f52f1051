//! The moment between asking for another scene and showing it, in which cameras that were not shown before decode up to
//! the present. Bounded, and gone through only for cameras that are about to have a picture.

use std::time::{Duration, Instant};

use wallcast_ingest::TileState;

use super::Cast;
use crate::convert::tile_size;
use crate::director::Scene;

/// What a change waits for new cameras at the most.
const AT_MOST: Duration = Duration::from_millis(300);
/// How often they are looked after meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
pub(super) struct Curtain {
    /// Since when something else is to be shown. Further changes in the meantime do not prolong it.
    since: Option<Instant>,
}

impl Curtain {
    pub(super) fn reset(&mut self) {
        self.since = None;
    }

    /// When to look again; none when `next` can be shown instead of `shown`.
    pub(super) fn wait(&mut self, now: Instant, cast: &Cast, shown: &Scene, next: &Scene) -> Option<Instant> {
        let since = *self.since.get_or_insert(now);
        let new = next.cameras.iter().zip(next.layout.placements());
        let mut new = new.filter(|(name, _)| !shown.cameras.contains(name));
        // All are woken, also where one is enough to wait for.
        let coming = new.by_ref().filter(|(name, place)| {
            let (Some(camera), size) = (cast.camera(name), tile_size(place)) else { return false };
            camera.wake(now, size);
            let state = camera.status(now, cast.black_after).state;
            // A look, as the wall will look: what it would show at this moment may be behind what the camera sends.
            let would_show = camera.tile(now, cast.black_after, size).status.state;
            match state {
                TileState::Live => would_show != TileState::Live,
                TileState::Connecting => true,
                TileState::Holding | TileState::Offline => false,
            }
        });
        let is_one_coming = coming.count() > 0;
        (is_one_coming && now < since + AT_MOST).then(|| now + LOOK_EVERY)
    }
}
