//! `GET /api/v1/walls/{name}/tiles`: which pixels of the one video are which camera's, as it is shown now; with `x` and `y`
//! the camera at one pixel, for a page that wants to know what was clicked on.

use std::time::Instant;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use serde_json::{Value, json};
use wallcast_compositor::{Located, Placement, Region};
use wallcast_ingest::TileState;

use crate::http::Shared;
use crate::http::problem::Problem;
use crate::http::promote::promoted;
use crate::pipeline::WallOutput;
use crate::stage::{Shown, ShownTile};

/// All tiles, or the one at a pixel.
pub(super) async fn tiles(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let wall = shared.wall(&name)?;
    let (shown, now) = (wall.stage.shown(), Instant::now());
    let canvas = shown.scene.layout.canvas();
    let size = json!({ "width": canvas.width(), "height": canvas.height() });
    let Some((x, y)) = pixel(query.as_deref().unwrap_or_default())? else {
        let tiles: Vec<Value> =
            Tile::all(&shown).enumerate().map(|(i, tile)| tile.described(wall, i, now)).collect();
        return Ok(Json(json!({ "canvas": size, "tiles": tiles, "promoted": promoted(&wall.stage) })));
    };
    if x >= canvas.width() || y >= canvas.height() {
        let found = format!("the pixel {x}, {y}");
        let expected = format!("one inside of {}x{}", canvas.width(), canvas.height());
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, found, expected));
    }
    let at = Tile::all(&shown).enumerate().filter(|(_, tile)| tile.has(x, y)).last();
    let Some((i, tile)) = at else {
        let found = format!("nothing but background at {x}, {y}");
        return Err(Problem::new(StatusCode::NOT_FOUND, found, "a pixel of a tile"));
    };
    let point = tile.located(wall, now).and_then(|(located, (width, height))| {
        let (x, y) = located.point_at(x, y)?;
        let tenths = |value: f64| (value * 10.0).round() / 10.0;
        let millionths = |value: f64| (value * 1e6).round() / 1e6;
        Some(json!({
            "x": tenths(x),
            "y": tenths(y),
            "fraction_x": millionths(x / f64::from(width)),
            "fraction_y": millionths(y / f64::from(height)),
        }))
    });
    let camera = tile.shown.camera.name();
    Ok(Json(
        json!({ "canvas": size, "camera": camera, "point": point, "tile": tile.described(wall, i, now) }),
    ))
}

/// A tile on the wall.
struct Tile<'s> {
    placement: &'s Placement,
    shown: &'s ShownTile,
    number: usize,
}

impl<'s> Tile<'s> {
    /// From the bottom to the top, as they are painted.
    fn all(shown: &'s Shown) -> impl Iterator<Item = Tile<'s>> {
        let places = shown.scene.layout.placements().iter().zip(&shown.tiles).enumerate();
        let mut tiles: Vec<Tile<'_>> =
            places.map(|(number, (placement, shown))| Tile { placement, shown, number }).collect();
        tiles.sort_by_key(|tile| tile.placement.z());
        tiles.into_iter()
    }

    fn has(&self, x: u32, y: u32) -> bool {
        let is_in = |at: u32, from: u32, length: u32| (from..from + length).contains(&at);
        is_in(x, self.placement.x(), self.placement.width())
            && is_in(y, self.placement.y(), self.placement.height())
    }

    /// Where its picture is, and how large that is itself. None where the tile is black.
    fn located(&self, wall: &WallOutput, now: Instant) -> Option<(Located, (u32, u32))> {
        let state = self.shown.camera.status(now, wall.black_after).state;
        let (width, height, sample_aspect) = self.shown.camera.picture_shape()?;
        let is_shown = matches!(state, TileState::Live | TileState::Holding);
        let located = self.placement.locate(width, height, sample_aspect).filter(|_| is_shown)?;
        Some((located, (width, height)))
    }

    /// `order`: 0 is painted first.
    fn described(&self, wall: &WallOutput, order: usize, now: Instant) -> Value {
        let presentation = self.placement.presentation();
        let picture = self.located(wall, now).map(|(located, (width, height))| {
            json!({ "covers": region(located.covered()), "shows": region(located.part()), "width": width, "height": height })
        });
        json!({
            "camera": self.shown.camera.name(),
            "tile": self.number,
            "x": self.placement.x(),
            "y": self.placement.y(),
            "width": self.placement.width(),
            "height": self.placement.height(),
            "z": self.placement.z(),
            "order": order,
            "state": self.shown.camera.status(now, wall.black_after).state.as_str(),
            "fit": presentation.fit.as_str(),
            "rotate": presentation.rotation.degrees(),
            "mirror": presentation.mirrored,
            "cropped": presentation.crop.is_some(),
            "masks": presentation.masks.len(),
            "picture": picture,
        })
    }
}

fn region(region: Region) -> Value {
    json!({ "x": region.x, "y": region.y, "width": region.width, "height": region.height })
}

/// The pixel that is asked for, if one is.
fn pixel(query: &str) -> Result<Option<(u32, u32)>, Problem> {
    let value = |key: &str| {
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.into_owned())
    };
    let number = |text: Option<String>| text.and_then(|text| text.parse::<u32>().ok());
    match (value("x"), value("y")) {
        (None, None) => Ok(None),
        (x, y) => match (number(x), number(y)) {
            (Some(x), Some(y)) => Ok(Some((x, y))),
            _ => {
                let found = "a pixel that is none";
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, found, "x and y, whole numbers of pixels"))
            }
        },
    }
}
