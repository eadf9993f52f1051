//! Which of a camera's two streams is on its tiles, and which of them are connected: pure, in virtual time.
//!
//! The stream changed to is connected first; the old one stays on the tile until the new one's first picture, and is
//! disconnected then. So a change is never black, and never shows a picture older than the one before it.

use std::time::{Duration, Instant};

use crate::shown::TileSize;

/// One of the streams in which a camera sends the same scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Main,
    /// The smaller one, if there is any.
    Sub,
}

impl Stream {
    pub(crate) const ALL: [Self; 2] = [Self::Main, Self::Sub];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Sub => "sub",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Main => Self::Sub,
            Self::Sub => Self::Main,
        }
    }
}

/// What most cameras' second stream is. Until its real size is known, it is used for tiles that need no more.
const LIKELY_SUB: (u32, u32) = (640, 360);
/// A little blown up nobody sees; more than the second figure is changed away from. Between the two nothing changes.
const ENOUGH: f64 = 1.25;
const TOO_SMALL: f64 = 1.5;
/// A size must be asked for this long before the stream on the tile is changed: viewers come and go.
const CHANGE_AFTER: Duration = Duration::from_secs(1);
/// A stream that was on the tile may fail this long before the other one stands in for it; most come back at once.
const STAND_IN_AFTER: Duration = Duration::from_secs(5);
/// The new stream's pictures may be this much behind the old one's before they are taken as they are.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(2);
/// Walls tell how large their tiles are right after a camera is started; a stream is chosen when they have.
const SETTLE: Duration = Duration::from_millis(100);

/// The choice of one camera.
#[derive(Debug)]
pub(crate) struct Choice {
    started: Instant,
    has_sub: bool,
    /// By the last decoded picture.
    sub_size: Option<(u32, u32)>,
    wanted: Stream,
    /// Somebody said how large a tile is.
    is_asked: bool,
    /// Since when the other stream would fit better.
    changing_since: Option<Instant>,
    /// Whose pictures are on the tiles.
    shown: Option<Stream>,
    /// Since when what is wanted fails, without a picture in between.
    failing_since: Option<Instant>,
    /// Since when what is wanted has pictures while the other is still shown.
    arriving_since: Option<Instant>,
}

impl Choice {
    pub(crate) fn new(started: Instant, has_sub: bool) -> Self {
        Self {
            started,
            has_sub,
            sub_size: None,
            wanted: Stream::Main,
            is_asked: false,
            changing_since: None,
            shown: None,
            failing_since: None,
            arriving_since: None,
        }
    }

    /// The largest tile that somebody looks at, or that is waiting for a viewer.
    pub(crate) fn ask(&mut self, now: Instant, tile: TileSize) {
        if !self.has_sub {
            return;
        }
        let best = self.best_for(tile);
        let is_first = !std::mem::replace(&mut self.is_asked, true);
        if best == self.wanted {
            self.changing_since = None;
            return;
        }
        let since = *self.changing_since.get_or_insert(now);
        if is_first || self.shown.is_none() || now.saturating_duration_since(since) >= CHANGE_AFTER {
            self.wanted = best;
            (self.changing_since, self.failing_since, self.arriving_since) = (None, None, None);
        }
    }

    fn best_for(&self, tile: TileSize) -> Stream {
        let most = match (self.sub_size, self.wanted) {
            (None, _) => 1.0,
            (Some(_), Stream::Main) => ENOUGH,
            (Some(_), Stream::Sub) => TOO_SMALL,
        };
        match tile.magnification(self.sub_size.unwrap_or(LIKELY_SUB)) <= most {
            true => Stream::Sub,
            false => Stream::Main,
        }
    }

    /// Whether the session of this stream is to be held.
    pub(crate) fn runs(&self, now: Instant, stream: Stream) -> bool {
        if self.has_sub && !self.is_asked && now.saturating_duration_since(self.started) < SETTLE {
            return false;
        }
        let stands_in = || self.shown == Some(stream) || self.is_stood_in_for(now);
        stream == self.wanted || (self.has_sub && stands_in())
    }

