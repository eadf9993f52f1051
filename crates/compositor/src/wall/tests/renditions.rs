//! Smaller renditions: when they are encoded, what they show, and that they disturb nobody.

use super::stalled::{Door, Opens};
use super::still::cpu;
use super::*;

/// A sink of a smaller rendition.
struct Of(usize, Arc<Keeps>);

impl Sink for Of {
    fn is_wanted(&self) -> bool {
        self.1.is_wanted()
    }

    fn deliver(&self, unit: &AccessUnit) {
        self.1.deliver(unit);
    }

    fn rendition(&self) -> usize {
        self.0
    }
}

fn small(width: u32, height: u32) -> RenditionConfig {
    RenditionConfig {
        name: format!("{height}p"),
        size: CanvasSize::new(width, height).expect("a valid size"),
        bitrate: Bitrate::new(100_000).expect("a valid bitrate"),
    }
}

/// A wall of 128x128 with a rendition of 64x64.
fn halved(name: &str) -> WallConfig {
    let size = CanvasSize::new(128, 128).expect("a valid size");
    let layout = Layout::grid(size, 1).expect("a grid");
    WallConfig { name: name.into(), size, layout, renditions: vec![small(64, 64)], ..config(60) }
}

fn sinks(own: &Arc<Keeps>, smaller: &Arc<Keeps>) -> Vec<Arc<dyn Sink>> {
    vec![Arc::clone(own) as Arc<dyn Sink>, Arc::new(Of(1, Arc::clone(smaller)))]
}

fn rendition(wall: &Wall, number: usize) -> RenditionStats {
    stats(wall).renditions[number].clone()
}

#[test]
fn a_smaller_rendition_costs_nothing_before_it_is_wanted_and_nothing_again_some_time_after() {
    let (own, smaller) = (Keeps::wanted(), Arc::new(Keeps::default()));
    let wall = Wall::start(halved("warm"), changing(), sinks(&own, &smaller)).expect("starts");
    let thread = "encode-warm-64p";
    wait_until("units come", || own.count() >= 30);
    assert_eq!((threads(thread), smaller.count()), (0, 0));
    let idle = rendition(&wall, 1);
    assert_eq!((idle.encoder, idle.running, idle.frames_encoded, idle.scale_ms.p99), (None, false, 0, 0.0));

    smaller.want(true);
    wait_until("units of it come", || smaller.count() >= 5);
    assert!(smaller.keys()[0], "it begins with an IDR");
    assert_eq!(threads(thread), 1);
    let busy = rendition(&wall, 1);
    assert_eq!((busy.encoder, busy.running, busy.resolution), (Some("openh264"), true, (64, 64)));
    assert!(busy.scale_ms.p50 > 0.0 && busy.encode_ms.p50 > 0.0 && busy.bitrate_bps > 0, "{busy:?}");

    // Whoever comes back soon finds the encoder open, and gets an IDR first.
    smaller.want(false);
    wait_ticks(&wall, 10);
    let before = smaller.count();
    smaller.want(true);
    wait_until("units of it come again", || smaller.count() >= before + 3);
    assert!(smaller.keys()[before]);
    let sequences: Vec<u64> = smaller.units.lock().iter().map(|unit| unit.sequence).collect();
    assert!(sequences.windows(2).all(|pair| pair[1] == pair[0] + 1), "{sequences:?}");

    smaller.want(false);
    wait_until("its thread ends", || threads(thread) == 0);
    let (encoded, running) = (rendition(&wall, 1).frames_encoded, rendition(&wall, 1).running);
    wait_ticks(&wall, 10);
    assert_eq!((rendition(&wall, 1).frames_encoded, running), (encoded, false));
    assert_eq!(own.keys().iter().filter(|&&key| key).count(), 1, "the wall's own stream was not disturbed");

    smaller.want(true);
    wait_until("units of it come once more", || threads(thread) == 1);
    wall.stop();
    assert_eq!(threads(thread) + threads("encode-warm") + threads("wall-warm"), 0);
}

