//! The rules of the presets over many canvases, and what is said about tiles that cannot be.

use super::*;

fn canvas(width: u32, height: u32) -> CanvasSize {
    CanvasSize::new(width, height).expect("a valid size")
}

fn rects(layout: &Layout) -> Vec<(u32, u32, u32, u32)> {
    layout.placements().iter().map(|p| (p.x(), p.y(), p.width(), p.height())).collect()
}

fn canvases() -> impl Iterator<Item = CanvasSize> {
    let lengths = [64, 66, 126, 360, 480, 486, 602, 854, 1080, 1918, 1920, 2160, 3838, 3840];
    lengths.into_iter().flat_map(move |w| lengths.map(|h| CanvasSize::new(w, h))).flatten()
}

#[track_caller]
fn check_preset(layout: &Layout) {
    let canvas = layout.canvas();
    for (i, tile) in layout.placements().iter().enumerate() {
        let what = format!("tile {i} {:?} of {} on {canvas:?}", tile.rect(), layout.placements().len());
        assert!([tile.x(), tile.y(), tile.width(), tile.height()].iter().all(|v| v % 2 == 0), "even: {what}");
        assert!(tile.width() >= 2 && tile.height() >= 2, "not empty: {what}");
        assert!(tile.x() + tile.width() <= canvas.width(), "inside: {what}");
        assert!(tile.y() + tile.height() <= canvas.height(), "inside: {what}");
        for other in &layout.placements()[i + 1..] {
            assert!(!tile.rect().overlaps(&other.rect()), "disjoint: {what} and {:?}", other.rect());
        }
    }
}

#[test]
fn columns_at_full_hd_is_the_reference() {
    let expected = vec![(0, 0, 480, 1080), (480, 0, 960, 540), (480, 540, 960, 540), (1440, 0, 480, 1080)];
    assert_eq!(rects(&Layout::columns(CanvasSize::FULL_HD)), expected);
}

#[test]
fn columns_covers_every_canvas_with_even_disjoint_tiles() {
    for canvas in canvases() {
        let layout = Layout::columns(canvas);
        check_preset(&layout);
        let area: u32 = layout.placements().iter().map(|p| p.width() * p.height()).sum();
        assert_eq!(area, canvas.width() * canvas.height(), "{canvas:?}");
    }
}

#[test]
fn grids_are_even_disjoint_and_of_one_size() {
    for canvas in canvases() {
        for n in 1..=MAX_TILES {
            let layout = Layout::grid(canvas, n).expect("a grid");
            assert_eq!(layout.placements().len(), n);
            check_preset(&layout);
            for length in [Placement::width, Placement::height] {
                let lengths = || layout.placements().iter().map(length);
                let (least, most) = (lengths().min().expect("a tile"), lengths().max().expect("a tile"));
                assert!(most - least <= 2, "{n} tiles on {canvas:?}: {least} to {most}");
            }
        }
    }
}

#[test]
fn grids_take_the_shape_in_which_cameras_are_largest() {
    #[track_caller]
    fn check(size: (u32, u32), n: usize, columns: u32, rows: u32) {
        let layout = Layout::grid(canvas(size.0, size.1), n).expect("a grid");
        let in_row = layout.placements().iter().filter(|p| p.y() == 0).count() as u32;
        let in_column = layout.placements().iter().filter(|p| p.x() == 0).count() as u32;
        assert_eq!((in_row, in_column), (columns, rows), "{n} on {size:?}");
    }
    check((1920, 1080), 1, 1, 1);
    check((1920, 1080), 2, 2, 1);
    check((1920, 1080), 4, 2, 2);
    check((1920, 1080), 5, 3, 2);
    check((1920, 1080), 9, 3, 3);
    check((1920, 1080), 16, 4, 4);
    check((1920, 1080), 64, 8, 8);
    check((1080, 1920), 3, 1, 3);
    check((1080, 1920), 4, 1, 4);
}

