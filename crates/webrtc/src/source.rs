//! One picture that many peers watch: packetised once, offered to everybody's queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::packetise::Packetiser;
use crate::profile::ProfileLevelId;
use crate::queue::{Offered, Queue, Receiver};

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
    packetiser: Mutex<Packetiser>,
    subscribers: Mutex<Vec<Subscriber>>,
    next_subscriber: AtomicU64,
}

struct Subscriber {
    number: u64,
    queue: Queue,
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
            packetiser: Mutex::default(),
            subscribers: Mutex::default(),
            next_subscriber: AtomicU64::new(0),
        })
    }

    /// Offers an access unit to every connected peer. Never waits: a peer whose queue is full misses frames up to the
    /// next key frame.
    pub fn push(&self, frame: &SourceFrame) {
        if !self.is_wanted() {
            return;
        }
        let captured =
            SystemTime::now().checked_sub(frame.captured.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH);
        let packetised = self.packetiser.lock().packetise(&frame.data, frame.key, frame.rtp_time, captured);
        let Some(packetised) = packetised.map(Arc::new) else { return };
        let mut key_frame_needed = false;
        self.subscribers.lock().retain_mut(|subscriber| match subscriber.queue.offer(&packetised) {
            Offered::Gone => false,
            Offered::KeyFrameNeeded => {
                key_frame_needed = true;
                true
            }
            Offered::Queued | Offered::Skipped => true,
        });
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

    /// Begins to queue frames, from the next key frame on, which is asked for. Ends when the subscription is dropped.
    pub(crate) fn subscribe(self: &Arc<Self>, dropped: Arc<AtomicU64>) -> Subscription {
        let (queue, frames) = Queue::new(dropped);
        let number = self.next_subscriber.fetch_add(1, Ordering::Relaxed);
        self.subscribers.lock().push(Subscriber { number, queue });
        // Made before the callback, which is not ours: should it panic, the subscription still ends.
        let subscription = Subscription { source: Arc::clone(self), number, frames };
        self.key_frame_needed();
        subscription
    }
}

/// A peer's end of its queue.
pub(crate) struct Subscription {
    source: Arc<Source>,
    number: u64,
    pub(crate) frames: Receiver,
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
    use crate::queue::CAPACITY;

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
    fn a_source_is_wanted_while_somebody_subscribes_and_each_newcomer_asks_for_a_key_frame() {
        let (source, asked) = source();
        assert!(!source.is_wanted());
        let first = source.subscribe(Arc::default());
        let second = source.subscribe(Arc::default());
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        drop(first);
        assert!(source.is_wanted());
        drop(second);
        assert!(!source.is_wanted());
    }

    #[test]
    fn peers_share_the_payloads_of_a_frame() {
        let (source, _) = source();
        let mut first = source.subscribe(Arc::default());
        let mut second = source.subscribe(Arc::default());
        source.push(&frame(true));
        assert!(Arc::ptr_eq(&first.frames.try_recv().unwrap(), &second.frames.try_recv().unwrap()));
    }

    #[test]
    fn a_peer_that_does_not_read_misses_frames_and_another_misses_none() {
        let (source, asked) = source();
        let dropped = Arc::new(AtomicU64::new(0));
        let mut stuck = source.subscribe(Arc::clone(&dropped));
        let mut reading = source.subscribe(Arc::default());
        source.push(&frame(true));
        reading.frames.try_recv().unwrap();
        for _ in 0..100 {
            source.push(&frame(false));
            reading.frames.try_recv().unwrap();
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 101 - CAPACITY as u64);
        assert_eq!(asked.load(Ordering::Relaxed), 2, "a peer that stays stuck costs nobody a key frame");
        while stuck.frames.try_recv().is_ok() {}
        source.push(&frame(false));
        assert_eq!(asked.load(Ordering::Relaxed), 3);
        source.push(&frame(true));
        assert!(stuck.frames.try_recv().unwrap().key);
    }
}
