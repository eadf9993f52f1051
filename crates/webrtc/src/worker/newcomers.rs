//! A viewer's first picture does not wait for the next key frame: if the last one is recent, it is sent with the frames
//! after it, at the pace of a key frame, until the viewer has caught up with the others.
//!
//! So hundreds who join within half a second share one key frame, and nobody waits for the half second within which there
//! is no other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::round::{PART, Stream};
use super::{Worker, room};
use crate::packetise::PacketisedFrame;
use crate::sockets::Patience;
use crate::track::Begun;

/// A group that began longer ago is not worth sending: from then on there may be a key frame again.
const RECENT: Duration = Duration::from_millis(500);
/// Frames of it that are kept, should they come thick and fast.
const MAX_FRAMES: usize = 64;
/// Between two parts for one viewer: 75 Mb/s.
const PACE: Duration = Duration::from_millis(4);
/// Of a turn: whoever watches already goes first.
const SLICE: Duration = Duration::from_millis(2);

/// A key frame and what came after it.
#[derive(Default)]
pub(super) struct Group {
    frames: Vec<Arc<PacketisedFrame>>,
    begun: Option<Instant>,
    /// Counts groups.
    number: u64,
}

/// A viewer that has yet to catch up.
pub(super) struct Newcomer {
    pub(super) peer: u64,
    due: Instant,
    group: u64,
    /// Of the group: the frame to begin next.
    next_frame: usize,
    /// The frame begun last, until all of it has been sent.
    begun: Option<Begun>,
    /// Packets of it that have been sent.
    sent: usize,
}

/// What there is for a newcomer.
enum Next {
    Frame(Arc<PacketisedFrame>),
    /// The others' next frame is its next one.
    CaughtUp,
    /// The group ended before it was through: others have had frames that it has not.
    Gap,
}

impl Group {
    /// `is_needed`: somebody is still catching up by it.
    pub(super) fn push(&mut self, now: Instant, frame: &Arc<PacketisedFrame>, is_needed: bool) {
        if frame.key {
            (self.begun, self.number) = (Some(now), self.number + 1);
            self.frames.clear();
        } else if !self.is_recent(now) && !is_needed {
            self.begun = None;
            self.frames.clear();
        }
        // One that is too long ends: nobody begins with it, and whoever has not caught up by then finds a gap.
        if self.frames.len() == MAX_FRAMES {
            self.begun = None;
        }
        if self.begun.is_some() {
            self.frames.push(Arc::clone(frame));
        }
    }

    fn is_recent(&self, now: Instant) -> bool {
        self.begun.is_some_and(|begun| now < begun + RECENT)
    }
}

impl Newcomer {
    /// `None`: there is no picture to begin with.
    pub(super) fn new(now: Instant, peer: u64, group: &Group) -> Option<Self> {
        let (next_frame, begun, sent) = Default::default();
        group.is_recent(now).then_some(Self { peer, due: now, group: group.number, next_frame, begun, sent })
    }

    /// The next frame of the group, or of a newer one, which makes the rest of this one needless.
    fn next(&mut self, group: &Group) -> Next {
        if self.group != group.number {
            (self.group, self.next_frame) = (group.number, 0);
        }
        let Some(frame) = group.frames.get(self.next_frame) else {
            return if group.begun.is_some() { Next::CaughtUp } else { Next::Gap };
        };
        self.next_frame += 1;
        Next::Frame(Arc::clone(frame))
    }
}

/// When the first of them is to get something; the queue is in that order.
pub(super) fn due(newcomers: &VecDeque<Newcomer>) -> Option<Instant> {
    newcomers.front().map(|newcomer| newcomer.due)
}

impl Worker {
    /// Sends newcomers what is due.
    pub(super) fn catch_up(&mut self, stream: &mut Stream) {
        let begun = Instant::now();
        while stream.newcomers.front().is_some_and(|newcomer| newcomer.due <= begun) {
            let Some(mut newcomer) = stream.newcomers.pop_front() else { return };
            if self.send_next(stream, &mut newcomer) {
                newcomer.due = Instant::now() + PACE;
                stream.newcomers.push_back(newcomer);
            } else {
                stream.members.push(newcomer.peer);
            }
            if begun.elapsed() >= SLICE {
                return;
            }
        }
    }

