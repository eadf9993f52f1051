//! What is known about one peer, and the counters it is read from.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use crate::congestion::Limit;
use crate::ladder::Level;

/// Where a peer is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// Answered; ICE and DTLS are not through yet.
    Connecting,
    /// Frames are sent to it whenever its source has some.
    Connected,
    /// Connected once, and nothing heard for some seconds; freed if that lasts.
    Disconnected,
}

impl PeerState {
    /// As `/stats` writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
        }
    }
}

/// How many of its rendition's frames a viewer gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameShare {
    /// All of them.
    All,
    /// Those that others refer to: half, where the encoder makes two temporal layers.
    Half,
    /// Key frames alone.
    KeyOnly,
}

impl FrameShare {
    /// As `/stats` writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Half => "half",
            Self::KeyOnly => "key",
        }
    }
}

/// What was lost on the way in and out, for all peers together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoStats {
    /// Packets that the operating system did not take.
    pub packets_unsent: u64,
    /// Datagrams and connections that belong to no session; they get no answer.
    pub datagrams_of_strangers: u64,
    /// Datagrams of viewers whose thread had too much to do.
    pub datagrams_dropped: u64,
    /// Faults of ours that ended a viewer or more; the threads went on.
    pub panics: u64,
}

/// A snapshot of one peer.
#[derive(Clone, Debug)]
pub struct PeerStats {
    /// [`SessionId::label`](crate::SessionId::label): tells peers apart, and is no right to end the session.
    pub id: String,
    /// The source's name.
    pub source: String,
    /// Where it is in its life.
    pub state: PeerState,
    /// When its offer came.
    pub since: SystemTime,
    /// Access units handed to its transport whole.
    pub frames_sent: u64,
    /// Access units it missed because it was slow.
    pub frames_dropped: u64,
    /// By its receiver reports (RFC 3550 section 6.4.1), before retransmission.
    pub packets_lost: u64,
    /// Packets sent again because it asked (NACK).
    pub retransmitted: u64,
    /// By its receiver reports; none before the first.
    pub rtt_ms: Option<f64>,
    /// RTP payloads over the last five whole seconds.
    pub bitrate_bps: u64,
    /// From its offer to its first key frame leaving; none before.
    pub first_frame_ms: Option<u64>,
    /// The name of the rendition that it gets.
    pub rendition: String,
    /// How many of the rendition's frames.
    pub frames: FrameShare,
    /// Why it gets less than everything; none when it does not.
    pub limited_by: Option<Limit>,
    /// What its path was last seen to carry; none before the first reports. It is no limit: a path of which little is
    /// asked shows little.
    pub estimate_bps: Option<u64>,
}

/// Written by the peer's thread; read by anybody.
pub(crate) struct Counters {
    offered: Instant,
    offered_at: SystemTime,
    state: Mutex<PeerState>,
    rate: Mutex<Rate>,
    frames_sent: AtomicU64,
    frames_dropped: AtomicU64,
    packets_lost: AtomicU64,
    retransmitted: AtomicU64,
    rtt_us: AtomicU64,
    first_frame_ms: AtomicU64,
    share: Mutex<Share>,
    estimate_bps: AtomicU64,
}

/// What a peer gets of what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) level: Level,
    pub(crate) limited_by: Option<Limit>,
}

/// Stands for "not known yet" in the atomics above.
const UNKNOWN: u64 = u64::MAX;

impl Counters {
    pub(crate) fn new(now: Instant, wall_clock: SystemTime) -> Self {
        Self {
            offered: now,
            offered_at: wall_clock,
            state: Mutex::new(PeerState::Connecting),
            rate: Mutex::new(Rate::new(now)),
            frames_sent: AtomicU64::new(0),
            frames_dropped: AtomicU64::new(0),
            packets_lost: AtomicU64::new(0),
            retransmitted: AtomicU64::new(0),
            rtt_us: AtomicU64::new(UNKNOWN),
            first_frame_ms: AtomicU64::new(UNKNOWN),
            share: Mutex::new(Share { level: Level::BEST, limited_by: None }),
            estimate_bps: AtomicU64::new(UNKNOWN),
        }
    }

    pub(crate) fn set_state(&self, state: PeerState) {
        *self.state.lock() = state;
    }

    pub(crate) fn state(&self) -> PeerState {
        *self.state.lock()
    }

    pub(crate) fn frames_dropped(&self, frames: u64) {
        self.frames_dropped.fetch_add(frames, Ordering::Relaxed);
    }

