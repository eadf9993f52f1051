//! Which losses are too many. The measure is pictures, not packets: without retransmission one lost packet spoils every
//! picture up to the next key frame, which is a second or more away, and TCP is always to be had instead.

use std::time::Instant;

/// The window, in seconds.
const WINDOW: usize = 10;
/// Seconds with losses within the window that are still put up with: a passing trouble, like a wireless link that
/// changes its channel, touches one or two.
const SPOILT_SECONDS: usize = 2;

/// What became of the packets of the last ten seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LossReport {
    pub(crate) received: u32,
    pub(crate) lost: u32,
    /// Seconds in which something was lost.
    pub(crate) spoilt_seconds: usize,
    pub(crate) path: Path,
}

/// Whether UDP is good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    Good,
    /// Too much is lost: the camera is better asked again over TCP.
    FallBack,
}

/// Counts per second. Losses that turn out to be only late ones are taken back, so a network that reorders and loses
/// nothing is never condemned.
#[derive(Debug, Default)]
pub(super) struct Losses {
    begin: Option<Instant>,
    /// The second that `seconds[newest % WINDOW]` is about.
    newest: u64,
    seconds: [Second; WINDOW],
}

#[derive(Debug, Clone, Copy, Default)]
struct Second {
    received: u32,
    lost: u32,
}

impl Losses {
    pub(super) fn received(&mut self, now: Instant) {
        self.second(now).received += 1;
    }

    pub(super) fn lost(&mut self, now: Instant, packets: u16) {
        let second = self.second(now);
        second.lost = second.lost.saturating_add(packets.into());
    }

    /// One that was counted lost has arrived after all. When it was is not known; the newest losses are the likeliest.
    pub(super) fn came_late(&mut self, now: Instant) {
        self.received(now);
        let newest_first = (0..WINDOW as u64).map(|age| self.newest.wrapping_sub(age) as usize % WINDOW);
        if let Some(spoilt) = newest_first.into_iter().find(|&at| self.seconds[at].lost > 0) {
            self.seconds[spoilt].lost -= 1;
        }
    }

    /// The packet just counted was a copy.
    pub(super) fn came_twice(&mut self, now: Instant) {
        let second = self.second(now);
        second.received = second.received.saturating_sub(1);
    }

    pub(super) fn report(&mut self, now: Instant) -> LossReport {
        self.second(now);
        let spoilt_seconds = self.seconds.iter().filter(|second| second.lost > 0).count();
        LossReport {
            received: self.seconds.iter().map(|second| second.received).sum(),
            lost: self.seconds.iter().fold(0, |sum, second| sum.saturating_add(second.lost)),
            spoilt_seconds,
            path: if spoilt_seconds > SPOILT_SECONDS { Path::FallBack } else { Path::Good },
        }
    }

    fn second(&mut self, now: Instant) -> &mut Second {
        let begin = *self.begin.get_or_insert(now);
        let number = now.saturating_duration_since(begin).as_secs();
        while self.newest < number {
            // After a long silence there is nothing to keep, and no need to count through it.
            self.newest = (self.newest + 1).max(number.saturating_sub(WINDOW as u64));
            self.seconds[self.newest as usize % WINDOW] = Second::default();
        }
        &mut self.seconds[self.newest as usize % WINDOW]
    }
}
