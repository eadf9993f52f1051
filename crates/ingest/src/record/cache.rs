//! The last-frame cache: capacity 1, the newest wins.

use std::sync::Arc;
use std::time::Instant;

use crate::frame::Frame;

#[derive(Debug, Default)]
pub(crate) struct Cache {
    latest: Option<Latest>,
}

#[derive(Debug)]
struct Latest {
    frame: Arc<Frame>,
    is_seen: bool,
}

/// What became of the frame before.
pub(crate) struct Replaced {
    /// May be the last reference to its picture: to be freed outside of locks.
    pub(crate) frame: Option<Arc<Frame>>,
    /// Nobody has seen it.
    pub(crate) is_missed: bool,
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

    pub(crate) fn publish(&mut self, frame: Arc<Frame>) -> Replaced {
        let replaced = self.latest.replace(Latest { frame, is_seen: false });
        let is_missed = replaced.as_ref().is_some_and(|old| !old.is_seen);
        Replaced { frame: replaced.map(|old| old.frame), is_missed }
    }

    /// When the picture was taken that a look would get.
    pub(crate) fn captured_at(&self) -> Option<Instant> {
        self.latest.as_ref().map(|latest| latest.frame.captured_at())
    }

    /// The one place that decides which frame a look gets. The frame counts as seen.
    pub(crate) fn look(&mut self) -> Option<Arc<Frame>> {
        let latest = self.latest.as_mut()?;
        latest.is_seen = true;
        Some(latest.frame.clone())
    }

    /// Forgets everything; what is returned is to be freed outside of locks.
    pub(crate) fn clear(&mut self) -> Option<Arc<Frame>> {
        self.latest.take().map(|latest| latest.frame)
    }
}
