//! `layout`, `tiles` and what goes with them: which camera is where on a wall. How it is shown there is read in
//! [`super::presentation`]; the rules of layouts are the compositor's.

use std::time::Duration;

use wallcast_compositor::{
    CanvasSize, Color, Layout, LayoutProblem, MAX_TILES, Overlay, Presentation, Preset, PresetError, Spacing,
    TileRect,
};

use super::cameras::Cameras;
use super::fields::{Field, Fields, Findings};
use super::problem::{nearest, one_of};
use super::walls::or_default;
use super::{presentation, scalars};
use crate::arrangement::{Arrangement, Tile};

/// What says which camera a tile shows, in its mapping.
const SHOWN_KEYS: [&str; 3] = ["camera", "tour", "every"];

/// How the wall `wall` is arranged; what that was read from is for the caller to add. With a broken `size` everything
/// that does not depend on it is still judged.
pub(super) fn read(
    wall: &Field<'_>,
    fields: &Fields<'_>,
    size: Option<CanvasSize>,
    cameras: &Cameras,
    findings: &mut Findings<'_>,
) -> Option<Arrangement> {
    let fit = fields.get("fit").map_or(Some(None), |field| presentation::fit(&field, findings).map(Some));
    let overlay = or_default(fields.get("overlay"), Overlay::default(), |field| {
        presentation::overlay(field, &Overlay::default(), findings)
    });
    let plain = Presentation {
        fit: fit.flatten().unwrap_or_default(),
        overlay: overlay.clone().unwrap_or_default(),
        ..Presentation::default()
    };
    let background = or_default(fields.get("background"), Color::BLACK, |field| color(field, findings));
    let arranged = match fields.get("layout") {
        Some(layout) if layout.is_list() => {
            for (key, expected) in [
                ("tiles", "each rectangle with its own `camera`"),
                ("gap", "distances that the rectangles keep themselves"),
                ("border", "distances that the rectangles keep themselves"),
            ] {
                if let Some(field) = fields.get(key) {
                    findings.problem(&field, format!("`{key}` next to a list of rectangles"), expected);
                }
            }
            rectangles(&layout, &plain, size, cameras, findings)
                .map(|(layout, tiles)| (layout, Spacing::default(), tiles))
        }
        layout => {
            let (gap, border) = (fields.get("gap"), fields.get("border"));
            let spacing = spacing(gap.as_ref(), border.as_ref(), findings);
            let preset = or_default(layout, Preset::Grid, |field| preset(field, findings));
            let tiles = match fields.get("tiles") {
                Some(field) => tiles(&field, &plain, cameras, findings).map(|tiles| (field, tiles)),
                // Nobody knows how many there are.
                None if cameras.names.is_empty() => None,
                None => {
                    let all = cameras
                        .names
                        .iter()
                        .map(|(name, _)| Tile::new(name.clone(), plain.clone()))
                        .collect();
                    Some((wall.clone(), all))
                }
            };
            let tight = gap.or(border).unwrap_or_else(|| wall.clone());
            preset.zip(spacing).zip(tiles).and_then(|((preset, spacing), (place, tiles))| {
                let canvas = size.unwrap_or(CanvasSize::FULL_HD);
                let places = Places { tiles: &place, spacing: size.map(|_| &tight) };
                let layout = arrange(preset, canvas, tiles.len(), spacing, &places, findings)?;
                let presentations: Vec<Presentation> =
                    tiles.iter().map(|tile: &Tile| tile.presentation.clone()).collect();
                Some((layout.with_presentations(presentations), spacing, tiles))
            })
        }
    };
    let (layout, spacing, tiles) = arranged?;
    fit?;
    overlay?;
    Some(Arrangement::new(layout.with_background(background?), spacing, tiles, plain))
}

/// Where a layout is judged that cannot be.
pub(super) struct Places<'f, 'n> {
    /// The number of tiles.
    pub(super) tiles: &'f Field<'n>,
    /// The distances between them; none where the size that they are too large for is not known.
    pub(super) spacing: Option<&'f Field<'n>>,
}

