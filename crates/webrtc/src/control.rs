//! What a viewer is sent is kept to what its path carries: reports in, a level out. Never ends a viewer.
//!
//! With transport-wide reports the delivered rate is known, and more is tried only after a train of copies has come
//! through fast enough. Without, receiver reports tell losses and the round trip, and trying is all there is. Silence,
//! too, is heeded: after a second and a half without a word nothing is sent but a packet now and then, so that what is
//! under way stays bounded; the first word after it asks for a key frame.

use std::time::{Duration, Instant};

use crate::backlog::Backlog;
use crate::congestion::{Congestion, Limit, Sample};
use crate::gate::Room;
use crate::ladder::{Ladder, Level};
use crate::packetise::{PacketisedFrame, Rates};
use crate::transport_cc::Arrivals;

/// Without a word for so long, nothing arrives. Chromium reports every 50 to 250 ms.
const SILENCE: Duration = Duration::from_millis(1500);
/// The same for viewers that send receiver reports alone, every second or every five: this, and more where they take
/// longer.
const SILENCE_OF_REPORTS: Duration = Duration::from_secs(3);
/// The same before it is known how often they come: RFC 3550 section 6.2 makes it 5 s, and up to half as much again.
const SILENCE_OF_FIRST_REPORTS: Duration = Duration::from_secs(8);
/// How long it takes until what was changed shows, and until more is tried: by reports of arrivals, and by receiver
/// reports, where a try is seen by the viewer.
const PACE: (Duration, Duration) = (Duration::from_millis(1500), Duration::from_secs(5));
const PACE_OF_REPORTS: (Duration, Duration) = (Duration::from_millis(3200), Duration::from_secs(10));
/// While it is silent: a packet this often, to hear at once when the path is back.
const KNOCK: Duration = Duration::from_millis(200);
/// How long a train takes at the rate that it is to show.
const TRAIN: Duration = Duration::from_millis(40);
const MIN_TRAIN: usize = 16 * 1200;
/// A train that nobody has reported on by then was lost.
const TRAIN_LOST: Duration = Duration::from_secs(2);

/// What a receiver report says of our stream (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// Since the beginning, before retransmission.
    pub(crate) lost: i64,
    /// The highest sequence number that came, with the receiver's count of rollovers.
    pub(crate) highest: u32,
    pub(crate) rtt: Option<Duration>,
}

pub(crate) struct Control {
    start: Instant,
    /// Packets are numbered for reports, and copies may be sent to be reported on.
    can_measure: bool,
    congestion: Congestion,
    ladder: Ladder,
    backlog: Backlog,
    /// Since when something is on its way and nothing was heard.
    unanswered: Option<Instant>,
    hears_arrivals: bool,
    last_report: Option<(Instant, Report)>,
    slowest_reports: Duration,
    next_knock: Option<Instant>,
    /// A train is on its way, and lost if nothing is heard of it by then.
    train: Option<Instant>,
    estimate_bps: Option<u64>,
}

/// Copies to be sent for the sake of the report on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Padding {
    pub(crate) bytes: usize,
}

impl Control {
    /// `can_measure`: reports come by transport-wide numbers, and there is a stream for copies.
    pub(crate) fn new(now: Instant, can_measure: bool, bitrates: Box<[u64]>) -> Self {
        Self {
            start: now,
            can_measure,
            congestion: Congestion::default(),
            ladder: Ladder::new(bitrates),
            backlog: Backlog::default(),
            unanswered: None,
            hears_arrivals: false,
            last_report: None,
            slowest_reports: Duration::ZERO,
            next_knock: None,
            train: None,
            estimate_bps: None,
        }
    }

    /// What is to be sent.
    pub(crate) fn level(&self) -> Level {
        self.ladder.level()
    }

    pub(crate) fn limited_by(&self) -> Option<Limit> {
        self.ladder.limited_by()
    }

