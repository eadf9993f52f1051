//! One stream's end of a camera's record: what its session and its decode thread tell and ask.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::choice::Stream;
use super::state::{Inner, Published, SessionState};
use super::{Blame, CameraRecord, Demand, Dropped};
use crate::align::clock::Basis;
use crate::camera::Transport;
use crate::frame::Frame;
use crate::gate::Impairment;
use crate::pace::SessionFrames;
use crate::queue::Codec;
use crate::tile::Moment;

/// What changes by the mere passing of time is noticed this late.
const ASK_AGAIN: Duration = Duration::from_millis(500);

pub(crate) struct Record {
    camera: Arc<CameraRecord>,
    stream: Stream,
    /// The decode thread cannot go on with the present session: a panic, or no decoder to be had.
    pub(crate) decoder_failed: Notify,
}

/// What one access unit led to.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) frames: u32,
    pub(crate) errors: u32,
    pub(crate) took: Duration,
    /// It was reported as passed over when it came.
    pub(crate) was_passed_over: bool,
    /// What decodes, if it is not software.
    pub(crate) hardware: Option<&'static str>,
}

impl Record {
    pub(crate) fn new(camera: Arc<CameraRecord>, stream: Stream) -> Arc<Self> {
        Arc::new(Self { camera, stream, decoder_failed: Notify::new() })
    }

    pub(crate) fn name(&self) -> &str {
        self.camera.name()
    }

    pub(crate) fn stream(&self) -> Stream {
        self.stream
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.camera.inner.lock()
    }

    // What its session tells and asks.

    /// Whether a session of this stream is wanted now.
    pub(crate) fn is_wanted(&self, now: Instant) -> bool {
        self.camera.is_wanted(now, self.stream)
    }

    /// Waits until it is, or until it is not.
    pub(crate) async fn until_wanted(&self, wanted: bool) {
        loop {
            let changed = self.camera.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.is_wanted(now()) == wanted {
                return;
            }
            let _ = timeout(ASK_AGAIN, changed).await;
        }
    }

    /// `is_retry`: the session before failed.
    pub(crate) fn session_began(&self, number: u64, is_retry: bool) {
        let session = SessionState { number, ..SessionState::default() };
        self.lock().of(self.stream).session = Some(session);
        if is_retry {
            self.camera.counters.reconnects.add(1);
        }
    }

    /// The session ended because nobody needs it any more.
    pub(crate) fn session_ended(&self) {
        let mut inner = self.lock();
        let state = inner.of(self.stream);
        (state.session, state.problem) = (None, None);
    }

    pub(crate) fn progressed(&self, words: &str) {
        let mut inner = self.lock();
        if inner.choice.wanted() == self.stream {
            inner.facts.progressed(words);
        }
    }

    pub(crate) fn found_video(&self, codec: Codec) {
        self.lock().of(self.stream).codec = Some(codec);
    }

    pub(crate) fn plays_over(&self, transport: Transport) {
        self.lock().of(self.stream).transport = Some(transport);
    }

    pub(crate) fn clock_is(&self, clock: Basis) {
        self.lock().of(self.stream).clock = Some(clock);
    }

    pub(crate) fn count(&self, what: Impairment, times: u64) {
        self.camera.count(what, times);
    }

    pub(crate) fn received(&self, now: Instant, bytes: usize) {
        let mut inner = self.lock();
        if inner.choice.shown().is_none_or(|shown| shown == self.stream) {
            inner.received.add(now, bytes as f64);
        }
    }

    /// What the running session has decoded, or passed over in good order, so far.
    pub(crate) fn session_frames(&self) -> Option<SessionFrames> {
        self.lock().of(self.stream).session.as_ref()?.frames
    }

    /// Whether the session is silent because the same picture came again and again.
    pub(crate) fn is_frozen(&self) -> bool {
        self.lock().of(self.stream).session.as_ref().is_some_and(|session| session.is_frozen)
    }

