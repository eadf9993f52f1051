//! Packets that came by UDP, put in order (RFC 3550 section 5.1), and the verdict on whether UDP is good enough.
//!
//! Neither clocks nor sockets: call [`Reorder::handle`] with each datagram, *all* that wait in the socket before time
//! is let pass, so that a machine that slept does not take them for lost; then [`Reorder::poll`] until it returns
//! `None`, now and at [`Reorder::next_deadline`]. Whose packets they are and how gaps are shown is decided behind this, by
//! [`super::rtp::Continuity`].

mod losses;
mod reception;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub(crate) use losses::{LossReport, Path};
pub(crate) use reception::{Block, Reception};

use self::losses::Losses;
use super::rtp::{Candidate, Header, MAX_DROPOUT, MAX_MISORDER, Recent, Seen};

/// Packets that wait for one that is missing. A network displaces by a few; a hundred would be two key frames' worth
/// of memory and no picture would be the better for it.
const DEPTH: usize = 64;
/// How long they wait: less than two pictures at 25 fps, more than a wireless link needs to send again.
const WAIT: Duration = Duration::from_millis(60);
/// A slow stream's next packets take longer than that. It waits until so many packets have overtaken the missing one,
const OVERTAKEN_BY: usize = 8;
/// but never longer than this.
const LONGEST_WAIT: Duration = Duration::from_millis(250);
/// The first packet to arrive need not be the first one, and a picture that begins with the wrong packet costs all up
/// to the next key frame. So many packets are looked at, or as many as come in [`WAIT`], before the first goes on.
const BEGINNING: usize = OVERTAKEN_BY;

/// One stream of one session.
#[derive(Debug, Default)]
pub(crate) struct Reorder {
    current: Option<Current>,
    candidate: Option<Candidate>,
    /// Sorted by number; the first one is not the one that is due.
    held: VecDeque<Held>,
    ready: VecDeque<Vec<u8>>,
    losses: Losses,
    reordered: u64,
    duplicates: u64,
}

/// The numbering that is followed.
#[derive(Debug)]
struct Current {
    ssrc: u32,
    due: u16,
    recent: Recent,
    /// Until then an earlier packet than the earliest may come.
    begins_until: Option<Instant>,
}

#[derive(Debug)]
struct Held {
    sequence: u16,
    came: Instant,
    packet: Vec<u8>,
}

impl Reorder {
    /// Takes a datagram from the RTP port.
    pub(crate) fn handle(&mut self, now: Instant, packet: Vec<u8>) {
        // What is no RTP is not ordered but judged by others.
        let Some(header) = Header::parse(&packet) else { return self.ready.push_back(packet) };
        if header.is_geovision_junk() {
            return;
        }
        let Some(current) = &mut self.current else {
            self.begin(now, &header, packet);
            return self.hold_the_beginning(now);
        };
        let behind = current.due.wrapping_sub(header.sequence);
        if current.begins_until.is_some()
            && current.ssrc == header.ssrc
            && (1..MAX_MISORDER).contains(&behind)
        {
            current.due = header.sequence;
        }
        let ahead = header.sequence.wrapping_sub(current.due);
        let is_far = ahead > MAX_DROPOUT && ahead < 0_u16.wrapping_sub(MAX_MISORDER);
        if current.ssrc != header.ssrc || is_far {
            return self.of_another(now, &header, packet);
        }
        if ahead > MAX_DROPOUT {
            return match current.recent.look(&header) {
                Seen::Before => self.duplicates += 1,
                Seen::Never => self.losses.came_late(now),
                Seen::Otherwise => self.of_another(now, &header, packet),
            };
        }
        self.candidate = None;
        self.losses.received(now);
        if ahead == 0 && current.begins_until.is_none() {
            current.recent.note(&header);
            current.due = header.sequence.wrapping_add(1);
            self.reordered += u64::from(!self.held.is_empty());
            self.ready.push_back(packet);
            self.release_what_is_due();
        } else {
            self.hold(now, &header, packet);
        }
    }

