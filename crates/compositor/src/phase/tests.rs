//! A wall's ticks and cameras' pictures in virtual time: [`TickClock`] and [`Phase`] as the wall's thread has them.

use super::*;
use crate::tick::{Due, TickClock};

/// A camera: its pictures' moments in seconds after the origin.
struct Camera {
    fps: f64,
    phase_ms: f64,
    jitter_ms: f64,
    /// Nothing comes any more.
    ends: f64,
    samples: u32,
}

const CAMERA: Camera =
    Camera { fps: 25.0, phase_ms: 0.0, jitter_ms: 0.0, ends: f64::MAX, samples: 480 * 270 };

impl Camera {
    /// When the newest picture came that has come by `now`.
    fn newest(&self, now: f64) -> Option<f64> {
        let last = ((now - self.phase_ms / 1e3) * self.fps).floor();
        // One that is late may come after the one that follows it was due.
        let came = |number: f64| {
            let due = self.phase_ms / 1e3 + number / self.fps;
            (number >= 0.0 && due < self.ends).then(|| due + self.jitter_ms / 1e3 * noise(number))
        };
        (0..3)
            .filter_map(|before| came(last - f64::from(before)))
            .filter(|came| *came <= now)
            .max_by(f64::total_cmp)
    }
}

/// From 0 to 1, in no pattern.
fn noise(number: f64) -> f64 {
    let mixed = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 40) as f64 / (1_u64 << 24) as f64
}

/// What a wall did.
struct Run {
    /// When each tick was due.
    ticks: Vec<f64>,
    /// The age of each picture at the tick that showed it first, of all cameras; in milliseconds.
    waits: Vec<Vec<f64>>,
    missed: u64,
}

impl Run {
    fn mean_wait(&self, ticks: std::ops::Range<usize>) -> f64 {
        let waits: Vec<f64> = self.waits[ticks].iter().flatten().copied().collect();
        waits.iter().sum::<f64>() / waits.len() as f64
    }

    fn longest_wait(&self, ticks: std::ops::Range<usize>) -> f64 {
        self.waits[ticks].iter().flatten().copied().fold(0.0, f64::max)
    }

    /// Between ticks, in milliseconds.
    fn periods(&self) -> impl Iterator<Item = f64> {
        self.ticks.windows(2).map(|pair| (pair[1] - pair[0]) * 1e3)
    }

    /// The least and the most.
    fn periods_from(&self, tick: usize) -> (f64, f64) {
        self.periods().skip(tick).fold((f64::MAX, 0.0), |(least, most), ms| (ms.min(least), ms.max(most)))
    }
}

fn run(fps: u32, ticks: usize, cameras: &[Camera]) -> Run {
    let (origin, fps) = (Instant::now(), FrameRate::new(fps).expect("in range"));
    let (mut clock, mut phase) = (TickClock::new(origin, fps), Phase::new(origin, fps));
    let mut run = Run { ticks: Vec::new(), waits: Vec::new(), missed: 0 };
    let (mut now, mut seen) = (origin, vec![f64::MIN; cameras.len()]);
    while run.ticks.len() < ticks {
        match clock.poll(now) {
            // Somebody wakes up late by up to 0.3 ms.
            Due::At(due) => now = due + Duration::from_secs_f64(noise(run.ticks.len() as f64) * 3e-4),
            Due::Now { tick, missed } => {
                run.missed += missed;
                let due = tick.as_duration();
                let at = (now - origin).as_secs_f64();
                let newest: Vec<Option<f64>> = cameras.iter().map(|camera| camera.newest(at)).collect();
                let fresh = newest.iter().zip(&mut seen).filter_map(|(came, seen)| {
                    let came = came.filter(|came| *came > *seen)?;
                    *seen = came;
                    Some((at - came) * 1e3)
                });
                run.waits.push(fresh.collect());
                run.ticks.push(due.as_secs_f64());
                let arrivals = newest.iter().zip(cameras).enumerate().filter_map(|(tile, (came, camera))| {
                    let came = origin + Duration::from_secs_f64((*came)?);
                    Some(Arrival { tile, samples: camera.samples, came })
                });
                phase.handle_tick(now, due, arrivals);
                clock.steer(phase.correction(due));
            }
        }
    }
    assert!(
        run.periods().all(|ms| (ms - 1e3 / f64::from(fps.get())).abs() <= 1.000_001),
        "never by more than 1 ms"
    );
    assert_eq!(run.missed, 0);
    run
}