#[test]
fn where_only_a_smaller_rendition_is_wanted_the_walls_own_is_not_encoded() {
    let (own, smaller) = (Arc::new(Keeps::default()), Keeps::wanted());
    let wall = Wall::start(halved("alone"), changing(), sinks(&own, &smaller)).expect("starts");
    wait_until("units come", || smaller.count() >= 20);
    let before = wall.view().last_progress();
    assert_eq!((own.count(), stats(&wall).frames_encoded), (0, 0));
    own.want(true);
    wait_until("the others come", || own.count() >= 1);
    assert!(own.keys()[0] && wall.view().last_progress() >= before);
    assert_eq!(smaller.keys().iter().filter(|&&key| key).count(), 1, "nobody of these notices");
}

/// A tile that is a gradient which moves by one sample a tick, in 8 steps.
struct Moves(u64);

impl TileSource for Moves {
    fn show(&mut self, _: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
        self.0 += 1;
        let samples = std::array::from_fn(|i| (20 + 3 * ((i as u64 + self.0) % 64)) as u8);
        paint(Some(picture(&samples, self.0)).into());
    }
}

#[test]
fn a_smaller_rendition_shows_the_canvas_of_the_same_tick_scaled_by_area() {
    let (own, smaller) = (Keeps::wanted(), Keeps::wanted());
    type Seen = Arc<Mutex<Vec<(CanvasTime, Canvas)>>>;
    let seen: [Seen; 2] = Default::default();
    let eyes = seen.clone();
    let open = move |config: EncoderConfig| -> Result<Box<dyn crate::encoder::Encode>, OpenError> {
        let eyes = Arc::clone(&eyes[usize::from(config.size.width() == 64)]);
        Ok(Box::new(Looks(move |canvas: &Canvas, time| eyes.lock().push((time, canvas.clone())), false)))
    };
    let wall = start_with(halved("same"), vec![Box::new(Moves(0))], sinks(&own, &smaller), open);
    let _wall = wall.expect("starts");
    wait_until("units come", || smaller.count() >= 20 && own.count() >= 20);
    let [large, small] = seen.map(|seen| seen.lock().clone());
    let mut compared = 0;
    for (time, small) in &small {
        let Some((_, large)) = large.iter().find(|(large, _)| large == time) else { continue };
        for plane in 0..3 {
            let (stride, width) = (large.stride(plane), small.stride(plane));
            for (i, &sample) in small.plane(plane).iter().enumerate() {
                let at = 2 * (i / width) * stride + 2 * (i % width);
                let of =
                    [at, at + 1, at + stride, at + stride + 1].map(|at| u32::from(large.plane(plane)[at]));
                assert_eq!(u32::from(sample), (of.iter().sum::<u32>() + 2) / 4, "plane {plane}, sample {i}");
            }
        }
        compared += 1;
    }
    assert!(compared >= 10, "{compared} canvases were compared");
    let of_own: Vec<CanvasTime> = own.units.lock().iter().map(|unit| unit.canvas_time).collect();
    let units = smaller.units.lock();
    let first = units[1].canvas_time;
    assert!(of_own.contains(&first), "it is on the wall's clock: {first:?}");
}

#[test]
fn key_frames_are_asked_for_and_coalesced_for_each_rendition() {
    let (own, smaller) = (Keeps::wanted(), Keeps::wanted());
    let wall = Wall::start(halved("keys"), changing(), sinks(&own, &smaller)).expect("starts");
    let view = wall.view();
    wait_until("units come", || {
        view.request_key_frame_of(1);
        smaller.count() >= 75
    });
    view.request_key_frame_of(2);
    let units = smaller.units.lock();
    let idrs: Vec<Duration> =
        units.iter().filter(|unit| unit.key).map(|unit| unit.canvas_time.as_duration()).collect();
    assert!(idrs.len() >= 2, "{idrs:?}");
    assert!(idrs[1..].windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(500)), "{idrs:?}");
    assert_eq!(own.keys().iter().filter(|&&key| key).count(), 1, "nobody asked for these");
    assert!(rendition(&wall, 1).keyframe_requests > 10 && rendition(&wall, 0).keyframe_requests == 0);
}