    /// The next packet in order. Numbers whose time is up are passed over.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.begins_until().is_some_and(|until| until <= now) {
            self.release_what_is_due();
        }
        while self.ready.is_empty() && self.gives_up_at().is_some_and(|deadline| deadline <= now) {
            self.pass_over_the_gap(now);
        }
        self.ready.pop_front()
    }

    /// When [`Reorder::poll`] has something to do without a new datagram.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.gives_up_at()
    }

    /// What was lost lately, and what that says about UDP.
    pub(crate) fn losses(&mut self, now: Instant) -> LossReport {
        self.losses.report(now)
    }

    /// Packets that later ones had overtaken, and that were put in their place.
    pub(crate) fn reordered(&self) -> u64 {
        self.reordered
    }

    /// Packets that came twice.
    pub(crate) fn duplicates(&self) -> u64 {
        self.duplicates
    }

    fn begin(&mut self, now: Instant, header: &Header, packet: Vec<u8>) {
        let mut recent = Recent::default();
        recent.note(header);
        self.losses.received(now);
        let due = header.sequence.wrapping_add(1);
        self.current = Some(Current { ssrc: header.ssrc, due, recent, begins_until: None });
        self.ready.push_back(packet);
    }

    /// Takes the first packet back, to look at some more.
    fn hold_the_beginning(&mut self, now: Instant) {
        let (Some(current), Some(packet)) = (&mut self.current, self.ready.pop_back()) else { return };
        current.due = current.due.wrapping_sub(1);
        current.begins_until = Some(now + WAIT);
        self.held.push_back(Held { sequence: current.due, came: now, packet });
    }

    /// A stray or the first of a new numbering: not held, because what is due next to it is not known; adopted when
    /// another one follows it, by the same rule as behind us.
    fn of_another(&mut self, now: Instant, header: &Header, packet: Vec<u8>) {
        if !Candidate::follow(&mut self.candidate, header).is_believed() {
            return self.ready.push_back(packet);
        }
        self.candidate = None;
        self.ready.extend(self.held.drain(..).map(|held| held.packet));
        self.begin(now, header, packet);
    }

    fn hold(&mut self, now: Instant, header: &Header, packet: Vec<u8>) {
        let Some(current) = &mut self.current else { return };
        let distance = |sequence: u16| sequence.wrapping_sub(current.due);
        let place = self.held.partition_point(|held| distance(held.sequence) < distance(header.sequence));
        if self.held.get(place).is_some_and(|held| held.sequence == header.sequence) {
            self.duplicates += 1;
            self.losses.came_twice(now);
            return;
        }
        current.recent.note(header);
        self.reordered += u64::from(place < self.held.len());
        self.held.insert(place, Held { sequence: header.sequence, came: now, packet });
        if self.held.len() > DEPTH {
            self.pass_over_the_gap(now);
        } else if self.held.len() >= BEGINNING && self.begins_until().is_some() {
            self.release_what_is_due();
        }
    }

    fn release_what_is_due(&mut self) {
        let Some(current) = &mut self.current else { return };
        current.begins_until = None;
        while self.held.front().is_some_and(|held| held.sequence == current.due) {
            current.due = current.due.wrapping_add(1);
            self.ready.extend(self.held.pop_front().map(|held| held.packet));
        }
    }

    fn pass_over_the_gap(&mut self, now: Instant) {
        let (Some(current), Some(held)) = (&mut self.current, self.held.front()) else { return };
        self.losses.lost(now, held.sequence.wrapping_sub(current.due));
        current.due = held.sequence;
        self.release_what_is_due();
    }

    fn begins_until(&self) -> Option<Instant> {
        self.current.as_ref().and_then(|current| current.begins_until)
    }

    fn gives_up_at(&self) -> Option<Instant> {
        if let Some(begins_until) = self.begins_until() {
            return Some(begins_until);
        }
        let first_overtook = self.held.iter().map(|held| held.came).min()?;
        let wait = if self.held.len() >= OVERTAKEN_BY { WAIT } else { LONGEST_WAIT };
        Some(first_overtook + wait)
    }
}

#[cfg(test)]
mod tests;
