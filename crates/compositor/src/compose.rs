//! Paints what the tiles show onto the canvas, and only what changed since the last time.
//!
//! A tile whose picture has the same generation and shape as the one painted before is left as it is, unless a tile
//! under it was painted in the meantime. Nothing is allocated but when a picture's shape changes. A panic on one tile's
//! picture is that tile's alone: it is black, and the others are painted.

use crate::canvas::Canvas;
use crate::fit::Mapping;
use crate::geometry::Rect;
use crate::layout::{Layout, Placement};
use crate::picture::{PictureError, PictureView, Shape};
use crate::scale::{Instructions, Plane, PlaneScaler};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// What a tile shows; asked once at every tick that is composed.
pub trait TileSource: Send {
    /// Calls `paint` exactly once with what the tile shows at `now`; `None` is black.
    ///
    /// It is called on the wall's thread: it must not wait for a camera, a decoder or the network. A picture stays
    /// borrowed until `paint` returns. A source that panics is counted, shown black, and asked again at the next tick.
    fn show(&mut self, now: Instant, paint: &mut dyn FnMut(Option<PictureView<'_>>));
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
    tiles: Vec<Tile>,
    instructions: Instructions,
}

impl Compositor {
    /// A black canvas with the tiles of `layout`.
    pub fn new(layout: &Layout) -> Compositor {
        let placements = layout.placements();
        let tiles = placements
            .iter()
            .enumerate()
            .map(|(i, &placement)| {
                let beneath = (0..i).filter(|&j| placements[j].rect().overlaps(&placement.rect())).collect();
                Tile {
                    placement,
                    beneath,
                    painted: Painted::Unknown,
                    scaling: None,
                    repainted: false,
                    panicked: false,
                }
            })
            .collect();
        Compositor { canvas: Canvas::black(layout.canvas()), tiles, instructions: Instructions::detect() }
    }

    /// The canvas as it is.
    pub fn canvas(&self) -> &Canvas {
        &self.canvas
    }

    /// Asks every source what it shows at `now`, in painting order, and paints what is new. `sources` are the tiles'
    /// in the layout's order; a tile without a source is black.
    pub fn compose(&mut self, now: Instant, sources: &mut [Box<dyn TileSource>]) -> Composed {
        let mut composed = Composed::default();
        for i in 0..self.tiles.len() {
            let uncovered = self.tiles[i].beneath.iter().any(|&j| self.tiles[j].repainted);
            let (tile, canvas, instructions) = (&mut self.tiles[i], &mut self.canvas, self.instructions);
            if uncovered {
                tile.painted = Painted::Unknown;
            }
            tile.repainted = false;
            let shown = catch_unwind(AssertUnwindSafe(|| {
                let mut paint = |picture: Option<PictureView<'_>>| {
                    composed.refused += usize::from(tile.paint(canvas, picture, instructions).is_err());
                };
                match sources.get_mut(i) {
                    Some(source) => source.show(now, &mut paint),
                    None => paint(None),
                }
            }));
            match shown {
                Ok(()) => tile.panicked = false,
                Err(panic) => {
                    composed.panics += 1;
                    tile.handle_panic(canvas, i, &*panic);
                }
            }
            composed.painted += usize::from(self.tiles[i].repainted);
        }
        composed
    }
}

/// One tile: its place, what was painted there last, and the scalers for pictures of that shape.
#[derive(Debug)]
struct Tile {
    placement: Placement,
    /// Tiles painted before this one that share samples with it.
    beneath: Vec<usize>,
    painted: Painted,
    scaling: Option<Scaling>,
    repainted: bool,
    /// Whether it panicked the last time it was asked.
    panicked: bool,
}

/// What is known to be in a tile's rectangle, bars included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Painted {
    Unknown,
    Black,
    Picture { shape: Shape, generation: u64 },
}

#[derive(Debug)]
struct Scaling {
    shape: Shape,
    mapping: Mapping,
    luma: PlaneScaler,
    chroma: PlaneScaler,
}