/// A wall whose smaller encoders stand before a door at their third canvas, the first `blocking` of them.
fn blocking(name: &str, blocking: usize, sinks: Vec<Arc<dyn Sink>>) -> (Wall, Opens, Arc<AtomicUsize>) {
    let (door, opened) = (Arc::new(Door::default()), Arc::new(AtomicUsize::new(0)));
    let (before, count) = (Arc::clone(&door), Arc::clone(&opened));
    let open = move |config: EncoderConfig| -> Result<Box<dyn crate::encoder::Encode>, OpenError> {
        let is_small = config.size.width() == 64;
        let blocks = is_small && count.fetch_add(1, Ordering::Relaxed) < blocking;
        let (mut canvases, door) = (0, Arc::clone(&before));
        let look = move |_: &Canvas, _| {
            canvases += 1;
            if blocks && canvases > 2 {
                door.pass();
            }
        };
        Ok(Box::new(Looks(look, false)))
    };
    (start_with(halved(name), changing(), sinks, open).expect("starts"), Opens(door), opened)
}

#[test]
fn a_smaller_encoder_that_keeps_a_canvas_disturbs_nobody_and_is_replaced() {
    let (own, smaller) = (Keeps::wanted(), Keeps::wanted());
    let (wall, door, opened) = blocking("busy", 1, sinks(&own, &smaller));
    wait_until("it has a canvas", || door.0.waiting() == 1);
    let (before, at) = (own.count(), stats(&wall));
    wait_until("units of it come again", || smaller.count() >= 8);
    let after = stats(&wall);
    let small = &after.renditions[1];
    assert_eq!((small.encoder_stalls, opened.load(Ordering::Relaxed), small.encode_errors), (1, 2, 0));
    assert!(small.canvases_missed >= 60, "{small:?}");
    assert_eq!(wall.view().health(), Ok(()));

    let kept = after.ticks - at.ticks;
    assert!(after.ticks_missed - at.ticks_missed <= kept / 10, "the wall's clock was not held up: {after:?}");
    assert!((own.count() - before) as u64 + 5 >= kept, "every canvas of the wall's own was encoded");
    assert_eq!(own.keys().iter().filter(|&&key| key).count(), 1);
    assert_eq!(smaller.keys()[..4], [true, false, true, false], "it begins anew");
    let times: Vec<u64> = smaller.units.lock().iter().map(|unit| unit.canvas_time.tick()).collect();
    assert!(times.is_sorted(), "{times:?}");

    assert_eq!(threads("encode-busy-64p"), 2, "the first one is left behind");
    door.0.open();
    wait_until("it is joined when it returns", || threads("encode-busy-64p") == 1);
}

#[test]
fn a_smaller_encoder_that_never_works_does_not_take_the_wall_down() {
    let (own, smaller) = (Keeps::wanted(), Keeps::wanted());
    let open = |config: EncoderConfig| -> Result<Box<dyn crate::encoder::Encode>, OpenError> {
        match config.size.width() {
            64 => Err(OpenError { encoder: "scripted", config, source: "as the test wants".into() }),
            _ => Ok(Box::new(Looks(|_: &Canvas, _| {}, false))),
        }
    };
    let wall = start_with(halved("never"), changing(), sinks(&own, &smaller), open).expect("starts");
    wait_until("it was tried again", || rendition(&wall, 1).encode_errors >= 3);
    let before = (own.count(), wall.view().last_progress());
    wait_until("units come", || own.count() >= before.0 + 20);
    assert!(wall.view().last_progress() > before.1 && wall.view().health().is_ok());
    assert!(rendition(&wall, 1).encode_errors <= 5, "once a second");
    own.want(false);
    let before = wall.view().last_progress();
    wait_until("it is not the wall that stands still", || wall.view().last_progress() > before);
    assert_eq!((smaller.count(), rendition(&wall, 1).running), (0, false));
}

