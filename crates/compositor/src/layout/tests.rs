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