#[test]
fn a_camera_at_any_phase_soon_waits_for_two_milliseconds_at_most() {
    for fps in [15, 25, 30, 50, 60] {
        for step in 0..40 {
            let phase_ms = f64::from(step) * 25.0 / f64::from(fps);
            let run = run(fps, 400, &[Camera { fps: fps.into(), phase_ms, ..CAMERA }]);
            // Half a period at 1 ms a tick, and what it takes to know the camera.
            let known = 10 + 500 / fps as usize;
            let longest = run.longest_wait(known.max(30)..400);
            let bound = 1.3 + 25.0 / f64::from(fps);
            assert!(longest < bound, "{fps} fps, {phase_ms} ms: {longest} ms, expected less than {bound}");
            let (least, most) = run.periods_from(200);
            assert!(most - least < 0.001, "it stands still when it is there: {least} to {most} ms");
        }
    }
}

#[test]
fn jitter_is_waited_out_but_not_what_is_late_by_far() {
    for jitter_ms in [1.0, 4.0, 10.0] {
        let run = run(25, 1_000, &[Camera { phase_ms: 13.0, jitter_ms, ..CAMERA }]);
        let (mean, longest) = (run.mean_wait(200..1_000), run.longest_wait(200..1_000));
        assert!(mean < jitter_ms / 2.0 + 2.5, "{jitter_ms} ms of jitter: {mean} ms");
        assert!(longest < jitter_ms + 3.0, "{jitter_ms} ms of jitter: {longest} ms");
        let shown = run.waits[200..1_000].iter().flatten().count();
        assert!(shown >= 799, "every picture is shown, at a tick of its own: {shown}");
    }
}

#[test]
fn of_four_cameras_spread_over_the_period_the_best_is_chosen_and_kept() {
    let cameras = [2.0, 12.0, 22.0, 32.0].map(|phase_ms| Camera { phase_ms, jitter_ms: 0.5, ..CAMERA });
    let even = run(25, 1_000, &cameras);
    // Whatever the tick does, four cameras at 10 ms from each other wait 15 ms more than nothing on average.
    assert!(even.mean_wait(100..1_000) < 17.5, "{}", even.mean_wait(100..1_000));
    let (least, most) = even.periods_from(200);
    assert!(most - least < 1.1, "no hopping between equals: {least} to {most} ms");
    let moved = (even.ticks[999] - even.ticks[200] - 799.0 * 0.04).abs() * 1e3;
    assert!(moved < 2.0, "no hopping between equals: {moved} ms");

    // Three of them together are worth more than the fourth; unless that one is large.
    for (samples, alone) in [(CAMERA.samples, false), (20 * CAMERA.samples, true)] {
        let large = Camera { phase_ms: 30.0, samples, ..CAMERA };
        let three = [5.0, 6.0, 7.0].map(|phase_ms| Camera { phase_ms, ..CAMERA });
        let [a, b, c] = three;
        let run = run(25, 600, &[a, b, c, large]);
        let waits = &run.waits[500];
        let shortest = waits.iter().copied().fold(f64::MAX, f64::min);
        assert!(shortest < 2.0, "{waits:?}");
        assert_eq!(waits[3] == shortest, alone, "{waits:?}");
    }
}

#[test]
fn a_camera_whose_clock_drifts_is_followed_for_an_hour_and_canvas_time_stays_true() {
    for ppm in [100.0, -100.0, 1_000.0, -1_000.0] {
        let fps = 25.0 * (1.0 + ppm / 1e6);
        let ticks = 90_000;
        let run = run(25, ticks, &[Camera { fps, phase_ms: 7.0, ..CAMERA }]);
        let longest = run.longest_wait(100..ticks);
        // What is remembered of the camera is up to 2.6 s old.
        let bound = 2.4 + 2.8 * ppm.abs() / 1e3;
        assert!(longest < bound, "{ppm} ppm: {longest} ms, expected less than {bound}");
        // As many ticks as the camera has pictures, and canvas time is the monotonic clock's.
        let expected = ticks as f64 / fps;
        assert!((run.ticks[ticks - 1] - expected).abs() < 0.1, "{ppm} ppm: {} s", run.ticks[ticks - 1]);
        let shown = run.waits[100..].iter().filter(|waits| waits.len() == 1).count();
        assert_eq!(shown, ticks - 100, "{ppm} ppm: a picture at every tick");
    }
}

