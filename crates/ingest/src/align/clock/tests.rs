use super::*;
use std::time::{SystemTime, UNIX_EPOCH};

const RATE: NonZeroU32 = NonZeroU32::new(90_000).unwrap();
const FRAME_MS: u64 = 40;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A camera of 25 frames a second and the way to it, in virtual time: the camera takes its picture `n` at `n` x 40 ms.
struct Virtual {
    clock: SourceClock,
    start: Moment,
    /// What its RTP time is at the start, and how many ticks it makes in a second.
    rtp_start: u32,
    rtp_rate: f64,
    /// The camera's wall clock less the true one, in milliseconds.
    camera_ahead_ms: i64,
    /// Our own wall clock less the true one, in milliseconds.
    we_are_ahead_ms: i64,
    delay_ms: u64,
    jitter_ms: u64,
    random: u64,
}

impl Virtual {
    fn start() -> Self {
        let wall = UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        Self {
            clock: SourceClock::new(RATE),
            start: Moment { mono: Instant::now() + Duration::from_secs(100_000), wall },
            rtp_start: 0x1234_5678,
            rtp_rate: 90_000.0,
            camera_ahead_ms: 0,
            we_are_ahead_ms: 0,
            delay_ms: 20,
            jitter_ms: 0,
            random: 1,
        }
    }

    fn moment(&self, at: Duration) -> Moment {
        Moment { mono: self.start.mono + at, wall: plus(self.start.wall + at, self.we_are_ahead_ms) }
    }

    fn rtp(&self, at: Duration) -> u32 {
        self.rtp_start.wrapping_add((at.as_secs_f64() * self.rtp_rate) as u64 as u32)
    }

    fn late(&mut self) -> Duration {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ms(self.delay_ms + if self.jitter_ms == 0 { 0 } else { (self.random >> 33) % self.jitter_ms })
    }

    /// How many milliseconds later than it was, the picture of frame `n` is thought to have been taken.
    fn picture(&mut self, n: u64) -> f64 {
        let taken = ms(n * FRAME_MS);
        self.stamped(n, self.rtp(taken))
    }

    fn stamped(&mut self, n: u64, rtp: u32) -> f64 {
        let taken = ms(n * FRAME_MS);
        let late = self.late();
        let arrived = self.moment(taken + late);
        let captured = self.clock.handle_picture(rtp, arrived);
        let truth = self.start.mono + taken;
        match captured.checked_duration_since(truth) {
            Some(late) => late.as_secs_f64() * 1e3,
            None => (truth - captured).as_secs_f64() * -1e3,
        }
    }

    fn report(&mut self, n: u64) {
        let at = ms(n * FRAME_MS);
        let report =
            SenderReport { ntp: ntp(plus(self.start.wall + at, self.camera_ahead_ms)), rtp: self.rtp(at) };
        let late = self.late();
        let arrived = self.moment(at + late).mono;
        self.clock.handle_report(report, arrived);
    }

    /// Plays these frames, with a report every 5 s, and returns the errors in milliseconds.
    fn play(&mut self, frames: std::ops::Range<u64>) -> Vec<f64> {
        frames
            .map(|n| {
                if n.is_multiple_of(125) {
                    self.report(n);
                }
                self.picture(n)
            })
            .collect()
    }
}

fn plus(time: SystemTime, ms_ahead: i64) -> SystemTime {
    if ms_ahead < 0 { time - ms(ms_ahead.unsigned_abs()) } else { time + ms(ms_ahead as u64) }
}

fn ntp(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap();
    ((since.as_secs() + 2_208_988_800) << 32) | ((u64::from(since.subsec_nanos()) << 32) / 1_000_000_000)
}

/// The least and the greatest.
#[track_caller]
fn check(errors: &[f64], expected: std::ops::RangeInclusive<f64>) {
    let (index, worst) =
        errors.iter().enumerate().find(|(_, error)| !expected.contains(error)).unwrap_or((0, &0.0));
    assert!(
        errors.iter().all(|error| expected.contains(error)),
        "picture {index}: {worst} ms, not in {expected:?}"
    );
}

#[test]
fn with_sender_reports_the_network_cannot_be_seen() {
    for delay in [0, 20, 300, 1_500] {
        let mut camera = Virtual { delay_ms: delay, jitter_ms: 100, ..Virtual::start() };
        check(&camera.play(0..3_000), -0.1..=0.1);
        assert_eq!(camera.clock.basis(), Basis::Reports);
    }
}

#[test]
fn without_them_jitter_is_smoothed_and_the_delay_stays() {
    let mut camera = Virtual { delay_ms: 30, jitter_ms: 100, ..Virtual::start() };
    let errors: Vec<f64> = (0..3_000).map(|n| camera.picture(n)).collect();
    check(&errors, 29.9..=130.0);
    check(&errors[250..], 29.9..=45.0);
    assert_eq!(camera.clock.basis(), Basis::Arrival);
}