#[test]
fn a_smaller_encoder_that_panics_is_replaced_and_a_slow_one_misses_canvases() {
    let (own, smaller) = (Keeps::wanted(), Keeps::wanted());
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let open = move |config: EncoderConfig| -> Result<Box<dyn crate::encoder::Encode>, OpenError> {
        let is_small = config.size.width() == 64;
        let breaks = is_small && count.fetch_add(1, Ordering::Relaxed) == 0;
        let look = move |_: &Canvas, _| {
            assert!(!breaks, "this encoder is broken, as the test wants");
            if is_small {
                std::thread::sleep(Duration::from_millis(40));
            }
        };
        Ok(Box::new(Looks(look, false)))
    };
    let wall = start_with(halved("slow"), changing(), sinks(&own, &smaller), open).expect("starts");
    wait_until("units come", || smaller.count() >= 20);
    let (all, small) = (stats(&wall), rendition(&wall, 1));
    assert_eq!((all.panics, opened.load(Ordering::Relaxed), small.encoder_stalls), (1, 2, 0));
    assert!(small.canvases_missed >= 20, "{small:?}");
    assert!(own.count() >= smaller.count() + 20, "the wall's own misses none of them");
    assert!(smaller.keys()[0]);
}

#[test]
fn a_still_wall_is_still_for_a_smaller_rendition_too() {
    let (own, smaller) = (Arc::new(Keeps::default()), Keeps::wanted());
    let wall = Wall::start(halved("still2"), dark(), sinks(&own, &smaller)).expect("starts");
    wait_until("it is left alone", || stats(&wall).canvases_unchanged >= 60);
    let before = (smaller.count(), stats(&wall).canvases_unchanged);
    assert!(before.0 >= 10, "whoever comes is made welcome: {} units", before.0);
    wait_until("two seconds pass", || stats(&wall).canvases_unchanged >= before.1 + 118);
    let units = smaller.count() - before.0;
    assert!((1..=18).contains(&units), "{units} units in two seconds");
}

#[test]
fn a_frame_rate_is_changed_for_all_renditions_and_a_bitrate_for_the_walls_own() {
    let (own, smaller) = (Keeps::wanted(), Keeps::wanted());
    let wall = Wall::start(halved("rates"), changing(), sinks(&own, &smaller)).expect("starts");
    wait_until("units come", || smaller.count() >= 5);
    let rates = (FrameRate::new(30).expect("a valid rate"), Bitrate::new(150_000).expect("a valid bitrate"));
    wall.view().set_rates(rates.0, rates.1).expect("within the level");
    wait_until("both begin anew", || {
        [&own, &smaller].iter().all(|sink| sink.keys().iter().filter(|&&key| key).count() == 2)
    });
    assert_eq!((rendition(&wall, 0).target_bps, rendition(&wall, 1).target_bps), (150_000, 100_000));
}

/// Something sharp that moves, in one of 8 places.
struct Film {
    pictures: Vec<Vec<u8>>,
    tick: u64,
}

impl TileSource for Film {
    fn show(&mut self, _: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
        self.tick += 1;
        let samples = &self.pictures[self.tick as usize % self.pictures.len()][..];
        let (planes, strides) = ([samples; 3], [640, 320, 320]);
        let picture = picture(&[0; 64], self.tick);
        paint(Some(PictureView { width: 640, height: 360, planes, strides, ..picture }).into());
    }
}

