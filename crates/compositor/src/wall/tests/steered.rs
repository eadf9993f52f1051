//! That a wall does what [`crate::phase`] says.

use super::*;

/// A camera of 25 frames a second, whose pictures come half-way between the ticks of a wall that is not steered.
#[derive(Default)]
struct Camera {
    begun: Option<Instant>,
}

const INTERVAL: Duration = Duration::from_millis(40);

impl TileSource for Camera {
    fn show(&mut self, now: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
        let begun = *self.begun.get_or_insert(now - INTERVAL / 2);
        let number = (now.saturating_duration_since(begun).as_nanos() / INTERVAL.as_nanos()) as u32;
        let samples = [number as u8; 64];
        let came = Some(begun + INTERVAL * number);
        paint(Shown { came, ..Some(picture(&samples, number.into())).into() });
    }
}

#[test]
fn a_wall_moves_its_tick_to_when_pictures_come_and_its_canvas_time_with_it() {
    let sink = Keeps::wanted();
    let wall =
        Wall::start(config(25), vec![Box::new(Camera::default())], vec![sink.clone()]).expect("starts");
    let units = || sink.units.lock().clone();
    let off = |unit: &AccessUnit| {
        unit.canvas_time.as_duration().abs_diff(INTERVAL * unit.canvas_time.tick() as u32)
    };
    wait_until("the tick has moved", || {
        units().last().is_some_and(|unit| off(unit) > Duration::from_millis(4))
    });
    let units = units();
    assert_eq!(off(&units[0]), Duration::ZERO);
    for pair in units.windows(2) {
        let [before, after] = [0, 1].map(|at| pair[at].canvas_time);
        let periods = after.tick() - before.tick();
        let nominal = INTERVAL * periods as u32;
        let step = after.as_duration().checked_sub(before.as_duration()).expect("forward");
        assert!(
            step.abs_diff(nominal) <= Duration::from_millis(1) * periods as u32,
            "{before:?}, then {after:?}"
        );
        // What viewers are told is the same, to the rounding.
        let told = f64::from(after.as_rtp_90khz().wrapping_sub(before.as_rtp_90khz())) / 90_000.0;
        assert!((told - step.as_secs_f64()).abs() < 2e-5, "{told} s, and {step:?}");
    }
    assert!(stats(&wall).tick_wait_ms.p50 > 0.0);
    wall.stop();
}
