//! Capture times by sender reports (RFC 3550 section 6.4.1): each says which RTP time it was at which time of the
//! camera's own wall clock.
//!
//! Whether reports agree with each other is judged in the camera's time alone, so that a step of our wall clock cannot
//! be mistaken for one of the camera. Whether they make sense is judged picture by picture against our wall clock as it
//! is at that moment: when our clock steps, all cameras follow it at the same picture and stay in step, or all fall back.

use std::num::NonZeroU32;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{shifted, ticks};
use crate::tile::Moment;

/// What a sender report says of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SenderReport {
    /// The camera's wall clock: 32 bits of seconds since 1900, modulo 2^32, and 32 bits of their fraction.
    pub(crate) ntp: u64,
    /// The RTP time at that moment.
    pub(crate) rtp: u32,
}

/// A picture may be so old when it arrives. What takes longer on its way is more likely a clock that is wrong.
const OLDEST: Duration = Duration::from_secs(2);
/// A picture cannot come before it was taken; clocks set by NTP differ by some milliseconds.
const NEWEST: Duration = Duration::from_millis(50);
/// Reports that are no further apart are noise of the camera: it reads two clocks, and may be interrupted in between.
const NOISE: Duration = Duration::from_millis(20);
/// Of a difference within the noise this part is followed: 200 ppm of drift and a report every 5 s leave 4 ms.
const FOLLOWED: i64 = 4;
/// Further apart, something has jumped: the camera's clock was set, or its RTP time began anew.
const JUMP: Duration = Duration::from_millis(100);
/// Without a report for so long, drift may have added up.
const STALE: Duration = Duration::from_secs(120);

/// Seconds between 1900, where NTP begins, and 1970.
const NTP_UNIX_OFFSET: u64 = 2_208_988_800;

#[derive(Debug)]
pub(super) struct Reports {
    clock_rate: NonZeroU32,
    believed: Option<Believed>,
    /// A report that contradicts what is believed, until the next one takes sides.
    doubt: Option<SenderReport>,
}

#[derive(Debug, Clone, Copy)]
struct Believed {
    report: SenderReport,
    /// When a report last said so.
    confirmed: Instant,
    /// The last picture's time made sense by it.
    is_plausible: bool,
}

impl Reports {
    pub(super) fn new(clock_rate: NonZeroU32) -> Self {
        Self { clock_rate, believed: None, doubt: None }
    }

    pub(super) fn handle_report(&mut self, report: SenderReport, arrived: Instant) {
        // "No wall clock" (RFC 3550 section 6.4.1).
        if report.ntp == 0 {
            return;
        }
        let news = Believed { report, confirmed: arrived, is_plausible: true };
        let Some(believed) = &mut self.believed else {
            // Whoever contradicted himself once is believed again when two reports in a row agree.
            let agrees = self.doubt.is_none_or(|doubt| self.apart(doubt, report) <= JUMP);
            self.doubt = (!agrees).then_some(report);
            self.believed = agrees.then_some(news);
            return;
        };
        let expected = ntp_at(believed.report, report.rtp, self.clock_rate);
        let ahead = report.ntp.wrapping_sub(expected) as i64;
        match nanos(ahead.saturating_abs()) {
            apart if apart <= NOISE => {
                let ntp = expected.wrapping_add_signed(ahead / FOLLOWED);
                *believed = Believed {
                    report: SenderReport { ntp, ..report },
                    is_plausible: believed.is_plausible,
                    ..news
                };
                self.doubt = None;
            }
            // What is believed makes no sense any more (RTP time began anew), so nothing speaks against the news.
            apart if apart <= JUMP || !believed.is_plausible => {
                *believed = news;
                self.doubt = None;
            }
            _ => match self.doubt.replace(report) {
                None => {}
                Some(doubt) if self.apart(doubt, report) <= JUMP => {
                    self.believed = Some(news);
                    self.doubt = None;
                }
                Some(_) => self.believed = None,
            },
        }
    }

    /// When the picture was taken; `None` when that cannot be known or would make no sense.
    pub(super) fn handle_picture(&mut self, rtp: u32, arrived: Moment) -> Option<Instant> {
        let believed = self.believed.as_mut()?;
        if arrived.mono.saturating_duration_since(believed.confirmed) > STALE {
            return None;
        }
        let taken = ntp_at(believed.report, rtp, self.clock_rate);
        let age = ntp_of(arrived.wall).wrapping_sub(taken) as i64;
        let (limit, sign) = if age < 0 { (NEWEST, 1) } else { (OLDEST, -1) };
        let age = nanos(age.saturating_abs());
        believed.is_plausible = age <= limit;
        believed.is_plausible.then(|| shifted(arrived.mono, sign * age.as_nanos() as i64))
    }

    /// How far two reports contradict each other.
    fn apart(&self, one: SenderReport, other: SenderReport) -> Duration {
        let expected = ntp_at(one, other.rtp, self.clock_rate);
        nanos((other.ntp.wrapping_sub(expected) as i64).saturating_abs())
    }
}

/// The camera's wall clock at an RTP time.
fn ntp_at(report: SenderReport, rtp: u32, clock_rate: NonZeroU32) -> u64 {
    // 31 bits and 32 more.
    let units = (ticks(report.rtp, rtp) << 32) / i64::from(clock_rate.get());
    report.ntp.wrapping_add_signed(units)
}

/// Modulo 2^64 like a camera's, so that the end of the era in 2036 is no special case.
fn ntp_of(wall: SystemTime) -> u64 {
    let since_1970 = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
    (since_1970.as_secs().wrapping_add(NTP_UNIX_OFFSET) << 32) | fraction
}

/// Of so many units of 2^-32 s, not negative: at most 2^31 s.
fn nanos(units: i64) -> Duration {
    let units = units.unsigned_abs();
    Duration::new(units >> 32, (((units & 0xffff_ffff) * 1_000_000_000) >> 32) as u32)
}
