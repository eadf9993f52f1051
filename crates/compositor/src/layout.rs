//! Where the tiles of a wall are. Every placement that exists is even, at least 2x2, and inside its canvas.
//!
//! Tiles of the presets are disjoint. Explicit rectangles may overlap on purpose (a picture in a picture): they are
//! painted in the order given, later ones over earlier ones. What the tiles do not cover stays black. How a picture
//! sits inside its tile is in [`crate::fit`].

use crate::fit::Fit;
use crate::geometry::{CanvasSize, Rect};
use std::fmt;
use thiserror::Error;

/// The most tiles a wall takes: 8x8.
pub const MAX_TILES: usize = 64;

/// One tile's place on the canvas, in luma samples; made only by [`Layout`], so it is even, inside and not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    rect: Rect,
    fit: Fit,
}

impl Placement {
    /// Samples from the canvas's left edge.
    pub fn x(&self) -> u32 {
        self.rect.x
    }

    /// Rows from the canvas's top edge.
    pub fn y(&self) -> u32 {
        self.rect.y
    }

    /// Samples a row, at least 2.
    pub fn width(&self) -> u32 {
        self.rect.width
    }

    /// Rows, at least 2.
    pub fn height(&self) -> u32 {
        self.rect.height
    }

    /// How a picture of another shape fills it.
    pub fn fit(&self) -> Fit {
        self.fit
    }

    pub(crate) fn rect(&self) -> Rect {
        self.rect
    }
}

/// A tile as somebody asked for it, not yet checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileRect {
    /// Samples from the canvas's left edge.
    pub x: u32,
    /// Rows from the canvas's top edge.
    pub y: u32,
    /// Samples a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// How a picture of another shape fills it.
    pub fit: Fit,
}

/// A canvas size and the tiles on it, in painting order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    canvas: CanvasSize,
    placements: Vec<Placement>,
}

impl Layout {
    /// The reference layout, four tiles in the order left, top, bottom, right. At 1920x1080: 480x1080 | 960x540 over
    /// 960x540 | 480x1080; at other sizes a quarter, a half and a quarter, to even samples.
    pub fn columns(canvas: CanvasSize) -> Layout {
        let xs = [0, even_share(1, 4, canvas.width()), even_share(3, 4, canvas.width()), canvas.width()];
        let ys = [0, even_share(1, 2, canvas.height()), canvas.height()];
        let place = |left: usize, right: usize, top: usize, bottom: usize| Placement {
            rect: Rect { x: xs[left], y: ys[top], width: xs[right] - xs[left], height: ys[bottom] - ys[top] },
            fit: Fit::default(),
        };
        let placements = vec![place(0, 1, 0, 2), place(1, 2, 0, 1), place(1, 2, 1, 2), place(2, 3, 0, 2)];
        Layout { canvas, placements }
    }

    /// `tiles` equal tiles (to two samples), row by row. Of all numbers of columns the one is taken in which a 16:9
    /// picture comes out largest; of equals, the one that leaves the fewest cells empty.
    pub fn grid(canvas: CanvasSize, tiles: usize) -> Result<Layout, GridError> {
        if !(1..=MAX_TILES).contains(&tiles) {
            return Err(GridError(tiles));
        }
        let n = tiles as u32;
        let (columns, rows) = (1..=n)
            .map(|columns| (columns, n.div_ceil(columns)))
            .max_by_key(|&(columns, rows)| {
                let widest = (canvas.width() / columns).min(canvas.height() / rows * 16 / 9);
                (widest, std::cmp::Reverse(columns * rows))
            })
            .expect("there is at least one tile");
        let placements = (0..n)
            .map(|i| {
                let (column, row) = (i % columns, i / columns);
                let x = even_share(column, columns, canvas.width());
                let y = even_share(row, rows, canvas.height());
                let width = even_share(column + 1, columns, canvas.width()) - x;
                let height = even_share(row + 1, rows, canvas.height()) - y;
                Placement { rect: Rect { x, y, width, height }, fit: Fit::default() }
            })
            .collect();
        Ok(Layout { canvas, placements })
    }

