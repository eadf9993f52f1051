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
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::sync::Notify;

pub(crate) use self::choice::Stream;
pub(crate) use self::counters::Dropped;
pub(crate) use self::stream::{Output, Record};

use self::cache::{Cache, Replaced};
use self::choice::Choice;
use self::counters::Counters;
use self::faults::Faults;
use self::looks::Looks;
use crate::align::Want;
use crate::align::clock::Basis;
use crate::align::ring::Timing;
use crate::frame::Frame;
use crate::gate::{Counted, Impairment, Impairments};
use crate::pace::SessionFrames;
use crate::queue::Codec;
use crate::shown::TileSize;
use crate::stats::{CameraStats, Percentiles, StreamStats, Window};
use crate::tile::{Facts, Moment, Tile, TileState, TileStatus};

/// What a record is made of.
pub(crate) struct About {
    pub(crate) name: String,
    /// The main stream's, for showing.
    pub(crate) url: String,
    pub(crate) sub_url: Option<String>,
    /// Both streams come from one host: what is wrong with it is wrong with both.
    pub(crate) is_one_host: bool,
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
/// So many access units may go into a decoder, once it has given a picture, without another one coming out: more than a
/// decoder that gets key frames alone keeps back.
const FED_FOR_NOTHING: u32 = 4;

struct Inner {
    facts: Facts,
    cache: Cache,
    looks: Looks,
    choice: Choice,
    faults: Faults,
    /// Of main and sub.
    streams: [StreamState; 2],
    /// Which of them had sessions wanted when last asked.
    plan: [bool; 2],
    /// The largest tile on any wall, looked at or not.
    placed: Option<TileSize>,
    /// Of main and sub.
    no_login_before: [Option<Instant>; 2],
    /// Decode times in milliseconds, one sample an access unit that gave pictures.
    decode_ms: Window,
    /// One sample a picture of the stream that is shown.
    pictures: Window,
    /// Bytes of the stream that is shown, one sample an access unit.
    received: Window,
}

#[derive(Default)]
struct StreamState {
    codec: Option<Codec>,
    resolution: Option<(u32, u32)>,
    hardware: Option<&'static str>,
    /// What its pictures' times are taken from.
    clock: Option<Basis>,
    session: Option<SessionState>,
    /// Why it failed, until it has pictures again.
    problem: Option<Arc<str>>,
}

/// The session that runs.
#[derive(Default)]
struct SessionState {
    number: u64,
    frames: Option<SessionFrames>,
    /// The last access unit given to the decoder was refused, without a picture.
    is_refused: bool,
    /// Access units given to the decoder since its last picture.
    fed_for_nothing: u32,
    /// Access units that were passed over wait for the decoder.
    is_behind: bool,
    /// Since when each access unit is the one before once more, and looks like a frozen camera.
    is_frozen: bool,
}

impl SessionState {
    /// What it decoded last was well, so what it has passed over since then can be believed in.
    fn is_sound(&self) -> bool {
        self.frames.is_some() && !self.is_refused && self.fed_for_nothing <= FED_FOR_NOTHING
    }