    /// Remembers the reason, and logs it if it is news.
    pub(crate) fn failed(&self, at: Moment, words: &str, blame: Blame) {
        let stream = self.stream;
        let mut inner = self.lock();
        let state = inner.of(stream);
        if let Some(session) = &mut state.session {
            session.has_ended = true;
        }
        let is_known = state.problem.as_deref() == Some(words);
        if !is_known {
            state.problem = Some(words.into());
        }
        inner.choice.failed(at.mono, stream, !self.is_shared(blame));
        // While the other stream is on the tile, the failure is that of a stream and not of the camera. While the camera
        // is left alone, the reason for that is the one that counts.
        let concerns_tile = inner.choice.shown().is_none_or(|shown| shown == stream);
        let is_news = match concerns_tile && !inner.faults.is_left_alone(at.mono) {
            true => inner.facts.failed(at, words),
            false => !is_known,
        };
        self.camera.replan_and_tell(inner, at.mono);
        if is_news {
            tracing::warn!(camera = %self.name(), stream = stream.as_str(), "{words}");
        }
    }

    fn is_shared(&self, blame: Blame) -> bool {
        let in_common = self.camera.about.in_common;
        match blame {
            Blame::Stream => false,
            Blame::Place => in_common.place,
            Blame::Account => in_common.account,
        }
    }

    /// The camera let us not in: no stream that the same is to be blamed for is tried before `until`.
    pub(crate) fn login_refused(&self, until: Instant, blame: Blame) {
        let is_shared = self.is_shared(blame);
        let mut inner = self.lock();
        match is_shared {
            true => inner.no_login_before = [Some(until); 2],
            false => inner.no_login_before[self.stream as usize] = Some(until),
        }
    }

    /// Until when no login may be tried.
    pub(crate) fn no_login_before(&self) -> Option<Instant> {
        self.lock().no_login_before[self.stream as usize]
    }

    // What its decode thread tells and asks.

    /// What is to be decoded of what comes now.
    pub(crate) fn demand(&self, now: Instant) -> Demand {
        let inner = self.lock();
        let is_needed = inner.choice.wanted() == self.stream || inner.choice.shown() == Some(self.stream);
        match inner.looks.largest(now) {
            Some(size) if is_needed || inner.plan[self.stream as usize] => Demand::Pictures(size),
            None if self.camera.walls.load(Relaxed) > 0 => Demand::KeyFrames,
            _ => Demand::Nothing,
        }
    }

