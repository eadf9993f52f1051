//! What is painted again and what not, and what a camera that misbehaves costs.

mod golden;
mod png;
mod presentation;
mod swscale;
mod written;

use super::*;
use crate::colour::{ColorMatrix, ColorRange};
use crate::fit::Fit;
use crate::geometry::{CanvasSize, Rect};
use crate::layout::{Preset, Spacing, TileRect};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// An I420 picture of its own.
struct Picture {
    width: u32,
    height: u32,
    planes: [Vec<u8>; 3],
}

impl Picture {
    /// Stripes and a gradient, different for every `number`.
    fn pattern(width: u32, height: u32, number: u32) -> Picture {
        let plane = |width: u32, height: u32, k: u32| {
            (0..width * height)
                .map(|i| {
                    let (x, y) = (i % width, i / width);
                    (16 + (x * (3 + number) + y * (5 + k) + (x / 8 + y / 8) % 2 * 60) % 220) as u8
                })
                .collect()
        };
        let (cw, ch) = (width.div_ceil(2), height.div_ceil(2));
        Picture { width, height, planes: [plane(width, height, 0), plane(cw, ch, 1), plane(cw, ch, 2)] }
    }

    fn view(&self, generation: u64) -> PictureView<'_> {
        let (luma, chroma) = (self.width as usize, self.width.div_ceil(2) as usize);
        PictureView {
            width: self.width,
            height: self.height,
            planes: [&self.planes[0], &self.planes[1], &self.planes[2]],
            strides: [luma, chroma, chroma],
            sample_aspect: (1, 1),
            matrix: ColorMatrix::Bt709,
            range: ColorRange::Limited,
            generation,
        }
    }
}

/// Shows one picture, or black at generation 0.
struct Shows(Picture, Arc<AtomicU64>);

impl TileSource for Shows {
    fn show(&mut self, _: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
        let generation = self.1.load(Ordering::Relaxed);
        paint((generation > 0).then(|| self.0.view(generation)).into());
    }
}

fn size(width: u32, height: u32) -> CanvasSize {
    CanvasSize::new(width, height).expect("a valid size")
}

type Sources = (Vec<Box<dyn TileSource>>, Vec<Arc<AtomicU64>>);

/// A source for each tile, of pictures of these sizes in turn.
fn sources(tiles: usize, sizes: &[(u32, u32)]) -> Sources {
    let generations: Vec<_> = (0..tiles).map(|_| Arc::new(AtomicU64::new(1))).collect();
    let boxed = |(i, generation): (usize, &Arc<AtomicU64>)| -> Box<dyn TileSource> {
        let (width, height) = sizes[i % sizes.len()];
        Box::new(Shows(Picture::pattern(width, height, i as u32), Arc::clone(generation)))
    };
    (generations.iter().enumerate().map(boxed).collect(), generations)
}

/// FNV-1a over the planes.
fn checksum(canvas: &Canvas) -> u64 {
    let bytes = (0..3).flat_map(|plane| canvas.plane(plane));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[test]
fn a_tile_is_painted_when_its_picture_changes_and_only_then() {
    let layout = Layout::columns(size(256, 144));
    let (mut tiles, generations) = sources(4, &[(128, 72)]);
    let mut compositor = Compositor::new(&layout);
    let mut painted = || compositor.compose(Instant::now(), &mut tiles).painted;
    assert_eq!([painted(), painted()], [4, 0]);
    generations[2].store(2, Ordering::Relaxed);
    assert_eq!([painted(), painted()], [1, 0]);
    generations[0].store(0, Ordering::Relaxed);
    assert_eq!([painted(), painted()], [1, 0], "black is painted once too");
}

#[test]
fn painting_only_what_changed_gives_the_canvas_that_painting_everything_gives() {
    let canvas = size(256, 144);
    let tile = |x, y, width, height, z| TileRect { x, y, width, height, z, ..TileRect::default() };
    // A picture in a picture, a third between both, and one beside.
    let rects = vec![
        tile(0, 0, 192, 144, 0),
        tile(100, 20, 64, 64, 2),
        tile(150, 60, 80, 50, 1),
        tile(232, 0, 24, 24, -1),
    ];
    let spacing = Spacing::new(4, 2).expect("even and small");
    let layouts = [
        Layout::explicit(canvas, rects).expect("a layout"),
        Layout::preset(Preset::Pip, canvas, 4, spacing).expect("there is room"),
    ];
    for layout in layouts.map(|layout| layout.with_background("teal".parse().expect("a colour"))) {
        let (mut tiles, generations) = sources(4, &[(64, 64), (100, 30), (31, 57)]);
        let mut incremental = Compositor::new(&layout);
        let mut state = 1_u64;
        for step in 0..200 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let generation = &generations[(state >> 60) as usize % 4];
            generation.store(if state >> 40 & 3 == 0 { 0 } else { step + 2 }, Ordering::Relaxed);
            incremental.compose(Instant::now(), &mut tiles);
            let mut whole = Compositor::new(&layout);
            whole.compose(Instant::now(), &mut tiles);
            assert!(checksum(incremental.canvas()) == checksum(whole.canvas()), "step {step}");
        }
    }
}

/// Shows pictures of changing size.
struct Resizes(Vec<Picture>, u64);

impl TileSource for Resizes {
    fn show(&mut self, _: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
        self.1 += 1;
        paint(Some(self.0[self.1 as usize % self.0.len()].view(self.1)).into());
    }
}

