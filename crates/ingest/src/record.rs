//! What is known of one camera, shared by its session, its decode thread and everybody who looks: the last-frame
//! cache (capacity 1, the newest wins), the facts of the tile's life, and the figures.
//!
//! One lock, held for a few assignments only, never across an await, a decode or the freeing of a picture.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::frame::Frame;
use crate::gate::{Counted, Impairment, Impairments};
use crate::pace::SessionFrames;
use crate::queue::Codec;
use crate::stats::{CameraStats, Percentiles, Window};
use crate::tile::{Facts, Moment, Tile, TileState, TileStatus};

pub(crate) struct Record {
    name: String,
    url: String,
    inner: Mutex<Inner>,
    counters: Counters,
    impairments: Counted,
    /// The decode thread cannot go on with the present session: a panic, or no decoder to be had.
    pub(crate) decoder_failed: Notify,
}

struct Inner {
    facts: Facts,
    latest: Option<Latest>,
    looks: Looks,
    session: Session,
    codec: Option<Codec>,
    resolution: Option<(u32, u32)>,
    /// Decode times in milliseconds, one sample a frame.
    decode_ms: Window,
    /// Bytes, one sample an access unit.
    received: Window,
}

/// The last-frame cache.
struct Latest {
    frame: Arc<Frame>,
    seen: bool,
}

/// Walls look at every tick while somebody watches them, and not at all otherwise. Frames that nobody could have
/// wanted are not missed: they are counted only between two looks of one watched stretch.
#[derive(Default)]
struct Looks {
    last: Option<Instant>,
    /// Since the last look.
    overwritten: u64,
}

/// Two looks no further apart belong to one stretch of watching; a wall ticks at least once a second.
const STILL_WATCHED: Duration = Duration::from_millis(1_500);

impl Looks {
    /// Somebody looks. Returns how many frames this one missed since it looked last.
    fn look(&mut self, now: Instant) -> u64 {
        let last = self.last.replace(now);
        let overwritten = std::mem::take(&mut self.overwritten);
        let is_watched = last.is_some_and(|last| now.saturating_duration_since(last) <= STILL_WATCHED);
        if is_watched { overwritten } else { 0 }
    }
}

/// The decoded frames of the session that runs.
#[derive(Default)]
struct Session {
    number: u64,
    frames: Option<SessionFrames>,
}

#[derive(Default)]
struct Counters {
    frames_decoded: AtomicU64,
    frames_overwritten: AtomicU64,
    decode_errors: AtomicU64,
    reconnects: AtomicU64,
    access_units_dropped: AtomicU64,
    panics: AtomicU64,
}

