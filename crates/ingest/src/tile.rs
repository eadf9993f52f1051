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
    /// How long ago the last frame was decoded. `None` if there never was one.
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
        }
    }

    /// A frame was decoded. Returns how the camera had failed before, if it had.
    pub(crate) fn frame_decoded(&mut self, at: Moment) -> Option<Arc<str>> {
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
mod tests {
    use super::*;

    const BLACK_AFTER: Duration = Duration::from_secs(10);
    const BUDGET: Duration = Duration::from_secs(20);

    /// A camera in virtual time: milliseconds since its start.
    struct Virtual {
        start: Moment,
        facts: Facts,
    }

    impl Virtual {
        fn start() -> Self {
            let start = Moment { mono: Instant::now(), wall: SystemTime::UNIX_EPOCH };
            Self { start, facts: Facts::new(start, BUDGET) }
        }

        fn at(&self, ms: u64) -> Moment {
            let wait = Duration::from_millis(ms);
            Moment { mono: self.start.mono + wait, wall: self.start.wall + wait }
        }

        fn frame(&mut self, ms: u64) {
            let at = self.at(ms);
            self.facts.frame_decoded(at);
        }

        fn frames(&mut self, ms: std::ops::Range<u64>, every: usize) {
            ms.step_by(every).for_each(|ms| self.frame(ms));
        }

        fn fail(&mut self, ms: u64, words: &str) -> bool {
            let at = self.at(ms);
            self.facts.failed(at, words)
        }

        /// State, milliseconds of `since`, reason.
        fn tile(&self, ms: u64) -> (TileState, u128, Option<String>) {
            let life = self.facts.life(self.at(ms).mono, BLACK_AFTER);
            let since = life.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
            (life.state, since, self.facts.reason(life.state, BLACK_AFTER).map(|reason| reason.to_string()))
        }

        #[track_caller]
        fn check(&self, ms: u64, state: TileState, since: u128, reason: Option<&str>) {
            assert_eq!(self.tile(ms), (state, since, reason.map(str::to_owned)), "at {ms} ms");
        }
    }

    use TileState::{Connecting, Holding, Live, Offline};

    #[test]
    fn a_frame_makes_it_live_silence_makes_it_hold_and_ten_seconds_make_it_black() {
        let mut camera = Virtual::start();
        camera.facts.progressed("connecting to cam:554");
        camera.check(0, Connecting, 0, Some("connecting to cam:554"));
        camera.frames(500..5_001, 40);
        let last = 4_980;
        camera.check(last, Live, 500, None);
        camera.check(last + 999, Live, 500, None);
        camera.check(last + 1_000, Holding, last as u128 + 1_000, Some("no new picture"));
        camera.check(last + 9_999, Holding, last as u128 + 1_000, Some("no new picture"));
        camera.check(last + 10_000, Offline, last as u128 + 10_000, Some("no picture for 10 s"));
        camera.check(last + 3_600_000, Offline, last as u128 + 10_000, Some("no picture for 10 s"));
    }

    #[test]
    fn failures_change_the_reason_of_a_black_tile_but_never_its_state() {
        let mut camera = Virtual::start();
        camera.frames(0..1_000, 40);
        for ms in (11_000..200_000).step_by(1_000) {
            camera.fail(ms, if ms % 2_000 == 0 { "connection refused" } else { "no answer" });
            camera.facts.progressed("waiting for the first picture");
            let (state, since, reason) = camera.tile(ms);
            assert_eq!((state, since), (Offline, 10_960));
            assert_eq!(
                reason.as_deref(),
                Some(if ms % 2_000 == 0 { "connection refused" } else { "no answer" })
            );
        }
        camera.frame(200_500);
        camera.check(200_500, Live, 200_500, None);
    }

    #[test]
    fn a_reason_is_news_once_until_it_changes_or_a_frame_came() {
        let mut camera = Virtual::start();
        assert!(camera.fail(1_000, "connection refused"));
        assert!(!camera.fail(2_000, "connection refused"));
        assert!(camera.fail(3_000, "no such host"));
        camera.frame(4_000);
        assert!(camera.fail(5_000, "no such host"));
        let at = camera.at(6_000);
        assert_eq!(camera.facts.frame_decoded(at).as_deref(), Some("no such host"));
        assert_eq!(camera.facts.frame_decoded(at), None);
    }

    #[test]
    fn a_camera_that_never_came_is_connecting_until_it_failed_and_ten_seconds_are_over() {
        let mut camera = Virtual::start();
        camera.check(9_999, Connecting, 0, Some("connecting"));
        camera.fail(1_000, "connection refused");
        camera.check(9_999, Connecting, 0, Some("connection refused"));
        camera.check(10_000, Offline, 10_000, Some("connection refused"));
    }

    #[test]
    fn a_first_failure_after_ten_seconds_turns_it_offline_at_that_moment() {
        let mut camera = Virtual::start();
        camera.check(12_999, Connecting, 0, Some("connecting"));
        camera.fail(13_000, "no answer");
        camera.check(13_000, Offline, 13_000, Some("no answer"));
    }

    #[test]
    fn a_long_group_of_pictures_has_twenty_seconds_for_its_first_frame() {
        let mut camera = Virtual::start();
        camera.facts.progressed("waiting for the first picture");
        camera.check(19_999, Connecting, 0, Some("waiting for the first picture"));
        camera.check(20_000, Offline, 20_000, Some("no picture yet"));
        camera.frame(25_000);
        camera.check(25_000, Live, 25_000, None);
    }

    #[test]
    fn one_frame_every_nine_seconds_is_never_black_and_every_eleven_is_black_between() {
        for (every, black) in [(9_000, false), (11_000, true)] {
            let mut camera = Virtual::start();
            for ms in (0..90_000u64).step_by(every) {
                camera.frame(ms);
                let before_the_next = ms + every as u64 - 1;
                assert_eq!(camera.tile(before_the_next).0 == Offline, black, "{before_the_next}");
            }
        }
    }

    #[test]
    fn a_slow_camera_is_live_between_its_frames_and_holds_after_three_missing() {
        let mut camera = Virtual::start();
        camera.frames(0..20_001, 2_000);
        assert_eq!(camera.tile(25_999).0, Live);
        assert_eq!(camera.tile(26_000).0, Holding);
    }

    #[test]
    fn one_stall_does_not_change_the_pace() {
        let mut camera = Virtual::start();
        camera.frames(0..2_001, 40);
        camera.frame(8_000);
        assert_eq!(camera.tile(8_999).0, Live);
        camera.check(8_500, Live, 8_000, None);
        assert_eq!(camera.tile(9_000).0, Holding);
    }

    #[test]
    fn asking_for_a_moment_before_the_last_frame_is_harmless() {
        let mut camera = Virtual::start();
        camera.frame(5_000);
        let life = camera.facts.life(camera.at(4_000).mono, BLACK_AFTER);
        assert_eq!((life.state, life.age), (Live, Some(Duration::ZERO)));
    }
}