    /// The number of the next frame, of whatever stream of the camera.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.camera.sequence.load(Relaxed)
    }

    pub(crate) fn used_sequences_below(&self, next: u64) {
        self.camera.sequence.fetch_max(next, Relaxed);
    }

    pub(crate) fn decoded(&self, session: u64, at: Moment, output: Output) {
        let Output { frames, errors, took, was_passed_over, hardware } = output;
        self.camera.counters.decode_errors.add(errors.into());
        let mut inner = self.lock();
        if let Some(session) = inner.session(self.stream, session) {
            session.is_refused = errors > 0 && frames == 0;
            session.fed_for_nothing = if frames > 0 { 0 } else { session.fed_for_nothing.saturating_add(1) };
        }
        inner.of(self.stream).hardware = hardware;
        if frames > 0 {
            inner.decode_ms.add(at.mono, took.as_secs_f64() * 1_000.0);
        }
        if inner.choice.shown().is_none_or(|shown| shown == self.stream) && !was_passed_over {
            (0..frames).for_each(|_| inner.pictures.add(at.mono, 1.0));
        }
        drop(inner);
        self.camera.counters.frames_decoded.add(frames.into());
    }

    /// The decoder was not given an access unit, for this reason.
    pub(crate) fn refused(&self, session: u64, why: Dropped, words: &str) {
        self.count_dropped(why);
        let mut inner = self.lock();
        let Some(session) = inner.session(self.stream, session) else { return };
        if session.frames.is_none() {
            session.is_refused = true;
            inner.facts.progressed(words);
        }
    }

    /// A picture for the tiles. `is_behind`: access units that came later, and were passed over, still wait.
    pub(crate) fn published(&self, session: u64, at: Moment, frame: Arc<Frame>, is_behind: bool) {
        let (width, height) = (frame.width(), frame.height());
        let mut inner = self.lock();
        if let Some(session) = inner.session(self.stream, session) {
            session.is_behind = is_behind;
            session.is_frozen = false;
            session.fresh(at.mono);
        }
        let is_first = inner.choice.shown().is_none();
        let Published { recovered, came_back, replaced } = inner.publish(self.stream, at, frame);
        self.camera.replan_and_tell(inner, at.mono);
        drop(replaced);
        let (camera, stream) = (self.name(), self.stream.as_str());
        match recovered.or(came_back) {
            Some(reason) => {
                tracing::info!(camera, stream, width, height, "picture is back after: {reason}");
            }
            None if is_first => tracing::info!(camera, stream, width, height, "first picture"),
            None => {}
        }
    }

    /// A picture that a newer one overtook on the way to the tiles.
    pub(crate) fn overtaken(&self, now: Instant, frame: &Arc<Frame>) {
        let mut inner = self.lock();
        let is_shown = inner.choice.shown() == Some(self.stream);
        let replaced = is_shown.then(|| inner.cache.overtaken(now, frame));
        drop(inner);
        drop(replaced);
    }

    /// An access unit came and was not decoded, or not yet, because nobody looks.
    pub(crate) fn passed_over(&self, session: u64, at: Moment) {
        self.camera.counters.frames_passed_over.add(1);
        self.came_undecoded(session, at, |session| {
            session.is_behind = true;
            session.is_frozen = false;
            true
        });
    }

    /// An access unit gave no picture on purpose, though somebody looks: the tile is too small to miss it.
    pub(crate) fn skipped(&self, session: u64, at: Moment) {
        self.camera.counters.frames_passed_over.add(1);
        self.came_undecoded(session, at, |session| {
            session.fed_for_nothing = 0;
            true
        });
    }

    /// An access unit came that is the one before once more. `is_static`: that is no sign of a frozen camera.
    pub(crate) fn repeated(&self, session: u64, at: Moment, is_static: bool) {
        self.camera.counters.frames_duplicate.add(1);
        self.came_undecoded(session, at, |session| {
            session.is_frozen = !is_static;
            is_static
        });
    }

    /// Something came that is as good as a decoded picture, if `counts` says so and the last one was well.
    fn came_undecoded(&self, session: u64, at: Moment, counts: impl FnOnce(&mut SessionState) -> bool) {
        let mut inner = self.lock();
        let Some(session) = inner.session(self.stream, session) else { return };
        if !counts(session) || !session.is_sound() {
            return;
        }
        session.fresh(at.mono);
        if inner.choice.shown() == Some(self.stream) {
            inner.pictures.add(at.mono, 1.0);
            inner.facts.fresh(at);
        }
    }

    pub(crate) fn count_decode_error(&self) {
        self.camera.counters.decode_errors.add(1);
    }

    pub(crate) fn count_dropped(&self, why: Dropped) {
        self.camera.counters.add_dropped(why);
    }

    pub(crate) fn count_panic(&self) {
        self.camera.count_panic(Moment::now());
    }
}

/// The runtime's clock, which tests can turn.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
impl Record {
    pub(crate) fn for_tests() -> Arc<Self> {
        Self::new(CameraRecord::for_tests(), Stream::Main)
    }

    pub(crate) fn stats(&self, now: Instant, black_after: Duration) -> crate::stats::CameraStats {
        self.camera.stats(now, black_after)
    }

    pub(crate) fn look(&self, shown: crate::shown::TileSize) -> crate::tile::Tile {
        self.camera.tile(Instant::now(), Duration::from_secs(10), shown)
    }
}