    /// What is wanted cannot be had, so the other one is good enough.
    fn is_stood_in_for(&self, now: Instant) -> bool {
        let patience = if self.shown.is_none() { Duration::ZERO } else { STAND_IN_AFTER };
        self.failing_since.is_some_and(|since| now.saturating_duration_since(since) >= patience)
    }

    /// A session of this stream ended or could not begin. `elsewhere`: the other stream may fare better.
    pub(crate) fn failed(&mut self, now: Instant, stream: Stream, elsewhere: bool) {
        if stream != self.wanted {
            return;
        }
        self.arriving_since = None;
        if elsewhere {
            self.failing_since.get_or_insert(now);
        } else {
            self.failing_since = None;
        }
    }

    /// A picture of this stream was decoded; returns whether it goes onto the tiles. `is_newer`: it was taken after what
    /// is there now.
    pub(crate) fn publishes(
        &mut self,
        now: Instant,
        stream: Stream,
        size: (u32, u32),
        is_newer: bool,
    ) -> bool {
        if stream == Stream::Sub {
            self.sub_size = Some(size);
        }
        if stream == self.wanted {
            self.failing_since = None;
            if self.shown == Some(stream.other()) {
                let since = *self.arriving_since.get_or_insert(now);
                if !is_newer && now.saturating_duration_since(since) < CATCH_UP_WITHIN {
                    return false;
                }
            }
            self.arriving_since = None;
            self.shown = Some(stream);
        } else if self.shown != Some(stream) && self.is_stood_in_for(now) {
            self.shown = Some(stream);
        }
        self.shown == Some(stream)
    }

    /// Whose pictures are on the tiles.
    pub(crate) fn shown(&self) -> Option<Stream> {
        self.shown
    }

    pub(crate) fn wanted(&self) -> Stream {
        self.wanted
    }

