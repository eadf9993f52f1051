//! Paints what the tiles show onto the canvas, and only what changed since the last time.
//!
//! A tile whose picture has the same generation and shape as the one painted before is left as it is, unless a tile
//! under it was painted in the meantime, or what is written over it says something else: then all of the tile is painted
//! again, for this comes once a second at most, and keeping what is under the writing would cost a copy of it with every
//! picture. Nothing is allocated but when a picture's format or a text changes. A panic on one tile's picture is that
//! tile's alone: it is black, and the others are painted.

mod scaling;

use self::scaling::{Format, Scaling};
use crate::canvas::{BLACK, Canvas};
use crate::layout::{Layout, Placement};
use crate::overlay::{Caption, Content, Imprint, Shown};
use crate::phase::Arrival;
use crate::picture::{PictureError, PictureView};
use crate::scale::Instructions;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// What a tile shows; asked once at every tick that is composed.
pub trait TileSource: Send {
    /// Calls `paint` exactly once with what the tile shows at `now`.
    ///
    /// It is called on the wall's thread: it must not wait for a camera, a decoder or the network. A picture stays
    /// borrowed until `paint` returns. A source that panics is counted, shown black, and asked again at the next tick.
    fn show(&mut self, now: Instant, paint: &mut dyn FnMut(Shown<'_>));
}

/// How many tiles of a canvas were painted, and what went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Composed {
    /// Tiles that were painted anew; the others were still as they should be.
    pub painted: usize,
    /// Pictures that could not be (see [`PictureError`]); their tiles are black.
    pub refused: usize,
    /// Tiles on which showing or painting the picture panicked; they are black.
    pub panics: usize,
}

/// A canvas, and what is on it. A wall owns one; it is public for programs that want single pictures.
#[derive(Debug)]
pub struct Compositor {
    canvas: Canvas,
    /// Y, U and V.
    background: [u8; 3],
    /// In the layout's order.
    tiles: Vec<Tile>,
    /// Their numbers from the bottom to the top.
    order: Vec<usize>,
    instructions: Instructions,
}

impl Compositor {
    /// A canvas of the layout's background, with its tiles.
    pub fn new(layout: &Layout) -> Compositor {
        let background = layout.background().samples();
        Compositor {
            canvas: Canvas::filled(layout.canvas(), background),
            background,
            tiles: tiles(layout, Vec::new()),
            order: layout.painting_order(),
            instructions: Instructions::detect(),
        }
    }

    /// Other tiles in other places, on the same memory where the canvas has the size it had. Nothing of what was shown
    /// stays. A tile that stays in its place in the same presentation keeps what was worked out for its pictures.
    pub fn rearrange(&mut self, layout: &Layout) {
        self.background = layout.background().samples();
        match self.canvas.size() == layout.canvas() {
            true => self.canvas.clear(self.background),
            false => self.canvas = Canvas::filled(layout.canvas(), self.background),
        }
        self.tiles = tiles(layout, std::mem::take(&mut self.tiles));
        self.order = layout.painting_order();
    }

    /// The canvas, to be encoded elsewhere. It must come back by [`Compositor::return_canvas`] before anything is
    /// composed.
    pub(crate) fn lend_canvas(&mut self) -> Canvas {
        self.canvas.take()
    }

    /// The canvas as it was lent.
    pub(crate) fn return_canvas(&mut self, canvas: Canvas) {
        self.canvas = canvas;
    }

    /// Whether the canvas is elsewhere.
    pub(crate) fn is_lent(&self) -> bool {
        self.canvas.plane(0).is_empty()
    }

    /// The canvas was lent and is lost: a new one, on which everything is painted at the next tick.
    pub(crate) fn renew_canvas(&mut self) {
        self.canvas = Canvas::filled(self.canvas.size(), self.background);
        self.tiles.iter_mut().for_each(|tile| tile.painted = Painted::Unknown);
    }

    /// The canvas as it is.
    pub fn canvas(&self) -> &Canvas {
        &self.canvas
    }