#[test]
fn a_camera_that_changes_its_size_leaves_nothing_of_the_old_one_behind() {
    let layout = Layout::grid(size(128, 128), 1).expect("a grid");
    let pictures = || [(64, 20), (20, 64), (50, 50)].map(|(w, h)| Picture::pattern(w, h, 0)).into();
    let mut tiles: Vec<Box<dyn TileSource>> = vec![Box::new(Resizes(pictures(), 0))];
    let mut compositor = Compositor::new(&layout);
    for step in 0..6 {
        compositor.compose(Instant::now(), &mut tiles);
        let mut fresh = Compositor::new(&layout);
        fresh.compose(Instant::now(), &mut [Box::new(Resizes(pictures(), step)) as Box<dyn TileSource>]);
        assert!(checksum(compositor.canvas()) == checksum(fresh.canvas()), "step {step}");
    }
}

/// Shows one picture and says something else of its samples at every tick.
struct Reshapes(Picture, Vec<(u32, u32)>);

impl TileSource for Reshapes {
    fn show(&mut self, _: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
        let sample_aspect = self.1.remove(0);
        paint(Some(PictureView { sample_aspect, ..self.0.view(1) }).into());
    }
}

#[test]
fn a_picture_is_painted_in_the_shape_that_its_samples_give_it() {
    let layout = Layout::grid(size(128, 128), 1).expect("a grid");
    let aspects = vec![(1, 1), (2, 1), (0, 1), (1, 2)];
    let mut tiles: Vec<Box<dyn TileSource>> = vec![Box::new(Reshapes(Picture::pattern(64, 64, 0), aspects))];
    let mut compositor = Compositor::new(&layout);
    // Rows and columns of the canvas that are not black: the pattern has no black line in it.
    let mut painted = || {
        compositor.compose(Instant::now(), &mut tiles);
        let luma = compositor.canvas().plane(0);
        let is_lit = |sample: &u8| *sample != 16;
        let rows = luma.chunks(128).filter(|row| row.iter().any(is_lit)).count();
        let columns = (0..128).filter(|&x| luma.iter().skip(x).step_by(128).any(is_lit)).count();
        (columns, rows)
    };
    assert_eq!([painted(), painted(), painted(), painted()], [(128, 128), (128, 64), (128, 128), (64, 128)]);
}

struct Broken;

impl TileSource for Broken {
    fn show(&mut self, _: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
        paint(
            Some(PictureView {
                width: 64,
                height: 64,
                planes: [&[0; 10]; 3],
                strides: [64, 32, 32],
                sample_aspect: (1, 1),
                matrix: ColorMatrix::Bt709,
                range: ColorRange::Limited,
                generation: 1,
            })
            .into(),
        );
    }
}

#[test]
fn a_picture_that_is_not_what_it_says_is_black_and_counted() {
    let layout = Layout::grid(size(128, 128), 1).expect("a grid");
    let mut compositor = Compositor::new(&layout);
    let composed = compositor.compose(Instant::now(), &mut [Box::new(Broken) as Box<dyn TileSource>]);
    assert_eq!(composed, Composed { painted: 1, refused: 1, panics: 0 });
    assert_eq!(checksum(compositor.canvas()), checksum(&Canvas::black(size(128, 128))));
}

/// Panics while its flag is up: before it paints, or after it has painted.
struct Panics {
    picture: Picture,
    generation: u64,
    now: Arc<AtomicBool>,
    after_painting: bool,
}

impl TileSource for Panics {
    fn show(&mut self, _: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
        let now = self.now.load(Ordering::Relaxed);
        assert!(!now || self.after_painting, "this source is broken, as the test wants");
        paint(Some(self.picture.view(self.generation)).into());
        assert!(!now, "this source is broken, as the test wants");
    }
}

#[test]
fn a_tile_that_panics_is_black_and_the_others_are_painted() {
    let layout = Layout::columns(size(256, 144));
    for after_painting in [false, true] {
        let (mut tiles, generations) = sources(4, &[(128, 72)]);
        let now = Arc::new(AtomicBool::new(false));
        let picture = Picture::pattern(128, 72, 1);
        tiles[1] = Box::new(Panics { picture, generation: 1, now: Arc::clone(&now), after_painting });
        let mut compositor = Compositor::new(&layout);
        assert_eq!(compositor.compose(Instant::now(), &mut tiles).panics, 0);
        let sound = checksum(compositor.canvas());

        let (mut dark, _) = sources(4, &[(128, 72)]);
        dark[1] = Box::new(Shows(Picture::pattern(128, 72, 1), Arc::default()));
        for generation in 2..4 {
            now.store(true, Ordering::Relaxed);
            generations[3].store(generation, Ordering::Relaxed);
            let composed = compositor.compose(Instant::now(), &mut tiles);
            assert_eq!((composed.panics, composed.refused), (1, 0));
            assert!(composed.painted >= 1, "the last tile was painted: {composed:?}");
            assert!(compositor.tiles[1].scaling.is_none());
            let mut expected = Compositor::new(&layout);
            expected.compose(Instant::now(), &mut dark);
            assert!(checksum(compositor.canvas()) == checksum(expected.canvas()), "{after_painting}");
        }
        now.store(false, Ordering::Relaxed);
        assert_eq!(compositor.compose(Instant::now(), &mut tiles).panics, 0);
        assert!(checksum(compositor.canvas()) == sound, "it shows its picture again");
    }
}