    /// The path does not even carry half of the frames of what is sent.
    pub(crate) fn is_far_too_much(&self, rates: Rates) -> bool {
        self.congestion.overload().is_some_and(|overload| overload.carries_bps < rates.kept_bps)
    }

    /// What the path was seen to carry.
    pub(crate) fn estimate_bps(&self) -> Option<u64> {
        self.estimate_bps
    }

    /// Nothing has been heard for so long that nothing is sent any more.
    pub(crate) fn is_silent(&self, now: Instant) -> bool {
        let patience = match (self.hears_arrivals, self.last_report) {
            (true, _) => SILENCE,
            (false, Some(_)) if self.slowest_reports.is_zero() => SILENCE_OF_FIRST_REPORTS,
            (false, Some(_)) => SILENCE_OF_REPORTS.max(self.slowest_reports * 5 / 2),
            // It has never said anything: nobody knows whether it ever will.
            (false, None) => return false,
        };
        self.unanswered.is_some_and(|since| since + patience <= now)
    }

    /// A frame of `rendition` leaves.
    pub(crate) fn handle_sent(&mut self, now: Instant, rendition: usize, frame: &PacketisedFrame) {
        self.unanswered.get_or_insert(now);
        self.ladder.set_rates(rendition, frame.rates);
        self.backlog.add(now, self.ladder.carried_at_least(rendition), frame.key, frame.len());
    }

    /// What there is on a path that is known to be narrow; any other is taken to carry whatever comes.
    pub(crate) fn room(&self, now: Instant) -> Room {
        match self.limited_by() {
            Some(Limit::Delay | Limit::Loss) => self.backlog.room(now),
            Some(Limit::Rendition) | None => Room::Drained,
        }
    }

    pub(crate) fn handle_arrivals(&mut self, now: Instant, arrivals: Arrivals) {
        self.hears_arrivals = true;
        self.ladder.set_pace(PACE.0, PACE.1);
        if arrivals.packets == 0 {
            return;
        }
        self.heard(now);
        self.congestion.add(Sample {
            at: now,
            packets: arrivals.packets,
            bytes: arrivals.bytes,
            missing: arrivals.missing,
            last_us: arrivals.last_us,
            transit_us: Some(arrivals.transit_us),
        });
        if let (Some(bps), Some(_)) = (arrivals.train_bps, self.train) {
            if bps > 0 {
                self.estimate_bps = Some(bps.min(2 * self.ladder.aim_bps()));
            }
            return self.measured(now, bps);
        }
        self.judge(now);
    }

    /// `packet` is what a packet of ours has, in bytes.
    pub(crate) fn handle_report(&mut self, now: Instant, report: Report, packet: u64) {
        let Some((before, last)) = self.last_report.replace((now, report)) else { return self.heard(now) };
        let came = report.highest.wrapping_sub(last.highest).cast_signed();
        if came <= 0 {
            // Without a packet on its way, only a word says that the path is back.
            if self.is_silent(now) && !(self.can_measure && self.hears_arrivals) {
                self.heard(now);
            }
            return;
        }
        self.slowest_reports = self.slowest_reports.max(now - before).min(Duration::from_secs(10));
        self.heard(now);
        if self.hears_arrivals {
            return;
        }
        self.ladder.set_pace(PACE_OF_REPORTS.0, PACE_OF_REPORTS.1);
        let missing = (report.lost - last.lost).clamp(0, i64::from(came)) as i32;
        self.congestion.add(Sample {
            at: now,
            packets: (came - missing) as u32,
            bytes: (came - missing) as u64 * packet,
            missing,
            last_us: now.saturating_duration_since(self.start).as_micros() as i64,
            transit_us: report.rtt.map(|rtt| rtt.as_micros() as i64),
        });
        self.judge(now);
    }

    /// What is sent is what was meant to be sent.
    pub(crate) fn handle_in_effect(&mut self, now: Instant) {
        self.congestion.forget();
        self.ladder.handle_in_effect(now);
    }