#[test]
fn a_camera_clock_that_is_wrong_by_an_hour_or_in_1970_is_not_used() {
    for ahead in [3_600_000, -3_600_000, 2_500, -2_500, 100, -1_790_000_000_000] {
        let mut camera = Virtual { camera_ahead_ms: ahead, ..Virtual::start() };
        let errors = camera.play(0..1_000);
        check(&errors, 19.9..=20.1);
        assert_eq!(camera.clock.basis(), Basis::Arrival, "{ahead}");
    }
}

#[test]
fn a_camera_that_says_it_has_no_wall_clock_is_believed() {
    let mut camera = Virtual::start();
    for n in 0..1_000 {
        if n % 125 == 0 {
            let rtp = camera.rtp(ms(n * FRAME_MS));
            camera.clock.handle_report(SenderReport { ntp: 0, rtp }, camera.start.mono);
        }
        check(&[camera.picture(n)], 19.9..=20.1);
    }
}

#[test]
fn rtp_time_wraps_unnoticed() {
    for with_reports in [true, false] {
        let mut camera = Virtual { rtp_start: u32::MAX - 90_000 * 20, ..Virtual::start() };
        let error = if with_reports { 0.0 } else { 20.0 };
        for n in 0..2_000 {
            if with_reports && n % 125 == 0 {
                camera.report(n);
            }
            check(&[camera.picture(n)], error - 0.1..=error + 0.1);
        }
    }
}

#[test]
fn a_drift_of_200_ppm_is_followed() {
    for ppm in [200.0, -200.0] {
        let mut camera = Virtual { rtp_rate: 90_000.0 * (1.0 + ppm / 1e6), ..Virtual::start() };
        check(&camera.play(0..20_000), -5.0..=5.0);
        let mut camera = Virtual { rtp_rate: 90_000.0 * (1.0 + ppm / 1e6), ..Virtual::start() };
        let errors: Vec<f64> = (0..20_000).map(|n| camera.picture(n)).collect();
        check(&errors, 17.0..=20.1);
    }
}

#[test]
fn a_step_back_of_61_ms_is_forgotten_within_seconds() {
    let mut camera = Virtual::start();
    (0..500).for_each(|n| check(&[camera.picture(n)], 19.9..=20.1));
    camera.rtp_start = camera.rtp_start.wrapping_sub(90 * 61);
    let errors: Vec<f64> = (500..1_000).map(|n| camera.picture(n)).collect();
    check(&errors, -41.1..=20.1);
    check(&errors[125..], 19.9..=20.1);
}

#[test]
fn jumps_of_an_hour_cost_a_moment_of_smoothing() {
    for jump in [90_000 * 3_600, -90_000 * 3_600] {
        let mut camera = Virtual { jitter_ms: 30, ..Virtual::start() };
        check(&camera.play(0..510), -0.1..=0.1);
        camera.rtp_start = camera.rtp_start.wrapping_add_signed(jump);
        let errors = camera.play(510..1_000);
        check(&errors[..115], 19.9..=50.0);
        check(&errors[115..], -0.1..=0.1);
        // Without reports.
        let mut camera = Virtual { jitter_ms: 30, ..Virtual::start() };
        (0..500).for_each(|n| check(&[camera.picture(n)], 19.9..=50.0));
        camera.rtp_start = camera.rtp_start.wrapping_add_signed(jump);
        (500..1_000).for_each(|n| check(&[camera.picture(n)], 19.9..=50.0));
    }
}

#[test]
fn one_stamp_that_is_out_of_place_moves_no_other() {
    for out in [90_000 * 3_600, 90 * 500, -90 * 500] {
        let mut camera = Virtual::start();
        (0..500).for_each(|n| check(&[camera.picture(n)], 19.9..=20.1));
        let rtp = camera.rtp(ms(500 * FRAME_MS)).wrapping_add_signed(out);
        check(&[camera.stamped(500, rtp)], -500.0..=20.1);
        (501..1_000).for_each(|n| check(&[camera.picture(n)], 19.9..=20.1));
    }
}

#[test]
fn stamps_that_say_nothing_leave_plain_arrival() {
    // They stand still; they count at half the rate, in milliseconds, backwards.
    for rate in [0.0, 45_000.0, 1_000.0, -90_000.0] {
        let mut camera = Virtual { rtp_rate: rate, ..Virtual::start() };
        let errors: Vec<f64> = (0..2_000).map(|n| camera.picture(n)).collect();
        check(&errors, 19.9..=20.1);
    }
}

#[test]
fn a_camera_with_a_varying_frame_rate_is_no_matter() {
    for with_reports in [true, false] {
        let mut camera = Virtual { jitter_ms: 10, ..Virtual::start() };
        let mut n = 0;
        let mut errors = Vec::new();
        while n < 3_000 {
            if with_reports {
                camera.report(n);
            }
            errors.push(camera.picture(n));
            n += [1, 1, 2, 50, 3, 1, 25, 100][errors.len() % 8];
        }
        let error = if with_reports { -0.1..=0.1 } else { 19.9..=30.0 };
        check(&errors, error);
    }
}

