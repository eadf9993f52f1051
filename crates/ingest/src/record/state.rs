//! What the one lock of a camera's record guards, and what is decided while it is held.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cache::{Cache, Replaced};
use super::choice::{Choice, Stream};
use super::faults::Faults;
use super::looks::Looks;
use crate::align::clock::Basis;
use crate::camera::Transport;
use crate::frame::Frame;
use crate::pace::SessionFrames;
use crate::queue::Codec;
use crate::shown::TileSize;
use crate::stats::Window;
use crate::tile::{Facts, Moment, Tile, TileState};

/// So many access units may go into a decoder, once it has given a picture, without another one coming out: more than a
/// decoder that gets key frames alone keeps back.
const FED_FOR_NOTHING: u32 = 4;

pub(super) struct Inner {
    pub(super) facts: Facts,
    pub(super) cache: Cache,
    pub(super) looks: Looks,
    pub(super) choice: Choice,
    pub(super) faults: Faults,
    /// Of main and sub.
    pub(super) streams: [StreamState; 2],
    /// Which of them had sessions wanted when last asked.
    pub(super) plan: [bool; 2],
    /// The largest tile on any wall, looked at or not.
    pub(super) placed: Option<TileSize>,
    /// Of main and sub.
    pub(super) no_login_before: [Option<Instant>; 2],
    /// Decode times in milliseconds, one sample an access unit that gave pictures.
    pub(super) decode_ms: Window,
    /// One sample a picture of the stream that is shown.
    pub(super) pictures: Window,
    /// Bytes of the stream that is shown, one sample an access unit.
    pub(super) received: Window,
}

#[derive(Default)]
pub(super) struct StreamState {
    pub(super) codec: Option<Codec>,
    /// Of the last session that played.
    pub(super) transport: Option<Transport>,
    pub(super) resolution: Option<(u32, u32)>,
    pub(super) hardware: Option<&'static str>,
    /// What its pictures' times are taken from.
    pub(super) clock: Option<Basis>,
    pub(super) session: Option<SessionState>,
    /// Why it failed, until it has pictures again.
    pub(super) problem: Option<Arc<str>>,
}

/// The session that runs.
#[derive(Default)]
pub(super) struct SessionState {
    pub(super) number: u64,
    pub(super) frames: Option<SessionFrames>,
    /// The last access unit given to the decoder was refused, without a picture.
    pub(super) is_refused: bool,
    /// Access units given to the decoder since its last picture.
    pub(super) fed_for_nothing: u32,
    /// Access units that were passed over wait for the decoder.
    pub(super) is_behind: bool,
    /// Each access unit is the one before once more, and looks like a frozen camera.
    pub(super) is_frozen: bool,
    /// It is over, and the next one has not begun.
    pub(super) has_ended: bool,
}

impl StreamState {
    pub(super) fn as_str(&self) -> &'static str {
        match &self.session {
            None => "resting",
            Some(session) if session.has_ended || session.frames.is_none() => "connecting",
            Some(_) => "playing",
        }
    }
}

impl SessionState {
    /// What it decoded last was well, so what it has passed over since then can be believed in.
    pub(super) fn is_sound(&self) -> bool {
        self.frames.is_some() && !self.is_refused && self.fed_for_nothing <= FED_FOR_NOTHING
    }

    pub(super) fn fresh(&mut self, at: Instant) {
        match &mut self.frames {
            Some(frames) => frames.add(at),
            none => *none = Some(SessionFrames::begin(at)),
        }
    }
}

pub(super) struct Published {
    /// How the camera had failed before, if it had.
    pub(super) recovered: Option<Arc<str>>,
    /// The same of its stream.
    pub(super) came_back: Option<Arc<str>>,
    /// To be freed outside of the lock.
    pub(super) replaced: Replaced,
}

impl Inner {
    pub(super) fn new(started: Moment, has_sub: bool, facts: Facts) -> Self {
        Self {
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
        }
    }

    pub(super) fn of(&mut self, stream: Stream) -> &mut StreamState {
        &mut self.streams[stream as usize]
    }

    /// The session of this number, if it still is the one that runs.
    pub(super) fn session(&mut self, stream: Stream, number: u64) -> Option<&mut SessionState> {
        self.of(stream).session.as_mut().filter(|session| session.number == number)
    }

    pub(super) fn look(
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

    pub(super) fn publish(&mut self, stream: Stream, at: Moment, frame: Arc<Frame>) -> Published {
        let size = (frame.width(), frame.height());
        let state = self.of(stream);
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
}
