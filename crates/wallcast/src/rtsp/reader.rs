//! What stands between a mount and one reader: a bounded queue and the reader's counters.
//!
//! A reader begins at a key frame. When its queue is full everything in it is dropped, and nothing is
//! queued until the next key frame: a slow reader is moved to the present, it is not played the past. It
//! asks for no key frame then, because that would cost the others their bitrate.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::packets::Packets;

/// About one second of a wall.
const LONGEST_QUEUE: usize = 32;
/// Two seconds at 16 Mb/s.
const LARGEST_QUEUE_BYTES: usize = 4 << 20;
/// Over how long `bitrate_bps` is measured.
const BITRATE_WINDOW: Duration = Duration::from_secs(5);

/// How a reader gets its packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReaderTransport {
    /// Interleaved with RTSP on its TCP connection.
    Tcp,
    /// UDP unicast.
    Udp,
}

impl ReaderTransport {
    /// `tcp` or `udp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// One reader of a mount, for `/stats`.
#[derive(Debug, Clone)]
pub struct ReaderStats {
    /// Names the reader in statistics; says nothing of the RTSP session's secret identifier.
    pub id: String,
    /// Where its RTSP connection comes from.
    pub address: SocketAddr,
    /// How it gets its packets.
    pub transport: ReaderTransport,
    /// When it began to play.
    pub since: SystemTime,
    /// Access units handed to the socket.
    pub frames_sent: u64,
    /// Access units dropped because the reader was too slow for them.
    pub frames_dropped: u64,
    /// RTP packets handed to the socket.
    pub packets_sent: u64,
    /// What the reader's RTCP receiver reports say it lost.
    pub packets_lost: u64,
    /// Round-trip time from its last receiver report, if it sends any.
    pub rtt_ms: Option<f64>,
    /// RTP payload sent, over the last five seconds.
    pub bitrate_bps: u64,
    /// From `PLAY` to the first access unit handed to the socket.
    pub first_frame_ms: Option<u64>,
}

/// One reader's queue and counters. The mount offers, the reader's own task takes.
#[derive(Debug)]
pub(super) struct Reader {
    id: String,
    address: SocketAddr,
    transport: ReaderTransport,
    since: SystemTime,
    joined: Instant,
    inner: Mutex<Inner>,
    arrived: Notify,
}

#[derive(Debug)]
struct Inner {
    queue: VecDeque<Arc<Packets>>,
    queued_bytes: usize,
    needs_key: bool,
    /// A reader that has not got anything yet has lost nothing by waiting for a key frame.
    started: bool,
    closed: bool,
    frames_sent: u64,
    frames_dropped: u64,
    packets_sent: u64,
    packets_lost: u64,
    rtt: Option<Duration>,
    first_frame: Option<Duration>,
    recent: VecDeque<(Instant, usize)>,
}

impl Reader {
    pub(super) fn new(id: String, address: SocketAddr, transport: ReaderTransport) -> Self {
        let inner = Inner {
            queue: VecDeque::with_capacity(LONGEST_QUEUE),
            queued_bytes: 0,
            needs_key: true,
            started: false,
            closed: false,
            frames_sent: 0,
            frames_dropped: 0,
            packets_sent: 0,
            packets_lost: 0,
            rtt: None,
            first_frame: None,
            recent: VecDeque::new(),
        };
        Self {
            id,
            address,
            transport,
            since: SystemTime::now(),
            joined: Instant::now(),
            inner: Mutex::new(inner),
            arrived: Notify::new(),
        }
    }

    /// Queues an access unit, or drops it and counts. Never blocks. Returns how many were dropped.
    pub(super) fn offer(&self, packets: &Arc<Packets>) -> u64 {
        let mut inner = self.inner.lock();
        let dropped = inner.offer(packets);
        drop(inner);
        self.arrived.notify_one();
        dropped
    }

    /// The next access unit; `None` once the mount has closed. Cancelling loses nothing.
    pub(super) async fn next(&self) -> Option<Arc<Packets>> {
        loop {
            let arrived = self.arrived.notified();
            {
                let mut inner = self.inner.lock();
                if let Some(packets) = inner.queue.pop_front() {
                    inner.queued_bytes -= packets.bytes;
                    return Some(packets);
                }
                if inner.closed {
                    return None;
                }
            }
            arrived.await;
        }
    }

    /// The RTP time of the access unit that `next` is going to return.
    pub(super) async fn next_rtp_time(&self) -> Option<u32> {
        loop {
            let arrived = self.arrived.notified();
            {
                let inner = self.inner.lock();
                if let Some(packets) = inner.queue.front() {
                    return Some(packets.rtp_time);
                }
                if inner.closed {
                    return None;
                }
            }
            arrived.await;
        }
    }