    /// When the pictures came that are on the canvas, and how large each is there; for tiles whose sources tell.
    pub(crate) fn arrivals(&self) -> impl Iterator<Item = Arrival> {
        self.tiles.iter().enumerate().filter_map(|(tile, of)| {
            let place = of.placement.rect();
            Some(Arrival { tile, samples: place.width * place.height, came: of.came? })
        })
    }

    /// Asks every source what it shows at `now`, in painting order, and paints what is new. `sources` are the tiles'
    /// in the layout's order; a tile without a source shows the background.
    pub fn compose(&mut self, now: Instant, sources: &mut [Box<dyn TileSource>]) -> Composed {
        let mut composed = Composed::default();
        for &i in &self.order {
            let uncovered = self.tiles[i].beneath.iter().any(|&j| self.tiles[j].repainted);
            let tile = &mut self.tiles[i];
            if uncovered {
                tile.painted = Painted::Unknown;
            }
            tile.repainted = false;
            let mut easel = Easel {
                canvas: &mut self.canvas,
                background: self.background,
                instructions: self.instructions,
                now,
            };
            let shown = catch_unwind(AssertUnwindSafe(|| match sources.get_mut(i) {
                Some(source) => source.show(now, &mut |shown| {
                    if let Err(error) = tile.paint(&mut easel, shown) {
                        composed.refused += 1;
                        tile.tell_refused(i, error);
                    }
                }),
                None => {
                    let is_rewritten = tile.imprint.prepare(now, Content::Black { refused: None }, None);
                    tile.paint_flat(&mut easel, self.background, is_rewritten);
                }
            }));
            match shown {
                Ok(()) => tile.panicked = false,
                Err(panic) => {
                    composed.panics += 1;
                    tile.handle_panic(&mut easel, i, &*panic);
                }
            }
            composed.painted += usize::from(tile.repainted);
        }
        composed
    }
}

/// Tiles of which nothing is known, with the scalers and the drawn texts of those of `before` that stay where they are.
fn tiles(layout: &Layout, mut before: Vec<Tile>) -> Vec<Tile> {
    let (placements, order) = (layout.placements(), layout.painting_order());
    let tile = |(i, placement): (usize, &Placement)| {
        let overlaps = |&&j: &&usize| placements[j].framed().overlaps(&placement.framed());
        let beneath = order.iter().take_while(|&&j| j != i).filter(overlaps).copied().collect();
        let stays = before.iter().position(|tile| tile.placement == *placement);
        let (scaling, imprint) = match stays.map(|at| before.swap_remove(at)) {
            Some(Tile { scaling, imprint, .. }) => (scaling, imprint.for_another_camera()),
            None => (None, Imprint::new(&placement.presentation().overlay, placement.rect())),
        };
        Tile {
            placement: placement.clone(),
            beneath,
            painted: Painted::Unknown,
            scaling,
            made_for: None,
            imprint,
            came: None,
            repainted: false,
            panicked: false,
            told: None,
        }
    };
    placements.iter().enumerate().map(tile).collect()
}

/// What a tile is painted with.
struct Easel<'a> {
    canvas: &'a mut Canvas,
    /// Y, U and V.
    background: [u8; 3],
    instructions: Instructions,
    now: Instant,
}

/// One tile: its place, what was painted there last, and the scalers for pictures of that format.
#[derive(Debug)]
struct Tile {
    placement: Placement,
    /// Tiles painted before this one that share samples with it.
    beneath: Vec<usize>,
    painted: Painted,
    scaling: Option<Scaling>,
    /// The size of the first picture, for which a crop or a mask in pixels was made.
    made_for: Option<(u32, u32)>,
    /// What is written over it.
    imprint: Imprint,
    /// When the picture came that it shows.
    came: Option<Instant>,
    repainted: bool,
    /// Whether it panicked the last time it was asked.
    panicked: bool,
    /// The last reason told for not showing a picture.
    told: Option<PictureError>,
}

/// What is known to be in a tile's rectangle, bars and frame included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Painted {
    Unknown,
    /// One colour, as Y, U and V.
    Flat([u8; 3]),
    Picture {
        format: Format,
        generation: u64,
    },
}

