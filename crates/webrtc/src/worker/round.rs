//! One rendition's frames to its peers on a thread: every peer gets a part of the frame before any gets the next, and the
//! parts of a large one are spread, so that a key frame does not burst the queues on its way.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Worker, room, send_burst};
use crate::sockets::Patience;
use crate::source::{Source, Subscription};
use crate::track::Begun;

/// Packets of a frame that go to a peer at once: 40 KB, about a delta frame at 8 Mb/s.
const PART: usize = 32;
/// A frame of more than one part takes this long at least.
const SPREAD: Duration = Duration::from_millis(8);
/// How long a frame may wait for full sockets, all its peers together: half of the time to the next.
const PATIENCE: Duration = Duration::from_millis(20);

pub(super) struct Stream {
    subscription: Subscription,
    members: Vec<u64>,
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
}

impl Round {
    fn due(&self) -> Instant {
        self.begun + SPREAD * self.next_part as u32 / self.parts as u32
    }
}

impl Stream {
    pub(super) fn new(subscription: Subscription) -> Self {
        Self { subscription, members: Vec::new(), round: None, dropped_seen: 0 }
    }

    fn is_of(&self, source: &Arc<Source>, rendition: usize) -> bool {
        Arc::ptr_eq(self.subscription.source(), source) && self.subscription.rendition() == rendition
    }

    fn join(&mut self, number: u64) {
        self.members.push(number);
    }

    /// `false` when nobody is left.
    pub(super) fn leave(&mut self, number: u64) -> bool {
        self.members.retain(|&member| member != number);
        if let Some(round) = &mut self.round {
            round.receivers.retain(|&(receiver, _)| receiver != number);
        }
        !self.members.is_empty()
    }

    fn has_work(&self) -> bool {
        match &self.round {
            Some(round) => round.due() <= Instant::now(),
            None => !self.subscription.frames.is_empty(),
        }
    }

    /// When the next part of a frame is to go.
    pub(super) fn due(&self) -> Option<Instant> {
        self.round.as_ref().map(Round::due)
    }
}

impl Worker {
    /// Peers whose renditions have changed join and leave streams. A stream begins with its first peer, and whoever joins
    /// one asks for a key frame.
    pub(super) fn follow(&mut self) {
        for number in std::mem::take(&mut self.moved) {
            let Some(resident) = self.residents.get_mut(&number) else { continue };
            let source = Arc::clone(&resident.source);
            let (wanted, followed) = (resident.peer.renditions(), resident.follows);
            let (begins, ends) = (wanted.without(followed), followed.without(wanted));
            resident.follows = wanted;
            for rendition in ends.iter() {
                self.streams.retain_mut(|stream| !stream.is_of(&source, rendition) || stream.leave(number));
            }
            for rendition in begins.iter() {
                self.join(&source, rendition, number);
                let asked = catch_unwind(AssertUnwindSafe(|| source.key_frame_needed(rendition)));
                if asked.is_err() {
                    self.remove(number, Instant::now(), "its code panicked");
                }
            }
        }
    }

    fn join(&mut self, source: &Arc<Source>, rendition: usize, number: u64) {
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.is_of(source, rendition)) {
            return stream.join(number);
        }
        let (waking, worker) = (Arc::downgrade(&self.shared), self.number);
        let wake = move || {
            if let Some(shared) = waking.upgrade() {
                shared.wake(worker);
            }
        };
        let mut stream = Stream::new(source.subscribe(rendition, Box::new(wake)));
        stream.join(number);
        self.streams.push(stream);
    }

    /// Sends whatever is due of every stream.
    pub(super) fn send_frames(&mut self) {
        self.left.clear();
        if !self.streams.iter().any(Stream::has_work) {
            return;
        }
        let mut streams = std::mem::take(&mut self.streams);
        streams.iter_mut().for_each(|stream| self.send_stream(stream));
        // Whoever has ended meanwhile was not found in them.
        streams.retain_mut(|stream| self.left.iter().all(|&number| stream.leave(number)));
        self.streams = streams;
    }

    fn send_stream(&mut self, stream: &mut Stream) {
        loop {
            if stream.round.is_none() {
                stream.round = self.begin(stream);
            }
            let Some(round) = &mut stream.round else { return };
            if round.due() > Instant::now() {
                return;
            }
            let start = round.next_part * PART;
            for &(number, begun) in &round.receivers {
                if start < begun.packets {
                    let part = start..begun.packets.min(start + PART);
                    self.send_part(number, begun, part, &mut round.patience);
                }
            }
            round.next_part += 1;
            if round.next_part >= round.parts {
                stream.round = None;
            }
        }
    }

    /// The next frame, numbered for everybody who can take it.
    fn begin(&mut self, stream: &mut Stream) -> Option<Round> {
        let frame = stream.subscription.frames.try_recv().ok()?;
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
        stream.members.rotate_left(1);
        let (patience, begun) = (Patience::new(PATIENCE), Instant::now());
        Some(Round { receivers, patience, begun, next_part: 0, parts: longest.div_ceil(PART) })
    }

    fn send_part(&mut self, number: u64, begun: Begun, range: Range<usize>, patience: &mut Patience) {
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
