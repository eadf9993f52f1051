//! What is known of one camera, shared by the sessions and decode threads of its streams and everybody who looks: the
//! last-frame cache, the facts of the tile's life, who looks, which stream is for them, and the figures.
//!
//! One lock, held for a few assignments only, never across an await, a decode or the freeing of a picture. What needs
//! thinking about is in pure parts underneath, each in virtual time.

mod cache;
mod choice;
mod counters;
mod faults;
mod looks;
mod state;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::sync::Notify;

pub(crate) use self::choice::Stream;
pub(crate) use self::counters::Dropped;
pub(crate) use self::stream::{Output, Record};

use self::cache::Cache;
use self::counters::Counters;
use self::state::{Inner, StreamState};
use crate::align::Want;
use crate::align::clock::Basis;
use crate::align::ring::Timing;
use crate::camera::Transport;
use crate::frame::Frame;
use crate::gate::{Counted, Impairment, Impairments};
use crate::queue::Codec;
use crate::shown::TileSize;
use crate::stats::{CameraStats, Percentiles, StreamStats};
use crate::tile::{Facts, Moment, Tile, TileStatus};

/// What a camera's two streams have in common: what is wrong with that is wrong with both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InCommon {
    /// Scheme, host and port.
    pub(crate) place: bool,
    /// Host, user and password.
    pub(crate) account: bool,
}

/// What a failure of one stream is about, and so whether the other may fare better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blame {
    Stream,
    /// What is connected to.
    Place,
    /// The login.
    Account,
}

/// What a record is made of.
pub(crate) struct About {
    pub(crate) name: String,
    /// The main stream's, for showing.
    pub(crate) url: String,
    pub(crate) sub_url: Option<String>,
    /// What the streams have in common.
    pub(crate) in_common: InCommon,
    /// Disconnected while nobody looks.
    pub(crate) on_demand: bool,
    pub(crate) first_frame_budget: Duration,
}

pub(crate) struct CameraRecord {
    about: About,
    inner: Mutex<Inner>,
    counters: Counters,
    /// The number of the next frame.
    sequence: AtomicU64,
    /// Walls that have a tile of this camera.
    walls: AtomicUsize,
    /// Which streams are wanted has changed.
    changed: Notify,
    impairments: Counted,
}

/// What is to be decoded of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Everything: somebody looks, at a tile of this size.
    Pictures(TileSize),
    /// Key frames: it may be looked at at any moment.
    KeyFrames,
    /// Nothing: it is on no wall.
    Nothing,
}

