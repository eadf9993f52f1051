//! Layouts by name: what cells each has. All but `pip` are rows and columns of equal lengths, in which a tile takes one
//! field or several; the rules are in [`Grid::rect`].

use super::{PresetError, Spacing};
use crate::geometry::{CanvasSize, Rect};
use std::fmt;
use std::str::FromStr;

/// The most columns, and the most rows, of a preset.
const MAX_SIDE: u32 = 8;
/// The most cameras of `pip`: one behind three.
const MAX_PIP: usize = 4;

/// A layout by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Preset {
    /// `grid`: as many equal cells as there are tiles. Of all numbers of columns the one is taken in which a 16:9 picture
    /// comes out largest; of equals, the one that leaves the fewest cells empty.
    #[default]
    Grid,
    /// `2x2`, `4x3`, up to `8x8`: so many columns and rows, row by row.
    Cells(Cells),
    /// `columns`, the reference: a quarter | a half over a half | a quarter, in the order left, top, bottom, right. At
    /// 1920x1080: 480x1080 | 960x540 over 960x540 | 480x1080.
    Columns,
    /// `1+5`: a large one at the top left, then two beside it, then three below, on 3 x 3 fields.
    OnePlusFive,
    /// `1+7`: a large one at the top left, then three beside it, then four below, on 4 x 4 fields.
    OnePlusSeven,
    /// `2+8`: two large ones beside each other, then eight below in two rows, on 4 x 4 fields.
    TwoPlusEight,
    /// `pip`: the first tile everywhere, the second to fourth over it at the right, from the bottom up: 16:9, a quarter of
    /// the canvas's height or two fifths of its width.
    Pip,
}

/// Columns and rows, each 1 to 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cells {
    columns: u32,
    rows: u32,
}

impl Cells {
    /// Accepts 1 to 8 of each.
    pub fn new(columns: u32, rows: u32) -> Option<Cells> {
        let fits = |side: u32| (1..=MAX_SIDE).contains(&side);
        (fits(columns) && fits(rows)).then_some(Cells { columns, rows })
    }
}

impl Preset {
    /// All names, as a message lists them.
    pub const NAMES: [&'static str; 7] = ["grid", "2x2 to 8x8", "columns", "1+5", "1+7", "2+8", "pip"];

    /// How many tiles it takes at the most.
    pub fn most_tiles(self) -> usize {
        match self {
            Preset::Grid => super::MAX_TILES,
            Preset::Pip => MAX_PIP,
            Preset::Cells(Cells { columns, rows }) => (columns * rows) as usize,
            preset => preset.areas().len(),
        }
    }

    /// The rectangles of `tiles` tiles, or of all cells where the preset has more, in the tiles' order.
    pub(super) fn rects(
        self,
        canvas: CanvasSize,
        tiles: usize,
        spacing: Spacing,
    ) -> Result<Vec<Rect>, PresetError> {
        let expected = self.most_tiles();
        match self {
            Preset::Grid if !(1..=expected).contains(&tiles) => return Err(PresetError::Grid(tiles)),
            _ if tiles > expected => return Err(PresetError::Tiles { preset: self, found: tiles, expected }),
            _ => {}
        }
        let rects = match self {
            Preset::Grid => best_grid(canvas, tiles as u32, spacing).map(|grid| grid.first(tiles as u32)),
            Preset::Cells(Cells { columns, rows }) => {
                Grid::new(canvas, columns, rows, spacing).map(|grid| grid.first(columns * rows))
            }
            Preset::Pip => pip(canvas, tiles, spacing),
            Preset::Columns => self.on_fields(canvas, 4, 2, spacing),
            Preset::OnePlusFive => self.on_fields(canvas, 3, 3, spacing),
            Preset::OnePlusSeven | Preset::TwoPlusEight => self.on_fields(canvas, 4, 4, spacing),
        };
        rects.ok_or(PresetError::NoRoom { preset: self, canvas, spacing })
    }

    fn on_fields(self, canvas: CanvasSize, columns: u32, rows: u32, spacing: Spacing) -> Option<Vec<Rect>> {
        let grid = Grid::new(canvas, columns, rows, spacing)?;
        Some(self.areas().iter().map(|&area| grid.rect(area)).collect())
    }

    /// The tiles' fields: column, row, columns, rows.
    fn areas(self) -> &'static [[u32; 4]] {
        match self {
            Preset::Columns => &[[0, 0, 1, 2], [1, 0, 2, 1], [1, 1, 2, 1], [3, 0, 1, 2]],
            Preset::OnePlusFive => {
                &[[0, 0, 2, 2], [2, 0, 1, 1], [2, 1, 1, 1], [0, 2, 1, 1], [1, 2, 1, 1], [2, 2, 1, 1]]
            }
            Preset::OnePlusSeven => &[
                [0, 0, 3, 3],
                [3, 0, 1, 1],
                [3, 1, 1, 1],
                [3, 2, 1, 1],
                [0, 3, 1, 1],
                [1, 3, 1, 1],
                [2, 3, 1, 1],
                [3, 3, 1, 1],
            ],
            Preset::TwoPlusEight => &[
                [0, 0, 2, 2],
                [2, 0, 2, 2],
                [0, 2, 1, 1],
                [1, 2, 1, 1],
                [2, 2, 1, 1],
                [3, 2, 1, 1],
                [0, 3, 1, 1],
                [1, 3, 1, 1],
                [2, 3, 1, 1],
                [3, 3, 1, 1],
            ],
            Preset::Grid | Preset::Cells(_) | Preset::Pip => &[],
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Preset::Grid => f.write_str("grid"),
            Preset::Cells(Cells { columns, rows }) => write!(f, "{columns}x{rows}"),
            Preset::Columns => f.write_str("columns"),
            Preset::OnePlusFive => f.write_str("1+5"),
            Preset::OnePlusSeven => f.write_str("1+7"),
            Preset::TwoPlusEight => f.write_str("2+8"),
            Preset::Pip => f.write_str("pip"),
        }
    }
}

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Preset, UnknownPreset> {
        let named = [
            Preset::Grid,
            Preset::Columns,
            Preset::OnePlusFive,
            Preset::OnePlusSeven,
            Preset::TwoPlusEight,
            Preset::Pip,
        ];
        if let Some(preset) = named.into_iter().find(|preset| preset.to_string() == name) {
            return Ok(preset);
        }
        let cells = name.split_once('x').and_then(|(columns, rows)| {
            Cells::new(columns.parse().ok()?, rows.parse().ok()?).map(Preset::Cells)
        });
        // "+4x04" is a number to the parser of numbers.
        cells.filter(|cells| cells.to_string() == name).ok_or(UnknownPreset)
    }
}

