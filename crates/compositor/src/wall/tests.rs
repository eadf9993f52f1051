//! Walls of small canvases in real time: who gets what, and what a failure costs. Times are only bounded generously.

mod changed;
mod rearranged;
mod renditions;
mod stalled;
mod steered;
mod still;

use super::*;
use crate::canvas::Canvas;
use crate::colour::{ColorMatrix, ColorRange};
use crate::encoder::{EncodeError, Encoded};
use crate::overlay::Shown;
use crate::picture::PictureView;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Nothing here takes this long on a machine that works.
const PATIENCE: Duration = Duration::from_secs(20);

fn config(fps: u32) -> WallConfig {
    let size = CanvasSize::new(64, 64).expect("a valid size");
    WallConfig {
        name: "test".into(),
        size,
        fps: FrameRate::new(fps).expect("a valid rate"),
        bitrate: Bitrate::new(200_000).expect("a valid bitrate"),
        encoder: EncoderChoice::OpenH264,
        layout: Layout::grid(size, 1).expect("a grid"),
        idr_every: Duration::from_secs(4),
        renditions: Vec::new(),
    }
}

/// A wall all of whose encoders are opened by `open`.
fn start_with(
    config: WallConfig,
    tiles: Vec<Box<dyn TileSource>>,
    sinks: Vec<Arc<dyn Sink>>,
    open: impl Fn(EncoderConfig) -> Result<Box<dyn crate::encoder::Encode>, OpenError> + Send + Sync + 'static,
) -> Result<Wall, StartError> {
    let open: OpenEncoder = Arc::new(open);
    let opens = vec![open; 1 + config.renditions.len()];
    Wall::start_with(config, tiles, sinks, opens)
}

/// A tile that shows nothing and counts how often it was asked.
struct Dark(Arc<AtomicUsize>);

impl TileSource for Dark {
    fn show(&mut self, _: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
        self.0.fetch_add(1, Ordering::Relaxed);
        paint(None.into());
    }
}

fn dark() -> Vec<Box<dyn TileSource>> {
    vec![Box::new(Dark(Arc::default()))]
}

/// A tile that shows another picture at every tick.
struct Changes(u64);

impl TileSource for Changes {
    fn show(&mut self, _: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
        self.0 += 1;
        paint(Some(picture(&[self.0 as u8; 64], self.0)).into());
    }
}

fn changing() -> Vec<Box<dyn TileSource>> {
    vec![Box::new(Changes(0))]
}

/// A picture of 8x8.
fn picture(samples: &[u8; 64], generation: u64) -> PictureView<'_> {
    PictureView {
        width: 8,
        height: 8,
        planes: [samples, samples, samples],
        strides: [8, 8, 8],
        sample_aspect: (1, 1),
        matrix: ColorMatrix::Bt709,
        range: ColorRange::Limited,
        generation,
    }
}

/// A sink that keeps what it gets.
#[derive(Default)]
struct Keeps {
    wanted: AtomicBool,
    units: Mutex<Vec<AccessUnit>>,
}

impl Keeps {
    fn wanted() -> Arc<Keeps> {
        Arc::new(Keeps { wanted: AtomicBool::new(true), units: Mutex::default() })
    }

    fn want(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    fn count(&self) -> usize {
        self.units.lock().len()
    }

    /// Whether each unit was an IDR, in order.
    fn keys(&self) -> Vec<bool> {
        self.units.lock().iter().map(|unit| unit.key).collect()
    }
}

impl Sink for Keeps {
    fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    fn deliver(&self, unit: &AccessUnit) {
        self.units.lock().push(unit.clone());
    }
}

#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn stats(wall: &Wall) -> WallStats {
    wall.view().stats(Instant::now())
}

fn wait_ticks(wall: &Wall, ticks: u64) {
    let from = stats(wall).ticks;
    wait_until("ticks pass", || stats(wall).ticks >= from + ticks);
}

