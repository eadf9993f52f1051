//! What a camera tells about itself: counters since its start, and rates over the last five seconds.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use crate::gate::Impairments;
use crate::tile::TileState;

/// One camera's figures. Nothing in it is secret.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraStats {
    /// What a tile that turns black after 10 s would be doing.
    pub state: TileState,
    /// Why it is not live.
    pub reason: Option<String>,
    /// Since when it is in this state (wall clock).
    pub since: SystemTime,
    /// Scheme, host, port and path.
    pub url: String,
    /// `h264` or `h265`, of the last session that had video.
    pub codec: Option<&'static str>,
    /// What the last session that played came over: `tcp` or `udp`, which may be another one than is configured.
    pub transport: Option<&'static str>,
    /// Width and height in pixels of the last decoded frame.
    pub resolution: Option<(u32, u32)>,
    /// The hardware that decodes. `None` is software.
    pub hwaccel: Option<&'static str>,
    /// What the times of its pictures are taken from: `camera`, its own clock by its sender reports, or `arrival`.
    pub clock: Option<&'static str>,
    /// Which stream is shown: `main` or `sub`. `None` before the first picture.
    pub stream: Option<&'static str>,
    /// Each stream of the camera: `main`, and `sub` if there is one.
    pub streams: Vec<StreamStats>,
    /// Pictures per second over the last 5 s, of the stream that is shown: decoded, or passed over on purpose.
    pub fps: f64,
    /// Bits per second of coded video over the last 5 s.
    pub bitrate_bps: u64,
    /// How long ago the last frame was decoded, or passed over because nobody looked.
    pub frame_age: Option<Duration>,
    /// Frames decoded since the camera was started.
    pub frames_decoded: u64,
    /// Access units that were not decoded, or not at once, because nobody looked.
    pub frames_passed_over: u64,
    /// Access units that were the one before once more, byte by byte: a frozen camera, or a picture without noise.
    pub frames_duplicate: u64,
    /// Frames that a newer one replaced before a wall looked at them, though walls were looking: the camera is faster
    /// than the walls that show it. Frames that come while nobody watches are not counted.
    pub frames_overwritten: u64,
    /// Access units the decoder refused, damaged frames, RTP packets that could not be understood.
    pub decode_errors: u64,
    /// Attempts to connect after the first.
    pub reconnects: u64,
    /// Access units dropped, for whatever reason.
    pub access_units_dropped: u64,
    /// The same by reason: the reason's name and the number, every reason every time.
    pub dropped: Vec<(&'static str, u64)>,
    /// What its connections suffered from.
    pub impairments: Impairments,
    /// Panics caught in the camera's session or decode thread.
    pub panics: u64,
    /// Milliseconds from an access unit to its frame, over the last 5 s.
    pub decode_ms: Percentiles,
}

/// One stream of a camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamStats {
    /// `main` or `sub`.
    pub name: &'static str,
    /// Scheme, host, port and path.
    pub url: String,
    /// `resting` (not needed, so not connected), `connecting` or `playing`.
    pub state: &'static str,
    /// Why its last session ended, until it has pictures again.
    pub reason: Option<String>,
    /// `h264` or `h265`, of the last session that had video.
    pub codec: Option<&'static str>,
    /// Width and height in pixels of its last decoded frame.
    pub resolution: Option<(u32, u32)>,
}

/// Two percentiles (nearest rank); zero when there are no samples.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// 99 of 100 samples are not larger.
    pub p99: f64,
}

const SPAN: Duration = Duration::from_secs(5);
/// 5 s at 200 frames a second, the most a camera may flood us with before samples are left out.
const MAX_SAMPLES: usize = 1_000;

/// Samples of the last five seconds. Memory is bounded: past [`MAX_SAMPLES`] the oldest go early, and rates are then
/// taken over the shorter time that is left.
#[derive(Debug, Default)]
pub(crate) struct Window {
    samples: VecDeque<(Instant, f64)>,
    /// Before this nothing is known: when the window was last empty, or the time of the last sample left out.
    known_since: Option<Instant>,
}

impl Window {
    pub(crate) fn add(&mut self, now: Instant, value: f64) {
        while self.samples.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= SPAN) {
            self.samples.pop_front();
        }
        if self.samples.is_empty() {
            self.known_since = Some(now);
        }
        if self.samples.len() == MAX_SAMPLES {
            self.known_since = self.samples.pop_front().map(|(at, _)| at);
        }
        self.samples.push_back((now, value));
    }

    /// Samples a second.
    pub(crate) fn rate(&self, now: Instant) -> f64 {
        self.recent(now).count() as f64 / self.seconds(now)
    }

    /// Sum of the samples' values a second.
    pub(crate) fn sum_rate(&self, now: Instant) -> f64 {
        self.recent(now).sum::<f64>() / self.seconds(now)
    }

    /// Values of the last five seconds, unsorted.
    pub(crate) fn recent(&self, now: Instant) -> impl Iterator<Item = f64> + '_ {
        let is_recent = move |at: &Instant| now.saturating_duration_since(*at) < SPAN;
        self.samples.iter().filter(move |(at, _)| is_recent(at)).map(|(_, value)| *value)
    }

    /// How much of the last five seconds is known; at least one second, so that a first sample is no burst.
    fn seconds(&self, now: Instant) -> f64 {
        let known = self.known_since.map_or(SPAN, |since| now.saturating_duration_since(since));
        known.clamp(Duration::from_secs(1), SPAN).as_secs_f64()
    }
}

impl Percentiles {
    pub(crate) fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_unstable_by(f64::total_cmp);
        let rank = |percent: usize| {
            let rank = (samples.len() * percent).div_ceil(100);
            samples.get(rank.saturating_sub(1)).copied().unwrap_or_default()
        };
        Self { p50: rank(50), p99: rank(99) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn rates_are_taken_over_five_seconds_and_fade_when_samples_stop() {
        let start = Instant::now();
        let mut window = Window::default();
        assert_eq!(window.rate(start), 0.0);
        (0..10_000).step_by(40).for_each(|at| window.add(ms(start, at), 1_000.0));
        assert_eq!(window.rate(ms(start, 9_960)), 25.0);
        assert_eq!(window.sum_rate(ms(start, 9_960)), 25_000.0);
        assert_eq!(window.rate(ms(start, 12_460)), 12.6);
        assert_eq!(window.rate(ms(start, 14_960)), 0.0);
    }

    #[test]
    fn a_camera_that_just_came_back_shows_its_real_rate() {
        let start = Instant::now();
        let mut window = Window::default();
        window.add(start, 1.0);
        (60_000..62_000).step_by(40).for_each(|at| window.add(ms(start, at), 1.0));
        assert!((window.rate(ms(start, 62_000)) - 25.0).abs() < 0.1);
    }

    #[test]
    fn a_flood_is_measured_in_bounded_memory() {
        let start = Instant::now();
        let mut window = Window::default();
        (0..20_000).for_each(|at| window.add(ms(start, at), 1.0));
        assert_eq!(window.samples.len(), MAX_SAMPLES);
        assert!((window.rate(ms(start, 20_000)) - 1_000.0).abs() < 5.0);
    }

    #[test]
    fn percentiles_are_nearest_rank() {
        assert_eq!(Percentiles::of(vec![]), Percentiles { p50: 0.0, p99: 0.0 });
        assert_eq!(Percentiles::of(vec![7.0]), Percentiles { p50: 7.0, p99: 7.0 });
        let samples = (1..=200).rev().map(f64::from).collect();
        assert_eq!(Percentiles::of(samples), Percentiles { p50: 100.0, p99: 198.0 });
    }
}
