//! Nothing is allocated for a canvas, whatever the tiles show and however. An allocator that counts is the whole
//! process's, so this test has a process of its own.
#![allow(unsafe_code, reason = "an allocator is unsafe by its trait; it only passes on and counts")]

use std::alloc::{GlobalAlloc, Layout as Memory, System};
use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};
use wallcast_compositor::{
    Area, CanvasSize, Caption, ColorMatrix, ColorRange, Compositor, Fit, Layout, Overlay, PictureView,
    Presentation, Preset, Rotation, Shown, Spacing, TileSource, TileState,
};

thread_local! {
    /// Of this thread: the test harness has others.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is the system allocator's own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, memory: Memory) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's.
        unsafe { System.alloc(memory) }
    }

    unsafe fn dealloc(&self, at: *mut u8, memory: Memory) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(at, memory) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

/// Shows a new picture at every other tick, and black at every tenth, and says so.
struct Camera {
    size: (u32, u32),
    samples: Vec<u8>,
    tick: u64,
}

impl TileSource for Camera {
    fn show(&mut self, _: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
        self.tick += 1;
        let (width, height) = self.size;
        let stride = width as usize;
        let picture = (!self.tick.is_multiple_of(10)).then(|| PictureView {
            width,
            height,
            planes: [&self.samples, &self.samples, &self.samples],
            strides: [stride, stride, stride],
            sample_aspect: (1, 1),
            matrix: ColorMatrix::Bt601,
            range: if width % 3 == 0 { ColorRange::Full } else { ColorRange::Limited },
            generation: self.tick / 2,
        });
        let reason = format_args!("no picture at tick {}0", 1);
        let caption = Caption {
            name: "Loading bay",
            state: if picture.is_some() { TileState::Live } else { TileState::Offline },
            reason: picture.is_none().then_some(&reason),
            age: Some(Duration::from_millis(20)),
            taken: Some(SystemTime::UNIX_EPOCH),
            utc_offset_s: 3_600,
        };
        paint(Shown { picture, caption: Some(caption), came: None });
    }
}

#[test]
fn once_every_tile_has_shown_its_picture_nothing_is_allocated_for_a_canvas() {
    let canvas = CanvasSize::new(640, 360).expect("a valid size");
    let spacing = Spacing::new(4, 2).expect("even and small");
    let mask = Area::fractions(0.1, 0.2, 0.3, 0.4).expect("an area");
    let crop = Area::fractions(0.25, 0.0, 0.5, 0.75).expect("an area");
    for (preset, tiles) in [(Preset::TwoPlusEight, 10), (Preset::Pip, 4)] {
        let presentations = (0..tiles as u32).map(|i| Presentation {
            fit: [Fit::Contain, Fit::Cover, Fit::Stretch][i as usize % 3],
            crop: (i % 2 == 1).then_some(crop),
            rotation: Rotation::by_degrees(i % 4 * 90).expect("a quarter turn"),
            mirrored: i % 5 == 0,
            masks: if i % 3 == 0 { vec![mask, crop] } else { vec![] },
            overlay: Overlay { clock: true, ..Overlay::default() },
        });
        let layout = Layout::preset(preset, canvas, tiles, spacing).expect("there is room");
        let layout = layout.with_presentations(presentations);
        let sizes = [(640, 360), (320, 180), (704, 576), (101, 67)];
        let camera = |i: usize| -> Box<dyn TileSource> {
            let size = sizes[i % sizes.len()];
            Box::new(Camera { size, samples: vec![100; (size.0 * size.1) as usize], tick: i as u64 })
        };
        let mut cameras: Vec<Box<dyn TileSource>> = (0..tiles).map(camera).collect();
        let mut compositor = Compositor::new(&layout);
        let (begin, tick) = (Instant::now(), Duration::from_millis(40));
        // Every camera has shown pictures and black by then.
        for n in 0..12 {
            compositor.compose(begin + tick * n, &mut cameras);
        }
        let before = allocations();
        let mut painted = 0;
        for n in 12..212 {
            painted += compositor.compose(begin + tick * n, &mut cameras).painted;
        }
        assert_eq!(allocations() - before, 0, "{preset}");
        assert!(painted > 50 * tiles, "{preset}: {painted} tiles were painted");
    }
    let before = allocations();
    drop(vec![0_u8; 10]);
    assert_eq!(allocations() - before, 1, "the allocator counts");
}
