//! Turns, crops and masks against what they mean, over many sizes; random, but the same in every run.

use super::*;
use crate::overlay::Overlay;
use crate::presentation::{Area, Presentation, Rotation};

/// A linear congruential generator (Knuth's MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, most: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(most)) as u32
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u32) as usize]
    }

    /// Fractions of a picture, in hundredths.
    fn area(&mut self) -> Area {
        let mut side = || {
            let from = self.below(90);
            (f64::from(from) / 100.0, f64::from(1 + self.below(100 - from)) / 100.0)
        };
        let ((x, width), (y, height)) = (side(), side());
        Area::fractions(x, y, width, height).expect("hundredths within a hundred")
    }

    fn presentation(&mut self) -> Presentation {
        Presentation {
            fit: self.pick(&[Fit::Contain, Fit::Cover, Fit::Stretch]),
            crop: (self.below(3) == 0).then(|| self.area()),
            rotation: Rotation::by_degrees(90 * self.below(4)).expect("a quarter turn"),
            mirrored: self.below(2) == 0,
            masks: (0..self.below(4)).map(|_| self.area()).collect(),
            overlay: Overlay::default(),
        }
    }

    fn picture_size(&mut self) -> (u32, u32) {
        if self.below(4) == 0 {
            // Ratios that go by the shortcuts.
            let times = self.pick(&[1, 2, 4]);
            return (64 * times, 64 * times * self.pick(&[1, 2]));
        }
        (1 + self.below(200), 1 + self.below(150))
    }
}

struct Painted {
    canvas: Canvas,
    tile: Rect,
}

/// One picture in one tile.
fn paint(
    view: PictureView<'_>,
    presentation: &Presentation,
    tile: [u32; 4],
    instructions: Instructions,
) -> Painted {
    let [x, y, width, height] = tile;
    let rect = TileRect { x, y, width, height, presentation: presentation.clone(), ..TileRect::default() };
    let layout = Layout::explicit(size(160, 128), vec![rect]).expect("a layout");
    let mut compositor = Compositor { instructions, ..Compositor::new(&layout) };
    let (background, now) = ([90, 90, 90], Instant::now());
    let mut easel = Easel { canvas: &mut compositor.canvas, background, instructions, now };
    compositor.tiles[0].paint(&mut easel, Some(view).into()).expect("a good picture");
    Painted { canvas: compositor.canvas, tile: Rect { x, y, width, height } }
}

impl Painted {
    /// A plane's samples in the tile, and how many there are in a row.
    fn samples(&self, plane: usize) -> (Vec<u8>, usize) {
        let part = if plane == 0 { self.tile } else { self.tile.chroma() };
        let rows = self.canvas.plane(plane).chunks(self.canvas.stride(plane));
        let rows = rows.skip(part.y as usize).take(part.height as usize);
        let (left, width) = (part.x as usize, part.width as usize);
        (rows.flat_map(|row| &row[left..left + width]).copied().collect(), width)
    }
}

#[test]
fn a_turned_picture_is_the_upright_one_turned_sample_by_sample() {
    let mut random = Random(1);
    for step in 0..600 {
        let (width, height) = random.picture_size();
        let picture = Picture::pattern(width, height, 1);
        let presentation = Presentation { fit: Fit::Stretch, masks: vec![], ..random.presentation() };
        let upright = Presentation { rotation: Rotation::None, mirrored: false, ..presentation.clone() };
        let (tw, th) = (2 + 2 * random.below(60), 2 + 2 * random.below(60));
        let is_quarter = presentation.rotation.degrees() % 180 == 90;
        let (uw, uh) = if is_quarter { (th, tw) } else { (tw, th) };
        let instructions = random.pick(&Instructions::available());
        let turned = paint(picture.view(1), &presentation, [4, 2, tw, th], instructions);
        let expected = paint(picture.view(1), &upright, [4, 2, uw, uh], instructions);
        for plane in 0..3 {
            let ((found, row), (before, before_row)) = (turned.samples(plane), expected.samples(plane));
            let (columns, rows) = (row, found.len() / row);
            for (x, y) in (0..columns).flat_map(|x| (0..rows).map(move |y| (x, y))) {
                let x_seen = if presentation.mirrored { columns - 1 - x } else { x };
                let (from_x, from_y) = match presentation.rotation {
                    Rotation::None => (x_seen, y),
                    Rotation::Quarter => (y, columns - 1 - x_seen),
                    Rotation::Half => (columns - 1 - x_seen, rows - 1 - y),
                    Rotation::ThreeQuarters => (rows - 1 - y, x_seen),
                };
                assert!(
                    found[y * row + x] == before[from_y * before_row + from_x],
                    "step {step}: {width}x{height} in {tw}x{th}, {presentation:?}, plane {plane}, {x} {y}"
                );
            }
        }
    }
}

/// The picture with something else in every sample that a mask hides.
fn changed_under(masks: &[Area], picture: &Picture, random: &mut Random) -> Picture {
    let mut changed = Picture { planes: picture.planes.clone(), ..*picture };
    for mask in masks {
        let hidden = mask.grown_within(picture.width, picture.height).expect("fractions");
        for plane in 0..3 {
            let part = if plane == 0 { hidden } else { hidden.chroma() };
            let row = if plane == 0 { picture.width } else { picture.width.div_ceil(2) };
            for (x, y) in (0..part.width).flat_map(|x| (0..part.height).map(move |y| (x, y))) {
                let at = (part.y + y) * row + part.x + x;
                changed.planes[plane][at as usize] = random.pick(&[0, 255, 128, 77]);
            }
        }
    }
    changed
}