    /// `false`: there is nothing more for it; it goes on with the others.
    fn send_next(&mut self, stream: &Stream, newcomer: &mut Newcomer) -> bool {
        if newcomer.begun.is_none() {
            let frame = match newcomer.next(&stream.group) {
                Next::Frame(frame) => frame,
                Next::CaughtUp => return false,
                Next::Gap => {
                    self.with_peer(newcomer.peer, |peer, _| peer.handle_gap());
                    return false;
                }
            };
            let path = self.residents.get(&newcomer.peer).and_then(|resident| resident.peer.path());
            let Some(path) = path else { return false };
            let (room, rendition) = (room(&mut self.connections, path), stream.rendition());
            self.with_peer(newcomer.peer, |peer, now| {
                newcomer.begun = peer.begin(now, rendition, &frame, room);
            });
            newcomer.sent = 0;
        }
        // One that is not for it is passed over. Where there was no room, its gate has closed, and asks for a key frame.
        let Some(begun) = newcomer.begun else { return true };
        let end = begun.packets.min(newcomer.sent + PART);
        self.send_part(newcomer.peer, begun, newcomer.sent..end, &mut Patience::new(Duration::ZERO));
        newcomer.sent = end;
        newcomer.begun = Some(begun).filter(|_| end < begun.packets);
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::packetise::frames::frame;

    const FRAME: Duration = Duration::from_millis(40);

    /// A group that begins at `start`; the frames' times are their numbers.
    fn group(start: Instant, frames: u32) -> Group {
        let mut group = Group::default();
        (0..frames).for_each(|number| push(&mut group, start, number, number == 0, false));
        group
    }

    fn push(group: &mut Group, start: Instant, number: u32, key: bool, is_needed: bool) {
        group.push(start + FRAME * number, &frame(key, number, 3_000), is_needed);
    }

    fn next(newcomer: &mut Newcomer, group: &Group) -> Option<u32> {
        match newcomer.next(group) {
            Next::Frame(frame) => Some(frame.rtp_time),
            Next::CaughtUp => None,
            Next::Gap => unreachable!("the group goes on"),
        }
    }

    #[test]
    fn a_newcomer_gets_the_recent_group_from_its_key_frame_on_until_it_has_caught_up() {
        let start = Instant::now();
        let mut group = group(start, 3);
        let mut newcomer = Newcomer::new(start + 3 * FRAME, 1, &group).unwrap();
        assert_eq!([0; 2].map(|_| next(&mut newcomer, &group)), [Some(0), Some(1)]);
        push(&mut group, start, 3, false, true);
        assert_eq!([0; 3].map(|_| next(&mut newcomer, &group)), [Some(2), Some(3), None]);
    }

    #[test]
    fn there_is_nothing_to_begin_with_before_a_key_frame_or_long_after_it() {
        let start = Instant::now();
        assert!(Newcomer::new(start, 1, &Group::default()).is_none());
        let mut group = group(start, 12);
        assert!(Newcomer::new(start + RECENT - FRAME, 1, &group).is_some());
        assert!(Newcomer::new(start + RECENT, 1, &group).is_none());
        push(&mut group, start, 13, false, false);
        assert!(group.frames.is_empty(), "nobody needs it any more");
        push(&mut group, start, 14, true, false);
        assert!(Newcomer::new(start + 15 * FRAME, 1, &group).is_some());
    }

    #[test]
    fn whoever_is_still_catching_up_keeps_the_group_and_goes_over_to_the_next_one() {
        let start = Instant::now();
        let mut group = group(start, 12);
        let mut newcomer = Newcomer::new(start + 11 * FRAME, 1, &group).unwrap();
        assert_eq!(next(&mut newcomer, &group), Some(0));
        push(&mut group, start, 13, false, true);
        assert_eq!(next(&mut newcomer, &group), Some(1), "older than half a second, and still there");
        push(&mut group, start, 14, true, true);
        push(&mut group, start, 15, false, true);
        assert_eq!([0; 3].map(|_| next(&mut newcomer, &group)), [Some(14), Some(15), None]);
    }

    #[test]
    fn a_group_is_bounded() {
        let (start, mut group) = (Instant::now(), Group::default());
        (0..500).for_each(|number| group.push(start, &frame(number == 0, number, 100), true));
        assert_eq!(group.frames.len(), MAX_FRAMES);
        assert!(Newcomer::new(start, 1, &group).is_none(), "its end is missing");
    }

    #[test]
    fn whoever_is_not_through_when_a_group_ends_has_a_gap_up_to_the_next_key_frame() {
        let (start, mut group) = (Instant::now(), Group::default());
        let push = |group: &mut Group, numbers: std::ops::Range<u32>| {
            numbers
                .for_each(|number| group.push(start, &frame(number == 0 || number == 99, number, 100), true));
        };
        push(&mut group, 0..MAX_FRAMES as u32);
        let [mut through, mut slow] = [0; 2].map(|_| Newcomer::new(start, 1, &group).unwrap());
        for number in 0..MAX_FRAMES as u32 {
            assert_eq!(next(&mut through, &group), Some(number));
        }
        assert!(matches!(through.next(&group), Next::CaughtUp), "all of it is there yet");
        push(&mut group, 64..66);
        for number in 0..MAX_FRAMES as u32 {
            assert_eq!(next(&mut slow, &group), Some(number));
        }
        assert!(matches!(slow.next(&group), Next::Gap));
        push(&mut group, 99..100);
        assert_eq!(next(&mut slow, &group), Some(99), "a key frame in time makes up for it");
    }
}