    /// The first frame of a peer is a key frame: its queue lets nothing else through.
    pub(crate) fn frame_sent(&self, now: Instant, bytes: usize) {
        if self.frames_sent.fetch_add(1, Ordering::Relaxed) == 0 {
            let elapsed = now.saturating_duration_since(self.offered);
            self.first_frame_ms.store(elapsed.as_millis() as u64, Ordering::Relaxed);
        }
        self.rate.lock().add(now, bytes as u64);
    }

    pub(crate) fn frames_sent(&self) -> u64 {
        self.frames_sent.load(Ordering::Relaxed)
    }

    pub(crate) fn retransmitted(&self) {
        self.retransmitted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn set_packets_lost(&self, cumulative: u64) {
        self.packets_lost.store(cumulative, Ordering::Relaxed);
    }

    pub(crate) fn set_rtt(&self, rtt: Duration) {
        self.rtt_us.store(rtt.as_micros() as u64, Ordering::Relaxed);
    }

    pub(crate) fn share(&self) -> Share {
        *self.share.lock()
    }

    pub(crate) fn set_share(&self, share: Share) {
        *self.share.lock() = share;
    }

    pub(crate) fn set_estimate(&self, bps: u64) {
        self.estimate_bps.store(bps, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self, now: Instant, id: String, source: &str, rendition: &str) -> PeerStats {
        let share = self.share();
        let known = |value: &AtomicU64| Some(value.load(Ordering::Relaxed)).filter(|&value| value != UNKNOWN);
        PeerStats {
            id,
            source: source.to_owned(),
            state: *self.state.lock(),
            since: self.offered_at,
            frames_sent: self.frames_sent(),
            frames_dropped: self.frames_dropped.load(Ordering::Relaxed),
            packets_lost: self.packets_lost.load(Ordering::Relaxed),
            retransmitted: self.retransmitted.load(Ordering::Relaxed),
            rtt_ms: known(&self.rtt_us).map(|us| us as f64 / 1000.0),
            bitrate_bps: self.rate.lock().bits_per_second(now),
            first_frame_ms: known(&self.first_frame_ms),
            rendition: rendition.to_owned(),
            frames: share.level.share,
            limited_by: share.limited_by,
            estimate_bps: known(&self.estimate_bps),
        }
    }
}

/// Bytes over the last [`Rate::WINDOW`] whole seconds.
struct Rate {
    start: Instant,
    /// The second, counted from `start`, that is being filled.
    second: u64,
    /// Slot `second % len` is being filled; the others hold the seconds before it.
    bytes: [u64; Self::WINDOW + 1],
}

impl Rate {
    const WINDOW: usize = 5;

    fn new(now: Instant) -> Self {
        Self { start: now, second: 0, bytes: [0; Self::WINDOW + 1] }
    }

    fn add(&mut self, now: Instant, bytes: u64) {
        self.advance(now);
        self.bytes[(self.second % self.bytes.len() as u64) as usize] += bytes;
    }

    fn bits_per_second(&mut self, now: Instant) -> u64 {
        self.advance(now);
        let current = (self.second % self.bytes.len() as u64) as usize;
        let whole_seconds: u64 = self.bytes.iter().sum::<u64>() - self.bytes[current];
        whole_seconds * 8 / (self.second.clamp(1, Self::WINDOW as u64))
    }

    fn advance(&mut self, now: Instant) {
        let second = now.saturating_duration_since(self.start).as_secs();
        let passed = second.saturating_sub(self.second).min(self.bytes.len() as u64);
        for step in 1..=passed {
            self.bytes[((second - passed + step) % self.bytes.len() as u64) as usize] = 0;
        }
        self.second = self.second.max(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bitrate_is_that_of_the_last_five_seconds() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        for tick in 0..25 * 8 {
            rate.add(start + Duration::from_millis(tick * 40), 20_000);
        }
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(rate.bits_per_second(after(8)), 4_000_000);
        assert_eq!(rate.bits_per_second(after(10)), 2_400_000);
        assert_eq!(rate.bits_per_second(after(13)), 0);
        assert_eq!(rate.bits_per_second(after(1000)), 0);
    }

    #[test]
    fn the_first_frame_is_timed_from_the_offer_and_nothing_is_known_before() {
        let start = Instant::now();
        let counters = Counters::new(start, SystemTime::UNIX_EPOCH);
        let before = counters.snapshot(start, String::new(), "wall", "1080p");
        assert_eq!((before.first_frame_ms, before.rtt_ms), (None, None));
        counters.frame_sent(start + Duration::from_millis(180), 1);
        counters.frame_sent(start + Duration::from_millis(220), 1);
        counters.set_rtt(Duration::from_micros(3100));
        let after = counters.snapshot(start, String::new(), "wall", "1080p");
        assert_eq!((after.first_frame_ms, after.rtt_ms, after.frames_sent), (Some(180), Some(3.1), 2));
    }
}