/// A name that no preset has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("found an unknown layout, expected grid, 2x2 to 8x8, columns, 1+5, 1+7, 2+8 or pip")]
pub struct UnknownPreset;

/// Rows and columns of equal lengths, to two samples, with gaps between them.
#[derive(Clone, Copy, Debug)]
struct Grid {
    columns: Tracks,
    rows: Tracks,
}

impl Grid {
    fn new(canvas: CanvasSize, columns: u32, rows: u32, spacing: Spacing) -> Option<Grid> {
        let columns = Tracks::new(canvas.width(), columns, spacing)?;
        Some(Grid { columns, rows: Tracks::new(canvas.height(), rows, spacing)? })
    }

    fn rect(&self, [column, row, columns, rows]: [u32; 4]) -> Rect {
        let (x, width) = self.columns.span(column, columns);
        let (y, height) = self.rows.span(row, rows);
        Rect { x, y, width, height }
    }

    /// The first `n` fields, row by row.
    fn first(&self, n: u32) -> Vec<Rect> {
        let across = self.columns.parts;
        (0..n).map(|i| self.rect([i % across, i / across, 1, 1])).collect()
    }

    /// The width of a 16:9 picture in a field.
    fn picture_width(&self) -> u32 {
        (self.columns.inner / self.columns.parts).min(self.rows.inner / self.rows.parts * 16 / 9)
    }
}

/// One side of a [`Grid`].
#[derive(Clone, Copy, Debug)]
struct Tracks {
    parts: u32,
    /// What is left for the tracks between the gaps; even, and at least 2 for each.
    inner: u32,
    spacing: Spacing,
}

impl Tracks {
    fn new(length: u32, parts: u32, spacing: Spacing) -> Option<Tracks> {
        let inner = length.checked_sub(2 * spacing.border() + (parts - 1) * spacing.gap())?;
        (inner >= 2 * parts).then_some(Tracks { parts, inner, spacing })
    }

    /// Where `count` tracks from `first` on begin, and how long they are with the gaps between them.
    fn span(&self, first: u32, count: u32) -> (u32, u32) {
        let share = |part| even_share(part, self.parts, self.inner);
        let gap = self.spacing.gap();
        let begin = self.spacing.border() + share(first) + first * gap;
        (begin, share(first + count) - share(first) + (count - 1) * gap)
    }
}

fn best_grid(canvas: CanvasSize, tiles: u32, spacing: Spacing) -> Option<Grid> {
    let grids =
        (1..=tiles).filter_map(|columns| Grid::new(canvas, columns, tiles.div_ceil(columns), spacing));
    grids.max_by_key(|grid| (grid.picture_width(), std::cmp::Reverse(grid.columns.parts * grid.rows.parts)))
}

fn pip(canvas: CanvasSize, tiles: usize, spacing: Spacing) -> Option<Vec<Rect>> {
    let whole = Grid::new(canvas, 1, 1, spacing)?.rect([0, 0, 1, 1]);
    let width = (whole.width * 2 / 5).min(whole.height * 4 / 9).max(4) / 2 * 2;
    let height = (width * 9 / 16).max(2) / 2 * 2;
    let margin = (whole.width.min(whole.height) / 80 * 2).max(spacing.gap());
    let insets = (1..tiles.max(1) as u32).map(|i| {
        let x = (whole.x + whole.width).checked_sub(margin + width)?;
        let y = (whole.y + whole.height).checked_sub(i * (margin + height))?;
        // The frame around it stays on the first tile.
        (x >= whole.x + spacing.gap() && y >= whole.y + spacing.gap()).then_some(Rect { x, y, width, height })
    });
    std::iter::once(Some(whole)).chain(insets).collect()
}

/// `part` of `parts` of `length` (even), to the nearest even sample.
fn even_share(part: u32, parts: u32, length: u32) -> u32 {
    (part * (length / 2) + parts / 2) / parts * 2
}
