//! One picture that many peers watch: packetised once, handed to every thread that has peers of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use crate::gate::{Gate, Room, Verdict};
use crate::packetise::PacketisedFrame;
use crate::profile::ProfileLevelId;

/// Frames a thread may lag behind: half a second at 25 frames a second.
pub(crate) const CAPACITY: usize = 12;

/// One access unit.
#[derive(Clone, Debug)]
pub struct SourceFrame {
    /// H.264 byte stream (Annex B); SPS and PPS before every IDR.
    pub data: Bytes,
    /// An IDR with its parameter sets.
    pub key: bool,
    /// 90 kHz, wrapping.
    pub rtp_time: u32,
    /// When the picture was composed or taken.
    pub captured: Instant,
}

/// What peers subscribe to. Shared; see [`Peers::answer`](crate::Peers::answer).
pub struct Source {
    name: String,
    profile: ProfileLevelId,
    on_key_frame_needed: Box<dyn Fn() + Send + Sync>,
    subscribers: Mutex<Vec<Subscriber>>,
    next_subscriber: AtomicU64,
}

struct Subscriber {
    number: u64,
    frames: Sender<Arc<PacketisedFrame>>,
    gate: Gate,
    dropped: Arc<AtomicU64>,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Source {
    /// `profile` is what the SPS of the stream says: viewers are chosen a payload type and told the level by it.
    /// `on_key_frame_needed` is called from any thread whenever a viewer joins, asks for a key frame, or has caught up
    /// after falling behind; it must not block, and coalescing the calls is the encoder's business.
    pub fn new(
        name: &str,
        profile: ProfileLevelId,
        on_key_frame_needed: Box<dyn Fn() + Send + Sync>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            profile,
            on_key_frame_needed,
            subscribers: Mutex::default(),
            next_subscriber: AtomicU64::new(0),
        })
    }

    /// Offers an access unit to every connected peer. Never waits: a thread whose queue is full misses frames up to the
    /// next key frame, and its peers with it.
    pub fn push(&self, frame: &SourceFrame) {
        if !self.is_wanted() {
            return;
        }
        let captured_at =
            SystemTime::now().checked_sub(frame.captured.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH);
        let packetised =
            PacketisedFrame::new(&frame.data, frame.key, frame.rtp_time, frame.captured, captured_at);
        let Some(packetised) = packetised.map(Arc::new) else { return };
        let mut key_frame_needed = false;
        for subscriber in self.subscribers.lock().iter_mut() {
            key_frame_needed |= subscriber.offer(&packetised);
        }
        // Outside the lock: the callback is not ours.
        if key_frame_needed {
            self.key_frame_needed();
        }
    }

    /// At least one peer is connected. Asked every tick: nobody watching means nothing to encode. A peer still shaking
    /// hands does not count; it could not be sent anything, and gets a key frame when it can.
    pub fn is_wanted(&self) -> bool {
        !self.subscribers.lock().is_empty()
    }

    /// The name given to [`Source::new`].
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn profile(&self) -> ProfileLevelId {
        self.profile
    }

    pub(crate) fn key_frame_needed(&self) {
        (self.on_key_frame_needed)();
    }

    /// Begins to queue frames for a thread, from the next key frame on; `wake` is called after each. Ends when the
    /// subscription is dropped.
    pub(crate) fn subscribe(self: &Arc<Self>, wake: Box<dyn Fn() + Send + Sync>) -> Subscription {
        let (sender, frames) = bounded(CAPACITY);
        let (number, dropped) = (self.next_subscriber.fetch_add(1, Ordering::Relaxed), Arc::default());
        let gate = Gate::Joining;
        let subscriber = Subscriber { number, frames: sender, gate, dropped: Arc::clone(&dropped), wake };
        self.subscribers.lock().push(subscriber);
        Subscription { source: Arc::clone(self), number, frames, dropped }
    }
}

impl Subscriber {
    /// `true` when the time to ask for a key frame has come.
    fn offer(&mut self, frame: &Arc<PacketisedFrame>) -> bool {
        let room = match self.frames.len() {
            0 => Room::Drained,
            CAPACITY.. => Room::None,
            _ => Room::Some,
        };
        let verdict = self.gate.offer(frame.key, room);
        match verdict {
            Verdict::Pass => {
                // There is room, and this is the only sender; a receiver that is gone is about to unsubscribe.
                let _ = self.frames.try_send(Arc::clone(frame));
                (self.wake)();
            }
            Verdict::NotYet => {}
            Verdict::Dropped | Verdict::DroppedAsk => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        verdict == Verdict::DroppedAsk
    }
}

/// A thread's end of its queue.
pub(crate) struct Subscription {
    source: Arc<Source>,
    number: u64,
    pub(crate) frames: Receiver<Arc<PacketisedFrame>>,
    /// Frames that found no room.
    pub(crate) dropped: Arc<AtomicU64>,
}

impl Subscription {
    pub(crate) fn source(&self) -> &Arc<Source> {
        &self.source
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.source.subscribers.lock().retain(|subscriber| subscriber.number != self.number);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn source() -> (Arc<Source>, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let on_needed = Box::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        (Source::new("wall", ProfileLevelId::constrained_baseline(40), on_needed), asked)
    }

    fn frame(key: bool) -> SourceFrame {
        let data = if key {
            &[0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 1, 0, 0, 0, 1, 0x65, 1][..]
        } else {
            &[0, 0, 0, 1, 0x41, 1]
        };
        SourceFrame { data: Bytes::from_static(data), key, rtp_time: 0, captured: Instant::now() }
    }

    #[test]
    fn a_source_is_wanted_while_somebody_subscribes() {
        let (source, _) = source();
        assert!(!source.is_wanted());
        let first = source.subscribe(Box::new(|| ()));
        let second = source.subscribe(Box::new(|| ()));
        drop(first);
        assert!(source.is_wanted());
        drop(second);
        assert!(!source.is_wanted());
    }

    #[test]
    fn threads_share_a_frame_and_each_is_woken() {
        let (source, _) = source();
        let woken = Arc::new(AtomicUsize::new(0));
        let [first, second] = [0, 1].map(|_| {
            let count = Arc::clone(&woken);
            source.subscribe(Box::new(move || {
                count.fetch_add(1, Ordering::Relaxed);
            }))
        });
        source.push(&frame(true));
        assert!(Arc::ptr_eq(&first.frames.try_recv().unwrap(), &second.frames.try_recv().unwrap()));
        assert_eq!(woken.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_thread_that_is_stuck_misses_frames_and_another_misses_none() {
        let (source, asked) = source();
        let stuck = source.subscribe(Box::new(|| ()));
        let reading = source.subscribe(Box::new(|| ()));
        source.push(&frame(true));
        reading.frames.try_recv().unwrap();
        for _ in 0..100 {
            source.push(&frame(false));
            reading.frames.try_recv().unwrap();
        }
        assert_eq!(stuck.dropped.load(Ordering::Relaxed), 101 - CAPACITY as u64);
        assert_eq!(reading.dropped.load(Ordering::Relaxed), 0);
        assert_eq!(asked.load(Ordering::Relaxed), 0, "while it stays stuck it costs nobody a key frame");
        while stuck.frames.try_recv().is_ok() {}
        source.push(&frame(false));
        source.push(&frame(false));
        assert_eq!(asked.load(Ordering::Relaxed), 1, "asked once");
        source.push(&frame(true));
        assert!(stuck.frames.try_recv().unwrap().key);
    }
}
