//! Frozen cameras that go on sending (failure C2): the last access unit again and again, byte by byte.
//!
//! A scene without any movement is not that. In H.264 and H.265 two access units in a row differ at least in a count in
//! their slice headers (frame_num, idr_pic_id, picture order count), so only a broken camera sends the same bytes twice.
//! Some encoders leave even these counts alone when every picture is a key frame: a camera that was connected to anew
//! and still sends the very same bytes films something that does not change, and is believed.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::queue::AccessUnit;

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
}

#[derive(Debug)]
struct Seen {
    session: u64,
    print: (usize, u64),
    is_repeated: bool,
}

impl Repeats {
    pub(super) fn handle(&mut self, unit: &AccessUnit) -> Repeat {
        let print = print(&unit.data);
        match &mut self.last {
            Some(last) if last.session == unit.session && last.print == print => {
                last.is_repeated = true;
                let is_plausible = self.before == Some(print);
                if is_plausible { Repeat::Static } else { Repeat::Frozen }
            }
            last => {
                if let Some(Seen { session, print, is_repeated: true }) = last
                    && *session != unit.session
                {
                    self.before = Some(*print);
                }
                *last = Some(Seen { session: unit.session, print, is_repeated: false });
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
        let (codec, data, captured) = (Codec::H264, data.to_vec(), Instant::now());
        repeats.handle(&AccessUnit { session, codec, data, key: false, captured })
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