#[test]
fn nothing_that_a_mask_hides_changes_a_single_sample_of_the_canvas() {
    let mut random = Random(2);
    let mut hiding = 0;
    for step in 0..1_500 {
        let (width, height) = random.picture_size();
        let picture = Picture::pattern(width, height, 1);
        let presentation = random.presentation();
        let changed = changed_under(&presentation.masks, &picture, &mut random);
        let tile =
            [2 * random.below(10), 2 * random.below(10), 2 + 2 * random.below(69), 2 + 2 * random.below(53)];
        let matrix = random.pick(&[ColorMatrix::Bt601, ColorMatrix::Bt709]);
        let range = random.pick(&[ColorRange::Limited, ColorRange::Full]);
        let instructions = random.pick(&Instructions::available());
        let paint = |picture: &Picture, presentation: &Presentation| {
            let view = PictureView { matrix, range, ..picture.view(1) };
            checksum(&paint(view, presentation, tile, instructions).canvas)
        };
        let what = format!("step {step}: {width}x{height} in {tile:?}, {presentation:?}");
        assert!(paint(&picture, &presentation) == paint(&changed, &presentation), "{what}");
        // And the test could have failed: without its masks the change is seen, most of the time.
        let bare = Presentation { masks: vec![], ..presentation.clone() };
        hiding += u32::from(paint(&picture, &bare) != paint(&changed, &bare));
    }
    assert!(hiding > 500, "only {hiding} masks hid something");
}

#[test]
fn a_mask_hides_what_it_covers_and_at_equal_size_not_a_sample_more() {
    let picture = Picture::pattern(96, 64, 1);
    let mask = Area::pixels(11, 20, 31, 9).expect("an area");
    let presentation = Presentation { masks: vec![mask], ..Presentation::default() };
    let painted = paint(picture.view(1), &presentation, [0, 0, 96, 64], Instructions::detect());
    let (luma, _) = painted.samples(0);
    for (x, y) in (0..96_usize).flat_map(|x| (0..64_usize).map(move |y| (x, y))) {
        let is_hidden = (10..42).contains(&x) && (20..30).contains(&y);
        let expected = if is_hidden { 16 } else { picture.planes[0][y * 96 + x] };
        assert_eq!(luma[y * 96 + x], expected, "{x} {y}");
    }
}

#[test]
fn a_mask_of_everything_leaves_black_and_the_background_beside_it() {
    let everything = Area::fractions(0.0, 0.0, 1.0, 1.0).expect("an area");
    for degrees in [0, 90] {
        let rotation = Rotation::by_degrees(degrees).expect("a quarter turn");
        let presentation = Presentation { masks: vec![everything], rotation, ..Presentation::default() };
        let picture = Picture::pattern(97, 31, 1);
        let painted = paint(picture.view(1), &presentation, [0, 0, 100, 100], Instructions::detect());
        for (plane, black) in [16, 128, 128].into_iter().enumerate() {
            let (samples, _) = painted.samples(plane);
            assert!(samples.iter().all(|&s| s == black || s == 90), "plane {plane}");
            assert!(samples.contains(&black) && samples.contains(&90), "plane {plane}");
        }
    }
}

/// Shows pictures of two sizes in turn.
struct Alternates([Picture; 2], u64);

impl TileSource for Alternates {
    fn show(&mut self, _: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
        self.1 += 1;
        paint(Some(self.0[self.1 as usize % 2].view(self.1)).into());
    }
}

#[test]
fn a_mask_in_pixels_is_never_laid_on_a_picture_that_it_does_not_fit() {
    let mask = Area::pixels(100, 60, 28, 12).expect("an area");
    let layout = Layout::grid(size(128, 72), 1).expect("a grid");
    let presentation = Presentation { masks: vec![mask], ..Presentation::default() };
    let layout = layout.with_presentations([presentation]);
    let pictures = [Picture::pattern(128, 72, 1), Picture::pattern(64, 36, 1)];
    let mut tiles: Vec<Box<dyn TileSource>> = vec![Box::new(Alternates(pictures, 0))];
    let mut compositor = Compositor::new(&layout);
    for _ in 0..3 {
        let composed = compositor.compose(Instant::now(), &mut tiles);
        assert_eq!(composed, Composed { painted: 1, refused: 1, panics: 0 });
        assert_eq!(checksum(compositor.canvas()), checksum(&Canvas::black(size(128, 72))));
        let composed = compositor.compose(Instant::now(), &mut tiles);
        assert_eq!(composed, Composed { painted: 1, refused: 0, panics: 0 });
    }
}

#[test]
fn a_cell_without_a_source_shows_the_background() {
    let layout = Layout::columns(size(128, 72)).with_background("red".parse().expect("a colour"));
    let mut compositor = Compositor::new(&layout);
    let (mut tiles, _) = sources(2, &[(64, 36)]);
    assert_eq!(compositor.compose(Instant::now(), &mut tiles).painted, 4);
    assert_eq!(compositor.compose(Instant::now(), &mut tiles).painted, 0);
    let last = |plane: usize| *compositor.canvas().plane(plane).last().expect("samples");
    assert_eq!([last(0), last(1), last(2)], [63, 102, 240]);
}
