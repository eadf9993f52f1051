//! The life of a tile: connecting → live → holding → offline → live → …
//!
//! [`Facts`] are what happened; what a tile shows is a pure function of them and of `now`. So nothing has to run
//! for a tile to turn black on time, and every wall may have its own `black_after`. Once offline a tile stays
//! offline until a frame is decoded, because only a frame makes the age smaller.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::frame::Frame;
use crate::pace::Intervals;

/// What a tile is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TileState {
    /// Never had a picture yet, and still has the right to be slow about it. Black.
    Connecting,
    /// The picture is new.
    Live,
    /// No new picture: the last one stays, marked.
    Holding,
    /// No picture for so long that the last one would be a lie. Black.
    Offline,
}

impl TileState {
    /// `connecting`, `live`, `holding` or `offline`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Holding => "holding",
            Self::Offline => "offline",
        }
    }
}

/// What a tile shows at one moment.
#[derive(Debug, Clone)]
pub struct Tile {
    /// How it is.
    pub status: TileStatus,
    /// The picture to show; `None` is black.
    pub frame: Option<Arc<Frame>>,
}

/// How a tile is at one moment.
#[derive(Debug, Clone)]
pub struct TileStatus {
    /// What it is doing.
    pub state: TileState,
    /// Why it is not live. `None` when live.
    pub reason: Option<Reason>,
    /// Since when it is in this state, on the wall clock: for showing only.
    pub since: SystemTime,
    /// How long ago the last frame was decoded, or came and was passed over because nobody looked. `None` if there never
    /// was one.
    pub age: Option<Duration>,
}

/// Why a tile is not live, in words for a user (`Display`), without secrets. Walls get one at every tick, so the words
/// are shared or written only when somebody wants to read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(Words);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Words {
    Said(Arc<str>),
    Fixed(&'static str),
    NoPictureFor(Duration),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Words::Said(words) => f.write_str(words),
            Words::Fixed(words) => f.write_str(words),
            Words::NoPictureFor(black_after) => write!(f, "no picture for {} s", black_after.as_secs_f64()),
        }
    }
}

#[cfg(test)]
impl Reason {
    pub(crate) fn shared(&self) -> Option<&str> {
        match &self.0 {
            Words::Said(words) => Some(words),
            Words::Fixed(_) | Words::NoPictureFor(_) => None,
        }
    }
}

/// One moment on both clocks: the monotonic one decides, the wall clock is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) mono: Instant,
    pub(crate) wall: SystemTime,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self { mono: Instant::now(), wall: SystemTime::now() }
    }

    fn after(self, wait: Duration) -> SystemTime {
        self.wall.checked_add(wait).unwrap_or(self.wall)
    }
}

/// A camera slower than three frames a second is not holding just because a second went by.
const HOLD_AFTER_AT_LEAST: Duration = Duration::from_secs(1);
const HOLD_AFTER_INTERVALS: u32 = 3;

/// What happened to one camera, as far as its tiles are concerned.
#[derive(Debug)]
pub(crate) struct Facts {
    started: Moment,
    first_frame_budget: Duration,
    first_failure: Option<Moment>,
    last_frame: Option<Moment>,
    live_since: Moment,
    intervals: Intervals,
    note: Option<Note>,
    /// Since when the camera is disconnected because nobody watches.
    resting: Option<Moment>,
}

/// What the session last said since the last frame. A failure is not replaced by progress: "connecting" would hide
/// what went wrong.
#[derive(Debug)]
enum Note {
    Progress(Arc<str>),
    Failure(Arc<str>),
}

/// The state at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) state: TileState,
    pub(crate) since: SystemTime,
    pub(crate) age: Option<Duration>,
}

impl Facts {
    pub(crate) fn new(started: Moment, first_frame_budget: Duration) -> Self {
        Self {
            started,
            first_frame_budget,
            first_failure: None,
            last_frame: None,
            live_since: started,
            intervals: Intervals::default(),
            note: None,
            resting: None,
        }
    }

    /// Nobody watches, so the camera is disconnected on purpose.
    pub(crate) fn rested(&mut self, at: Moment) {
        self.resting.get_or_insert(at);
    }

    pub(crate) fn is_resting(&self) -> bool {
        self.resting.is_some()
    }

    /// Somebody watches again: the tile's life begins anew.
    pub(crate) fn resumed(&mut self, at: Moment) {
        *self = Self::new(at, self.first_frame_budget);
    }