impl Tile {
    fn paint(&mut self, easel: &mut Easel<'_>, shown: Shown<'_>) -> Result<(), PictureError> {
        let Shown { picture, caption, came } = shown;
        self.came = came;
        let refused = match picture.map(|picture| self.paint_picture(easel, &picture, caption.as_ref())) {
            Some(Ok(())) => return Ok(()),
            Some(Err(error)) => Some(error),
            None => None,
        };
        let content = Content::Black { refused: refused.as_ref().map(|error| error as _) };
        let is_rewritten = self.imprint.prepare(easel.now, content, caption.as_ref());
        self.paint_flat(easel, BLACK, is_rewritten);
        refused.map_or(Ok(()), Err)
    }

    fn paint_flat(&mut self, easel: &mut Easel<'_>, samples: [u8; 3], is_rewritten: bool) {
        if self.painted != Painted::Flat(samples) || is_rewritten {
            self.begin(easel);
            easel.canvas.fill(self.placement.rect(), samples);
            self.imprint.lay_on(easel.canvas);
            self.painted = Painted::Flat(samples);
        }
    }

    fn paint_picture(
        &mut self,
        easel: &mut Easel<'_>,
        picture: &PictureView<'_>,
        caption: Option<&Caption<'_>>,
    ) -> Result<(), PictureError> {
        picture.check()?;
        let format = Format::of(picture);
        let (width, height) = (picture.width, picture.height);
        if self.made_for.is_some_and(|made_for| made_for != (width, height)) {
            return Err(PictureError::Area { width, height });
        }
        let scaling = match self.scaling.take() {
            Some(scaling) if scaling.format() == format => scaling,
            _ => Scaling::new(format, &self.placement, easel.instructions)?,
        };
        if self.placement.presentation().has_areas_in_pixels() {
            self.made_for = Some((width, height));
        }
        let generation = picture.generation;
        let is_rewritten = self.imprint.prepare(easel.now, Content::Picture { generation }, caption);
        let wanted = Painted::Picture { format, generation };
        if wanted == self.painted && !is_rewritten {
            self.scaling = Some(scaling);
            return Ok(());
        }
        let bars_stand =
            matches!(self.painted, Painted::Picture { format: painted, .. } if painted == format);
        self.begin(easel);
        if bars_stand {
            self.imprint.clear_beside(scaling.target(), easel.canvas, easel.background);
        } else {
            easel.canvas.fill_around(scaling.target(), self.placement.rect(), easel.background);
        }
        self.scaling.insert(scaling).paint(easel.canvas, picture);
        self.imprint.lay_on(easel.canvas);
        self.painted = wanted;
        Ok(())
    }

    /// Whoever panics half way through leaves a tile of which nothing is known. The frame stands on what is beneath, and
    /// goes when that is painted.
    fn begin(&mut self, easel: &mut Easel<'_>) {
        if self.painted == Painted::Unknown {
            easel.canvas.fill_around(self.placement.rect(), self.placement.framed(), easel.background);
        }
        self.painted = Painted::Unknown;
        self.repainted = true;
    }

    /// Each reason once: the next picture has the same.
    fn tell_refused(&mut self, number: usize, error: PictureError) {
        // A camera that changes its size with every picture must not fill the log.
        let kind = std::mem::discriminant(&error);
        if self.told.replace(error).is_none_or(|told| std::mem::discriminant(&told) != kind) {
            tracing::warn!(tile = number, %error, "a picture is not shown; its tile is black");
        }
    }

    /// Makes it black, and forgets all that was made for its pictures and written over them. Tells of the first of a row
    /// of panics only: the next ones come at every tick.
    fn handle_panic(&mut self, easel: &mut Easel<'_>, number: usize, panic: &(dyn Any + Send)) {
        if !std::mem::replace(&mut self.panicked, true) {
            let panic = panic_text(panic);
            tracing::error!(
                tile = number,
                panic,
                "caught a panic; the tile is black until it shows a picture again"
            );
        }
        (self.scaling, self.came) = (None, None);
        self.imprint = Imprint::new(&self.placement.presentation().overlay, self.placement.rect());
        self.paint_flat(easel, BLACK, true);
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests;