/// A linear congruential generator (Knuth's MMIX): the same canvases in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(most)) as u32
    }

    fn canvas(&mut self) -> CanvasSize {
        let (long, short) = (64 + 2 * self.below(1_889), 64 + 2 * self.below(1_049));
        let (width, height) = if self.below(2) == 0 { (long, short) } else { (short, long) };
        canvas(width, height)
    }
}

fn presets() -> impl Iterator<Item = Preset> {
    let named = ["grid", "columns", "1+5", "1+7", "2+8", "pip"].map(|name| name.parse().expect("a preset"));
    let cells = (1..=8).flat_map(|columns| (1..=8).filter_map(move |rows| Cells::new(columns, rows)));
    named.into_iter().chain(cells.map(Preset::Cells))
}

#[test]
fn tiles_of_every_preset_are_inside_even_and_apart_on_any_canvas_with_any_gap() {
    let mut random = Random(7);
    let (mut laid, mut tight) = (0, 0);
    for step in 0..200 {
        let canvas = random.canvas();
        let most = if step % 4 == 0 { 129 } else { 10 };
        let spacing = Spacing::new(2 * random.below(most), 2 * random.below(most)).expect("even, not large");
        for preset in presets() {
            let tiles = 1 + random.below(preset.most_tiles() as u32) as usize;
            let layout = match Layout::preset(preset, canvas, tiles, spacing) {
                Ok(layout) => layout,
                Err(error) => {
                    assert!(matches!(error, PresetError::NoRoom { .. }), "{error}");
                    tight += 1;
                    continue;
                }
            };
            laid += 1;
            let placements = layout.placements();
            let what = format!("{preset} of {tiles} on {canvas:?} with {spacing:?}");
            assert!(placements.len() >= tiles && placements.len() <= MAX_TILES, "{what}");
            let (gap, border) = (spacing.gap(), spacing.border());
            for (i, tile) in placements.iter().enumerate() {
                let Rect { x, y, width, height } = tile.rect();
                assert!([x, y, width, height].iter().all(|v| v % 2 == 0), "even: {what}");
                assert!(width >= 2 && height >= 2, "not empty: {what}");
                assert!(x >= border && x + width + border <= canvas.width(), "inside: {what}");
                assert!(y >= border && y + height + border <= canvas.height(), "inside: {what}");
                let widened = Rect { width: width + gap, height: height + gap, ..tile.rect() };
                for (j, other) in placements.iter().enumerate().filter(|&(j, _)| j != i) {
                    let is_inset = preset == Preset::Pip && (i == 0 || j == 0);
                    assert!(is_inset || !widened.overlaps(&other.rect()), "a gap apart: {what}");
                    assert!(preset != Preset::Pip || i != 0 || other.z() > tile.z(), "insets on top: {what}");
                }
            }
        }
    }
    assert!(laid > 10_000 && tight > 100, "{laid} laid, {tight} tight");
}

#[test]
fn presets_have_the_cells_that_their_names_say() {
    let sizes = |name: &str, tiles| {
        let preset: Preset = name.parse().expect("a preset");
        let layout = Layout::preset(preset, canvas(1920, 1080), tiles, Spacing::default()).expect("has room");
        let mut sizes: Vec<(u32, u32)> =
            layout.placements().iter().map(|p| (p.width(), p.height())).collect();
        let all = sizes.len();
        sizes.dedup();
        (all, sizes)
    };
    assert_eq!(sizes("2x2", 0), (4, vec![(960, 540)]));
    assert_eq!(
        sizes("8x8", 1),
        (
            64,
            vec![
                (240, 136),
                (240, 134),
                (240, 136),
                (240, 134),
                (240, 136),
                (240, 134),
                (240, 136),
                (240, 134)
            ]
        )
    );
    assert_eq!(sizes("1+5", 6), (6, vec![(1280, 720), (640, 360)]));
    assert_eq!(sizes("1+7", 1), (8, vec![(1440, 810), (480, 270)]));
    assert_eq!(sizes("2+8", 10), (10, vec![(960, 540), (480, 270)]));
    assert_eq!(sizes("pip", 1), (1, vec![(1920, 1080)]));
    assert_eq!(sizes("pip", 4), (4, vec![(1920, 1080), (480, 270)]));
}