    /// Tiles where the user wants them; they may overlap, and later ones are painted over earlier ones.
    ///
    /// Every problem of every tile is reported together.
    pub fn explicit(canvas: CanvasSize, tiles: Vec<TileRect>) -> Result<Layout, LayoutProblems> {
        let mut problems = Vec::new();
        if tiles.is_empty() || tiles.len() > MAX_TILES {
            problems.push(LayoutProblem::Count { found: tiles.len() });
        }
        for (tile, rect) in tiles.iter().enumerate() {
            problems.extend(problems_of(canvas, tile, rect));
        }
        if !problems.is_empty() {
            return Err(LayoutProblems(problems));
        }
        let placements = tiles
            .into_iter()
            .map(|TileRect { x, y, width, height, fit }| Placement {
                rect: Rect { x, y, width, height },
                fit,
            })
            .collect();
        Ok(Layout { canvas, placements })
    }

    /// The same tiles, with `fit` in every one of them.
    pub fn with_fit(mut self, fit: Fit) -> Layout {
        self.placements.iter_mut().for_each(|placement| placement.fit = fit);
        self
    }

    /// The canvas that the tiles are on.
    pub fn canvas(&self) -> CanvasSize {
        self.canvas
    }

    /// The tiles in painting order.
    pub fn placements(&self) -> &[Placement] {
        &self.placements
    }
}

/// A grid that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("found a grid of {0} tiles, expected 1 to {MAX_TILES}")]
pub struct GridError(pub usize);

/// Everything that is wrong with a list of explicit tiles; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct LayoutProblems(pub Vec<LayoutProblem>);

impl fmt::Display for LayoutProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// One thing that is wrong with a list of explicit tiles. Tiles are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the fields are said by the message")]
pub enum LayoutProblem {
    /// No tile at all, or more than a wall takes.
    #[error("found {found} tiles, expected 1 to {MAX_TILES}")]
    Count { found: usize },
    /// A tile without area.
    #[error("tile {tile}: found a {field} of 0, expected at least 2")]
    Empty { tile: usize, field: &'static str },
    /// A number that would split a chroma sample between tiles.
    #[error("tile {tile}: found {field} {found}, expected an even number")]
    Odd { tile: usize, field: &'static str, found: u32 },
    /// A tile that leaves the canvas.
    #[error("tile {tile}: found {field} up to {found}, expected at most {expected}, the canvas's")]
    Outside { tile: usize, field: &'static str, found: u64, expected: u32 },
}

impl LayoutProblem {
    /// The tile it is about, counted from 0; none where it is about the list.
    pub fn tile(&self) -> Option<usize> {
        match *self {
            LayoutProblem::Count { .. } => None,
            LayoutProblem::Empty { tile, .. }
            | LayoutProblem::Odd { tile, .. }
            | LayoutProblem::Outside { tile, .. } => Some(tile),
        }
    }
}

fn problems_of(canvas: CanvasSize, tile: usize, rect: &TileRect) -> Vec<LayoutProblem> {
    let mut problems = Vec::new();
    for (field, found) in [("width", rect.width), ("height", rect.height)] {
        if found == 0 {
            problems.push(LayoutProblem::Empty { tile, field });
        }
    }
    for (field, found) in [("x", rect.x), ("y", rect.y), ("width", rect.width), ("height", rect.height)] {
        if !found.is_multiple_of(2) {
            problems.push(LayoutProblem::Odd { tile, field, found });
        }
    }
    let ends = [
        ("x + width", u64::from(rect.x) + u64::from(rect.width), canvas.width()),
        ("y + height", u64::from(rect.y) + u64::from(rect.height), canvas.height()),
    ];
    for (field, found, expected) in ends {
        if found > u64::from(expected) {
            problems.push(LayoutProblem::Outside { tile, field, found, expected });
        }
    }
    problems
}

/// `part` of `parts` of `length` (even), to the nearest even sample.
fn even_share(part: u32, parts: u32, length: u32) -> u32 {
    (part * (length / 2) + parts / 2) / parts * 2
}

#[cfg(test)]
mod tests;