    /// A frame was decoded, or came and was passed over because nobody looked. Returns how the camera had failed before, if it had.
    pub(crate) fn fresh(&mut self, at: Moment) -> Option<Arc<str>> {
        match self.last_frame {
            Some(last) => {
                let gap = at.mono.saturating_duration_since(last.mono);
                if gap >= self.hold_after() {
                    self.live_since = at;
                }
                self.intervals.add(gap);
            }
            None => self.live_since = at,
        }
        self.last_frame = Some(at);
        match self.note.take() {
            Some(Note::Failure(words)) => Some(words),
            Some(Note::Progress(_)) | None => None,
        }
    }

    /// The session ended or could not begin. Returns whether the reason is news.
    pub(crate) fn failed(&mut self, at: Moment, words: &str) -> bool {
        self.first_failure.get_or_insert(at);
        if matches!(&self.note, Some(Note::Failure(known)) if **known == *words) {
            return false;
        }
        self.note = Some(Note::Failure(words.into()));
        true
    }

    /// The session came one step further.
    pub(crate) fn progressed(&mut self, words: &str) {
        if !matches!(self.note, Some(Note::Failure(_))) {
            self.note = Some(Note::Progress(words.into()));
        }
    }

    pub(crate) fn life(&self, now: Instant, black_after: Duration) -> Life {
        if let Some(since) = self.resting {
            return Life { state: TileState::Connecting, since: since.wall, age: None };
        }
        let Some(last) = self.last_frame else {
            return self.life_before_the_first_frame(now, black_after);
        };
        let age = now.saturating_duration_since(last.mono);
        let hold_after = self.hold_after().min(black_after);
        let (state, since) = match age {
            age if age >= black_after => (TileState::Offline, last.after(black_after)),
            age if age >= hold_after => (TileState::Holding, last.after(hold_after)),
            _ => (TileState::Live, self.live_since.wall),
        };
        Life { state, since, age: Some(age) }
    }

    /// Why a tile is in this state; `None` when live.
    pub(crate) fn reason(&self, state: TileState, black_after: Duration) -> Option<Reason> {
        let words = match (state, &self.note) {
            (TileState::Live, _) => return None,
            _ if self.resting.is_some() => Words::Fixed("not connected: nobody watches (on_demand)"),
            (_, Some(Note::Failure(words))) => Words::Said(words.clone()),
            (TileState::Connecting, Some(Note::Progress(words))) => Words::Said(words.clone()),
            (TileState::Connecting, None) => Words::Fixed("connecting"),
            (TileState::Holding, _) => Words::Fixed("no new picture"),
            (TileState::Offline, _) if self.last_frame.is_none() => Words::Fixed("no picture yet"),
            (TileState::Offline, _) => Words::NoPictureFor(black_after),
        };
        Some(Reason(words))
    }

    /// How a tile is that turns black after `black_after`.
    pub(crate) fn status(&self, now: Instant, black_after: Duration) -> TileStatus {
        let Life { state, since, age } = self.life(now, black_after);
        TileStatus { state, reason: self.reason(state, black_after), since, age }
    }

    /// How a tile is for somebody who begins to look, when the picture at hand was taken at `taken` and newer ones, passed
    /// over while nobody looked, are still being decoded. `None`: the picture is new enough to be shown as it is.
    pub(crate) fn catching_up(
        &self,
        now: Instant,
        black_after: Duration,
        taken: Instant,
    ) -> Option<TileStatus> {
        let age = now.saturating_duration_since(taken);
        let hold_after = self.hold_after().min(black_after);
        let fresh = self.last_frame.filter(|_| self.life(now, black_after).state == TileState::Live)?;
        if age < hold_after {
            return None;
        }
        let state = if age >= black_after { TileState::Connecting } else { TileState::Holding };
        let reason = Some(Reason(Words::Fixed("decoding up to the present")));
        let behind = fresh.mono.saturating_duration_since(taken);
        let since = fresh.wall.checked_sub(behind).unwrap_or(fresh.wall);
        Some(TileStatus { state, reason, since, age: Some(age) })
    }

    /// Connecting until something failed and `black_after` is over, or the first-frame budget is.
    fn life_before_the_first_frame(&self, now: Instant, black_after: Duration) -> Life {
        let waited = now.saturating_duration_since(self.started.mono);
        let failed_after = self.first_failure.map(|at| at.mono.saturating_duration_since(self.started.mono));
        let patience = failed_after
            .map_or(self.first_frame_budget, |failed| failed.max(black_after).min(self.first_frame_budget));
        match waited >= patience {
            true => Life { state: TileState::Offline, since: self.started.after(patience), age: None },
            false => Life { state: TileState::Connecting, since: self.started.wall, age: None },
        }
    }

    fn hold_after(&self) -> Duration {
        self.intervals.median().saturating_mul(HOLD_AFTER_INTERVALS).max(HOLD_AFTER_AT_LEAST)
    }
}

#[cfg(test)]
mod tests;