    /// The rendition that was waited for does not come; `stays` is what is sent.
    pub(crate) fn handle_no_show(&mut self, now: Instant, stays: usize) {
        self.ladder.handle_no_show(now, stays);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let tries = self.train.or(self.ladder.next_try());
        tries.into_iter().chain(self.next_knock).min()
    }

    /// What is to be sent for its own sake, if anything. Nothing is tried while `is_changing`.
    pub(crate) fn handle_timeout(&mut self, now: Instant, is_changing: bool) -> Option<Padding> {
        if self.next_knock.is_some_and(|due| due <= now) {
            self.next_knock = self.is_silent(now).then_some(now + KNOCK);
            return self.next_knock.map(|_| Padding { bytes: 1 });
        }
        if self.train.is_some_and(|lost| lost <= now) {
            self.measured(now, 0);
            return None;
        }
        if self.train.is_some() || self.ladder.next_try().is_none_or(|due| now < due) {
            return None;
        }
        if is_changing || self.is_silent(now) || !self.congestion.is_clear(now) {
            self.ladder.postpone(now);
            return None;
        }
        if self.can_measure && self.hears_arrivals {
            self.train = Some(now + TRAIN_LOST);
            self.ladder.handle_in_effect(now);
            let bytes = (self.ladder.aim_bps() as f64 / 8.0 * TRAIN.as_secs_f64()) as usize;
            return Some(Padding { bytes: bytes.max(MIN_TRAIN) });
        }
        self.ladder.handle_try(now);
        None
    }

    /// A frame could not be sent because of the silence.
    pub(crate) fn handle_withheld(&mut self, now: Instant) {
        if self.can_measure {
            self.next_knock.get_or_insert(now);
        }
    }

    fn heard(&mut self, now: Instant) {
        if self.is_silent(now) {
            // What comes first has waited for whatever was in its way, a machine without time for it included.
            self.handle_in_effect(now);
        }
        (self.unanswered, self.next_knock) = (None, None);
    }

    fn measured(&mut self, now: Instant, bps: u64) {
        self.train = None;
        // The queue that the train has made is nobody's fault.
        self.handle_in_effect(now);
        self.ladder.handle_measured(now, bps);
    }

    fn judge(&mut self, now: Instant) {
        let carried = self.congestion.carries_bps();
        match self.congestion.overload() {
            Some(overload) => {
                self.estimate_bps = Some(carried);
                self.ladder.handle_overload(now, overload);
            }
            None => {
                self.ladder.handle_carried(now);
                self.estimate_bps = self.estimate_bps.max(Some(carried).filter(|&carried| carried > 0));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packetise::Rates;
    use crate::packetise::frames::of_slice;

    #[test]
    fn a_viewer_that_reports_every_five_seconds_is_not_taken_for_silent_between() {
        let start = Instant::now();
        let mut control = Control::new(start, false, vec![4_000_000].into());
        let rates = Rates { all_bps: 4_000_000, kept_bps: 4_000_000 };
        let frame = of_slice(0x41, 0, 20_000, rates);
        let mut highest = 0;
        for millisecond in (0..30_000_u64).step_by(40) {
            let now = start + Duration::from_millis(millisecond);
            // GStreamer's first comes early, and up to seven seconds lie between the others.
            if [2_600, 9_400, 14_000, 20_400, 26_000].contains(&(millisecond / 200 * 200))
                && millisecond % 200 == 0
            {
                highest += 2_000;
                control.handle_report(now, Report { lost: 0, highest, rtt: None }, 1_200);
            }
            assert!(!control.is_silent(now), "after {millisecond} ms");
            control.handle_sent(now, 0, &frame);
        }
        let later = start + Duration::from_secs(60);
        assert!(control.is_silent(later), "but when it has gone it is");
    }
}
