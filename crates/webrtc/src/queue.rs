//! The way from a source to one peer: a bounded queue behind a key-frame gate.
//!
//! Nothing passes before the first key frame. When the queue is full the gate closes: frames are dropped and counted
//! up to the next key frame that finds room, because a decoder cannot use what lies between. A key frame is asked for
//! once the peer has emptied its queue, not before: a viewer that stays slow must not turn the wall into key frames.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use crate::packetise::PacketisedFrame;

/// Frames a peer may lag behind: half a second at 25 frames a second.
pub(crate) const CAPACITY: usize = 12;

/// What the peer reads.
pub(crate) type Receiver = mpsc::Receiver<Arc<PacketisedFrame>>;

/// The source's end.
pub(crate) struct Queue {
    frames: mpsc::Sender<Arc<PacketisedFrame>>,
    gate: Gate,
    dropped: Arc<AtomicU64>,
}

enum Gate {
    /// Nothing was sent yet; the first key frame opens.
    Joining,
    Open,
    /// Overflowed; the next key frame that finds room opens.
    Lost {
        asked: bool,
    },
}

/// What became of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    Queued,
    Skipped,
    /// Skipped, and the peer is ready for a key frame now.
    KeyFrameNeeded,
    /// The peer is gone.
    Gone,
}

impl Queue {
    /// Frames dropped because the peer was slow are added to `dropped`; those before its first key frame are not.
    pub(crate) fn new(dropped: Arc<AtomicU64>) -> (Self, Receiver) {
        let (frames, receiver) = mpsc::channel(CAPACITY);
        (Self { frames, gate: Gate::Joining, dropped }, receiver)
    }

    /// Never waits.
    pub(crate) fn offer(&mut self, frame: &Arc<PacketisedFrame>) -> Offered {
        if frame.key || matches!(self.gate, Gate::Open) {
            match self.frames.try_send(Arc::clone(frame)) {
                Ok(()) => {
                    self.gate = Gate::Open;
                    return Offered::Queued;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => return Offered::Gone,
                Err(mpsc::error::TrySendError::Full(_)) => self.gate = Gate::Lost { asked: false },
            }
        }
        let drained = self.frames.capacity() == self.frames.max_capacity();
        match &mut self.gate {
            Gate::Joining | Gate::Open => Offered::Skipped,
            Gate::Lost { asked } => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                if drained && !std::mem::replace(asked, true) {
                    Offered::KeyFrameNeeded
                } else {
                    Offered::Skipped
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn frame(key: bool) -> Arc<PacketisedFrame> {
        Arc::new(PacketisedFrame {
            payloads: vec![Bytes::from_static(b"x")],
            key,
            rtp_time: 0,
            captured_ntp: 0,
        })
    }

    struct Peer {
        queue: Queue,
        receiver: Receiver,
        dropped: Arc<AtomicU64>,
    }

    fn peer() -> Peer {
        let dropped = Arc::new(AtomicU64::new(0));
        let (queue, receiver) = Queue::new(Arc::clone(&dropped));
        Peer { queue, receiver, dropped }
    }

    fn overflowed() -> Peer {
        let mut peer = peer();
        for i in 0..CAPACITY {
            assert_eq!(peer.queue.offer(&frame(i == 0)), Offered::Queued);
        }
        assert_eq!(peer.queue.offer(&frame(false)), Offered::Skipped);
        peer
    }

    #[test]
    fn nothing_passes_before_the_first_key_frame() {
        let mut peer = peer();
        assert_eq!(peer.queue.offer(&frame(false)), Offered::Skipped);
        assert_eq!(peer.queue.offer(&frame(true)), Offered::Queued);
        assert_eq!(peer.queue.offer(&frame(false)), Offered::Queued);
        assert!(peer.receiver.try_recv().unwrap().key);
        assert_eq!(peer.dropped.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_full_queue_drops_up_to_the_next_key_frame_and_counts() {
        let mut peer = overflowed();
        assert_eq!(
            peer.queue.offer(&frame(true)),
            Offered::Skipped,
            "a key frame that finds no room is dropped too"
        );
        peer.receiver.try_recv().unwrap();
        assert_eq!(peer.queue.offer(&frame(false)), Offered::Skipped, "room is no use without a key frame");
        assert_eq!(peer.dropped.load(Ordering::Relaxed), 3);
        assert_eq!(peer.queue.offer(&frame(true)), Offered::Queued);
        assert_eq!(peer.queue.offer(&frame(true)), Offered::Skipped, "full again");
    }

    #[test]
    fn a_key_frame_is_asked_for_once_when_the_peer_has_caught_up() {
        let mut peer = overflowed();
        for _ in 0..CAPACITY {
            assert_eq!(peer.queue.offer(&frame(false)), Offered::Skipped, "not while the peer is behind");
            peer.receiver.try_recv().unwrap();
        }
        assert_eq!(peer.queue.offer(&frame(false)), Offered::KeyFrameNeeded);
        assert_eq!(peer.queue.offer(&frame(false)), Offered::Skipped, "asked already");
        assert_eq!(peer.queue.offer(&frame(true)), Offered::Queued);
    }

    #[test]
    fn a_peer_that_left_is_noticed() {
        let mut peer = peer();
        drop(peer.receiver);
        assert_eq!(peer.queue.offer(&frame(true)), Offered::Gone);
    }
}
