//! Which of the frames on offer go to a viewer: those of one rendition, all or some, and the change from one rendition
//! to another at a key frame of that other.

use std::time::{Duration, Instant};

use crate::gate::{Gate, Room, Verdict};
use crate::ladder::Level;
use crate::packetise::PacketisedFrame;
use crate::stats::FrameShare;

/// An encoder that has to be opened first gives a key frame by then, or there is something wrong with it.
const NO_SHOW: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(crate) struct Selection {
    sent: Level,
    next: Option<Next>,
    gate: Gate,
}

#[derive(Clone, Copy, Debug)]
struct Next {
    level: Level,
    until: Instant,
    /// The path does not carry what is sent: nothing of it goes any more.
    holds: bool,
}

/// Numbers of renditions, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Renditions(u32);

impl Renditions {
    pub(crate) const MOST: usize = 32;

    pub(crate) fn with(self, rendition: usize) -> Self {
        Self(self.0 | 1 << rendition)
    }

    pub(crate) fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        (0..Self::MOST).filter(move |rendition| self.0 >> rendition & 1 == 1)
    }
}

impl Selection {
    pub(crate) fn new() -> Self {
        Self { sent: Level::BEST, next: None, gate: Gate::Joining }
    }

    /// What is sent now.
    pub(crate) fn sent(&self) -> Level {
        self.sent
    }

    /// No gap is behind what is sent.
    pub(crate) fn is_open(&self) -> bool {
        self.gate == Gate::Open
    }

    /// The viewer misses frames: it gets no other before a key frame, which is asked for.
    pub(crate) fn handle_gap(&mut self) {
        self.gate = Gate::Lost { asked: false };
    }

    pub(crate) fn is_changing(&self) -> bool {
        self.next.is_some()
    }

    /// What is sent, and what is waited for.
    pub(crate) fn renditions(&self) -> Renditions {
        let sent = Renditions::default().with(self.sent.rendition);
        self.next.map_or(sent, |next| sent.with(next.level.rendition))
    }

    /// From now on, or from the next key frame of its rendition on, `level` is to be sent. With `holds`, nothing is
    /// sent until then but key frames.
    pub(crate) fn aim(&mut self, now: Instant, level: Level, holds: bool) {
        self.next = None;
        if level.rendition == self.sent.rendition {
            self.sent.share = level.share;
        } else {
            self.next = Some(Next { level, until: now + NO_SHOW, holds });
        }
    }

