//! Where the tiles of a wall are. Every placement that exists is even, at least 2x2, and inside its canvas.
//!
//! Tiles of the presets ([`Preset`]) are disjoint, but for `pip`. Explicit rectangles may overlap on purpose: what has the
//! larger `z`, or stands later among equals, is painted over the others. What no picture covers shows the wall's
//! background. How a picture sits inside its tile is in [`crate::presentation`] and [`crate::fit`].

mod preset;

pub use self::preset::{Cells, Preset, UnknownPreset};

use crate::colour::Color;
use crate::fit::Fit;
use crate::geometry::{CanvasSize, Rect};
use crate::presentation::Presentation;
use std::fmt;
use thiserror::Error;

/// The most tiles a wall takes: 8x8.
pub const MAX_TILES: usize = 64;

/// Background between the tiles of a preset, and around all of them, in luma samples; each even, 0 to 256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Spacing {
    gap: u32,
    border: u32,
}

/// A gap or border that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("found {0} pixels, expected an even number of pixels, 0 to {most}", most = Spacing::MOST)]
pub struct SpacingError(pub u32);

impl Spacing {
    /// The widest gap or border.
    pub const MOST: u32 = 256;

    /// `gap` between two tiles (and around each inset of `pip`), `border` between the tiles and the canvas's edge.
    pub fn new(gap: u32, border: u32) -> Result<Spacing, SpacingError> {
        match [gap, border].into_iter().find(|&length| !length.is_multiple_of(2) || length > Spacing::MOST) {
            Some(wrong) => Err(SpacingError(wrong)),
            None => Ok(Spacing { gap, border }),
        }
    }

    /// Samples between two tiles.
    pub fn gap(self) -> u32 {
        self.gap
    }

    /// Samples between the outer tiles and the canvas's edge.
    pub fn border(self) -> u32 {
        self.border
    }
}

/// One tile's place on the canvas, in luma samples; made only by [`Layout`], so it is even, inside and not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    rect: Rect,
    z: i32,
    frame: u32,
    presentation: Presentation,
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

    /// What has the larger one is painted over what has the smaller one.
    pub fn z(&self) -> i32 {
        self.z
    }

    /// How a picture of another shape fills it.
    pub fn fit(&self) -> Fit {
        self.presentation.fit
    }

    /// What it shows of its picture, and how.
    pub fn presentation(&self) -> &Presentation {
        &self.presentation
    }

    /// How large a whole picture would be, before it is turned, of which the part that is shown fills the tile: how much
    /// detail of it can be seen. Of a part in pixels nobody knows; it counts as very large.
    pub fn picture_size(&self) -> (u32, u32) {
        let size = self.presentation.orientation().turned((self.rect.width, self.rect.height));
        self.presentation.crop.map_or(size, |crop| crop.whole_of(size))
    }

    pub(crate) fn rect(&self) -> Rect {
        self.rect
    }

    /// The tile and the frame of background around it: all that is painted with it.
    pub(crate) fn framed(&self) -> Rect {
        let Rect { x, y, width, height } = self.rect;
        let frame = self.frame;
        Rect { x: x - frame, y: y - frame, width: width + 2 * frame, height: height + 2 * frame }
    }
}

/// A tile as somebody asked for it, not yet checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TileRect {
    /// Samples from the canvas's left edge.
    pub x: u32,
    /// Rows from the canvas's top edge.
    pub y: u32,
    /// Samples a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// What has the larger one is painted over what has the smaller one; of equals, the later one over the earlier.
    pub z: i32,
    /// What it shows of its picture, and how.
    pub presentation: Presentation,
}

/// A canvas size, its background, and the tiles on it in the order in which they were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    canvas: CanvasSize,
    background: Color,
    placements: Vec<Placement>,
}

impl Layout {
    /// The cells of a preset for `tiles` tiles; where it has more cells than that, all of them.
    pub fn preset(
        preset: Preset,
        canvas: CanvasSize,
        tiles: usize,
        spacing: Spacing,
    ) -> Result<Layout, PresetError> {
        let rects = preset.rects(canvas, tiles, spacing)?;
        let is_inset = |i: usize| preset == Preset::Pip && i > 0;
        let place = |(i, rect): (usize, Rect)| Placement {
            rect,
            z: i32::from(is_inset(i)),
            frame: if is_inset(i) { spacing.gap() } else { 0 },
            presentation: Presentation::default(),
        };
        let placements = rects.into_iter().enumerate().map(place).collect();
        Ok(Layout { canvas, background: Color::BLACK, placements })
    }

    /// [`Preset::Columns`] without gaps.
    pub fn columns(canvas: CanvasSize) -> Layout {
        let layout = Layout::preset(Preset::Columns, canvas, 4, Spacing::default());
        layout.expect("four columns and two rows fit every canvas")
    }

    /// [`Preset::Grid`] without gaps.
    pub fn grid(canvas: CanvasSize, tiles: usize) -> Result<Layout, PresetError> {
        Layout::preset(Preset::Grid, canvas, tiles, Spacing::default())
    }

    /// Tiles where the user wants them; they may overlap.
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
            .map(|TileRect { x, y, width, height, z, presentation }| Placement {
                rect: Rect { x, y, width, height },
                z,
                frame: 0,
                presentation,
            })
            .collect();
        Ok(Layout { canvas, background: Color::BLACK, placements })
    }

    /// The same tiles, with `fit` in every one of them.
    pub fn with_fit(mut self, fit: Fit) -> Layout {
        self.placements.iter_mut().for_each(|placement| placement.presentation.fit = fit);
        self
    }

    /// The same tiles, the first ones showing their pictures so.
    pub fn with_presentations(mut self, presentations: impl IntoIterator<Item = Presentation>) -> Layout {
        for (placement, presentation) in self.placements.iter_mut().zip(presentations) {
            placement.presentation = presentation;
        }
        self
    }

    /// The same tiles on another background.
    pub fn with_background(self, background: Color) -> Layout {
        Layout { background, ..self }
    }

    /// The canvas that the tiles are on.
    pub fn canvas(&self) -> CanvasSize {
        self.canvas
    }

    /// The colour of what no picture covers.
    pub fn background(&self) -> Color {
        self.background
    }

    /// The tiles, in the order in which they were asked for.
    pub fn placements(&self) -> &[Placement] {
        &self.placements
    }

    /// Numbers of the tiles from the bottom to the top.
    pub(crate) fn painting_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.placements.len()).collect();
        order.sort_by_key(|&i| self.placements[i].z);
        order
    }
}

/// A preset that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the fields are said by the message")]
pub enum PresetError {
    /// A grid of nothing, or of more than a wall takes.
    #[error("found a grid of {0} tiles, expected 1 to {MAX_TILES}")]
    Grid(usize),
    /// More tiles than cells.
    #[error("found {found} tiles, expected at most {expected}, the cells of the layout {preset}")]
    Tiles { preset: Preset, found: usize, expected: usize },
    /// Nothing is left for the tiles.
    #[error(
        "found a gap of {gap} and a border of {border}, expected less: they leave no room for the layout {preset} on {width}x{height}",
        gap = spacing.gap(), border = spacing.border(), width = canvas.width(), height = canvas.height()
    )]
    NoRoom { preset: Preset, canvas: CanvasSize, spacing: Spacing },
}

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

#[cfg(test)]
mod tests;