    /// The mount is gone: `next` returns what is queued and then `None`.
    pub(super) fn close(&self) {
        self.inner.lock().closed = true;
        self.arrived.notify_one();
    }

    /// An access unit was handed to the socket.
    pub(super) fn sent(&self, packets: &Packets, now: Instant) {
        let mut inner = self.inner.lock();
        inner.frames_sent += 1;
        inner.packets_sent += packets.payloads.len() as u64;
        let joined = self.joined;
        inner.first_frame.get_or_insert_with(|| now.saturating_duration_since(joined));
        inner.recent.push_back((now, packets.bytes));
        inner.forget_before(now);
    }

    /// What a receiver report said: packets lost since the beginning, and the round-trip time.
    pub(super) fn reported(&self, packets_lost: u64, rtt: Option<Duration>) {
        let mut inner = self.inner.lock();
        inner.packets_lost = packets_lost;
        inner.rtt = rtt.or(inner.rtt);
    }

    pub(super) fn stats(&self, now: Instant) -> ReaderStats {
        let mut inner = self.inner.lock();
        inner.forget_before(now);
        let bytes: usize = inner.recent.iter().map(|(_, bytes)| bytes).sum();
        let window = now.saturating_duration_since(self.joined).min(BITRATE_WINDOW).as_secs_f64().max(0.1);
        ReaderStats {
            id: self.id.clone(),
            address: self.address,
            transport: self.transport,
            since: self.since,
            frames_sent: inner.frames_sent,
            frames_dropped: inner.frames_dropped,
            packets_sent: inner.packets_sent,
            packets_lost: inner.packets_lost,
            rtt_ms: inner.rtt.map(|rtt| rtt.as_secs_f64() * 1e3),
            bitrate_bps: (bytes as f64 * 8.0 / window) as u64,
            first_frame_ms: inner.first_frame.map(|time| time.as_millis() as u64),
        }
    }
}

impl Inner {
    fn offer(&mut self, packets: &Arc<Packets>) -> u64 {
        let mut dropped = 0;
        let is_full = self.queue.len() >= LONGEST_QUEUE
            || (self.queued_bytes + packets.bytes > LARGEST_QUEUE_BYTES && !self.queue.is_empty());
        if is_full {
            dropped += self.queue.len() as u64;
            self.queue.clear();
            self.queued_bytes = 0;
            self.needs_key = true;
        }
        if self.needs_key && !packets.key {
            dropped += u64::from(self.started);
        } else {
            self.needs_key = false;
            self.started = true;
            self.queued_bytes += packets.bytes;
            self.queue.push_back(Arc::clone(packets));
        }
        self.frames_dropped += dropped;
        dropped
    }

    fn forget_before(&mut self, now: Instant) {
        while self.recent.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > BITRATE_WINDOW) {
            self.recent.pop_front();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn reader() -> Reader {
        Reader::new("rtsp-1".into(), "127.0.0.1:9".parse().unwrap(), ReaderTransport::Tcp)
    }

    fn unit(rtp_time: u32, key: bool) -> Arc<Packets> {
        let payload = bytes::Bytes::from_static(&[0; 100]);
        Arc::new(Packets { payloads: vec![payload], key, rtp_time, pushed: Instant::now(), bytes: 100 })
    }

    #[tokio::test]
    async fn a_reader_begins_at_a_key_frame_and_has_lost_nothing_by_it() {
        let reader = reader();
        reader.offer(&unit(0, false));
        reader.offer(&unit(1, true));
        reader.offer(&unit(2, false));
        assert_eq!(reader.next().await.unwrap().rtp_time, 1);
        assert_eq!(reader.next().await.unwrap().rtp_time, 2);
        assert_eq!(reader.stats(Instant::now()).frames_dropped, 0);
    }

    #[tokio::test]
    async fn a_full_queue_is_dropped_up_to_the_next_key_frame_and_counted() {
        let reader = reader();
        reader.offer(&unit(0, true));
        for time in 1..40 {
            reader.offer(&unit(time, false));
        }
        reader.offer(&unit(40, true));
        reader.offer(&unit(41, false));
        assert_eq!(reader.next().await.unwrap().rtp_time, 40);
        assert_eq!(reader.next().await.unwrap().rtp_time, 41);
        assert_eq!(reader.stats(Instant::now()).frames_dropped, 40);
    }

    #[tokio::test]
    async fn a_closed_reader_gets_what_is_queued_and_then_the_end() {
        let reader = reader();
        reader.offer(&unit(7, true));
        reader.close();
        assert_eq!(reader.next_rtp_time().await, Some(7));
        assert_eq!(reader.next().await.unwrap().rtp_time, 7);
        assert!(reader.next().await.is_none());
    }
}