#[test]
fn nothing_is_composed_or_encoded_while_nobody_wants_it_and_the_clock_goes_on() {
    let asked = Arc::new(AtomicUsize::new(0));
    let sink = Arc::new(Keeps::default());
    let wall = Wall::start(config(60), vec![Box::new(Dark(Arc::clone(&asked)))], vec![sink.clone()])
        .expect("starts");
    wait_ticks(&wall, 30);
    let idle = stats(&wall);
    assert_eq!((idle.frames_encoded, asked.load(Ordering::Relaxed), sink.count()), (0, 0, 0));
    assert!(idle.ticks >= 30 && idle.last_progress.elapsed() < PATIENCE);

    sink.want(true);
    wait_until("units come", || sink.count() >= 5);
    let first = sink.units.lock()[0].clone();
    assert!(first.canvas_time.tick() >= 30, "canvas time went on: {first:?}");
    assert!(asked.load(Ordering::Relaxed) >= 5);
}

#[test]
fn the_first_access_unit_after_a_pause_is_an_idr() {
    let sink = Keeps::wanted();
    let wall = Wall::start(config(60), changing(), vec![sink.clone()]).expect("starts");
    wait_until("units come", || sink.count() >= 5);
    sink.want(false);
    wait_ticks(&wall, 5);
    let before = sink.count();
    sink.want(true);
    wait_until("units come again", || sink.count() >= before + 5);
    let idrs: Vec<usize> = sink.keys().iter().enumerate().filter(|&(_, &key)| key).map(|(i, _)| i).collect();
    assert_eq!(idrs, [0, before]);
    let sequences: Vec<u64> = sink.units.lock().iter().map(|unit| unit.sequence).collect();
    assert!(sequences.windows(2).all(|pair| pair[1] == pair[0] + 1), "{sequences:?}");
}

#[test]
fn eight_sinks_share_one_encode() {
    let sinks: Vec<Arc<Keeps>> = (0..8).map(|_| Keeps::wanted()).collect();
    let shared = sinks.iter().map(|sink| Arc::clone(sink) as Arc<dyn Sink>).collect();
    let wall = Wall::start(config(60), changing(), shared).expect("starts");
    wait_until("units come", || sinks.iter().all(|sink| sink.count() >= 20));
    let view = wall.view();
    wall.stop();
    let encoded = view.stats(Instant::now()).frames_encoded;
    let firsts = sinks[0].units.lock().clone();
    for sink in &sinks {
        let ours = sink.units.lock();
        assert_eq!(ours.len() as u64, encoded);
        assert!(
            ours.iter().zip(&firsts).all(|(a, b)| a.data.as_ptr() == b.data.as_ptr()),
            "the bytes are shared"
        );
    }
}

#[test]
fn a_sink_that_nobody_wants_gets_nothing_and_one_that_joins_gets_an_idr() {
    let (first, second) = (Keeps::wanted(), Arc::new(Keeps::default()));
    let wall = Wall::start(config(60), changing(), vec![first.clone(), second.clone()]).expect("starts");
    wait_until("units come", || first.count() >= 10);
    assert_eq!(second.count(), 0);
    second.want(true);
    wait_until("an IDR comes", || second.keys().contains(&true));
    assert!(second.keys()[0], "at once: {:?}", second.keys());
    drop(wall);
}

#[test]
fn a_storm_of_key_frame_requests_is_coalesced() {
    let sink = Keeps::wanted();
    let wall = Wall::start(config(60), changing(), vec![sink.clone()]).expect("starts");
    let view = wall.view();
    wait_until("units come", || {
        view.request_key_frame();
        sink.count() >= 75
    });
    let units = sink.units.lock();
    let idrs: Vec<Duration> =
        units.iter().filter(|unit| unit.key).map(|unit| unit.canvas_time.as_duration()).collect();
    assert!(idrs.len() >= 3, "{idrs:?}");
    // The first one belongs to the beginning, whoever asked when.
    assert!(idrs[1..].windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(500)), "{idrs:?}");
    assert!(view.stats(Instant::now()).keyframe_requests > 10);
}

#[test]
fn a_sink_that_panics_is_counted_and_harms_nobody() {
    struct Panics;
    impl Sink for Panics {
        fn is_wanted(&self) -> bool {
            true
        }
        fn deliver(&self, _: &AccessUnit) {
            panic!("this sink is broken, as the test wants");
        }
    }
    let sink = Keeps::wanted();
    let wall = Wall::start(config(60), changing(), vec![Arc::new(Panics), sink.clone()]).expect("starts");
    wait_until("units come", || sink.count() >= 10);
    assert_eq!(sink.keys().iter().filter(|&&key| key).count(), 1, "the stream was not disturbed");
    assert!(stats(&wall).panics >= 9);
}

