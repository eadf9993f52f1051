//! Frozen cameras that go on sending (failure C2): the last access unit again and again, byte by byte.
//!
//! A scene without any movement is not that. In H.264 and H.265 two access units in a row differ at least in a count in
//! their slice headers (frame_num, idr_pic_id, picture order count), so only a broken camera sends the same bytes twice.
//! Some encoders leave even these counts alone when every picture is a key frame, and JPEG has none: a camera that was
//! connected to anew and still sends the very same bytes films something that does not change, and is believed. If it
//! sends nothing but key frames it is a source of still pictures (slides, a desktop, "no signal"), whose next picture is
//! believed at once, as long as its RTP clock goes on: else it would be connected to anew at every slide.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::queue::{AccessUnit, Codec};

/// So many pictures in a row, each another one, are those of a camera with noise, which can freeze: a minute of most.
const NO_STILLS: u32 = 1_500;

/// What an access unit is to the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It is another one.
    New,
    /// The same bytes again, from a camera that can be right about it.
    Static,
    /// The same bytes again: nothing new.
    Frozen,
}

#[derive(Debug, Default)]
pub(super) struct Repeats {
    last: Option<Seen>,
    /// What was repeated when an earlier session ended.
    before: Option<(usize, u64)>,
    /// It is a source of still pictures.
    has_stills: bool,
    /// Pictures since the last one that was repeated.
    new_in_a_row: u32,
}

#[derive(Debug)]
struct Seen {
    session: u64,
    print: (usize, u64),
    rtp_time: u32,
    is_repeated: bool,
    /// Every picture of the session so far was a key frame.
    is_intra: bool,
}

impl Repeats {
    pub(super) fn handle(&mut self, unit: &AccessUnit) -> Repeat {
        let print = print(&unit.data);
        let is_intra = unit.key || unit.codec == Codec::Jpeg;
        match &mut self.last {
            Some(last) if last.session == unit.session && last.print == print => {
                last.is_repeated = true;
                last.is_intra &= is_intra;
                let goes_on = std::mem::replace(&mut last.rtp_time, unit.rtp_time) != unit.rtp_time;
                let is_confirmed = self.before == Some(print);
                self.has_stills = last.is_intra && (self.has_stills || is_confirmed);
                self.new_in_a_row = 0;
                if is_confirmed || self.has_stills && goes_on { Repeat::Static } else { Repeat::Frozen }
            }
            last => {
                let mut is_intra = is_intra;
                match last {
                    Some(last) if last.session == unit.session => is_intra &= last.is_intra,
                    Some(Seen { print, is_repeated: true, .. }) => self.before = Some(*print),
                    _ => {}
                }
                let AccessUnit { session, rtp_time, .. } = *unit;
                *last = Some(Seen { session, print, rtp_time, is_repeated: false, is_intra });
                self.new_in_a_row = self.new_in_a_row.saturating_add(1);
                self.has_stills &= is_intra && self.new_in_a_row < NO_STILLS;
                Repeat::New
            }
        }
    }
}

