//! One picture that many peers watch, in one or several renditions: each is packetised once and handed to every thread
//! that has peers of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use crate::gate::{Gate, Room, Verdict};
use crate::packetise::{PacketisedFrame, Rates};
use crate::profile::ProfileLevelId;
use crate::selection::Renditions;

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

/// One encoding of a source's picture.
pub struct Rendition {
    /// What statistics call it, such as `1080p`.
    pub name: String,
    /// What the SPS of the stream says.
    pub profile: ProfileLevelId,
    /// What its encoder aims at, in bits a second.
    pub bitrate_bps: u64,
    /// Called from any thread whenever a viewer of it joins, asks for a key frame, or has caught up after falling
    /// behind. It must not block, and coalescing the calls is the encoder's business.
    pub on_key_frame_needed: Box<dyn Fn() + Send + Sync>,
}

/// What peers subscribe to. Shared; see [`Peers::answer`](crate::Peers::answer).
pub struct Source {
    name: String,
    /// Best first.
    streams: Vec<Stream>,
    next_subscriber: AtomicU64,
}

struct Stream {
    rendition: Rendition,
    subscribers: Mutex<Vec<Subscriber>>,
    meter: Mutex<Meter>,
}

/// What a stream takes: bits a second that weigh the less the longer they are ago, about two seconds of them.
struct Meter {
    all_bps: f64,
    kept_bps: f64,
    last: Option<Instant>,
}

struct Subscriber {
    number: u64,
    frames: Sender<Arc<PacketisedFrame>>,
    gate: Gate,
    dropped: Arc<AtomicU64>,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Source {
    /// `renditions` are the same picture, best first, all on one 90 kHz clock. Viewers begin with the first; their
    /// answer names its profile and level, and they get a smaller one while their path does not carry it.
    ///
    /// # Panics
    /// There is no rendition, or there are more than 32.
    pub fn new(name: &str, renditions: Vec<Rendition>) -> Arc<Self> {
        assert!(!renditions.is_empty(), "a source has one rendition at least");
        assert!(renditions.len() <= Renditions::MOST, "a source has {} renditions at most", Renditions::MOST);
        let stream = |rendition: Rendition| {
            let meter = Mutex::new(Meter::new(rendition.bitrate_bps));
            Stream { rendition, subscribers: Mutex::default(), meter }
        };
        let streams = renditions.into_iter().map(stream).collect();
        Arc::new(Self { name: name.to_owned(), streams, next_subscriber: AtomicU64::new(0) })
    }

    /// Offers an access unit of a rendition to every peer that gets it or waits to be switched to it. Never waits: a
    /// thread whose queue is full misses frames up to the next key frame, and its peers with it.
    pub fn push(&self, rendition: usize, frame: &SourceFrame) {
        let Some(stream) = self.streams.get(rendition).filter(|stream| stream.is_wanted()) else { return };
        let captured_at =
            SystemTime::now().checked_sub(frame.captured.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH);
        let packetised =
            PacketisedFrame::new(&frame.data, frame.key, frame.rtp_time, frame.captured, captured_at);
        let Some(mut packetised) = packetised else { return };
        packetised.rates = stream.meter.lock().add(&packetised);
        let packetised = Arc::new(packetised);
        let mut key_frame_needed = false;
        for subscriber in stream.subscribers.lock().iter_mut() {
            key_frame_needed |= subscriber.offer(&packetised);
        }
        // Outside the lock: the callback is not ours.
        if key_frame_needed {
            self.key_frame_needed(rendition);
        }
    }

    /// At least one connected peer gets this rendition, or waits to be switched to it. Asked every tick: what nobody
    /// watches need not be encoded. A peer still shaking hands does not count; it could not be sent anything, and gets
    /// a key frame when it can.
    pub fn is_wanted(&self, rendition: usize) -> bool {
        self.streams.get(rendition).is_some_and(Stream::is_wanted)
    }

    /// At least one peer is connected.
    pub fn is_watched(&self) -> bool {
        self.streams.iter().any(Stream::is_wanted)
    }

    /// The name given to [`Source::new`].
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn profile(&self) -> ProfileLevelId {
        self.streams[0].rendition.profile
    }

    /// What the renditions' encoders aim at, best first.
    pub(crate) fn bitrates(&self) -> Box<[u64]> {
        self.streams.iter().map(|stream| stream.rendition.bitrate_bps).collect()
    }

    pub(crate) fn rendition_name(&self, rendition: usize) -> &str {
        self.streams.get(rendition).map_or("", |stream| &stream.rendition.name)
    }

    pub(crate) fn key_frame_needed(&self, rendition: usize) {
        if let Some(stream) = self.streams.get(rendition) {
            (stream.rendition.on_key_frame_needed)();
        }
    }

    /// Begins to queue frames of a rendition for a thread, from the next key frame on; `wake` is called after each. Ends
    /// when the subscription is dropped.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        rendition: usize,
        wake: Box<dyn Fn() + Send + Sync>,
    ) -> Subscription {
        let (sender, frames) = bounded(CAPACITY);
        let (number, dropped) = (self.next_subscriber.fetch_add(1, Ordering::Relaxed), Arc::default());
        let gate = Gate::Joining;
        let subscriber = Subscriber { number, frames: sender, gate, dropped: Arc::clone(&dropped), wake };
        self.streams[rendition].subscribers.lock().push(subscriber);
        Subscription { source: Arc::clone(self), rendition, number, frames, dropped }
    }
}

impl Stream {
    fn is_wanted(&self) -> bool {
        !self.subscribers.lock().is_empty()
    }
}

impl Meter {
    const TIME_CONSTANT_S: f64 = 2.0;