#[test]
fn a_tile_that_always_panics_is_counted_and_does_not_disturb_the_stream() {
    struct Panics;
    impl TileSource for Panics {
        fn show(&mut self, _: Instant, _: &mut dyn FnMut(Shown<'_>)) {
            panic!("this tile is broken, as the test wants");
        }
    }
    let sink = Keeps::wanted();
    let wall = Wall::start(config(60), vec![Box::new(Panics)], vec![sink.clone()]).expect("starts");
    wait_until("units come", || sink.count() >= 10);
    assert_eq!(sink.keys().iter().filter(|&&key| key).count(), 1, "the encoder was kept");
    assert!(stats(&wall).panics >= 9);
}

/// An encoder that says what it was shown, and is one byte's worth of code.
struct Looks<F>(F, bool);

impl<F: FnMut(&Canvas, CanvasTime) + Send> crate::encoder::Encode for Looks<F> {
    fn encode(
        &mut self,
        canvas: &Canvas,
        force_idr: bool,
        time: CanvasTime,
    ) -> Result<Option<Encoded>, EncodeError> {
        (self.0)(canvas, time);
        let first = !std::mem::replace(&mut self.1, true);
        Ok(Some(Encoded { data: Bytes::from_static(&[0]), key: force_idr || first }))
    }

    fn set_bitrate(&mut self, _: Bitrate) -> bool {
        true
    }

    fn name(&self) -> &'static str {
        "looks"
    }
}

/// How many threads of this process have this name, as far as the kernel keeps it.
fn threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux").flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|found| found.trim_end() == &name[..name.len().min(15)]).count()
}

/// What the next canvas meets.
#[derive(Clone, Copy, PartialEq)]
enum Script {
    Obey,
    Skip,
    Fail,
    Panic,
}

/// An encoder that does what it is told to, each canvas something else, then obeys.
struct Scripted(Arc<Mutex<Vec<Script>>>, bool);

impl crate::encoder::Encode for Scripted {
    fn encode(
        &mut self,
        _: &Canvas,
        force_idr: bool,
        time: CanvasTime,
    ) -> Result<Option<Encoded>, EncodeError> {
        let mut script = self.0.lock();
        let step = if script.is_empty() { Script::Obey } else { script.remove(0) };
        drop(script);
        match step {
            Script::Obey => {
                let first = !std::mem::replace(&mut self.1, true);
                let key = force_idr || first;
                Ok(Some(Encoded { data: Bytes::from(time.tick().to_be_bytes().to_vec()), key }))
            }
            Script::Skip => Ok(None),
            Script::Fail => Err(EncodeError::Failed {
                encoder: "scripted",
                tick: time.tick(),
                source: "as the test wants".into(),
            }),
            Script::Panic => panic!("this encoder is broken, as the test wants"),
        }
    }

    fn set_bitrate(&mut self, _: Bitrate) -> bool {
        true
    }

    fn name(&self) -> &'static str {
        "scripted"
    }
}

/// A wall whose encoder follows `script`, and how many encoders were opened.
fn scripted(script: Vec<Script>, sink: &Arc<Keeps>) -> (Wall, Arc<AtomicUsize>) {
    let (script, opened) = (Arc::new(Mutex::new(script)), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&opened);
    let open = move |_: EncoderConfig| -> Result<Box<dyn crate::encoder::Encode>, OpenError> {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Scripted(Arc::clone(&script), false)))
    };
    let sink = Arc::clone(sink) as Arc<dyn Sink>;
    (start_with(config(60), changing(), vec![sink], open).expect("starts"), opened)
}

#[test]
fn an_encoder_that_fails_or_panics_is_replaced_and_the_stream_begins_anew() {
    for (fault, errors, panics) in [(Script::Fail, 1, 0), (Script::Panic, 0, 1)] {
        let sink = Keeps::wanted();
        let (wall, opened) = scripted(vec![Script::Obey, Script::Obey, fault], &sink);
        wait_until("units come after it", || sink.count() >= 6);
        let stats = stats(&wall);
        assert_eq!(opened.load(Ordering::Relaxed), 2);
        assert_eq!((stats.encode_errors, stats.panics), (errors, panics));
        assert_eq!(sink.keys()[..4], [true, false, true, false]);
    }
}

