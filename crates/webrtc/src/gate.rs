//! Which frames may pass when some could not: none before a key frame, none after a gap up to the next.

/// Stands before anything that decodes: a viewer, or everything behind a thread.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Nothing has passed yet; the first key frame opens.
    Joining,
    Open,
    /// A frame found no room; the next key frame that does opens.
    Lost {
        asked: bool,
    },
}

/// How much of what lies behind the gate is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Room {
    /// All of it: whoever was slow has caught up.
    Drained,
    Some,
    None,
}

/// What is to become of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    /// Before the first key frame.
    NotYet,
    Dropped,
    /// Dropped, and the time to ask for a key frame has come.
    DroppedAsk,
    /// Dropped, and what comes after does not need it.
    LeftOut,
}

impl Gate {
    /// A key frame is asked for once whoever was slow has caught up, not before: one that stays slow must not turn the
    /// stream into key frames.
    pub(crate) fn offer(&mut self, key: bool, room: Room) -> Verdict {
        if key || *self == Self::Open {
            if room != Room::None {
                *self = Self::Open;
                return Verdict::Pass;
            }
            *self = Self::Lost { asked: false };
        }
        match self {
            Self::Joining | Self::Open => Verdict::NotYet,
            Self::Lost { asked: asked @ false } if room == Room::Drained => {
                *asked = true;
                Verdict::DroppedAsk
            }
            Self::Lost { .. } => Verdict::Dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_passes_before_the_first_key_frame() {
        let mut gate = Gate::Joining;
        assert_eq!(gate.offer(false, Room::Drained), Verdict::NotYet);
        assert_eq!(gate.offer(true, Room::Drained), Verdict::Pass);
        assert_eq!(gate.offer(false, Room::Some), Verdict::Pass);
    }

    #[test]
    fn after_a_gap_everything_is_dropped_up_to_the_next_key_frame_with_room() {
        let mut gate = Gate::Open;
        assert_eq!(gate.offer(false, Room::None), Verdict::Dropped);
        assert_eq!(
            gate.offer(true, Room::None),
            Verdict::Dropped,
            "a key frame that finds no room is dropped, too"
        );
        assert_eq!(gate.offer(false, Room::Some), Verdict::Dropped, "room is no use without a key frame");
        assert_eq!(gate.offer(true, Room::Some), Verdict::Pass);
        assert_eq!(gate.offer(false, Room::None), Verdict::Dropped, "full again");
    }

    #[test]
    fn a_key_frame_is_asked_for_once_when_the_slow_one_has_caught_up() {
        let mut gate = Gate::Open;
        assert_eq!(gate.offer(false, Room::None), Verdict::Dropped);
        assert_eq!(gate.offer(false, Room::Some), Verdict::Dropped, "not while it is behind");
        assert_eq!(gate.offer(false, Room::Drained), Verdict::DroppedAsk);
        assert_eq!(gate.offer(false, Room::Drained), Verdict::Dropped, "asked already");
        assert_eq!(gate.offer(true, Room::Drained), Verdict::Pass);
    }
}
