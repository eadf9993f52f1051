//! What a camera's connection suffers from without ending by it, counted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Something that was put right or left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Impairment {
    /// Bytes between messages and packets that made no sense.
    JunkBytes,
    /// Packets of somebody else: of another channel, source or kind.
    StrayPackets,
    /// Packets whose header made no sense.
    BadPackets,
    DuplicatePackets,
    LostPackets,
    ReorderedPackets,
    /// The stream's source or numbering began anew inside a session.
    Restarts,
    /// Messages and pictures larger than anything a camera needs; each ended a session.
    OverLimit,
}

/// One counter for each [`Impairment`], since the camera was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Impairments {
    /// Bytes between messages and packets that made no sense and were skipped.
    pub junk_bytes: u64,
    /// Packets of another channel, source or kind, as stale sessions of the camera send them.
    pub stray_packets: u64,
    /// Packets whose header made no sense.
    pub bad_packets: u64,
    /// Packets that came twice.
    pub duplicate_packets: u64,
    /// Packets that did not come.
    pub lost_packets: u64,
    /// Packets that came by UDP out of order and were put into it.
    pub reordered_packets: u64,
    /// How often a stream's source or numbering began anew inside a session.
    pub restarts: u64,
    /// Sessions ended because a message or a picture was larger than anything a camera needs.
    pub over_limit: u64,
}

/// Where they are counted.
#[derive(Debug, Default)]
pub(crate) struct Counted([AtomicU64; 8]);

impl Counted {
    pub(crate) fn add(&self, what: Impairment, times: u64) {
        if times > 0 {
            self.0[what as usize].fetch_add(times, Relaxed);
        }
    }

    pub(crate) fn read(&self) -> Impairments {
        let count = |what: Impairment| self.0[what as usize].load(Relaxed);
        Impairments {
            junk_bytes: count(Impairment::JunkBytes),
            stray_packets: count(Impairment::StrayPackets),
            bad_packets: count(Impairment::BadPackets),
            duplicate_packets: count(Impairment::DuplicatePackets),
            lost_packets: count(Impairment::LostPackets),
            reordered_packets: count(Impairment::ReorderedPackets),
            restarts: count(Impairment::Restarts),
            over_limit: count(Impairment::OverLimit),
        }
    }
}