fn print(data: &[u8]) -> (usize, u64) {
    let mut hasher = DefaultHasher::new();
    data.hash(&mut hasher);
    (data.len(), hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::Repeat::{Frozen, New, Static};
    use super::*;
    use crate::queue::Codec;
    use std::time::Instant;

    fn handle(repeats: &mut Repeats, session: u64, data: &[u8]) -> Repeat {
        repeats.handle(&unit(Codec::H264, session, data, false))
    }

    fn unit(codec: Codec, session: u64, data: &[u8], key: bool) -> AccessUnit {
        AccessUnit { session, codec, data: data.to_vec(), key, rtp_time: 0, captured: Instant::now() }
    }

    /// A source that sends nothing but key frames, by its clock of 10 pictures a second.
    struct Slides {
        codec: Codec,
        repeats: Repeats,
        time: u32,
    }

    impl Slides {
        fn new(codec: Codec) -> Self {
            Self { codec, repeats: Repeats::default(), time: 0 }
        }

        /// Sends it four times.
        fn show(&mut self, session: u64, slide: &[u8]) -> [Repeat; 4] {
            [(); 4].map(|()| {
                self.time = self.time.wrapping_add(9_000);
                let unit = unit(self.codec, session, slide, self.codec != Codec::Jpeg);
                self.repeats.handle(&AccessUnit { rtp_time: self.time, ..unit })
            })
        }
    }

    const FROZEN: [Repeat; 4] = [New, Frozen, Frozen, Frozen];
    const STATIC: [Repeat; 4] = [New, Static, Static, Static];

    #[test]
    fn slides_cost_one_new_session_and_then_none() {
        for codec in [Codec::Jpeg, Codec::H264, Codec::H265] {
            let mut slides = Slides::new(codec);
            assert_eq!(slides.show(1, b"a"), FROZEN);
            assert_eq!(slides.show(2, b"a"), STATIC);
            for slide in 0..100_u8 {
                assert_eq!(slides.show(2, &[slide]), STATIC, "{codec:?}, slide {slide}");
            }
            assert_eq!(slides.show(3, b"z"), STATIC, "whatever else ended the session");
        }
    }

    #[test]
    fn a_source_of_slides_whose_clock_stands_still_is_frozen() {
        let mut slides = Slides::new(Codec::Jpeg);
        slides.show(1, b"a");
        assert_eq!(slides.show(2, b"a"), STATIC);
        let mut again = || slides.repeats.handle(&unit(Codec::Jpeg, 2, b"b", true));
        assert_eq!([again(), again(), again()], [New, Frozen, Frozen]);
    }

    #[test]
    fn a_camera_with_pictures_between_its_key_frames_is_frozen_each_time_it_freezes() {
        for codec in [Codec::H264, Codec::H265] {
            let mut camera = Slides::new(codec);
            for session in 1..=9_u8 {
                let picture = unit(codec, session.into(), &[session, 1], false);
                assert_eq!(camera.repeats.handle(&picture), New);
                assert_eq!(camera.show(session.into(), &[session]), FROZEN, "{codec:?}, session {session}");
            }
            // It is still frozen when it is asked again, and then awakes.
            assert_eq!(camera.show(10, &[9]), STATIC);
            assert_eq!(camera.repeats.handle(&unit(codec, 10, b"p", false)), New);
            assert_eq!(camera.show(10, b"again"), FROZEN);
        }
    }

    #[test]
    fn a_camera_that_has_shown_noise_for_long_enough_can_freeze() {
        let mut camera = Slides::new(Codec::Jpeg);
        camera.show(1, b"a");
        assert_eq!(camera.show(2, b"a"), STATIC);
        for number in 0..NO_STILLS {
            let picture = unit(Codec::Jpeg, 2, &number.to_be_bytes(), true);
            assert_eq!(camera.repeats.handle(&picture), New);
        }
        assert_eq!(camera.show(2, b"b"), FROZEN);
    }

    #[test]
    fn the_same_bytes_in_a_row_are_frozen_until_something_else_comes() {
        let mut repeats = Repeats::default();
        let seen: Vec<Repeat> =
            [b"a", b"b", b"b", b"b", b"a", b"b"].map(|data| handle(&mut repeats, 1, data)).into();
        assert_eq!(seen, [New, New, Frozen, Frozen, New, New]);
    }

    #[test]
    fn skipped_pictures_that_count_on_are_a_live_scene() {
        let mut repeats = Repeats::default();
        for frame_num in 0..1_000u32 {
            assert_eq!(handle(&mut repeats, 1, &[0, 0, 1, 0x41, (frame_num % 16) as u8]), New);
        }
    }

    #[test]
    fn what_a_new_session_repeats_too_is_what_the_camera_sees() {
        let mut repeats = Repeats::default();
        assert_eq!([b"a", b"a"].map(|data| handle(&mut repeats, 1, data)), [New, Frozen]);
        assert_eq!([b"a", b"a", b"a"].map(|data| handle(&mut repeats, 2, data)), [New, Static, Static]);
        assert_eq!([b"b", b"b"].map(|data| handle(&mut repeats, 2, data)), [New, Frozen]);
        assert_eq!([b"c", b"c"].map(|data| handle(&mut repeats, 3, data)), [New, Frozen]);
    }
}
