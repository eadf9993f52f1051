//! One access unit as RTP payloads (RFC 6184, packetization-mode 1), made once and shared by all readers.
//!
//! RTP headers are each reader's own: see `rtp`.

use std::time::Instant;

use bytes::Bytes;
use rtc_rtp::{codec::h264::H264Payloader, packetizer::Payloader};

/// The largest RTP payload, so that a packet passes every path a UDP reader may sit behind.
const LARGEST_PAYLOAD: usize = 1200;

/// The RTP payloads of one access unit.
#[derive(Debug)]
pub(super) struct Packets {
    /// In the order of sending; the last one carries the marker bit.
    pub(super) payloads: Vec<Bytes>,
    /// An IDR with its parameter sets: decoding can start here.
    pub(super) key: bool,
    /// 90 kHz.
    pub(super) rtp_time: u32,
    /// When the mount was given this access unit; sender reports tie `rtp_time` to it.
    pub(super) pushed: Instant,
    /// The sum of the payloads' lengths.
    pub(super) bytes: usize,
}

impl Packets {
    /// Cuts up an access unit in Annex B form; `None` when there was nothing in it to send.
    pub(super) fn cut(
        payloader: &mut H264Payloader,
        data: &Bytes,
        key: bool,
        rtp_time: u32,
        pushed: Instant,
    ) -> Option<Self> {
        let payloads = payloader.payload(LARGEST_PAYLOAD, data).ok().filter(|all| !all.is_empty())?;
        let bytes = payloads.iter().map(Bytes::len).sum();
        Some(Self { payloads, key, rtp_time, pushed, bytes })
    }
}
