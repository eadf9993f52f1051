//! One stream's end of a camera's record: what its session and its decode thread tell and ask.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

use super::choice::Stream;
use super::{CameraRecord, Demand, Dropped};
use crate::align::clock::Basis;
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
        self.camera.session_began(self.stream, number, is_retry);
    }

    /// The session ended because nobody needs it any more.
    pub(crate) fn session_ended(&self) {
        self.camera.session_ended(self.stream);
    }

    /// What its connection suffers from.
    pub(crate) fn count(&self, what: Impairment, times: u64) {
        self.camera.count(what, times);
    }

    pub(crate) fn progressed(&self, words: &str) {
        self.camera.progressed(self.stream, words);
    }

    pub(crate) fn found_video(&self, codec: Codec) {
        self.camera.found_video(self.stream, codec);
    }

    /// What the times of its pictures are taken from now.
    pub(crate) fn clock_is(&self, clock: Basis) {
        self.camera.clock_is(self.stream, clock);
    }

    /// Remembers the reason, and logs it if it is news. `elsewhere`: the camera's other stream may fare better.
    pub(crate) fn failed(&self, at: Moment, words: &str, elsewhere: bool) {
        self.camera.failed(self.stream, at, words, elsewhere);
    }

    /// The camera refused our login: no stream of the same host is tried before `until`.
    pub(crate) fn login_refused(&self, until: Instant) {
        self.camera.login_refused(self.stream, until);
    }

    /// Until when no login may be tried.
    pub(crate) fn no_login_before(&self) -> Option<Instant> {
        self.camera.no_login_before(self.stream)
    }

    pub(crate) fn received(&self, now: Instant, bytes: usize) {
        self.camera.received(self.stream, now, bytes);
    }

    /// What the running session has decoded, or passed over in good order, so far.
    pub(crate) fn session_frames(&self) -> Option<SessionFrames> {
        self.camera.session_frames(self.stream)
    }

    // What its decode thread tells and asks.

    /// What is to be decoded of what comes now.
    pub(crate) fn demand(&self, now: Instant) -> Demand {
        self.camera.demand(now, self.stream)
    }

    /// The number of the next frame, of whatever stream of the camera.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.camera.next_sequence()
    }

    pub(crate) fn used_sequences_below(&self, next: u64) {
        self.camera.used_sequences_below(next);
    }

    pub(crate) fn decoded(&self, session: u64, at: Moment, output: Output) {
        self.camera.decoded(self.stream, session, at, output);
    }

    /// The decoder was not given an access unit, for this reason.
    pub(crate) fn refused(&self, session: u64, why: Dropped, words: &str) {
        self.camera.refused(self.stream, session, why, words);
    }

    /// A picture for the tiles. `is_behind`: access units that came later, and were passed over, still wait.
    pub(crate) fn published(&self, session: u64, at: Moment, frame: Arc<Frame>, is_behind: bool) {
        self.camera.published(self.stream, session, at, frame, is_behind);
    }

    /// A picture was decoded that a newer one overtook before it could be published.
    pub(crate) fn overtaken(&self, now: Instant, frame: &Arc<Frame>) {
        self.camera.overtaken(self.stream, now, frame);
    }

    /// An access unit came and was not decoded, or not yet, because nobody looks.
    pub(crate) fn passed_over(&self, session: u64, at: Moment) {
        self.camera.passed_over(self.stream, session, at);
    }

    /// An access unit gave no picture on purpose, though somebody looks: the tile is too small to miss it.
    pub(crate) fn skipped(&self, session: u64, at: Moment) {
        self.camera.skipped(self.stream, session, at);
    }

    /// An access unit came that is the one before once more. `is_static`: that is no sign of a frozen camera.
    pub(crate) fn repeated(&self, session: u64, at: Moment, is_static: bool) {
        self.camera.repeated(self.stream, session, at, is_static);
    }

    /// Whether the session is silent because the same picture came again and again.
    pub(crate) fn is_frozen(&self) -> bool {
        self.camera.is_frozen(self.stream)
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