impl Tile {
    fn paint(
        &mut self,
        canvas: &mut Canvas,
        picture: Option<PictureView<'_>>,
        instructions: Instructions,
    ) -> Result<(), PictureError> {
        let checked = picture.map_or(Ok(None), |picture| picture.check().map(|()| Some(picture)));
        let picture = checked.unwrap_or(None);
        let wanted = picture
            .map_or(Painted::Black, |p| Painted::Picture { shape: p.shape(), generation: p.generation });
        if wanted != self.painted {
            let before = self.painted;
            // Whoever panics half way through leaves a tile of which nothing is known.
            self.painted = Painted::Unknown;
            self.repainted = true;
            match picture {
                None => canvas.fill_black(self.placement.rect()),
                Some(picture) => self.paint_picture(canvas, &picture, before, instructions),
            }
            self.painted = wanted;
        }
        checked.map(|_| ())
    }

    /// Makes it black, and forgets all that was made for its pictures. Tells of the first of a row of panics only: the
    /// next ones come at every tick.
    fn handle_panic(&mut self, canvas: &mut Canvas, number: usize, panic: &(dyn Any + Send)) {
        if !std::mem::replace(&mut self.panicked, true) {
            let panic = panic_text(panic);
            tracing::error!(
                tile = number,
                panic,
                "caught a panic; the tile is black until it shows a picture again"
            );
        }
        self.scaling = None;
        if self.painted != Painted::Black {
            canvas.fill_black(self.placement.rect());
            self.painted = Painted::Black;
            self.repainted = true;
        }
    }

    fn paint_picture(
        &mut self,
        canvas: &mut Canvas,
        picture: &PictureView<'_>,
        before: Painted,
        instructions: Instructions,
    ) {
        let shape = picture.shape();
        let scaling = match self.scaling.take() {
            Some(scaling) if scaling.shape == shape => scaling,
            _ => Scaling::new(shape, &self.placement, instructions),
        };
        let bars_stand = matches!(before, Painted::Picture { shape: painted, .. } if painted == shape);
        if !bars_stand {
            fill_bars(canvas, self.placement.rect(), scaling.mapping.target);
        }
        self.scaling.insert(scaling).paint(canvas, picture);
    }
}

impl Scaling {
    fn new(shape: Shape, placement: &Placement, instructions: Instructions) -> Scaling {
        let mapping = Mapping::new(shape, placement.rect(), placement.fit());
        let scaler = |source: Rect, target: Rect| {
            PlaneScaler::new((source.width, source.height), (target.width, target.height), instructions)
        };
        let luma = scaler(mapping.source, mapping.target);
        let chroma = scaler(mapping.source.chroma(), mapping.target.chroma());
        Scaling { shape, mapping, luma, chroma }
    }

    fn paint(&mut self, canvas: &mut Canvas, picture: &PictureView<'_>) {
        for plane in 0..3 {
            let Mapping { source, target } = self.mapping;
            let (source, target, scaler) = match plane {
                0 => (source, target, &mut self.luma),
                _ => (source.chroma(), target.chroma(), &mut self.chroma),
            };
            let (stride, canvas_stride) = (picture.strides[plane], canvas.stride(plane));
            let data = &picture.planes[plane][source.y as usize * stride + source.x as usize..];
            let place = target.y as usize * canvas_stride + target.x as usize;
            scaler.scale(Plane { data, stride }, &mut canvas.plane_mut(plane)[place..], canvas_stride);
        }
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Paints what of `tile` lies outside of `target` black.
fn fill_bars(canvas: &mut Canvas, tile: Rect, target: Rect) {
    let (right, bottom) = (target.x + target.width, target.y + target.height);
    canvas.fill_black(Rect { height: target.y - tile.y, ..tile });
    canvas.fill_black(Rect { y: bottom, height: tile.y + tile.height - bottom, ..tile });
    canvas.fill_black(Rect { x: tile.x, y: target.y, width: target.x - tile.x, height: target.height });
    canvas.fill_black(Rect {
        x: right,
        y: target.y,
        width: tile.x + tile.width - right,
        height: target.height,
    });
}

#[cfg(test)]
mod tests;