    fn fresh(&mut self, at: Instant) {
        match &mut self.frames {
            Some(frames) => frames.add(at),
            none => *none = Some(SessionFrames::begin(at)),
        }
    }
}

impl CameraRecord {
    pub(crate) fn new(about: About, started: Moment) -> Arc<Self> {
        let has_sub = about.sub_url.is_some();
        let mut facts = Facts::new(started, about.first_frame_budget);
        if about.on_demand {
            facts.rested(started);
        }
        let inner = Inner {
            facts,
            cache: Cache::default(),
            looks: Looks::default(),
            choice: Choice::new(started.mono, has_sub),
            faults: Faults::default(),
            streams: Default::default(),
            plan: [false; 2],
            placed: None,
            no_login_before: [None; 2],
            decode_ms: Window::default(),
            pictures: Window::default(),
            received: Window::default(),
        };
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

    pub(crate) fn stats(&self, now: Instant, black_after: Duration) -> CameraStats {
        let inner = self.inner.lock();
        let TileStatus { state, reason, since, age } = inner.facts.status(now, black_after);
        let shown = inner.choice.shown();
        let (fps, bytes_per_second) = (inner.pictures.rate(now), inner.received.sum_rate(now));
        let decode_ms: Vec<f64> = inner.decode_ms.recent(now).collect();
        let streams = self.streams(&inner);
        let StreamState { codec, resolution, hardware, clock, .. } =
            inner.streams[shown.unwrap_or(Stream::Main) as usize];
        drop(inner);
        let dropped = self.counters.dropped();
        CameraStats {
            state,
            reason: reason.map(|reason| reason.to_string()),
            since,
            url: self.about.url.clone(),
            codec: codec.map(Codec::as_str),
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
                    state: match &state.session {
                        None => "resting",
                        Some(session) if session.frames.is_none() => "connecting",
                        Some(_) => "playing",
                    },
                    reason: state.problem.as_deref().map(str::to_owned),
                    codec: state.codec.map(Codec::as_str),
                    resolution: state.resolution,
                })
            })
            .collect()
    }

    // What each stream's end tells and asks.

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

    fn demand(&self, now: Instant, stream: Stream) -> Demand {
        let inner = self.inner.lock();
        let is_needed = inner.choice.wanted() == stream || inner.choice.shown() == Some(stream);
        match inner.looks.largest(now) {
            Some(size) if is_needed || inner.plan[stream as usize] => Demand::Pictures(size),
            None if self.walls.load(Relaxed) > 0 => Demand::KeyFrames,
            _ => Demand::Nothing,
        }
    }

    fn next_sequence(&self) -> u64 {
        self.sequence.load(Relaxed)
    }

    fn used_sequences_below(&self, next: u64) {
        self.sequence.fetch_max(next, Relaxed);
    }

    fn session_began(&self, stream: Stream, number: u64, is_retry: bool) {
        let session = SessionState { number, ..SessionState::default() };
        self.inner.lock().streams[stream as usize].session = Some(session);
        if is_retry {
            self.counters.reconnects.add(1);
        }
    }

    fn session_ended(&self, stream: Stream) {
        let state = &mut self.inner.lock().streams[stream as usize];
        (state.session, state.problem) = (None, None);
    }

    fn progressed(&self, stream: Stream, words: &str) {
        let mut inner = self.inner.lock();
        if inner.choice.wanted() == stream {
            inner.facts.progressed(words);
        }
    }

    fn found_video(&self, stream: Stream, codec: Codec) {
        self.inner.lock().streams[stream as usize].codec = Some(codec);
    }

    fn clock_is(&self, stream: Stream, clock: Basis) {
        self.inner.lock().streams[stream as usize].clock = Some(clock);
    }

    fn failed(&self, stream: Stream, at: Moment, words: &str, elsewhere: bool) {
        let mut inner = self.inner.lock();
        let problem = &mut inner.streams[stream as usize].problem;
        let is_known = problem.as_deref() == Some(words);
        if !is_known {
            *problem = Some(words.into());
        }
        inner.choice.failed(at.mono, stream, elsewhere || !self.about.is_one_host);
        // While the other stream is on the tile, the failure is that of a stream and not of the camera.
        let concerns_tile = inner.choice.shown().is_none_or(|shown| shown == stream);
        let is_news = match concerns_tile {
            true => inner.facts.failed(at, words),
            false => !is_known,
        };
        self.replan_and_tell(inner, at.mono);
        if is_news {
            tracing::warn!(camera = %self.name(), stream = stream.as_str(), "{words}");
        }
    }

    fn login_refused(&self, stream: Stream, until: Instant) {
        let mut inner = self.inner.lock();
        match self.about.is_one_host {
            true => inner.no_login_before = [Some(until); 2],
            false => inner.no_login_before[stream as usize] = Some(until),
        }
    }

    fn no_login_before(&self, stream: Stream) -> Option<Instant> {
        self.inner.lock().no_login_before[stream as usize]
    }

    fn received(&self, stream: Stream, now: Instant, bytes: usize) {
        let mut inner = self.inner.lock();
        if inner.choice.shown().is_none_or(|shown| shown == stream) {
            inner.received.add(now, bytes as f64);
        }
    }

    fn session_frames(&self, stream: Stream) -> Option<SessionFrames> {
        self.inner.lock().streams[stream as usize].session.as_ref()?.frames
    }

    fn decoded(&self, stream: Stream, session: u64, at: Moment, output: Output) {
        let Output { frames, errors, took, was_passed_over, hardware } = output;
        self.counters.decode_errors.add(errors.into());
        let mut inner = self.inner.lock();
        if let Some(state) = inner.session(stream, session) {
            state.is_refused = errors > 0 && frames == 0;
            state.fed_for_nothing = if frames > 0 { 0 } else { state.fed_for_nothing.saturating_add(1) };
        }
        inner.streams[stream as usize].hardware = hardware;
        if frames > 0 {
            inner.decode_ms.add(at.mono, took.as_secs_f64() * 1_000.0);
        }
        if inner.choice.shown().is_none_or(|shown| shown == stream) && !was_passed_over {
            (0..frames).for_each(|_| inner.pictures.add(at.mono, 1.0));
        }
        drop(inner);
        self.counters.frames_decoded.add(frames.into());
    }

    fn refused(&self, stream: Stream, session: u64, why: Dropped, words: &str) {
        self.counters.add_dropped(why);
        let mut inner = self.inner.lock();
        let Some(state) = inner.session(stream, session) else { return };
        if state.frames.is_none() {
            state.is_refused = true;
            inner.facts.progressed(words);
        }
    }

    fn published(&self, stream: Stream, session: u64, at: Moment, frame: Arc<Frame>, is_behind: bool) {
        let (width, height) = (frame.width(), frame.height());
        let mut inner = self.inner.lock();
        if let Some(state) = inner.session(stream, session) {
            state.is_behind = is_behind;
            state.is_frozen = false;
            state.fresh(at.mono);
        }
        let is_first = inner.choice.shown().is_none();
        let Published { recovered, came_back, replaced } = inner.publish(stream, at, frame);
        self.replan_and_tell(inner, at.mono);
        drop(replaced);
        let (camera, stream) = (self.name(), stream.as_str());
        match recovered.or(came_back) {
            Some(reason) => {
                tracing::info!(camera, stream, width, height, "picture is back after: {reason}");
            }
            None if is_first => tracing::info!(camera, stream, width, height, "first picture"),
            None => {}
        }
    }

    fn overtaken(&self, stream: Stream, now: Instant, frame: &Arc<Frame>) {
        let mut inner = self.inner.lock();
        let is_shown = inner.choice.shown() == Some(stream);
        let replaced = is_shown.then(|| inner.cache.overtaken(now, frame));
        drop(inner);
        drop(replaced);
    }

    fn passed_over(&self, stream: Stream, session: u64, at: Moment) {
        self.counters.frames_passed_over.add(1);
        let mut inner = self.inner.lock();
        let Some(state) = inner.session(stream, session) else { return };
        state.is_behind = true;
        state.is_frozen = false;
        if !state.is_sound() {
            return;
        }
        state.fresh(at.mono);
        inner.seen_without_decoding(stream, at);
    }

    fn skipped(&self, stream: Stream, session: u64, at: Moment) {
        self.counters.frames_passed_over.add(1);
        let mut inner = self.inner.lock();
        let Some(state) = inner.session(stream, session) else { return };
        state.fed_for_nothing = 0;
        if state.is_sound() {
            state.fresh(at.mono);
            inner.seen_without_decoding(stream, at);
        }
    }

    fn repeated(&self, stream: Stream, session: u64, at: Moment, is_static: bool) {
        self.counters.frames_duplicate.add(1);
        let mut inner = self.inner.lock();
        let Some(state) = inner.session(stream, session) else { return };
        state.is_frozen = !is_static;
        if is_static && state.is_sound() {
            state.fresh(at.mono);
            inner.seen_without_decoding(stream, at);
        }
    }

    fn is_frozen(&self, stream: Stream) -> bool {
        self.inner.lock().streams[stream as usize].session.as_ref().is_some_and(|state| state.is_frozen)
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

struct Published {
    /// How the camera had failed before, if it had.
    recovered: Option<Arc<str>>,
    /// The same of its stream.
    came_back: Option<Arc<str>>,
    /// To be freed outside of the lock.
    replaced: Replaced,
}

impl Inner {
    /// The session of this number, if it still is the one that runs.
    fn session(&mut self, stream: Stream, number: u64) -> Option<&mut SessionState> {
        self.streams[stream as usize].session.as_mut().filter(|session| session.number == number)
    }

    fn look(
        &mut self,
        now: Instant,
        black_after: Duration,
        look: impl FnOnce(&mut Cache) -> Option<Arc<Frame>>,
    ) -> Tile {
        let mut status = self.facts.status(now, black_after);
        let is_behind = |inner: &Self| {
            let session = inner.streams[inner.choice.shown()? as usize].session.as_ref()?;
            if session.is_behind { inner.cache.captured_at() } else { None }
        };
        if let Some(taken) = is_behind(self)
            && let Some(behind) = self.facts.catching_up(now, black_after, taken)
        {
            status = behind;
        }
        let frame = match status.state {
            TileState::Live | TileState::Holding => look(&mut self.cache),
            TileState::Connecting | TileState::Offline => None,
        };
        Tile { status, frame }
    }

    fn publish(&mut self, stream: Stream, at: Moment, frame: Arc<Frame>) -> Published {
        let size = (frame.width(), frame.height());
        let state = &mut self.streams[stream as usize];
        state.resolution = Some(size);
        let came_back = state.problem.take();
        let is_newer = self.cache.is_newer(&frame);
        if self.facts.is_resting()
            || !self.cache.takes(&frame)
            || !self.choice.publishes(at.mono, stream, size, is_newer)
        {
            return Published { recovered: None, came_back, replaced: Replaced::default() };
        }
        let replaced = self.cache.publish(at.mono, frame);
        if replaced.is_missed {
            self.looks.missed_one();
        }
        Published { recovered: self.facts.fresh(at), came_back, replaced }
    }

    /// Something came that is as good as a decoded picture.
    fn seen_without_decoding(&mut self, stream: Stream, at: Moment) {
        if self.choice.shown() == Some(stream) {
            self.pictures.add(at.mono, 1.0);
            self.facts.fresh(at);
        }
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
            is_one_host: true,
            on_demand,
            first_frame_budget: Duration::from_secs(20),
        };
        Self::new(about, started)
    }
}

#[cfg(test)]
mod tests;
