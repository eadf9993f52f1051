//! The sinks of one rendition: which of them want it, and what they are handed. One that panics is counted and passed
//! over.

use super::view::Shared;
use super::{AccessUnit, Sink};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Sinks, and who was there at the last tick.
pub(super) struct Audience {
    sinks: Vec<Arc<dyn Sink>>,
    /// Which of `sinks` were wanted.
    wanted: Vec<bool>,
}

/// What they say at a tick.
pub(super) struct Asked {
    /// One that was not wanted is now.
    pub(super) joined: bool,
    /// One that is wanted has somebody who is to get half of the pictures.
    pub(super) halves: bool,
}

impl Audience {
    pub(super) fn new(sinks: Vec<Arc<dyn Sink>>) -> Audience {
        Audience { wanted: vec![false; sinks.len()], sinks }
    }

    /// Whether any was wanted when they were asked.
    pub(super) fn is_there(&self) -> bool {
        self.wanted.contains(&true)
    }

    /// Asks every one.
    pub(super) fn ask(&mut self, shared: &Shared) -> Asked {
        let mut asked = Asked { joined: false, halves: false };
        for (sink, wanted) in self.sinks.iter().zip(&mut self.wanted) {
            let wants = catch_unwind(AssertUnwindSafe(|| sink.is_wanted().then(|| sink.wants_halves())));
            let wants = wants.unwrap_or_else(|panic| {
                shared.note_panic("a sink", &*panic);
                None
            });
            asked.joined |= wants.is_some() && !*wanted;
            asked.halves |= wants == Some(true);
            *wanted = wants.is_some();
        }
        asked
    }

    /// Hands it to those that are wanted.
    pub(super) fn deliver(&self, unit: &AccessUnit, shared: &Shared) {
        for (sink, _) in self.sinks.iter().zip(&self.wanted).filter(|&(_, &wanted)| wanted) {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| sink.deliver(unit))) {
                shared.note_panic("a sink", &*panic);
            }
        }
    }
}
