//! The last-frame cache: capacity 1, the newest wins. While a wall shows its cameras in step, a short ring beside it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::align::Want;
use crate::align::ring::{Kept, Ring, Timing};
use crate::frame::Frame;

#[derive(Debug, Default)]
pub(crate) struct Cache {
    latest: Option<Latest>,
    ring: Ring<Arc<Frame>>,
}

#[derive(Debug)]
struct Latest {
    frame: Arc<Frame>,
    is_seen: bool,
}

/// What became of the frames before. They may be the last references to their pictures: to be freed outside of locks.
#[derive(Default)]
pub(crate) struct Replaced {
    /// Nobody has seen the last one, or will.
    pub(crate) is_missed: bool,
    _frame: Option<Arc<Frame>>,
    _gone: VecDeque<Kept<Arc<Frame>>>,
}

impl Cache {
    /// Numbers rise: two decoders of one camera may have counted from the same one.
    pub(crate) fn takes(&self, frame: &Frame) -> bool {
        self.latest.as_ref().is_none_or(|latest| latest.frame.sequence() < frame.sequence())
    }

    /// Whether it was taken after what is shown now.
    pub(crate) fn is_newer(&self, frame: &Frame) -> bool {
        self.latest.as_ref().is_none_or(|latest| latest.frame.captured_at() <= frame.captured_at())
    }

    pub(crate) fn publish(&mut self, now: Instant, frame: Arc<Frame>) -> Replaced {
        let gone = self.ring.push(now, kept(&frame));
        let replaced = self.latest.replace(Latest { frame, is_seen: false });
        let is_missed = self.ring.is_idle() && replaced.as_ref().is_some_and(|old| !old.is_seen);
        Replaced { is_missed, _frame: replaced.map(|old| old.frame), _gone: gone }
    }

    /// A frame that a newer one overtook on the way: only who looks back may want it.
    pub(crate) fn overtaken(&mut self, now: Instant, frame: &Arc<Frame>) -> Replaced {
        let is_next = self.takes(frame) && self.ring.newest().is_none_or(|newest| newest < frame.sequence());
        let gone = if is_next { self.ring.push(now, kept(frame)) } else { VecDeque::new() };
        Replaced { _gone: gone, ..Replaced::default() }
    }

    /// When the picture was taken that a look would get.
    pub(crate) fn captured_at(&self) -> Option<Instant> {
        self.latest.as_ref().map(|latest| latest.frame.captured_at())
    }

    /// For whoever shows none: nothing counts as seen.
    pub(crate) fn peek(&self) -> Option<&Frame> {
        self.latest.as_ref().map(|latest| &*latest.frame)
    }

    /// The one place that decides which frame a look gets. The frame counts as seen.
    pub(crate) fn look(&mut self) -> Option<Arc<Frame>> {
        let latest = self.latest.as_mut()?;
        latest.is_seen = true;
        Some(latest.frame.clone())
    }

    /// The same for a tile that is shown in step with others.
    pub(crate) fn look_back(&mut self, now: Instant, want: Want) -> Option<Arc<Frame>> {
        let newest = self.look();
        let kept = self.ring.look(now, want.back.unwrap_or_default(), want.sequence);
        want.back.and(kept).map(|kept| kept.frame).or(newest)
    }

    /// How the pictures come that those who look back wait for.
    pub(crate) fn timing(&self, now: Instant) -> Option<Timing> {
        self.ring.timing(now)
    }

    /// Forgets everything; what is returned is to be freed outside of locks.
    pub(crate) fn clear(&mut self) -> Self {
        std::mem::take(self)
    }
}

fn kept(frame: &Arc<Frame>) -> Kept<Arc<Frame>> {
    Kept { captured: frame.captured_at(), sequence: frame.sequence(), frame: frame.clone() }
}
