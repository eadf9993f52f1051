//! Capture times by arrival, smoothed: RTP time gives the spacing, the pictures that came with least delay give the
//! offset.
//!
//! A picture's *offset* is its time of arrival less its RTP time. The least offset of each second belongs to a picture
//! that nothing held up; the median over the last seconds forgets slowly, follows a drift of hundreds of ppm, and lets no
//! single stamp, late burst or slow key frame decide.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::{shifted, ticks};

/// How long offsets are collected for one minimum.
const SECOND: Duration = Duration::from_secs(1);
/// How many minima are remembered.
const SECONDS: usize = 9;
/// RTP time that jumps by more has begun anew, and what was known of it is void. So is a connection that stood still.
const JUMP_NANOS: i64 = 2_000_000_000;
/// The minima of a usable RTP time may wander by so much, as networks do, and by a hundredth of the time between them.
/// Stamps that stand still or run at another rate than they say wander by much more.
const WANDER_NANOS: i64 = 200_000_000;
const WANDER_PART: i64 = 100;

#[derive(Debug)]
pub(super) struct Arrivals {
    clock_rate: NonZeroU32,
    run: Option<Run>,
}

/// Pictures without a jump in their RTP time.
#[derive(Debug)]
struct Run {
    began: Instant,
    last_rtp: u32,
    /// From the first picture's RTP time to the last one's, unwrapped.
    ticks: i64,
    seconds: VecDeque<Second>,
}

/// The least offset of the pictures that arrived within a second, in nanoseconds; the run's first picture has 0.
#[derive(Debug, Clone, Copy)]
struct Second {
    began: Instant,
    least: i64,
}

impl Arrivals {
    pub(super) fn new(clock_rate: NonZeroU32) -> Self {
        Self { clock_rate, run: None }
    }

    /// When the picture was taken, as far as its arrival tells; never after that.
    pub(super) fn handle_picture(&mut self, rtp: u32, arrived: Instant) -> Instant {
        let Some((run, source_nanos)) = self.run_of(rtp, arrived) else {
            self.run = Some(Run::begin(rtp, arrived));
            return arrived;
        };
        run.add(arrived, nanos(arrived.saturating_duration_since(run.began)) - source_nanos);
        match run.offset() {
            Some(offset) => shifted(run.began, source_nanos + offset).min(arrived),
            None => arrived,
        }
    }

    /// The run that goes on with this picture, and the picture's RTP time in it; `None` when a new one begins.
    fn run_of(&mut self, rtp: u32, arrived: Instant) -> Option<(&mut Run, i64)> {
        let run = self.run.as_mut()?;
        let step = ticks(run.last_rtp, rtp);
        run.last_rtp = rtp;
        run.ticks += step;
        // A run follows the monotonic clock to within a jump, so that this does not overflow in 292 years.
        let source_nanos = i128::from(run.ticks) * 1_000_000_000 / i128::from(self.clock_rate.get());
        let source_nanos = i64::try_from(source_nanos).ok()?;
        let offset = nanos(arrived.saturating_duration_since(run.began)).checked_sub(source_nanos)?;
        let last = run.seconds.back().map_or(0, |second| second.least);
        (offset.abs_diff(last) <= JUMP_NANOS as u64).then_some((run, source_nanos))
    }
}

impl Run {
    fn begin(rtp: u32, arrived: Instant) -> Self {
        let seconds = VecDeque::from([Second { began: arrived, least: 0 }]);
        Self { began: arrived, last_rtp: rtp, ticks: 0, seconds }
    }

    fn add(&mut self, arrived: Instant, offset: i64) {
        match self.seconds.back_mut() {
            Some(second) if arrived.saturating_duration_since(second.began) < SECOND => {
                second.least = second.least.min(offset);
            }
            _ => {
                if self.seconds.len() == SECONDS {
                    self.seconds.pop_front();
                }
                self.seconds.push_back(Second { began: arrived, least: offset });
            }
        }
    }

    /// What to add to RTP time; `None` while it is not known to advance as time does.
    fn offset(&self) -> Option<i64> {
        let (oldest, newest) = (self.seconds.front()?, self.seconds.back()?);
        let between = nanos(newest.began.saturating_duration_since(oldest.began));
        let is_steady = newest.least.abs_diff(oldest.least) <= (WANDER_NANOS + between / WANDER_PART) as u64;
        if self.seconds.len() < 2 || !is_steady {
            return None;
        }
        let mut least = [0; SECONDS];
        let known = &mut least[..self.seconds.len()];
        known.iter_mut().zip(&self.seconds).for_each(|(known, second)| *known = second.least);
        known.sort_unstable();
        // Of two, the lesser.
        Some(known[(known.len() - 1) / 2])
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