impl Record {
    pub(crate) fn new(name: String, url: String, started: Moment, first_frame_budget: Duration) -> Arc<Self> {
        let inner = Inner {
            facts: Facts::new(started, first_frame_budget),
            latest: None,
            looks: Looks::default(),
            session: Session::default(),
            codec: None,
            resolution: None,
            decode_ms: Window::default(),
            received: Window::default(),
        };
        let counters = Counters::default();
        let (inner, impairments) = (Mutex::new(inner), Counted::default());
        Arc::new(Self { name, url, inner, counters, impairments, decoder_failed: Notify::new() })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    // What the session tells.

    pub(crate) fn session_began(&self, number: u64) {
        self.inner.lock().session = Session { number, frames: None };
        if number > 1 {
            self.counters.reconnects.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn progressed(&self, words: &str) {
        self.inner.lock().facts.progressed(words);
    }

    pub(crate) fn found_video(&self, codec: Codec) {
        self.inner.lock().codec = Some(codec);
    }

    /// Remembers the reason, and logs it if it is news.
    pub(crate) fn failed(&self, at: Moment, words: &str) {
        if self.inner.lock().facts.failed(at, words) {
            tracing::warn!(camera = %self.name, "{words}");
        }
    }

    pub(crate) fn received(&self, now: Instant, bytes: usize) {
        self.inner.lock().received.add(now, bytes as f64);
    }

    /// What the running session has decoded so far.
    pub(crate) fn session_frames(&self) -> Option<SessionFrames> {
        self.inner.lock().session.frames
    }

    // What the decode thread tells.

    pub(crate) fn decoded(&self, session: u64, at: Moment, frame: Arc<Frame>, took: Duration) {
        let (width, height, latest) = (frame.width(), frame.height(), Latest { frame, seen: false });
        // The replaced frame may be the last reference to its picture: freed after the lock.
        let (_replaced, recovered) = {
            let mut inner = self.inner.lock();
            inner.decode_ms.add(at.mono, took.as_secs_f64() * 1_000.0);
            inner.resolution = Some((width, height));
            if inner.session.number == session {
                match &mut inner.session.frames {
                    Some(frames) => frames.add(at.mono),
                    none => *none = Some(SessionFrames::begin(at.mono)),
                }
            }
            let replaced = inner.latest.replace(latest);
            if replaced.as_ref().is_some_and(|old| !old.seen) {
                inner.looks.overwritten += 1;
            }
            (replaced, inner.facts.frame_decoded(at))
        };
        let first = self.counters.frames_decoded.fetch_add(1, Relaxed) == 0;
        match recovered {
            Some(reason) => {
                tracing::info!(camera = %self.name, width, height, "picture is back after: {reason}")
            }
            None if first => tracing::info!(camera = %self.name, width, height, "first picture"),
            None => {}
        }
    }

    pub(crate) fn count_decode_error(&self) {
        self.counters.decode_errors.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_dropped(&self) {
        self.counters.access_units_dropped.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_panic(&self) {
        self.counters.panics.fetch_add(1, Relaxed);
    }

    pub(crate) fn count(&self, what: Impairment, times: u64) {
        self.impairments.add(what, times);
    }

    // What everybody may ask.

    /// What its connections suffered from since the camera was started.
    pub(crate) fn impairments(&self) -> Impairments {
        self.impairments.read()
    }

    /// For walls: a frame handed out counts as seen.
    pub(crate) fn tile(&self, now: Instant, black_after: Duration) -> Tile {
        let mut inner = self.inner.lock();
        let status = inner.facts.status(now, black_after);
        let overwritten = inner.looks.look(now);
        let frame = match status.state {
            TileState::Live | TileState::Holding => inner.latest.as_mut().map(|latest| {
                latest.seen = true;
                latest.frame.clone()
            }),
            TileState::Connecting | TileState::Offline => None,
        };
        drop(inner);
        self.counters.frames_overwritten.fetch_add(overwritten, Relaxed);
        Tile { status, frame }
    }

    /// For everybody else: changes nothing.
    pub(crate) fn status(&self, now: Instant, black_after: Duration) -> TileStatus {
        self.inner.lock().facts.status(now, black_after)
    }

    pub(crate) fn stats(&self, now: Instant, black_after: Duration) -> CameraStats {
        let inner = self.inner.lock();
        let TileStatus { state, reason, since, age } = inner.facts.status(now, black_after);
        let (codec, resolution) = (inner.codec.map(Codec::as_str), inner.resolution);
        let (fps, bytes_per_second) = (inner.decode_ms.rate(now), inner.received.sum_rate(now));
        let decode_ms: Vec<f64> = inner.decode_ms.recent(now).collect();
        drop(inner);
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        CameraStats {
            state,
            reason: reason.map(|reason| reason.to_string()),
            since,
            url: self.url.clone(),
            codec,
            resolution,
            fps,
            bitrate_bps: (bytes_per_second * 8.0) as u64,
            frame_age: age,
            frames_decoded: count(&self.counters.frames_decoded),
            frames_overwritten: count(&self.counters.frames_overwritten),
            decode_errors: count(&self.counters.decode_errors),
            reconnects: count(&self.counters.reconnects),
            access_units_dropped: count(&self.counters.access_units_dropped),
            panics: count(&self.counters.panics),
            decode_ms: Percentiles::of(decode_ms),
        }
    }
}

#[cfg(test)]
impl Record {
    pub(crate) fn for_tests() -> Arc<Self> {
        Self::new("test".into(), "rtsp://test/".into(), Moment::now(), Duration::from_secs(20))
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.counters.access_units_dropped.load(Relaxed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::decode::{Decoder, Hardware};

    const BLACK_AFTER: Duration = Duration::from_secs(10);

    /// A camera of 25 frames a second in virtual time, which stands still between calls.
    struct Playing {
        record: Arc<Record>,
        frame: Arc<Frame>,
        now: Instant,
    }

    impl Playing {
        fn new() -> Self {
            let stream = include_bytes!("../tests/fixtures/small.h264");
            let mut decoder = Decoder::open(Codec::H264, Hardware::None).unwrap();
            let frames = decoder.decode(stream, Instant::now(), &mut 0).frames;
            Self { record: Record::for_tests(), frame: frames[0].clone(), now: Instant::now() }
        }

        /// Decodes so many frames, and looks at every `looks_every`th.
        fn play(&mut self, frames: usize, looks_every: usize) {
            for number in 1..=frames {
                self.now += Duration::from_millis(40);
                let at = Moment { mono: self.now, wall: std::time::SystemTime::UNIX_EPOCH };
                self.record.decoded(1, at, self.frame.clone(), Duration::ZERO);
                if number.is_multiple_of(looks_every) {
                    assert!(self.record.tile(self.now, BLACK_AFTER).frame.is_some());
                }
            }
        }

        fn overwritten(&self) -> u64 {
            self.record.stats(self.now, BLACK_AFTER).frames_overwritten
        }
    }

    const NEVER: usize = usize::MAX;

    #[test]
    fn frames_are_overwritten_when_a_wall_looks_less_often_than_they_come() {
        let mut camera = Playing::new();
        camera.play(100, 1);
        assert_eq!(camera.overwritten(), 0);
        camera.play(100, 4);
        assert_eq!(camera.overwritten(), 75);
    }

    #[test]
    fn frames_that_nobody_watches_are_not_counted_as_overwritten() {
        let mut camera = Playing::new();
        camera.play(1_000, NEVER);
        camera.play(100, 1);
        camera.play(1_000, NEVER);
        camera.play(100, 1);
        assert_eq!(camera.overwritten(), 0);
    }

    #[test]
    fn asking_for_figures_is_not_looking() {
        let mut camera = Playing::new();
        camera.play(4, 4);
        for _ in 0..25 {
            for _ in 0..3 {
                camera.play(1, NEVER);
                assert_eq!(camera.record.status(camera.now, BLACK_AFTER).state, TileState::Live);
                camera.record.stats(camera.now, BLACK_AFTER);
            }
            camera.play(1, 1);
        }
        assert_eq!(camera.overwritten(), 75);
    }

    #[test]
    fn a_reason_is_shared_with_every_tick_not_copied() {
        let camera = Playing::new();
        camera.record.failed(Moment::now(), "connection refused");
        let reason = || camera.record.tile(camera.now, BLACK_AFTER).status.reason.unwrap();
        let (first, second) = (reason(), reason());
        assert_eq!(first.shared().unwrap().as_ptr(), second.shared().unwrap().as_ptr());
    }
}