#[test]
fn an_encoder_that_keeps_failing_is_opened_once_a_second_and_not_at_every_tick() {
    let sink = Keeps::wanted();
    let (wall, opened) = scripted(vec![Script::Fail; 1_000], &sink);
    wait_ticks(&wall, 45);
    assert!((2..=4).contains(&opened.load(Ordering::Relaxed)), "{opened:?}");
}

#[test]
fn a_wall_makes_no_progress_while_it_has_viewers_and_no_encoder() {
    let sink = Keeps::wanted();
    let (script, opened) = (Arc::new(Mutex::new(vec![Script::Obey, Script::Fail])), AtomicUsize::new(0));
    let open = move |config| -> Result<Box<dyn crate::encoder::Encode>, OpenError> {
        if opened.fetch_add(1, Ordering::Relaxed) == 0 {
            return Ok(Box::new(Scripted(Arc::clone(&script), false)));
        }
        Err(OpenError { encoder: "scripted", config, source: "as the test wants".into() })
    };
    let wall = start_with(config(60), changing(), vec![sink.clone()], open).expect("the first opens");
    wait_until("opening again has failed", || stats(&wall).encode_errors >= 2);
    let stuck = wall.view().last_progress();
    wait_ticks(&wall, 90);
    assert_eq!(wall.view().last_progress(), stuck, "the viewers see a frozen picture");
    assert_eq!(sink.count(), 1);

    sink.want(false);
    wait_until("progress without viewers", || wall.view().last_progress() > stuck);
}

#[test]
fn a_wall_makes_no_progress_while_the_encoder_leaves_every_canvas_out() {
    let sink = Keeps::wanted();
    let (wall, _) = scripted(vec![Script::Skip; 100_000], &sink);
    let started = wall.view().last_progress();
    wait_ticks(&wall, 20);
    assert_eq!(wall.view().last_progress(), started);
}

#[test]
fn w12_a_key_frame_that_the_encoder_leaves_out_is_asked_for_again() {
    let sink = Keeps::wanted();
    let (wall, opened) = scripted(vec![Script::Skip, Script::Skip, Script::Obey], &sink);
    wait_until("units come", || sink.count() >= 3);
    assert_eq!(sink.keys()[..2], [true, false]);
    assert_eq!((stats(&wall).encode_errors, opened.load(Ordering::Relaxed)), (2, 1));
}

#[test]
fn w12_an_encoder_that_makes_no_key_frame_for_ever_is_replaced() {
    let sink = Keeps::wanted();
    let (_wall, opened) = scripted(vec![Script::Skip; 25], &sink);
    wait_until("units come", || sink.count() >= 1);
    assert_eq!(opened.load(Ordering::Relaxed), 2);
    assert!(sink.keys()[0]);
}

#[test]
fn a_wall_whose_parts_do_not_fit_together_does_not_start() {
    let other = Layout::columns(CanvasSize::FULL_HD);
    let error = Wall::start(WallConfig { layout: other, ..config(25) }, dark(), vec![]).expect_err("refused");
    assert_eq!(error.to_string(), "found a layout for 1920x1080, expected one for the wall's 64x64");
    let two = dark().into_iter().chain(dark()).collect();
    let error = Wall::start(config(25), two, vec![]).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "found 2 tile sources, expected at most 1, one for each tile of the layout"
    );
}

#[test]
fn stats_tell_the_rate_of_ticks_and_what_came_out() {
    let sink = Keeps::wanted();
    let wall = Wall::start(config(60), changing(), vec![sink.clone()]).expect("starts");
    wait_ticks(&wall, 60);
    let stats = stats(&wall);
    assert_eq!((stats.resolution, stats.target_fps, stats.encoder), ((64, 64), 60, "openh264"));
    assert!(stats.fps > 20.0 && stats.fps < 70.0, "{stats:?}");
    assert!(stats.frames_encoded > 20 && stats.keyframes == 1 && stats.bitrate_bps > 0, "{stats:?}");
    assert!(stats.encode_ms.p99 >= stats.encode_ms.p50 && stats.encode_ms.p50 > 0.0, "{stats:?}");
}
