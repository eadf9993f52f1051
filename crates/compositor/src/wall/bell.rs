//! What the wall's thread sleeps by: rung when there is something to look at, and when the wall is to end.

use parking_lot::{Condvar, Mutex};
use std::time::Instant;

/// Rung by whoever has something for the wall's thread, which alone waits.
#[derive(Debug, Default)]
pub(super) struct Bell {
    stopping: Mutex<bool>,
    rung: Condvar,
}

/// Why a wait has ended.
#[derive(Debug)]
pub(super) enum Woken<T> {
    Found(T),
    TimedOut,
    Stopping,
}

impl Bell {
    /// The wall is to end.
    pub(super) fn stop(&self) {
        *self.stopping.lock() = true;
        self.rung.notify_all();
    }

    pub(super) fn is_stopping(&self) -> bool {
        *self.stopping.lock()
    }

    /// There is something to be found.
    pub(super) fn ring(&self) {
        // Whoever waits looks with the lock held: either it found what is there already, or it hears this.
        drop(self.stopping.lock());
        self.rung.notify_all();
    }

    /// Waits until `look` finds something; it looks first, and then whenever the bell was rung.
    pub(super) fn wait_until<T>(&self, until: Instant, mut look: impl FnMut() -> Option<T>) -> Woken<T> {
        let mut stopping = self.stopping.lock();
        loop {
            if *stopping {
                return Woken::Stopping;
            }
            if let Some(found) = look() {
                return Woken::Found(found);
            }
            if self.rung.wait_until(&mut stopping, until).timed_out() {
                return if *stopping { Woken::Stopping } else { Woken::TimedOut };
            }
        }
    }

    /// Sleeps until then, or until the bell is rung.
    pub(super) fn sleep_until(&self, until: Instant) {
        let mut stopping = self.stopping.lock();
        if !*stopping {
            self.rung.wait_until(&mut stopping, until);
        }
    }
}
