//! What is counted since the start of a camera, of both its streams together.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) frames_decoded: Counter,
    pub(crate) frames_passed_over: Counter,
    pub(crate) frames_duplicate: Counter,
    pub(crate) frames_overwritten: Counter,
    pub(crate) decode_errors: Counter,
    pub(crate) reconnects: Counter,
    pub(crate) panics: Counter,
    dropped: [Counter; Dropped::ALL.len()],
}

/// Why coded pictures are dropped instead of being decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// The queue to the decoder has no place.
    QueueFull,
    /// What waits for the decoder has too many bytes.
    QueueBytes,
    /// What waits for the decoder is getting old: it cannot keep up.
    TooSlow,
    /// More bytes, or more pixels, than any picture has.
    TooLarge,
    /// Decoding takes more CPU time than one camera may have.
    TooExpensive,
}

impl Dropped {
    pub(crate) const ALL: [Self; 5] =
        [Self::QueueFull, Self::QueueBytes, Self::TooSlow, Self::TooLarge, Self::TooExpensive];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::QueueBytes => "queue_bytes",
            Self::TooSlow => "too_slow",
            Self::TooLarge => "too_large",
            Self::TooExpensive => "too_expensive",
        }
    }
}

impl Counters {
    pub(crate) fn add_dropped(&self, why: Dropped) {
        self.dropped[why as usize].add(1);
    }

    pub(crate) fn dropped(&self) -> Vec<(&'static str, u64)> {
        Dropped::ALL.into_iter().zip(&self.dropped).map(|(why, count)| (why.as_str(), count.get())).collect()
    }
}
