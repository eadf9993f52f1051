//! One rendition's frames to its peers on a thread: every peer gets a part of the frame before any gets the next, and the
//! parts of a large one are spread, so that a key frame does not burst the queues on its way.

use std::collections::VecDeque;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::newcomers::{self, Group, Newcomer};
use super::{SENDING_SLICE, Worker, room, send_burst};
use crate::selection::Renditions;
use crate::sockets::Patience;
use crate::source::{Source, Subscription};
use crate::track::Begun;

/// Packets of a frame that go to a peer at once: 40 KB, about a delta frame at 8 Mb/s.
pub(super) const PART: usize = 32;
/// A frame of more than one part takes this long at least.
const SPREAD: Duration = Duration::from_millis(8);
/// How long a frame may wait for full sockets, all its peers together: half of the time to the next.
const PATIENCE: Duration = Duration::from_millis(20);

pub(super) struct Stream {
    pub(super) subscription: Subscription,
    pub(super) members: Vec<u64>,
    pub(super) newcomers: VecDeque<Newcomer>,
    /// What newcomers begin with.
    pub(super) group: Group,
    round: Option<Round>,
    dropped_seen: u64,
}

/// A frame on its way.
struct Round {
    /// Each peer, and the packets that the frame has for it.
    receivers: Vec<(u64, Begun)>,
    patience: Patience,
    begun: Instant,
    next_part: usize,
    parts: usize,
    /// Who gets the part next.
    next_receiver: usize,
}

impl Round {
    fn leave(&mut self, number: u64) {
        if let Some(at) = self.receivers.iter().position(|&(receiver, _)| receiver == number) {
            self.receivers.remove(at);
            self.next_receiver -= usize::from(at < self.next_receiver);
        }
    }

    fn due(&self) -> Instant {
        self.begun + SPREAD * self.next_part as u32 / self.parts as u32
    }
}

impl Stream {
    pub(super) fn new(subscription: Subscription) -> Self {
        let (members, newcomers, group) = Default::default();
        Self { subscription, members, newcomers, group, round: None, dropped_seen: 0 }
    }

    fn is_of(&self, source: &Arc<Source>, rendition: usize) -> bool {
        Arc::ptr_eq(self.subscription.source(), source) && self.subscription.rendition() == rendition
    }

    /// `true`: it gets a picture at once, without another key frame. Whoever has watched another rendition until now waits
    /// for a key frame: its path is not to be burdened with what was before.
    fn join(&mut self, now: Instant, number: u64, is_new: bool) -> bool {
        let newcomer = Newcomer::new(now, number, &self.group).filter(|_| is_new);
        let has_picture = newcomer.is_some();
        match newcomer {
            Some(newcomer) => self.newcomers.push_back(newcomer),
            None => self.members.push(number),
        }
        has_picture
    }

    /// `false` when nobody is left.
    pub(super) fn leave(&mut self, number: u64) -> bool {
        self.members.retain(|&member| member != number);
        self.newcomers.retain(|newcomer| newcomer.peer != number);
        if let Some(round) = &mut self.round {
            round.leave(number);
        }
        !self.members.is_empty() || !self.newcomers.is_empty()
    }

    pub(super) fn has_work(&self) -> bool {
        (self.round.is_none() && !self.subscription.frames.is_empty())
            || self.due().is_some_and(|due| due <= Instant::now())
    }

    pub(super) fn rendition(&self) -> usize {
        self.subscription.rendition()
    }

    /// When the next part of a frame is to go.
    pub(super) fn due(&self) -> Option<Instant> {
        self.round.as_ref().map(Round::due).into_iter().chain(newcomers::due(&self.newcomers)).min()
    }
}

impl Worker {
    /// Peers whose renditions have changed join and leave streams.
    pub(super) fn follow(&mut self) {
        for number in std::mem::take(&mut self.moved) {
            let Some(resident) = self.residents.get_mut(&number) else { continue };
            let source = Arc::clone(&resident.source);
            let (wanted, followed) = (resident.peer.renditions(), resident.follows);
            resident.follows = wanted;
            for rendition in followed.without(wanted).iter() {
                self.streams.retain_mut(|stream| !stream.is_of(&source, rendition) || stream.leave(number));
            }
            let is_new = followed == Renditions::default();
            for rendition in wanted.without(followed).iter() {
                let joined = catch_unwind(AssertUnwindSafe(|| self.join(&source, rendition, number, is_new)));
                if joined.is_err() {
                    self.shared.panicked();
                    self.remove(number, Instant::now(), "its code panicked");
                }
            }
        }
    }

