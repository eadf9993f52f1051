//! What `retina` holds on to while it puts a picture together. It ends pictures by rules of its own (parameter sets and SEI end
//! none, whatever markers and timestamps say) and keeps whole packets, reports between them included, so what it is given
//! since the last picture that came out is counted, and not what we think a picture is.

use std::sync::atomic::Ordering::Relaxed;

use crate::gate::Pictures;

/// Four times the largest picture, because what is under way between the gate and `retina` (sockets, 10 MiB at most)
/// counts as held.
const MAX_HELD: usize = 32 << 20;
/// What a packet costs beside its bytes: the mark of the interleaved packet, and `retina`'s notes about its pieces.
const PER_PACKET: usize = 64;

/// Counts what was given since the last picture.
#[derive(Debug)]
pub(super) struct Hoard {
    pictures: Pictures,
    known: u64,
    held: usize,
}

/// More is held than any picture needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMuch;

impl Hoard {
    pub(super) fn new(pictures: Pictures) -> Self {
        Self { pictures, known: 0, held: 0 }
    }

    /// A packet of so many bytes was given, RTP or RTCP.
    ///
    /// # Errors
    /// If more was given without a picture than [`MAX_HELD`].
    pub(super) fn handle(&mut self, bytes: usize) -> Result<(), TooMuch> {
        let pictures = self.pictures.0.load(Relaxed);
        if std::mem::replace(&mut self.known, pictures) != pictures {
            self.held = 0;
        }
        self.held = self.held.saturating_add(bytes + PER_PACKET);
        if self.held > MAX_HELD { Err(TooMuch) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_without_a_picture_is_counted_and_a_picture_lets_it_go() {
        let pictures = Pictures::default();
        let mut hoard = Hoard::new(pictures.clone());
        for _ in 0..100 {
            (0..16).for_each(|_| assert_eq!(hoard.handle(1 << 20), Ok(())));
            pictures.0.fetch_add(1, Relaxed);
        }
        let given = (0..100_000_000).take_while(|_| hoard.handle(0).is_ok()).count();
        assert!(given <= MAX_HELD / PER_PACKET, "empty packets are no cheaper way: {given}");
        assert_eq!(hoard.handle(0), Err(TooMuch));
    }
}