#[test]
fn presets_are_told_and_read_by_the_same_names() {
    for preset in presets() {
        assert_eq!(preset.to_string().parse(), Ok(preset));
    }
    for name in ["", "Grid", "9x8", "0x1", "2x", "x2", "02x2", "+2x2", "2 x2", "1+6", "2x2x2"] {
        assert_eq!(name.parse::<Preset>(), Err(UnknownPreset), "{name}");
    }
}

#[test]
fn what_is_too_much_for_a_preset_is_refused() {
    let refused = |preset: &str, tiles, gap, border| {
        let spacing = Spacing::new(gap, border).expect("even, not large");
        let preset = preset.parse().expect("a preset");
        Layout::preset(preset, canvas(128, 96), tiles, spacing).expect_err("refused").to_string()
    };
    assert_eq!(refused("1+5", 7, 0, 0), "found 7 tiles, expected at most 6, the cells of the layout 1+5");
    assert_eq!(
        refused("4x4", 1, 32, 0),
        "found a gap of 32 and a border of 0, expected less: they leave no room for the layout 4x4 on 128x96"
    );
    assert!(refused("grid", 1, 0, 48).contains("a border of 48"));
    for (gap, border, wrong) in [(3, 0, 3), (0, 258, 258)] {
        assert_eq!(Spacing::new(gap, border), Err(SpacingError(wrong)));
    }
}

#[test]
fn tiles_are_painted_by_z_and_of_equals_in_their_order() {
    let tiles = [3, 0, -1, 0].map(|z| TileRect { z, ..tile(0, 0, 64, 64) }).to_vec();
    let layout = Layout::explicit(CanvasSize::FULL_HD, tiles).expect("a layout");
    assert_eq!(layout.painting_order(), [2, 1, 3, 0]);
}

#[test]
fn a_grid_of_none_or_too_many_is_refused() {
    for n in [0, 65, usize::MAX] {
        assert_eq!(Layout::grid(CanvasSize::FULL_HD, n), Err(PresetError::Grid(n)));
    }
}

fn tile(x: u32, y: u32, width: u32, height: u32) -> TileRect {
    TileRect { x, y, width, height, ..TileRect::default() }
}

#[test]
fn every_problem_of_every_explicit_tile_is_reported_at_once() {
    let tiles = vec![tile(0, 0, 480, 1080), tile(1, 0, 0, 541), tile(1900, 1000, 480, u32::MAX - 1)];
    let problems = Layout::explicit(CanvasSize::FULL_HD, tiles).expect_err("refused");
    let expected = [
        "tile 1: found a width of 0, expected at least 2",
        "tile 1: found x 1, expected an even number",
        "tile 1: found height 541, expected an even number",
        "tile 2: found x + width up to 2380, expected at most 1920, the canvas's",
        "tile 2: found y + height up to 4294968294, expected at most 1080, the canvas's",
    ];
    assert_eq!(problems.0.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    assert_eq!(problems.to_string(), expected.join("; "));
    assert_eq!(problems.0.iter().map(LayoutProblem::tile).collect::<Vec<_>>(), [1, 1, 1, 2, 2].map(Some));
}

#[test]
fn explicit_tiles_may_overlap_and_keep_their_order() {
    let tiles = vec![tile(0, 0, 1920, 1080), tile(1440, 0, 480, 360)];
    let layout = Layout::explicit(CanvasSize::FULL_HD, tiles).expect("overlap is allowed");
    assert_eq!(rects(&layout), [(0, 0, 1920, 1080), (1440, 0, 480, 360)]);
}

#[test]
fn a_list_without_tiles_or_with_too_many_is_refused() {
    let refused =
        |n: usize| Layout::explicit(CanvasSize::FULL_HD, vec![tile(0, 0, 2, 2); n]).expect_err("refused");
    assert_eq!(refused(0).0, [LayoutProblem::Count { found: 0 }]);
    assert_eq!(refused(65).0, [LayoutProblem::Count { found: 65 }]);
}
