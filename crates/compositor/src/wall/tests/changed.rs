//! Another bitrate or frame rate while the wall runs.

use super::*;
use crate::encoder::Level;

fn fps(fps: u32) -> FrameRate {
    FrameRate::new(fps).expect("a valid rate")
}

fn bitrate(bps: u64) -> Bitrate {
    Bitrate::new(bps).expect("a valid bitrate")
}

/// `level_idc` of the SPS that a key frame begins with.
fn declared(unit: &AccessUnit) -> u8 {
    let at = unit.data.windows(4).position(|bytes| bytes == [0, 0, 1, 0x67]).expect("an SPS first");
    unit.data[at + 6]
}

#[test]
fn frame_rates_change_without_a_jump_and_begin_with_a_key_frame() {
    let sink = Keeps::wanted();
    let wall = Wall::start(config(60), changing(), vec![sink.clone()]).expect("starts");
    let view = wall.view();
    let mut from = 0;
    for rate in [60, 7, 30, 13, 60] {
        view.set_fps(fps(rate)).expect("within the level");
        wait_until("units come", || sink.count() >= from + 8);
        assert_eq!(stats(&wall).target_fps, rate);
        from = sink.count();
    }
    drop(wall);
    let units = sink.units.lock().clone();
    for pair in units.windows(2) {
        let step = pair[1].canvas_time.as_duration().checked_sub(pair[0].canvas_time.as_duration());
        let step = step.filter(|step| !step.is_zero()).expect("canvas time goes forward");
        let [before, after] = [0, 1].map(|i| pair[i].canvas_time.as_rtp_90khz());
        assert!((f64::from(after.wrapping_sub(before)) - step.as_secs_f64() * 90_000.0).abs() <= 1.0);
        // Canvas time is true to the clock.
        let passed = pair[1].composed_at.duration_since(pair[0].composed_at);
        assert!(passed.abs_diff(step) < Duration::from_secs(1), "{passed:?} for {step:?}");
        assert_eq!(pair[1].sequence, pair[0].sequence + 1);
    }
    let keys: Vec<&AccessUnit> = units.iter().filter(|unit| unit.key).collect();
    assert!(keys.len() >= 5, "one for each rate: {}", keys.len());
    assert!(keys.iter().all(|unit| declared(unit) <= view.level().idc()), "honest");
    assert_eq!(stats_of(&view).encode_errors + stats_of(&view).encoder_stalls, 0);
}

fn stats_of(view: &WallView) -> WallStats {
    view.stats(Instant::now())
}

#[test]
fn another_bitrate_needs_no_key_frame() {
    let sink = Keeps::wanted();
    let wall = Wall::start(config(60), changing(), vec![sink.clone()]).expect("starts");
    wait_until("units come", || sink.count() >= 5);
    for bps in [100_000, 384_000, 50_000, 200_000] {
        wall.view().set_bitrate(bitrate(bps)).expect("within the level");
        let before = sink.count();
        wait_until("units come", || sink.count() >= before + 5);
    }
    assert_eq!(sink.keys().iter().filter(|&&key| key).count(), 1);
    assert_eq!(stats(&wall).encode_errors, 0);
}

#[test]
fn an_encoder_that_cannot_have_another_bitrate_is_replaced_without_counting_as_a_failure() {
    /// Refuses, and tells for which bitrate it was opened.
    struct Stubborn(Bitrate);
    impl crate::encoder::Encode for Stubborn {
        fn encode(
            &mut self,
            _: &Canvas,
            force_idr: bool,
            _: CanvasTime,
        ) -> Result<Option<Encoded>, EncodeError> {
            Ok(Some(Encoded { data: Bytes::from(self.0.bps().to_be_bytes().to_vec()), key: force_idr }))
        }
        fn set_bitrate(&mut self, _: Bitrate) -> bool {
            false
        }
        fn name(&self) -> &'static str {
            "stubborn"
        }
    }
    let sink = Keeps::wanted();
    let open = |config: EncoderConfig| -> Result<Box<dyn crate::encoder::Encode>, OpenError> {
        Ok(Box::new(Stubborn(config.bitrate)))
    };
    let wall = start_with(config(60), changing(), vec![sink.clone()], open).expect("starts");
    wait_until("units come", || sink.count() >= 5);
    wall.view().set_bitrate(bitrate(100_000)).expect("within the level");
    wait_until("its units come", || {
        sink.units.lock().iter().any(|unit| unit.data[..] == 100_000_u32.to_be_bytes() && unit.key)
    });
    let stats = stats(&wall);
    assert_eq!((stats.encode_errors, stats.encoder_stalls, stats.panics), (0, 0, 0));
}

#[test]
fn what_needs_a_higher_level_than_viewers_were_told_is_refused() {
    let size = CanvasSize::new(1280, 720).expect("a valid size");
    let config = WallConfig {
        size,
        fps: fps(30),
        bitrate: bitrate(4_000_000),
        layout: Layout::grid(size, 1).expect("a grid"),
        ..config(30)
    };
    let wall = Wall::start(config, dark(), vec![]).expect("starts");
    let view = wall.view();
    assert_eq!(view.level().to_string(), "3.1");
    assert_eq!(
        view.set_fps(fps(60)).expect_err("refused").to_string(),
        "found 60 fps at 4000000 b/s, which is level 3.2; expected at most level 3.1, which the wall's viewers were told"
    );
    assert!(view.set_bitrate(bitrate(15_000_000)).is_err());
    assert!(view.set_fps(fps(10)).is_ok() && view.set_bitrate(bitrate(14_000_000)).is_ok());
    assert_eq!(view.level(), Level::of(size, fps(30), bitrate(4_000_000)), "it stays what viewers were told");
    assert_eq!(stats(&wall).target_fps, 10);
}
