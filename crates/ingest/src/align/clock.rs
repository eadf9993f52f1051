//! When a camera took its pictures, on our monotonic clock. One [`SourceClock`] for each session.
//!
//! Two sources say it, and both are always listened to, so that either can take over at any picture:
//! - [`reports`]: sender reports (RFC 3550 section 6.4.1) tie RTP time to the camera's wall clock. That is the
//!   better one, because what the network does cannot be seen in it, but it needs a camera whose clock is set.
//! - [`arrivals`]: the times of arrival, smoothed by RTP time. What a camera and its network delay all of its
//!   pictures by stays unknown.
//!
//! Nothing here is believed for longer than it is plausible: clocks of cameras step, stand still and run at other rates
//! than they say, and so does our own wall clock.

mod arrivals;
mod reports;

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::tile::Moment;
use arrivals::Arrivals;
use reports::Reports;
pub(crate) use reports::SenderReport;

/// Tells when pictures were taken. Hand it every sender report and every picture, in the order they came.
#[derive(Debug)]
pub(crate) struct SourceClock {
    arrivals: Arrivals,
    reports: Reports,
    basis: Basis,
}

/// What the time of a picture is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Basis {
    /// When it arrived: the camera's clock is not set, or unknown.
    #[default]
    Arrival,
    /// The camera's own clock, by its sender reports.
    Reports,
}

impl Basis {
    /// `camera` or `arrival`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Arrival => "arrival",
            Self::Reports => "camera",
        }
    }
}

impl SourceClock {
    /// A clock for a stream whose RTP time makes so many ticks a second.
    pub(crate) fn new(clock_rate: NonZeroU32) -> Self {
        Self {
            arrivals: Arrivals::new(clock_rate),
            reports: Reports::new(clock_rate),
            basis: Basis::default(),
        }
    }

    pub(crate) fn handle_report(&mut self, report: SenderReport, arrived: Instant) {
        self.reports.handle_report(report, arrived);
    }

    /// When the picture with this RTP time was taken. Pictures come in decoding order, which B-frames make another one
    /// than that of their times.
    pub(crate) fn handle_picture(&mut self, rtp: u32, arrived: Moment) -> Instant {
        let by_arrival = self.arrivals.handle_picture(rtp, arrived.mono);
        let by_report = self.reports.handle_picture(rtp, arrived);
        self.basis = if by_report.is_some() { Basis::Reports } else { Basis::Arrival };
        by_report.unwrap_or(by_arrival)
    }

    /// What the last picture's time was taken from.
    pub(crate) fn basis(&self) -> Basis {
        self.basis
    }
}

/// From one RTP time to another, the shorter way round, in ticks.
fn ticks(from: u32, to: u32) -> i64 {
    // Modulo 2^32 by definition (RFC 3550 section 5.1).
    i64::from(to.wrapping_sub(from) as i32)
}

/// `at` and so many nanoseconds; `at` itself where the clock ends.
fn shifted(at: Instant, nanos: i64) -> Instant {
    let by = Duration::from_nanos(nanos.unsigned_abs());
    if nanos < 0 { at.checked_sub(by) } else { at.checked_add(by) }.unwrap_or(at)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