#[test]
fn cameras_of_other_rates_do_not_move_the_tick() {
    for (wall, fps) in
        [(25, 15.0), (25, 20.0), (25, 30.0), (25, 25.5), (30, 25.0), (25, 50.8), (10, 25.2), (25, 7.3)]
    {
        for step in 0..10 {
            let run = run(
                wall,
                1_000,
                &[Camera { fps, phase_ms: f64::from(step) * 3.7, jitter_ms: 1.0, ..CAMERA }],
            );
            let period = 1e3 / f64::from(wall);
            // In the first second a clock that is 2 % off looks as if it were not.
            let moved =
                run.periods().skip(2 * wall as usize).filter(|ms| (ms - period).abs() > 0.001).count();
            assert_eq!(moved, 0, "a camera of {fps} fps moved a wall of {wall} fps");
        }
    }
    // Beside one of the wall's own rate they change nothing for that one.
    let other = Camera { fps: 15.0, samples: 10 * CAMERA.samples, ..CAMERA };
    let run = run(25, 600, &[other, Camera { phase_ms: 21.0, ..CAMERA }]);
    let own = run.waits[100..].iter().filter_map(|waits| waits.last()).copied().fold(f64::MAX, f64::min);
    assert!(own < 2.0, "{own} ms");
}

#[test]
fn a_camera_of_a_divided_rate_is_waited_for_too() {
    for fps in [12.5, 5.0, 50.0] {
        let run = run(25, 1_000, &[Camera { fps, phase_ms: 17.0, ..CAMERA }]);
        assert!(run.longest_wait(200..1_000) < 2.0, "{fps} fps: {} ms", run.longest_wait(200..1_000));
    }
}

#[test]
fn when_the_camera_stops_the_tick_stays_and_another_one_is_found_within_five_seconds() {
    let stops = Camera { phase_ms: 9.0, ends: 10.0, ..CAMERA };
    let stopped = run(25, 1_000, &[stops]);
    let (least, most) = stopped.periods_from(250);
    assert!(most - least < 0.001, "{least} to {most} ms");

    // The tile's next camera has pictures at another moment.
    let phase = |from: f64| move |now: f64| if now < from { 9.0 } else { 29.0 };
    let (origin, fps) = (Instant::now(), FrameRate::DEFAULT);
    let (mut clock, mut phase_of_wall, mut waits) =
        (TickClock::new(origin, fps), Phase::new(origin, fps), Vec::new());
    let (mut now, at) = (origin, phase(10.0));
    while waits.len() < 500 {
        match clock.poll(now) {
            Due::At(due) => now = due,
            Due::Now { tick, .. } => {
                let due = tick.as_duration().as_secs_f64();
                let came = ((due * 1e3 - at(due)) / 40.0).floor() * 40.0 + at(due);
                let came = origin + Duration::from_secs_f64(came.max(0.0) / 1e3);
                let arrival = Arrival { tile: 0, samples: 1, came };
                waits.push(phase_of_wall.handle_tick(now, tick.as_duration(), [arrival].into_iter()));
                clock.steer(phase_of_wall.correction(tick.as_duration()));
            }
        }
    }
    let longest = waits[375..].iter().flatten().max().copied();
    assert!(longest.is_some_and(|wait| wait < Duration::from_millis(2)), "{longest:?}");
}

#[test]
fn nothing_is_known_of_a_camera_after_a_few_pictures_or_of_other_tiles() {
    let run = run(25, 7, &[Camera { phase_ms: 20.0, ..CAMERA }]);
    assert!(run.periods().all(|ms| (ms - 40.0).abs() < 0.001));
    let (origin, fps) = (Instant::now(), FrameRate::DEFAULT);
    let mut phase = Phase::new(origin, fps);
    for tick in 1..50 {
        let due = fps.time_of(tick);
        let came = origin + due - Duration::from_millis(20);
        phase.handle_tick(origin + due, due, [Arrival { tile: 0, samples: 1, came }].into_iter());
    }
    assert_eq!(phase.correction(fps.time_of(49)), -1_000_000);
    phase.forget();
    assert_eq!(phase.correction(fps.time_of(49)), 0);
}