    /// When [`Selection::is_no_show`] may become true.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.next.map(|next| next.until)
    }

    /// The rendition that is waited for has given no key frame in time.
    pub(crate) fn is_no_show(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| next.until <= now)
    }

    pub(crate) fn offer(&mut self, rendition: usize, frame: &PacketisedFrame, room: Room) -> Verdict {
        if let Some(next) = self.next.filter(|next| next.level.rendition == rendition) {
            // Not into a gap that the viewer is still to be rid of.
            if !frame.key || room == Room::None {
                return Verdict::NotYet;
            }
            (self.sent, self.next) = (next.level, None);
            self.gate = Gate::Open;
            return Verdict::Pass;
        }
        if rendition != self.sent.rendition {
            return Verdict::NotYet;
        }
        if self.gate == Gate::Joining {
            return self.gate.offer(frame.key, room);
        }
        let holds = self.next.is_some_and(|next| next.holds);
        match self.sent.share {
            _ if holds && !frame.key => self.gate.offer(false, Room::None),
            FrameShare::KeyOnly if !frame.key => self.gate.offer(false, Room::None),
            FrameShare::Half if frame.disposable => Verdict::LeftOut,
            // Nobody misses it.
            FrameShare::All if frame.disposable && room == Room::None => Verdict::LeftOut,
            _ => self.gate.offer(frame.key, room),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packetise::frames::{disposable, frame};

    const HALF: Level = Level { rendition: 0, share: FrameShare::Half };
    const SMALL: Level = Level { rendition: 1, share: FrameShare::All };

    fn open() -> (Selection, Instant) {
        let mut selection = Selection::new();
        assert_eq!(selection.offer(0, &frame(false, 0, 9), Room::Drained), Verdict::NotYet);
        assert_eq!(selection.offer(0, &frame(true, 0, 9), Room::Drained), Verdict::Pass);
        (selection, Instant::now())
    }

    #[test]
    fn half_of_the_frames_are_those_that_others_need() {
        let (mut selection, now) = open();
        assert_eq!(selection.offer(0, &disposable(0, 9), Room::Some), Verdict::Pass);
        selection.aim(now, HALF, false);
        assert_eq!(selection.offer(0, &disposable(0, 9), Room::Drained), Verdict::LeftOut);
        assert_eq!(selection.offer(0, &frame(false, 0, 9), Room::Drained), Verdict::Pass);
        selection.aim(now, Level::BEST, false);
        assert_eq!(selection.offer(0, &disposable(0, 9), Room::Drained), Verdict::Pass, "at once");
    }

    #[test]
    fn a_frame_that_nobody_needs_opens_no_gap() {
        let (mut selection, _) = open();
        assert_eq!(selection.offer(0, &disposable(0, 9), Room::None), Verdict::LeftOut);
        assert_eq!(selection.offer(0, &frame(false, 0, 9), Room::Some), Verdict::Pass);
    }

    #[test]
    fn after_a_gap_nothing_goes_before_a_key_frame_and_one_is_asked_for() {
        let (mut selection, _) = open();
        selection.handle_gap();
        let delta = frame(false, 0, 9);
        assert_eq!(selection.offer(0, &delta, Room::Drained), Verdict::DroppedAsk);
        assert_eq!(selection.offer(0, &delta, Room::Drained), Verdict::Dropped);
        assert_eq!(selection.offer(0, &frame(true, 0, 9), Room::Drained), Verdict::Pass);
        assert_eq!(selection.offer(0, &delta, Room::None), Verdict::Dropped, "no room makes a gap, too");
        assert_eq!(selection.offer(0, &delta, Room::Drained), Verdict::DroppedAsk);
        let mut late = Selection::new();
        late.handle_gap();
        assert_eq!(late.offer(0, &delta, Room::Drained), Verdict::DroppedAsk, "one that got nothing yet");
    }

    #[test]
    fn the_change_to_another_rendition_is_at_its_key_frame_and_the_old_one_goes_on_until_then() {
        let (mut selection, now) = open();
        selection.aim(now, SMALL, false);
        assert_eq!(selection.renditions().iter().collect::<Vec<_>>(), [0, 1]);
        assert_eq!(selection.offer(0, &frame(false, 0, 9), Room::Drained), Verdict::Pass);
        assert_eq!(selection.offer(1, &frame(false, 0, 9), Room::Drained), Verdict::NotYet);
        assert_eq!(selection.offer(1, &frame(true, 0, 9), Room::Drained), Verdict::Pass);
        assert_eq!(selection.offer(0, &frame(true, 0, 9), Room::Drained), Verdict::NotYet);
        assert_eq!(selection.offer(1, &frame(false, 0, 9), Room::Drained), Verdict::Pass);
        assert_eq!((selection.sent(), selection.is_changing()), (SMALL, false));
        assert_eq!(selection.renditions().iter().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn what_the_path_does_not_carry_is_held_back_until_the_other_comes() {
        let (mut selection, now) = open();
        selection.aim(now, SMALL, true);
        assert_eq!(selection.offer(0, &frame(false, 0, 9), Room::Drained), Verdict::Dropped);
        assert!(!selection.is_no_show(now) && selection.is_no_show(now + NO_SHOW));
        assert_eq!(selection.offer(1, &frame(true, 0, 9), Room::Drained), Verdict::Pass);
    }

    #[test]
    fn after_key_frames_alone_a_key_frame_is_asked_for_once() {
        let (mut selection, now) = open();
        selection.aim(now, Level { rendition: 0, share: FrameShare::KeyOnly }, false);
        assert_eq!(selection.offer(0, &frame(false, 0, 9), Room::Drained), Verdict::Dropped);
        assert_eq!(selection.offer(0, &frame(true, 0, 9), Room::Drained), Verdict::Pass);
        assert_eq!(selection.offer(0, &frame(false, 0, 9), Room::Drained), Verdict::Dropped);
        selection.aim(now, Level::BEST, false);
        assert_eq!(selection.offer(0, &frame(false, 0, 9), Room::Drained), Verdict::DroppedAsk);
        assert_eq!(selection.offer(0, &frame(false, 0, 9), Room::Drained), Verdict::Dropped);
        assert_eq!(selection.offer(0, &frame(true, 0, 9), Room::Drained), Verdict::Pass);
    }
}