    /// Adds a peer to a stream, which begins with its first peer, and asks for a key frame where it needs one.
    fn join(&mut self, source: &Arc<Source>, rendition: usize, number: u64, is_new: bool) {
        let now = Instant::now();
        let has_picture = match self.streams.iter_mut().find(|stream| stream.is_of(source, rendition)) {
            Some(stream) => stream.join(now, number, is_new),
            None => {
                let (waking, worker) = (Arc::downgrade(&self.shared), self.number);
                let wake = move || {
                    if let Some(shared) = waking.upgrade() {
                        shared.wake(worker);
                    }
                };
                let mut stream = Stream::new(source.subscribe(rendition, Box::new(wake)));
                let has_picture = stream.join(now, number, is_new);
                self.streams.push(stream);
                has_picture
            }
        };
        if !has_picture {
            source.key_frame_needed(rendition);
        }
    }

    /// Sends whatever is due of every stream.
    pub(super) fn send_frames(&mut self) {
        self.left.clear();
        if !self.streams.iter().any(Stream::has_work) {
            return;
        }
        let mut streams = std::mem::take(&mut self.streams);
        for stream in &mut streams {
            self.send_stream(stream);
            self.catch_up(stream);
        }
        // Whoever has ended meanwhile was not found in them.
        streams.retain_mut(|stream| self.left.iter().all(|&number| stream.leave(number)));
        self.streams = streams;
    }

    /// Not more than a slice of time allows: whatever a frame costs, the thread hears its viewers meanwhile.
    fn send_stream(&mut self, stream: &mut Stream) {
        if stream.round.is_none() {
            stream.round = self.begin(stream);
        }
        let (begun, Some(round)) = (Instant::now(), &mut stream.round) else { return };
        if round.due() > begun {
            return;
        }
        let start = round.next_part * PART;
        while let Some(&(number, frame)) = round.receivers.get(round.next_receiver) {
            if begun.elapsed() >= SENDING_SLICE {
                return;
            }
            if start < frame.packets {
                let part = start..frame.packets.min(start + PART);
                self.send_part(number, frame, part, &mut round.patience);
            }
            round.next_receiver += 1;
        }
        (round.next_part, round.next_receiver) = (round.next_part + 1, 0);
        if round.next_part >= round.parts {
            stream.round = None;
        }
    }

    /// The next frame, numbered for everybody who can take it.
    fn begin(&mut self, stream: &mut Stream) -> Option<Round> {
        let frame = stream.subscription.frames.try_recv().ok()?;
        stream.group.push(Instant::now(), &frame, !stream.newcomers.is_empty());
        let dropped = stream.subscription.dropped.load(Ordering::Relaxed);
        let missed = dropped - std::mem::replace(&mut stream.dropped_seen, dropped);
        let mut receivers = Vec::with_capacity(stream.members.len());
        let (rendition, mut longest) = (stream.subscription.rendition(), 1);
        for &number in &stream.members {
            let mut begun = None;
            let Some(resident) = self.residents.get(&number) else { continue };
            let Some(path) = resident.peer.path() else { continue };
            let room = room(&mut self.connections, path);
            self.with_peer(number, |peer, now| {
                if missed > 0 {
                    peer.counters().frames_dropped(missed);
                }
                begun = peer.begin(now, rendition, &frame, room);
            });
            if let Some(begun) = begun {
                receivers.push((number, begun));
                longest = longest.max(begun.packets);
            }
        }
        // Where the network does not carry everybody, it is somebody else's turn to be last next time.
        // There may be nobody but newcomers.
        let turn = usize::from(!stream.members.is_empty());
        stream.members.rotate_left(turn);
        let (patience, begun) = (Patience::new(PATIENCE), Instant::now());
        let (next_part, next_receiver) = (0, 0);
        Some(Round { receivers, patience, begun, next_part, parts: longest.div_ceil(PART), next_receiver })
    }

    pub(super) fn send_part(
        &mut self,
        number: u64,
        begun: Begun,
        range: Range<usize>,
        patience: &mut Patience,
    ) {
        let Some(path) = self.residents.get(&number).and_then(|resident| resident.peer.path()) else {
            return;
        };
        let mut burst = std::mem::take(&mut self.burst);
        burst.clear();
        self.with_peer(number, |peer, now| peer.write(now, begun, range, &mut burst));
        send_burst(&self.shared.sockets, &mut self.connections, path, &burst, patience);
        self.burst = burst;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_frame_is_sent_in_parts_within_eight_milliseconds() {
        for (packets, parts) in [(1, 1), (PART, 1), (PART + 1, 2), (120, 4), (500, 16)] {
            let begun = Instant::now();
            let mut round = Round {
                receivers: Vec::new(),
                patience: Patience::new(PATIENCE),
                begun,
                next_part: 0,
                parts: packets.div_ceil(PART),
                next_receiver: 0,
            };
            assert_eq!(round.parts, parts);
            let mut dues = Vec::new();
            while round.next_part < round.parts {
                dues.push(round.due() - begun);
                round.next_part += 1;
            }
            assert_eq!(dues[0], Duration::ZERO, "the first leaves at once");
            assert!(dues.iter().all(|due| *due < SPREAD), "{dues:?}");
            let even = SPREAD / parts as u32;
            assert!(dues.windows(2).all(|pair| pair[1] - pair[0] <= even + Duration::from_nanos(1)));
        }
    }
}