    /// Everything is disconnected and begins anew.
    pub(crate) fn rest(&mut self) {
        (self.shown, self.failing_since, self.arriving_since) = (None, None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::Stream::{Main, Sub};
    use super::*;

    const SMALL: (u32, u32) = (480, 270);
    const LARGE: (u32, u32) = (1920, 1080);
    const SUB: (u32, u32) = (640, 360);

    /// A camera in virtual time: seconds since its start.
    struct Virtual {
        start: Instant,
        choice: Choice,
    }

    impl Virtual {
        fn new(has_sub: bool) -> Self {
            let start = Instant::now();
            Self { start, choice: Choice::new(start, has_sub) }
        }

        fn at(&self, seconds: f64) -> Instant {
            self.start + Duration::from_secs_f64(seconds)
        }

        fn ask(&mut self, seconds: f64, (width, height): (u32, u32)) {
            self.choice.ask(self.at(seconds), TileSize::new(width, height));
        }

        fn picture(&mut self, seconds: f64, stream: Stream) -> bool {
            let size = if stream == Sub { SUB } else { LARGE };
            self.choice.publishes(self.at(seconds), stream, size, true)
        }

        fn fails(&mut self, seconds: f64, stream: Stream) {
            self.choice.failed(self.at(seconds), stream, true);
        }

        #[track_caller]
        fn check(&self, seconds: f64, runs: &[Stream], shown: Option<Stream>) {
            let running: Vec<Stream> =
                Stream::ALL.into_iter().filter(|s| self.choice.runs(self.at(seconds), *s)).collect();
            assert_eq!((running.as_slice(), self.choice.shown()), (runs, shown), "at {seconds} s");
        }
    }

    #[test]
    fn a_camera_with_one_stream_has_no_choice() {
        let mut camera = Virtual::new(false);
        camera.check(0.0, &[Main], None);
        camera.ask(0.0, SMALL);
        camera.fails(1.0, Main);
        camera.check(60.0, &[Main], None);
        assert!(camera.picture(61.0, Main));
        camera.check(61.0, &[Main], Some(Main));
    }

    #[test]
    fn the_first_tile_decides_before_anything_is_connected() {
        let mut camera = Virtual::new(true);
        camera.check(0.0, &[], None);
        camera.ask(0.01, SMALL);
        camera.check(0.01, &[Sub], None);
        let camera = Virtual::new(true);
        camera.check(0.1, &[Main], None);
    }

    #[test]
    fn a_change_keeps_the_old_stream_on_the_tile_until_the_new_one_has_a_picture() {
        let mut camera = Virtual::new(true);
        camera.ask(0.0, SMALL);
        assert!(camera.picture(1.0, Sub));
        camera.ask(2.0, LARGE);
        camera.check(2.0, &[Sub], Some(Sub));
        camera.ask(3.0, LARGE);
        camera.check(3.0, &[Main, Sub], Some(Sub));
        assert!(camera.picture(3.5, Sub));
        assert!(camera.picture(4.0, Main));
        camera.check(4.0, &[Main], Some(Main));
        assert!(!camera.picture(4.01, Sub), "a late picture of the old stream");
    }

    #[test]
    fn sizes_between_enough_and_too_small_change_nothing() {
        for (first, then) in [(SMALL, (900, 506)), (LARGE, (900, 506))] {
            let mut camera = Virtual::new(true);
            camera.choice.sub_size = Some(SUB);
            camera.ask(0.0, first);
            let before = camera.choice.wanted();
            camera.picture(0.5, before);
            (1..20).for_each(|second| camera.ask(f64::from(second), then));
            assert_eq!(camera.choice.wanted(), before);
        }
    }

    #[test]
    fn a_tile_that_is_large_for_a_moment_changes_nothing() {
        let mut camera = Virtual::new(true);
        camera.ask(0.0, SMALL);
        camera.picture(0.5, Sub);
        for second in 1..20 {
            camera.ask(f64::from(second), LARGE);
            camera.ask(f64::from(second) + 0.9, SMALL);
        }
        camera.check(20.0, &[Sub], Some(Sub));
    }

    #[test]
    fn a_substream_that_turns_out_too_small_is_left() {
        let mut camera = Virtual::new(true);
        camera.ask(0.0, SMALL);
        camera.choice.publishes(camera.at(1.0), Sub, (160, 90), true);
        (1..=3).for_each(|second| camera.ask(f64::from(second), SMALL));
        camera.check(3.0, &[Main, Sub], Some(Sub));
    }

    #[test]
    fn the_other_stream_stands_in_for_one_that_cannot_be_had_and_gives_way_when_it_is_back() {
        let mut camera = Virtual::new(true);
        camera.ask(0.0, SMALL);
        camera.fails(0.2, Sub);
        camera.check(0.2, &[Main, Sub], None);
        assert!(camera.picture(1.0, Main));
        camera.fails(10.0, Sub);
        camera.check(10.0, &[Main, Sub], Some(Main));
        assert!(camera.picture(40.0, Sub));
        camera.check(40.0, &[Sub], Some(Sub));
    }

    #[test]
    fn a_stream_that_was_there_may_fail_for_five_seconds_before_the_other_is_asked() {
        let mut camera = Virtual::new(true);
        camera.ask(0.0, SMALL);
        camera.picture(1.0, Sub);
        camera.fails(20.0, Sub);
        camera.check(24.9, &[Sub], Some(Sub));
        camera.check(25.0, &[Main, Sub], Some(Sub));
        assert!(camera.picture(26.0, Main));
        camera.check(26.0, &[Main, Sub], Some(Main));
    }

    #[test]
    fn a_camera_that_is_gone_is_not_asked_twice() {
        let mut camera = Virtual::new(true);
        camera.ask(0.0, SMALL);
        camera.choice.failed(camera.at(1.0), Sub, false);
        camera.check(60.0, &[Sub], None);
    }

    #[test]
    fn pictures_that_are_behind_the_old_streams_wait_but_not_for_ever() {
        let mut camera = Virtual::new(true);
        camera.ask(0.0, SMALL);
        camera.picture(1.0, Sub);
        (2..=3).for_each(|second| camera.ask(f64::from(second), LARGE));
        assert!(!camera.choice.publishes(camera.at(4.0), Main, LARGE, false));
        camera.check(4.0, &[Main, Sub], Some(Sub));
        assert!(!camera.choice.publishes(camera.at(5.9), Main, LARGE, false));
        assert!(camera.choice.publishes(camera.at(6.0), Main, LARGE, false));
    }
}