#[test]
fn half_of_a_wall_costs_less_than_the_wall() {
    let size = CanvasSize::new(640, 360).expect("a valid size");
    let half = RenditionConfig { bitrate: Bitrate::new(500_000).expect("valid"), ..small(320, 180) };
    let config = WallConfig {
        size,
        layout: Layout::grid(size, 1).expect("a grid"),
        bitrate: Bitrate::new(2_000_000).expect("a valid bitrate"),
        renditions: vec![half],
        ..halved("cost")
    };
    let of = |n: u32| (0..640 * 360_u32).map(|i| ((i % 640 + 4 * n) * (i / 640) / 64 % 200) as u8).collect();
    let film = Film { pictures: (0..8).map(of).collect(), tick: 0 };
    let (own, smaller) = (Keeps::wanted(), Keeps::wanted());
    let wall = Wall::start(config, vec![Box::new(film)], sinks(&own, &smaller)).expect("starts");
    wait_until("both are encoded", || smaller.count() >= 30);
    let used = || (cpu("encode-cost"), cpu("encode-cost-180"), rendition(&wall, 1).frames_encoded);
    let (own_before, small_before, frames) = used();
    wait_ticks(&wall, 100);
    let (own_after, small_after, frames_after) = used();
    // All of it is done on the wall's thread or on this one.
    let a_frame = (small_after - small_before) / (frames_after - frames) as f64 * 1e3;
    let own_a_frame = (own_after - own_before) / 100.0 * 1e3;
    let scaling = rendition(&wall, 1).scale_ms.p50;
    // A quarter on a calm machine, with larger pictures.
    assert!(a_frame + scaling < 0.8 * own_a_frame, "{a_frame} + {scaling} ms for {own_a_frame} ms");
}

#[test]
fn a_rendition_comes_in_two_layers_while_a_sink_of_it_wants_halves() {
    struct Half(Arc<Keeps>, Arc<AtomicBool>);
    impl Sink for Half {
        fn is_wanted(&self) -> bool {
            true
        }
        fn deliver(&self, unit: &AccessUnit) {
            self.0.deliver(unit);
        }
        fn rendition(&self) -> usize {
            1
        }
        fn wants_halves(&self) -> bool {
            self.1.load(Ordering::Relaxed)
        }
    }
    let (own, smaller, wish) = (Keeps::wanted(), Keeps::wanted(), Arc::new(AtomicBool::new(true)));
    let half: Arc<dyn Sink> = Arc::new(Half(Arc::clone(&smaller), Arc::clone(&wish)));
    let config = WallConfig { idr_every: Duration::from_millis(1_500), ..halved("halves") };
    let _wall = Wall::start(config, changing(), vec![own.clone(), half]).expect("starts");
    // nal_ref_idc of the last NAL unit, which is a slice.
    let is_disposable = |unit: &AccessUnit| {
        let at = unit.data.windows(3).rposition(|bytes| bytes == [0, 0, 1]).expect("a NAL unit");
        unit.data[at + 3] & 0x60 == 0
    };
    let count = |sink: &Keeps| sink.units.lock().iter().filter(|unit| is_disposable(unit)).count();
    wait_until("units come", || own.count() >= 20 && smaller.count() >= 20);
    assert!(count(&own) == 0 && count(&smaller) >= 9, "{} of {}", count(&smaller), smaller.count());

    let is_over = || !smaller.units.lock().iter().rev().take(10).any(is_disposable);
    wish.store(false, Ordering::Relaxed);
    wait_until("they do no longer, from the next key frame on", is_over);
    let from = smaller.count();
    wish.store(true, Ordering::Relaxed);
    wait_until("they do again", || !is_over());
    let units = smaller.units.lock()[from..].to_vec();
    let first = units.iter().position(is_disposable).expect("one was just seen");
    assert!(units[..first].iter().any(|unit| unit.key), "from a key frame on");
    assert_eq!(count(&own), 0);
}

#[test]
fn a_wall_with_a_rendition_that_is_not_smaller_or_that_is_not_there_does_not_start() {
    let config = |rendition| WallConfig { renditions: vec![rendition], ..halved("wrong") };
    let error = Wall::start(config(small(130, 64)), dark(), vec![]).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "found a rendition of 130x64 at 100000 b/s, expected at most the wall's 128x128 at 200000 b/s"
    );
    let dear = RenditionConfig { bitrate: Bitrate::new(200_001).expect("valid"), ..small(64, 64) };
    assert!(Wall::start(config(dear), dark(), vec![]).is_err());
    let sink = Arc::new(Of(2, Keeps::wanted()));
    let error = Wall::start(config(small(64, 64)), dark(), vec![sink]).expect_err("refused");
    assert_eq!(error.to_string(), "found a sink of rendition 2, expected one of 0 to 1");
}