/// An announced look has this long to come true: a viewer's handshake.
const ANNOUNCED_FOR: Duration = Duration::from_secs(5);
/// A camera `on_demand` stays connected this long after the last look.
const LINGER: Duration = Duration::from_secs(10);
impl CameraRecord {
    pub(crate) fn new(about: About, started: Moment) -> Arc<Self> {
        let has_sub = about.sub_url.is_some();
        let mut facts = Facts::new(started, about.first_frame_budget);
        if about.on_demand {
            facts.rested(started);
        }
        let inner = Inner::new(started, has_sub, facts);
        Arc::new(Self {
            about,
            inner: Mutex::new(inner),
            counters: Counters::default(),
            impairments: Counted::default(),
            sequence: AtomicU64::new(0),
            walls: AtomicUsize::new(0),
            changed: Notify::new(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.about.name
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
    pub(crate) fn tile(&self, now: Instant, black_after: Duration, shown: TileSize) -> Tile {
        self.tile_by(now, black_after, shown, Cache::look).0
    }

    /// The same in step with other cameras.
    pub(crate) fn tile_in_step(
        &self,
        now: Instant,
        black_after: Duration,
        shown: TileSize,
        want: Want,
    ) -> (Tile, Option<Timing>) {
        self.tile_by(now, black_after, shown, |cache| cache.look_back(now, want))
    }

    fn tile_by(
        &self,
        now: Instant,
        black_after: Duration,
        shown: TileSize,
        look: impl FnOnce(&mut Cache) -> Option<Arc<Frame>>,
    ) -> (Tile, Option<Timing>) {
        let mut inner = self.inner.lock();
        let overwritten = inner.looks.look(now, shown);
        let changed = self.replan(&mut inner, now);
        let tile = inner.look(now, black_after, look);
        let timing = inner.cache.timing(now);
        drop(inner);
        if changed {
            self.changed.notify_waiters();
        }
        if overwritten > 0 {
            self.counters.frames_overwritten.add(overwritten);
        }
        (tile, timing)
    }

    /// Somebody is about to look.
    pub(crate) fn wake(&self, now: Instant, shown: TileSize) {
        let mut inner = self.inner.lock();
        inner.looks.announce(now, now + ANNOUNCED_FOR, shown);
        self.replan_and_tell(inner, now);
    }

    /// A wall has a tile of this camera, until [`CameraRecord::removed_from_wall`].
    pub(crate) fn put_on_wall(&self, now: Instant, size: TileSize) {
        self.walls.fetch_add(1, Relaxed);
        let mut inner = self.inner.lock();
        inner.placed = inner.placed.into_iter().chain([size]).max_by_key(|size| size.area());
        self.replan_and_tell(inner, now);
    }

    pub(crate) fn removed_from_wall(&self) {
        self.walls.fetch_sub(1, Relaxed);
    }

    /// For everybody else: changes nothing.
    pub(crate) fn status(&self, now: Instant, black_after: Duration) -> TileStatus {
        self.inner.lock().facts.status(now, black_after)
    }

    /// Width, height and width to height of a sample of the newest picture. Changes nothing.
    pub(crate) fn picture_shape(&self) -> Option<(u32, u32, (u32, u32))> {
        let inner = self.inner.lock();
        inner.cache.peek().map(|frame| (frame.width(), frame.height(), frame.sample_aspect_ratio()))
    }

    pub(crate) fn stats(&self, now: Instant, black_after: Duration) -> CameraStats {
        let inner = self.inner.lock();
        let TileStatus { state, reason, since, age } = inner.facts.status(now, black_after);
        let shown = inner.choice.shown();
        let (fps, bytes_per_second) = (inner.pictures.rate(now), inner.received.sum_rate(now));
        let decode_ms: Vec<f64> = inner.decode_ms.recent(now).collect();
        let streams = self.streams(&inner);
        let StreamState { codec, transport, resolution, hardware, clock, .. } =
            inner.streams[shown.unwrap_or(Stream::Main) as usize];
        drop(inner);
        let dropped = self.counters.dropped();
        CameraStats {
            state,
            reason: reason.map(|reason| reason.to_string()),
            since,
            url: self.about.url.clone(),
            codec: codec.map(Codec::as_str),
            transport: transport.map(Transport::as_str),
            resolution,
            hwaccel: hardware,
            clock: clock.map(Basis::as_str),
            stream: shown.map(Stream::as_str),
            streams,
            fps,
            bitrate_bps: (bytes_per_second * 8.0) as u64,
            frame_age: age,
            frames_decoded: self.counters.frames_decoded.get(),
            frames_passed_over: self.counters.frames_passed_over.get(),
            frames_duplicate: self.counters.frames_duplicate.get(),
            frames_overwritten: self.counters.frames_overwritten.get(),
            decode_errors: self.counters.decode_errors.get(),
            reconnects: self.counters.reconnects.get(),
            access_units_dropped: dropped.iter().map(|(_, count)| count).sum(),
            dropped,
            impairments: self.impairments(),
            panics: self.counters.panics.get(),
            decode_ms: Percentiles::of(decode_ms),
        }
    }

    fn streams(&self, inner: &Inner) -> Vec<StreamStats> {
        let urls = [Some(&self.about.url), self.about.sub_url.as_ref()];
        let with_url = Stream::ALL.into_iter().zip(&inner.streams).zip(urls);
        with_url
            .filter_map(|((stream, state), url)| {
                Some(StreamStats {
                    name: stream.as_str(),
                    url: url?.clone(),
                    state: state.as_str(),
                    reason: state.problem.as_deref().map(str::to_owned),
                    codec: state.codec.map(Codec::as_str),
                    resolution: state.resolution,
                })
            })
            .collect()
    }

    // What the streams' ends ask and tell, see [`stream`].

    fn is_wanted(&self, now: Instant, stream: Stream) -> bool {
        let mut inner = self.inner.lock();
        let changed = self.replan(&mut inner, now);
        let wanted = inner.plan[stream as usize];
        drop(inner);
        if changed {
            self.changed.notify_waiters();
        }
        wanted
    }

    fn count_panic(&self, at: Moment) {
        self.counters.panics.add(1);
        let mut inner = self.inner.lock();
        let Some(left_alone) = inner.faults.add(at.mono) else { return };
        let minutes = left_alone.as_secs() / 60;
        let words = format!("internal errors again and again, see the log; left alone for {minutes} minutes");
        inner.facts.failed(at, &words);
        self.replan_and_tell(inner, at.mono);
        tracing::error!(camera = %self.name(), "{words}");
    }

    fn replan_and_tell(&self, mut inner: parking_lot::MutexGuard<'_, Inner>, now: Instant) {
        let changed = self.replan(&mut inner, now);
        drop(inner);
        if changed {
            self.changed.notify_waiters();
        }
    }

    /// Decides anew which streams are wanted. Returns whether that has changed.
    fn replan(&self, inner: &mut Inner, now: Instant) -> bool {
        if let Some(size) =
            inner.looks.largest(now).or(inner.placed.filter(|_| inner.choice.shown().is_none()))
        {
            inner.choice.ask(now, size);
        }
        let is_left_alone = inner.faults.is_left_alone(now);
        let is_resting = self.about.on_demand && !inner.looks.were_within(now, LINGER);
        let plan = match is_left_alone || is_resting {
            true => [false; 2],
            false => Stream::ALL.map(|stream| inner.choice.runs(now, stream)),
        };
        if self.about.on_demand && is_resting != inner.facts.is_resting() {
            let at = Moment { mono: now, wall: SystemTime::now() };
            if is_resting {
                inner.facts.rested(at);
                inner.choice.rest();
                // A few pictures, once: not worth a way out of the lock.
                drop(inner.cache.clear());
            } else {
                inner.facts.resumed(at);
            }
        }
        std::mem::replace(&mut inner.plan, plan) != plan
    }
}

#[cfg(test)]
impl CameraRecord {
    pub(crate) fn for_tests() -> Arc<Self> {
        Self::with(None, false, Moment::now())
    }

    pub(crate) fn with(sub_url: Option<&str>, on_demand: bool, started: Moment) -> Arc<Self> {
        let about = About {
            name: "test".into(),
            url: "rtsp://test/".into(),
            sub_url: sub_url.map(str::to_owned),
            in_common: InCommon { place: true, account: true },
            on_demand,
            first_frame_budget: Duration::from_secs(20),
        };
        Self::new(about, started)
    }
}

#[cfg(test)]
mod tests;
