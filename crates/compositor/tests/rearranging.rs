//! A hundred layout changes leave nothing behind: no memory, no thread, no source. An allocator that counts is the whole
//! process's, so this test has a process of its own.
#![allow(unsafe_code, reason = "an allocator is unsafe by its trait; it only passes on and counts")]

use std::alloc::{GlobalAlloc, Layout as Memory, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use wallcast_compositor::encoder::EncoderChoice;
use wallcast_compositor::{
    AccessUnit, Bitrate, CanvasSize, ColorMatrix, ColorRange, FrameRate, Layout, PictureView, Preset, Shown,
    Sink, Spacing, TileSource, Wall, WallConfig,
};

static LIVE_BYTES: AtomicIsize = AtomicIsize::new(0);

struct Counting;

// SAFETY: every call is the system allocator's own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, memory: Memory) -> *mut u8 {
        LIVE_BYTES.fetch_add(memory.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.alloc(memory) }
    }

    unsafe fn dealloc(&self, at: *mut u8, memory: Memory) {
        LIVE_BYTES.fetch_sub(memory.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.dealloc(at, memory) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Sources that there are.
static SOURCES: AtomicUsize = AtomicUsize::new(0);

/// Holds a picture, and shows it as a new one at every tick.
struct Camera {
    samples: Vec<u8>,
    tick: u64,
}

impl Camera {
    fn boxed() -> Box<dyn TileSource> {
        SOURCES.fetch_add(1, Ordering::Relaxed);
        Box::new(Camera { samples: vec![100; 320 * 180], tick: 0 })
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        SOURCES.fetch_sub(1, Ordering::Relaxed);
    }
}

impl TileSource for Camera {
    fn show(&mut self, _: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
        self.tick += 1;
        let picture = PictureView {
            width: 320,
            height: 180,
            planes: [&self.samples, &self.samples, &self.samples],
            strides: [320, 160, 160],
            sample_aspect: (1, 1),
            matrix: ColorMatrix::Bt709,
            range: ColorRange::Limited,
            generation: self.tick,
        };
        paint(Some(picture).into());
    }
}

/// A viewer who counts.
#[derive(Default)]
struct Viewer {
    units: AtomicUsize,
    keys: AtomicUsize,
    left: AtomicBool,
}

impl Sink for Viewer {
    fn is_wanted(&self) -> bool {
        !self.left.load(Ordering::Relaxed)
    }

    fn deliver(&self, unit: &AccessUnit) {
        self.units.fetch_add(1, Ordering::Relaxed);
        self.keys.fetch_add(usize::from(unit.key), Ordering::Relaxed);
    }
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("Linux").count()
}

#[test]
fn a_hundred_changes_while_a_viewer_watches_leave_memory_and_threads_level() {
    let size = CanvasSize::new(640, 360).expect("a valid size");
    let layout = |number: usize| {
        let (preset, tiles) =
            [(Preset::OnePlusFive, 6), (Preset::Pip, 4), (Preset::TwoPlusEight, 10)][number % 3];
        Layout::preset(preset, size, tiles, Spacing::default()).expect("there is room")
    };
    let sources = |layout: &Layout| layout.placements().iter().map(|_| Camera::boxed()).collect();
    let viewer = Arc::new(Viewer::default());
    let first = layout(0);
    let config = WallConfig {
        name: "level".into(),
        size,
        fps: FrameRate::new(60).expect("a valid rate"),
        bitrate: Bitrate::DEFAULT,
        encoder: EncoderChoice::OpenH264,
        layout: first.clone(),
        idr_every: Duration::from_secs(3_600),
        renditions: Vec::new(),
    };
    let wall = Wall::start(config, sources(&first), vec![viewer.clone()]).expect("starts");
    let watch = |more: usize| {
        let until = viewer.units.load(Ordering::Relaxed) + more;
        let begun = Instant::now();
        while viewer.units.load(Ordering::Relaxed) < until {
            assert!(begun.elapsed() < Duration::from_secs(20), "no units come");
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    // Ends with the same layout every time, when all its pictures have been shown.
    let change = |times: usize| {
        for number in 1..=times * 3 {
            let layout = layout(number);
            wall.view().rearrange(layout.clone(), sources(&layout)).expect("fits");
            watch(if number.is_multiple_of(5) { 0 } else { 3 });
        }
        watch(30);
        (LIVE_BYTES.load(Ordering::Relaxed), threads(), SOURCES.load(Ordering::Relaxed))
    };
    let (bytes, threads_then, alive) = change(4);
    assert_eq!(alive, 6);
    let (bytes_now, threads_now, alive) = change(34);
    assert_eq!((alive, threads_now), (6, threads_then));
    // Counters' windows fill up, and an access unit may be on its way.
    let grown = bytes_now - bytes;
    assert!(grown < 100_000, "{grown} bytes more after a hundred changes");
    assert_eq!(viewer.keys.load(Ordering::Relaxed), 1, "and the viewer needed no key frame");
    wall.stop();
    assert_eq!(SOURCES.load(Ordering::Relaxed), 0);
}