/// A preset for so many tiles.
pub(super) fn arrange(
    preset: Preset,
    size: CanvasSize,
    tiles: usize,
    spacing: Spacing,
    places: &Places<'_, '_>,
    findings: &mut Findings<'_>,
) -> Option<Layout> {
    let error = match Layout::preset(preset, size, tiles, spacing) {
        Ok(layout) => return Some(layout),
        Err(error) => error,
    };
    let place = match error {
        PresetError::NoRoom { .. } => places.spacing,
        PresetError::Grid(_) | PresetError::Tiles { .. } => Some(places.tiles),
    };
    if let Some(place) = place {
        findings.refused(place, &error, "another layout");
    }
    None
}

fn preset(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Preset> {
    let names = one_of(&Preset::NAMES);
    let expected = format!("{names}, or a list of rectangles with camera, x, y, width, height");
    findings.parsed(field, &expected, |text| text.parse().ok())
}

fn color(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Color> {
    let expected =
        "a colour: a name such as black or gray, or red, green and blue such as '#1a2b3c' in quotes";
    findings.parsed(field, expected, |text| text.parse().ok())
}

fn spacing(
    gap: Option<&Field<'_>>,
    border: Option<&Field<'_>>,
    findings: &mut Findings<'_>,
) -> Option<Spacing> {
    let mut pixels = |field: Option<&Field<'_>>| {
        let Some(field) = field else { return Some(0) };
        let expected = format!("an even number of pixels, 0 to {}", Spacing::MOST);
        findings.parsed(field, &expected, |text| {
            scalars::number(text).filter(|&pixels| Spacing::new(pixels, 0).is_ok())
        })
    };
    let (gap, border) = (pixels(gap), pixels(border));
    Spacing::new(gap?, border?).ok()
}

fn tiles(
    field: &Field<'_>,
    plain: &Presentation,
    cameras: &Cameras,
    findings: &mut Findings<'_>,
) -> Option<Vec<Tile>> {
    let items = findings.list(field, "camera names")?;
    if items.is_empty() {
        findings.problem(field, "an empty list", "at least one camera, or no key `tiles` for all of them");
        return None;
    }
    let tiles: Vec<Option<Tile>> = items.iter().map(|item| tile(item, plain, cameras, findings)).collect();
    tiles.into_iter().collect()
}

/// A camera's name, or a mapping that says how it is shown.
fn tile(
    field: &Field<'_>,
    plain: &Presentation,
    cameras: &Cameras,
    findings: &mut Findings<'_>,
) -> Option<Tile> {
    if !field.is_mapping() {
        return Some(Tile::new(camera_name(field, cameras, findings)?, plain.clone()));
    }
    let known: Vec<&str> = SHOWN_KEYS.into_iter().chain(presentation::KEYS).collect();
    let fields = findings.mapping(field, &known)?;
    shown(field, &fields, plain, cameras, findings)
}

/// `camera`, or `tour` and `every`, of a tile's mapping, and how it is shown.
fn shown(
    tile: &Field<'_>,
    fields: &Fields<'_>,
    plain: &Presentation,
    cameras: &Cameras,
    findings: &mut Findings<'_>,
) -> Option<Tile> {
    let every = or_default(fields.get("every"), Tile::EVERY, |field| every(field, findings));
    let shown = match (fields.get("camera"), fields.get("tour")) {
        (Some(_), Some(tour)) => {
            findings.problem(&tour, "`tour` next to `camera`", "one of the two");
            None
        }
        (None, Some(tour)) => self::tour(&tour, cameras, findings),
        (camera, None) => {
            if let Some(every) = fields.get("every") {
                findings.problem(&every, "`every` without `tour`", "`tour` with the cameras that take turns");
            }
            match camera {
                Some(camera) => camera_name(&camera, cameras, findings).map(|camera| vec![camera]),
                None => {
                    findings.problem(tile, "no `camera`", "the name of a camera");
                    None
                }
            }
        }
    };
    let names = shown.as_deref().unwrap_or_default();
    let presentation = presentation::read(fields, plain, names, cameras, findings);
    Some(Tile { cameras: shown?, every: every?, presentation: presentation? })
}

/// Cameras that take turns.
fn tour(field: &Field<'_>, cameras: &Cameras, findings: &mut Findings<'_>) -> Option<Vec<String>> {
    let items = findings.list(field, "camera names")?;
    if items.is_empty() || items.len() > MAX_TILES {
        findings.problem(
            field,
            format!("{} cameras", items.len()),
            format!("1 to {MAX_TILES} that take turns"),
        );
        return None;
    }
    let names: Vec<Option<String>> = items.iter().map(|item| camera_name(item, cameras, findings)).collect();
    for (i, name) in names.iter().enumerate() {
        if let Some(name) = name.as_ref().filter(|_| names[..i].contains(name)) {
            findings.problem(&items[i], format!("{name} a second time"), "each camera once in a tour");
            return None;
        }
    }
    names.into_iter().collect()
}

fn every(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Duration> {
    // Shorter, nobody sees what is shown; longer is an arrangement of its own.
    let sensible = Duration::from_secs(2)..=Duration::from_secs(3600);
    findings.parsed(field, "a time from 2s to 60m, such as 10s, 2500ms or 2m", |text| {
        scalars::duration(text).filter(|time| sensible.contains(time))
    })
}

fn camera_name(field: &Field<'_>, cameras: &Cameras, findings: &mut Findings<'_>) -> Option<String> {
    let names: Vec<&str> = cameras.names.iter().map(|(name, _)| name.as_str()).collect();
    let text = findings.text(field, "the name of a camera")?;
    if names.is_empty() || names.contains(&text.value.as_str()) {
        return Some(text.value);
    }
    let safe: Vec<&str> = names.iter().copied().filter(|name| scalars::is_name(name)).collect();
    let mut expected = format!("a camera: {}", one_of(&safe));
    if let Some(near) = nearest(&text.value, &safe) {
        expected.push_str(&format!("; did you mean {near}?"));
    }
    findings.problem(field, text.shown, expected);
    None
}

/// Explicit rectangles. With a broken `size` their own problems are still found, but not where they end.
fn rectangles(
    field: &Field<'_>,
    plain: &Presentation,
    size: Option<CanvasSize>,
    cameras: &Cameras,
    findings: &mut Findings<'_>,
) -> Option<(Layout, Vec<Tile>)> {
    let items = findings.list(field, "rectangles")?;
    let read: Vec<Option<(Tile, TileRect)>> =
        items.iter().map(|item| rectangle(item, plain, cameras, findings)).collect();
    let whole = read.iter().all(Option::is_some);
    // Rectangles that could be read are checked beside ones that could not: `place` finds their field again.
    let (place, good): (Vec<usize>, Vec<(Tile, TileRect)>) =
        read.into_iter().enumerate().filter_map(|(i, tile)| Some((i, tile?))).unzip();
    let (tiles, rects): (Vec<Tile>, Vec<TileRect>) = good.into_iter().unzip();
    if rects.is_empty() && !whole {
        return None;
    }
    match Layout::explicit(size?, rects) {
        Ok(layout) => whole.then_some((layout, tiles)),
        Err(problems) => {
            for problem in &problems.0 {
                let at = problem.tile().and_then(|tile| items.get(*place.get(tile)?)).unwrap_or(field);
                findings.refused(at, &Untiled(problem), "a rectangle inside the canvas");
            }
            None
        }
    }
}

/// A layout's problem without `tile 3: ` before it: the path says that.
struct Untiled<'p>(&'p LayoutProblem);

impl std::fmt::Display for Untiled<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.0.to_string();
        f.write_str(text.find("found ").map_or(text.as_str(), |start| &text[start..]))
    }
}

fn rectangle(
    field: &Field<'_>,
    plain: &Presentation,
    cameras: &Cameras,
    findings: &mut Findings<'_>,
) -> Option<(Tile, TileRect)> {
    let known = SHOWN_KEYS.into_iter().chain(["x", "y", "width", "height", "z"]).chain(presentation::KEYS);
    let fields = findings.mapping(field, &known.collect::<Vec<&str>>())?;
    let mut pixels = |key: &str| match fields.get(key) {
        Some(field) => findings.parsed(&field, "a whole number of pixels, 0 or more", scalars::number::<u32>),
        None => {
            findings.problem(
                field,
                format!("no `{key}`"),
                "camera, x, y, width and height of each rectangle",
            );
            None
        }
    };
    let (x, y, width, height) = (pixels("x"), pixels("y"), pixels("width"), pixels("height"));
    let z = or_default(fields.get("z"), 0, |field| {
        findings.parsed(field, "a whole number; the larger one is painted over the smaller", scalars::whole)
    });
    let tile = shown(field, &fields, plain, cameras, findings)?;
    let presentation = tile.presentation.clone();
    Some((tile, TileRect { x: x?, y: y?, width: width?, height: height?, z: z?, presentation }))
}
