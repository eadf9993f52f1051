//! Coded pictures on their way from a camera's session to its decode thread.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::record::Record;

/// A second or so of video: enough for a burst after a hiccup of the network, little enough that a decoder that
/// cannot keep up is noticed before its pictures are old.
const CAPACITY: usize = 32;

/// No picture of 16 megapixels needs more; what is larger is not a picture.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Video codecs that are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    H264,
    H265,
    /// Motion JPEG: every access unit is one picture and a key frame.
    Jpeg,
}

impl Codec {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "h265",
            Self::Jpeg => "jpeg",
        }
    }
}

/// One coded picture (or field).
#[derive(Debug)]
pub(crate) struct AccessUnit {
    /// Which of the camera's sessions it came through. A new session gets a new decoder.
    pub(crate) session: u64,
    pub(crate) codec: Codec,
    /// Annex B byte stream (ITU-T H.264 and H.265, annex B), parameter sets before every key frame; or a JPEG picture.
    pub(crate) data: Vec<u8>,
    /// Decoding can begin here.
    pub(crate) key: bool,
    /// When its picture was taken, as far as that is known; else when its first packet arrived.
    pub(crate) captured: Instant,
}

/// The sending end. Never waits: when the queue is full, everything up to the next key frame is dropped and counted,
/// because pictures in between could not be decoded properly anyway.
pub(crate) struct Feeder {
    units: Sender<AccessUnit>,
    record: Arc<Record>,
    /// The session in which the queue was full, until its next key frame.
    waiting_for_key: Option<u64>,
}

pub(crate) fn queue(record: Arc<Record>) -> (Feeder, Receiver<AccessUnit>) {
    let (units, receiver) = bounded(CAPACITY);
    (Feeder { units, record, waiting_for_key: None }, receiver)
}

impl Feeder {
    pub(crate) fn feed(&mut self, unit: AccessUnit) {
        let session = unit.session;
        if unit.data.len() > MAX_BYTES {
            self.waiting_for_key = Some(session);
        }
        if self.waiting_for_key == Some(session) && (!unit.key || unit.data.len() > MAX_BYTES) {
            self.record.count_dropped();
            return;
        }
        self.waiting_for_key = match self.units.try_send(unit) {
            Ok(()) => None,
            // Disconnected: the decode thread is gone because the camera is being stopped.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.record.count_dropped();
                Some(session)
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(session: u64, number: u8, key: bool) -> AccessUnit {
        AccessUnit { session, codec: Codec::H264, data: vec![number], key, captured: Instant::now() }
    }

    fn numbers(receiver: &Receiver<AccessUnit>) -> Vec<u8> {
        receiver.try_iter().map(|unit| unit.data[0]).collect()
    }

    #[test]
    fn a_full_queue_drops_up_to_the_next_key_frame_and_counts() {
        let record = Record::for_tests();
        let (mut feeder, receiver) = queue(record.clone());
        (0..40).for_each(|number| feeder.feed(unit(1, number, number == 0)));
        assert_eq!(numbers(&receiver), (0..32).collect::<Vec<_>>());
        feeder.feed(unit(1, 40, false));
        feeder.feed(unit(1, 41, true));
        feeder.feed(unit(1, 42, false));
        assert_eq!(numbers(&receiver), [41, 42]);
        assert_eq!(record.dropped(), 9);
    }

    #[test]
    fn an_access_unit_of_more_than_8_mib_is_dropped_with_what_depends_on_it() {
        let record = Record::for_tests();
        let (mut feeder, receiver) = queue(record.clone());
        feeder.feed(AccessUnit { data: vec![0; MAX_BYTES + 1], ..unit(1, 0, true) });
        feeder.feed(unit(1, 1, false));
        feeder.feed(unit(1, 2, true));
        assert_eq!((numbers(&receiver), record.dropped()), (vec![2], 2));
    }

    #[test]
    fn a_new_session_does_not_wait_for_the_old_ones_key_frame() {
        let record = Record::for_tests();
        let (mut feeder, receiver) = queue(record);
        (0..33).for_each(|number| feeder.feed(unit(1, number, false)));
        numbers(&receiver);
        feeder.feed(unit(1, 34, false));
        feeder.feed(unit(2, 35, false));
        assert_eq!(numbers(&receiver), [35]);
    }
}
