//! Coded pictures on their way from a camera's session to its decode thread.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::record::{Dropped, Record};

/// Enough for the burst of a camera that was held up for some seconds: it is decoded faster than it was filmed, and only
/// its newest picture is shown.
const CAPACITY: usize = 600;
/// What may wait, all together. Twenty seconds of a camera of 5 Mb/s.
const MAX_QUEUED_BYTES: usize = 12 * 1024 * 1024;
/// No picture of 16 megapixels needs more; what is larger is not a picture.
pub(crate) const MAX_BYTES: usize = 8 * 1024 * 1024;
/// A second or so of video that has waited a second: the decoder cannot keep up, and its pictures are getting old.
const LATE: (usize, Duration) = (32, Duration::from_secs(1));

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
    /// The time that the camera itself gives it, in ticks of its RTP clock, which wrap.
    pub(crate) rtp_time: u32,
    /// When its picture was taken, as far as that is known; else when its first packet arrived.
    pub(crate) captured: Instant,
}

/// The sending end. Never waits: when there is no room, everything up to the next key frame is dropped and counted,
/// because pictures in between could not be decoded properly anyway.
pub(crate) struct Feeder {
    units: Sender<AccessUnit>,
    record: Arc<Record>,
    /// Size of each unit that waits, and since when.
    waiting: VecDeque<(usize, Instant)>,
    waiting_bytes: usize,
    /// The session in which a unit was dropped, until its next key frame, and why.
    waiting_for_key: Option<(u64, Dropped)>,
}

pub(crate) fn queue(record: Arc<Record>) -> (Feeder, Receiver<AccessUnit>) {
    let (units, receiver) = bounded(CAPACITY);
    let feeder = Feeder { units, record, waiting: VecDeque::new(), waiting_bytes: 0, waiting_for_key: None };
    (feeder, receiver)
}

impl Feeder {
    pub(crate) fn feed(&mut self, unit: AccessUnit) {
        self.feed_at(Instant::now(), unit);
    }

    fn feed_at(&mut self, now: Instant, unit: AccessUnit) {
        self.forget_taken();
        let (session, bytes) = (unit.session, unit.data.len());
        let after = self.waiting_for_key.filter(|(gap, _)| *gap == session && !unit.key).map(|(_, why)| why);
        if let Some(why) = self.no_room_for(now, bytes).or(after) {
            self.drop_up_to_key(session, why);
            return;
        }
        match self.units.try_send(unit) {
            Ok(()) => {
                self.waiting.push_back((bytes, now));
                self.waiting_bytes += bytes;
                self.waiting_for_key = None;
            }
            // Disconnected: the decode thread is gone because the camera is being stopped.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.drop_up_to_key(session, Dropped::QueueFull);
            }
        }
    }

    fn no_room_for(&self, now: Instant, bytes: usize) -> Option<Dropped> {
        let (many, long) = LATE;
        let waited = self.waiting.front().map(|(_, since)| now.saturating_duration_since(*since));
        if bytes > MAX_BYTES {
            Some(Dropped::TooLarge)
        } else if self.waiting_bytes + bytes > MAX_QUEUED_BYTES {
            Some(Dropped::QueueBytes)
        } else if self.waiting.len() >= many && waited > Some(long) {
            Some(Dropped::TooSlow)
        } else {
            None
        }
    }

    fn drop_up_to_key(&mut self, session: u64, why: Dropped) {
        self.record.count_dropped(why);
        self.waiting_for_key = Some((session, why));
    }

    fn forget_taken(&mut self) {
        while self.waiting.len() > self.units.len() {
            let (bytes, _) = self.waiting.pop_front().unwrap_or_else(|| (0, Instant::now()));
            self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(session: u64, number: u16, key: bool) -> AccessUnit {
        let data = number.to_be_bytes().to_vec();
        AccessUnit { session, codec: Codec::H264, data, key, rtp_time: 0, captured: Instant::now() }
    }

    fn large(number: u8, key: bool, bytes: usize) -> AccessUnit {
        AccessUnit { data: vec![number; bytes], ..unit(1, 0, key) }
    }

    fn numbers(receiver: &Receiver<AccessUnit>) -> Vec<u16> {
        receiver.try_iter().map(|unit| u16::from_be_bytes([unit.data[0], unit.data[1]])).collect()
    }

    fn dropped(record: &Record) -> Vec<(&'static str, u64)> {
        let all = record.stats(Instant::now(), Duration::from_secs(10)).dropped;
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    #[test]
    fn a_full_queue_drops_up_to_the_next_key_frame_and_counts() {
        let record = Record::for_tests();
        let (mut feeder, receiver) = queue(record.clone());
        (0..610).for_each(|number| feeder.feed(unit(1, number, number == 0)));
        assert_eq!(numbers(&receiver), (0..600).collect::<Vec<_>>());
        feeder.feed(unit(1, 610, false));
        feeder.feed(unit(1, 611, true));
        feeder.feed(unit(1, 612, false));
        assert_eq!(numbers(&receiver), [611, 612]);
        assert_eq!(dropped(&record), [("queue_full", 11)]);
    }

    #[test]
    fn an_access_unit_of_more_than_8_mib_is_dropped_with_what_depends_on_it() {
        let record = Record::for_tests();
        let (mut feeder, receiver) = queue(record.clone());
        feeder.feed(large(0, true, MAX_BYTES + 1));
        feeder.feed(unit(1, 1, false));
        feeder.feed(unit(1, 2, true));
        assert_eq!((numbers(&receiver), dropped(&record)), (vec![2], vec![("too_large", 2)]));
    }

    #[test]
    fn twelve_mebibytes_wait_at_most() {
        let record = Record::for_tests();
        let (mut feeder, receiver) = queue(record.clone());
        (0..20).for_each(|number| feeder.feed(large(number, number == 0, 1024 * 1024)));
        assert_eq!(dropped(&record), [("queue_bytes", 8)]);
        assert_eq!(receiver.try_iter().count(), 12);
        feeder.feed(large(20, true, 1024 * 1024));
        assert_eq!(receiver.try_iter().count(), 1);
    }

    #[test]
    fn a_decoder_that_is_a_second_behind_goes_on_at_a_key_frame_but_a_burst_is_not_that() {
        let record = Record::for_tests();
        let (mut feeder, receiver) = queue(record.clone());
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        (0..100).for_each(|number| feeder.feed_at(at(0), unit(1, number, number == 0)));
        assert_eq!(numbers(&receiver).len(), 100);
        (0..40).for_each(|number| feeder.feed_at(at(u64::from(number) * 40), unit(1, number, number == 0)));
        assert_eq!(numbers(&receiver).len(), 32);
        assert_eq!(dropped(&record), [("too_slow", 8)]);
    }

    #[test]
    fn a_new_session_does_not_wait_for_the_old_ones_key_frame() {
        let record = Record::for_tests();
        let (mut feeder, receiver) = queue(record);
        (0..601).for_each(|number| feeder.feed(unit(1, number, false)));
        numbers(&receiver);
        feeder.feed(unit(1, 602, false));
        feeder.feed(unit(2, 603, false));
        assert_eq!(numbers(&receiver), [603]);
    }
}