/// B-frames: every third picture comes before the two that are shown before it, when it has been taken.
#[test]
fn b_frames_get_the_times_they_are_shown_at() {
    for with_reports in [true, false] {
        let mut camera = Virtual::start();
        for group in 0..300 {
            let sent = group * 3 + 3;
            if with_reports && group % 40 == 0 {
                camera.report(sent);
            }
            let arrived = camera.moment(ms(sent * FRAME_MS + 20));
            let captured = [3, 1, 2].map(|shown: u64| {
                let rtp = camera.rtp(ms((group * 3 + shown) * FRAME_MS));
                camera.clock.handle_picture(rtp, arrived)
            });
            if group > 10 {
                assert_eq!(to_ms(captured[0] - captured[1]), 80);
                assert_eq!(to_ms(captured[0] - captured[2]), 40);
            }
        }
    }
}

fn to_ms(duration: Duration) -> u64 {
    (duration.as_secs_f64() * 1e3).round() as u64
}

#[test]
fn a_reboot_within_a_session_is_seen_at_the_next_report() {
    let mut camera = Virtual { delay_ms: 300, ..Virtual::start() };
    check(&camera.play(0..610), -0.1..=0.1);
    camera.rtp_start = 77;
    let errors = camera.play(610..2_000);
    check(&errors[..15], 299.9..=300.1);
    check(&errors[15..], -0.1..=0.1);
}

#[test]
fn a_camera_that_sets_its_clock_is_followed_after_two_reports() {
    let mut camera = Virtual { camera_ahead_ms: -900, ..Virtual::start() };
    check(&camera.play(0..250), -900.1..=-899.9);
    camera.camera_ahead_ms = 0;
    let errors = camera.play(250..1_000);
    check(&errors[..125], -900.1..=-899.9);
    check(&errors[125..], -0.1..=0.1);
}

#[test]
fn reports_that_never_agree_with_each_other_are_given_up() {
    let mut camera = Virtual::start();
    check(&camera.play(0..125), -0.1..=0.1);
    for n in 125..5_000 {
        if n % 125 == 0 {
            camera.camera_ahead_ms = (n as i64 * 7_919 % 1_500) - 1_500;
            camera.report(n);
        }
        let error = camera.picture(n);
        if n > 400 {
            check(&[error], 19.9..=20.1);
        }
    }
}

#[test]
fn a_step_of_our_own_clock_moves_all_cameras_at_once_or_makes_them_fall_back() {
    let mut cameras = [20, 300].map(|delay_ms| Virtual { delay_ms, ..Virtual::start() });
    let mut play = |we_are_ahead_ms, frames: std::ops::Range<u64>| {
        cameras.each_mut().map(|camera| {
            camera.we_are_ahead_ms = we_are_ahead_ms;
            camera.play(frames.clone())
        })
    };
    let both = |errors: &[Vec<f64>; 2], expected: [f64; 2]| {
        errors
            .iter()
            .zip(expected)
            .for_each(|(errors, expected)| check(errors, expected - 0.1..=expected + 0.1));
    };
    both(&play(0, 0..300), [0.0, 0.0]);
    both(&play(200, 300..600), [-200.0, -200.0]);
    both(&play(-3_600_000, 600..900), [20.0, 300.0]);
    both(&play(3_600_000, 900..1_200), [20.0, 300.0]);
    both(&play(-790_000_000_000, 1_200..1_500), [20.0, 300.0]);
    both(&play(0, 1_500..1_800), [0.0, 0.0]);
}

#[test]
fn when_reports_stop_coming_arrival_takes_over_before_drift_adds_up() {
    let mut camera = Virtual::start();
    check(&camera.play(0..10), -0.1..=0.1);
    let errors: Vec<f64> = (10..4_000).map(|n| camera.picture(n)).collect();
    check(&errors[..2_980], -0.1..=0.1);
    check(&errors[3_000..], 19.9..=20.1);
}

#[test]
fn a_connection_that_stood_still_for_seconds_is_no_jump_for_good() {
    let mut camera = Virtual::start();
    (0..500).for_each(|n| check(&[camera.picture(n)], 19.9..=20.1));
    // Three seconds of pictures arrive at once.
    for n in 500..575 {
        let arrived = camera.moment(ms(575 * FRAME_MS));
        let rtp = camera.rtp(ms(n * FRAME_MS));
        assert!(camera.clock.handle_picture(rtp, arrived) <= arrived.mono);
    }
    let errors: Vec<f64> = (575..900).map(|n| camera.picture(n)).collect();
    check(&errors, 0.0..=20.1);
    check(&errors[75..], 19.9..=20.1);
}

#[test]
fn the_worst_of_stamps_and_rates_overflow_nothing() {
    for rate in [1, 90_000, u32::MAX].map(|rate| NonZeroU32::new(rate).unwrap()) {
        let mut clock = SourceClock::new(rate);
        let (mut random, mut now) = (1_u64, Moment::now());
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let rtp = (random >> 32) as u32;
            now.mono += ms(random >> 52);
            now.wall = UNIX_EPOCH + Duration::from_secs(random >> 40);
            clock.handle_report(SenderReport { ntp: random, rtp: rtp.rotate_left(7) }, now.mono);
            assert!(clock.handle_picture(rtp, now) <= now.mono + ms(51));
        }
    }
}