    /// Until it has seen something, a stream takes what its encoder aims at.
    fn new(bitrate_bps: u64) -> Self {
        Self { all_bps: bitrate_bps as f64, kept_bps: bitrate_bps as f64, last: None }
    }

    fn add(&mut self, frame: &PacketisedFrame) -> Rates {
        let passed = self.last.map_or(0.04, |last| {
            frame.captured.saturating_duration_since(last).as_secs_f64() / Self::TIME_CONSTANT_S
        });
        self.last = Some(frame.captured);
        let bps = frame.len() as f64 * 8.0 / Self::TIME_CONSTANT_S;
        self.all_bps = self.all_bps * (-passed).exp() + bps;
        self.kept_bps = self.kept_bps * (-passed).exp() + if frame.disposable { 0.0 } else { bps };
        Rates { all_bps: self.all_bps as u64, kept_bps: self.kept_bps as u64 }
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
            Verdict::NotYet | Verdict::LeftOut => {}
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
    rendition: usize,
    number: u64,
    pub(crate) frames: Receiver<Arc<PacketisedFrame>>,
    /// Frames that found no room.
    pub(crate) dropped: Arc<AtomicU64>,
}

impl Subscription {
    pub(crate) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    pub(crate) fn rendition(&self) -> usize {
        self.rendition
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let stream = &self.source.streams[self.rendition];
        stream.subscribers.lock().retain(|subscriber| subscriber.number != self.number);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;

    fn source() -> (Arc<Source>, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let on_needed = Box::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let large = Rendition {
            name: "1080p".to_owned(),
            profile: ProfileLevelId::constrained_baseline(40),
            bitrate_bps: 4_000_000,
            on_key_frame_needed: on_needed,
        };
        let small = Rendition {
            name: "540p".to_owned(),
            profile: ProfileLevelId::constrained_baseline(31),
            bitrate_bps: 1_000_000,
            on_key_frame_needed: Box::new(|| ()),
        };
        (Source::new("wall", vec![large, small]), asked)
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
    fn a_rendition_is_wanted_while_somebody_subscribes_to_it() {
        let (source, _) = source();
        assert!(!source.is_watched());
        let first = source.subscribe(0, Box::new(|| ()));
        let second = source.subscribe(0, Box::new(|| ()));
        let smaller = source.subscribe(1, Box::new(|| ()));
        drop(first);
        assert!(source.is_wanted(0) && source.is_wanted(1));
        drop(second);
        assert!(!source.is_wanted(0) && source.is_wanted(1) && source.is_watched());
        drop(smaller);
        assert!(!source.is_wanted(1) && !source.is_watched());
        assert!(!source.is_wanted(2), "there is no such rendition");
    }

    #[test]
    fn a_thread_gets_the_renditions_that_it_subscribes_to() {
        let (source, _) = source();
        let [large, small] = [0, 1].map(|rendition| source.subscribe(rendition, Box::new(|| ())));
        source.push(1, &frame(true));
        assert!(large.frames.is_empty() && small.frames.len() == 1);
        source.push(2, &frame(true));
        assert!(large.frames.is_empty() && small.frames.len() == 1);
    }

    #[test]
    fn a_stream_is_known_by_what_it_takes_with_and_without_the_frames_that_nobody_needs() {
        let (source, _) = source();
        let reading = source.subscribe(0, Box::new(|| ()));
        let start = Instant::now();
        let mut rates = Rates::default();
        for number in 0..250_u32 {
            // 25 frames a second of 10,000 bytes, and between them as many of 2,500: 2.5 Mb/s, four fifths kept.
            let (header, len) = if number % 2 == 0 { (0x65, 10_000) } else { (0x01, 2_500) };
            let data = [&[0, 0, 0, 1, header][..], &vec![1; len - 1]].concat().into();
            let captured = start + Duration::from_millis(20) * number;
            source.push(0, &SourceFrame { data, key: header == 0x65, rtp_time: 0, captured });
            rates = reading.frames.try_recv().unwrap().rates;
        }
        assert!((2_400_000..2_650_000).contains(&rates.all_bps), "{rates:?}");
        assert!((78..83).contains(&rates.kept_percent()), "{rates:?}");
    }

    #[test]
    fn threads_share_a_frame_and_each_is_woken() {
        let (source, _) = source();
        let woken = Arc::new(AtomicUsize::new(0));
        let [first, second] = [0, 1].map(|_| {
            let count = Arc::clone(&woken);
            source.subscribe(
                0,
                Box::new(move || {
                    count.fetch_add(1, Ordering::Relaxed);
                }),
            )
        });
        source.push(0, &frame(true));
        assert!(Arc::ptr_eq(&first.frames.try_recv().unwrap(), &second.frames.try_recv().unwrap()));
        assert_eq!(woken.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_thread_that_is_stuck_misses_frames_and_another_misses_none() {
        let (source, asked) = source();
        let stuck = source.subscribe(0, Box::new(|| ()));
        let reading = source.subscribe(0, Box::new(|| ()));
        source.push(0, &frame(true));
        reading.frames.try_recv().unwrap();
        for _ in 0..100 {
            source.push(0, &frame(false));
            reading.frames.try_recv().unwrap();
        }
        assert_eq!(stuck.dropped.load(Ordering::Relaxed), 101 - CAPACITY as u64);
        assert_eq!(reading.dropped.load(Ordering::Relaxed), 0);
        assert_eq!(asked.load(Ordering::Relaxed), 0, "while it stays stuck it costs nobody a key frame");
        while stuck.frames.try_recv().is_ok() {}
        source.push(0, &frame(false));
        source.push(0, &frame(false));
        assert_eq!(asked.load(Ordering::Relaxed), 1, "asked once");
        source.push(0, &frame(true));
        assert!(stuck.frames.try_recv().unwrap().key);
    }
}
