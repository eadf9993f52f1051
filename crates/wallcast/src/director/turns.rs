//! Whose turn it is in a tile whose cameras take turns.

use std::time::{Duration, Instant};

use super::Readiness;
use super::plan::{Content, Seen};

/// A turn is cut short when its camera is gone, but not before this: flickering is worse than black.
const AT_LEAST: Duration = Duration::from_secs(2);
/// A turn lasts so much longer when the next camera has no picture yet.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long before its turn a camera is woken: one that keeps its last group of pictures, and one that has to connect.
const LEAD: Duration = Duration::from_millis(1_500);
const LONG_LEAD: Duration = Duration::from_secs(5);
/// How often cameras are looked after.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turns {
    at: usize,
    since: Instant,
}

impl Turns {
    pub(super) fn begin(now: Instant) -> Turns {
        Turns { at: 0, since: now }
    }

    /// The same turn of the same camera, which has another number now.
    pub(super) fn going_on_at(self, at: usize) -> Turns {
        Turns { at, ..self }
    }

    pub(super) fn of<'c>(&self, content: &'c Content) -> &'c Seen {
        &content.seen[self.at.min(content.seen.len() - 1)]
    }

    /// Cameras that are gone are passed over, unless all are: then each is shown black, with its name, as usual.
    pub(super) fn advance(&mut self, now: Instant, content: &Content, readiness: &dyn Fn(&str) -> Readiness) {
        if !content.is_tour() {
            return;
        }
        let due = self.due(content, readiness);
        let Some(next) = self.next(content, readiness).filter(|_| now >= due) else { return };
        let is_shown_well = readiness(&self.of(content).camera) == Readiness::Ready;
        let is_coming = readiness(&content.seen[next].camera) == Readiness::Coming;
        if is_shown_well && is_coming && now < due + PATIENCE {
            return;
        }
        *self = Turns { at: next, since: now };
    }

    /// Who is next, if it is time to wake him.
    pub(super) fn upcoming<'c>(
        &self,
        now: Instant,
        content: &'c Content,
        readiness: &dyn Fn(&str) -> Readiness,
    ) -> Option<&'c str> {
        let next = self.next(content, readiness).filter(|_| content.is_tour())?;
        let camera = content.seen[next].camera.as_str();
        let lead = if readiness(camera) == Readiness::Ready { LEAD } else { LONG_LEAD };
        (now + lead >= self.since + content.every).then_some(camera)
    }

    pub(super) fn poll_at(&self, now: Instant, content: &Content) -> Option<Instant> {
        let due = self.since + content.every;
        let look = now + LOOK_EVERY;
        content.is_tour().then(|| if due > now { look.min(due) } else { look })
    }

    fn due(&self, content: &Content, readiness: &dyn Fn(&str) -> Readiness) -> Instant {
        let is_gone = readiness(&self.of(content).camera) == Readiness::Gone;
        let is_alone = content.seen.iter().all(|seen| readiness(&seen.camera) == Readiness::Gone);
        self.since + if is_gone && !is_alone { AT_LEAST.min(content.every) } else { content.every }
    }

    /// None where no other camera is better than the one that is shown.
    fn next(&self, content: &Content, readiness: &dyn Fn(&str) -> Readiness) -> Option<usize> {
        let n = content.seen.len();
        let others = || (1..n).map(|step| (self.at + step) % n);
        let is_gone = |i: usize| readiness(&content.seen[i].camera) == Readiness::Gone;
        let present = others().find(|&i| !is_gone(i));
        present.or_else(|| others().next().filter(|_| is_gone(self.at.min(n - 1))))
    }
}
