//! `walls`: size, rate, layout and tiles of each composed picture.

use std::time::Duration;

use wallcast_compositor::{Bitrate, CanvasSize, Fit, FrameRate, Layout, LayoutProblem, TileRect};

use super::cameras::Cameras;
use super::fields::{Field, Fields, Findings};
use super::problem::{nearest, one_of, shown};
use super::{Encoder, Preset, WallEntry, scalars};

const KEYS: [&str; 9] =
    ["size", "fps", "bitrate", "encoder", "black_after", "align", "layout", "tiles", "fit"];
const EXAMPLE: &str = "wall: { layout: grid }";
/// The wall that exists when the configuration names none.
const DEFAULT_NAME: &str = "wall";
pub(super) const BLACK_AFTER: Duration = Duration::from_secs(10);

pub(super) fn read(
    field: &Field<'_>,
    cameras: &Cameras,
    findings: &mut Findings<'_>,
) -> Option<Vec<WallEntry>> {
    let named = findings.named(field, EXAMPLE, true)?;
    if named.is_empty() {
        findings.problem(
            field,
            "no walls",
            format!("at least one, such as `{EXAMPLE}`, or no key `walls` at all"),
        );
        return None;
    }
    let mut walls = Vec::with_capacity(named.len());
    for (name, at, field) in named {
        let here = field.placed(at);
        if !scalars::is_name(name) {
            findings.problem(&here, format!("the name {}", shown(name)), scalars::NAME);
        } else if let Some((_, first)) = cameras.names.iter().find(|(camera, _)| camera == name) {
            let found = format!("the name of a camera (line {})", first.line);
            findings.problem(&here, found, "a name of its own: walls and cameras share one namespace");
        }
        walls.push(wall(name, &field, cameras, findings));
    }
    walls.into_iter().collect()
}

/// The wall of a configuration without `walls`: every camera, by `preset`. `field` is where the cameras stand.
pub(super) fn default(
    preset: Preset,
    fit: Fit,
    field: &Field<'_>,
    cameras: &Cameras,
    findings: &mut Findings<'_>,
) -> Option<WallEntry> {
    if let Some((_, at)) = cameras.names.iter().find(|(name, _)| name == DEFAULT_NAME) {
        let expected = "another name, or `walls` with a wall of another name";
        findings.problem(
            &field.placed(*at),
            format!("{DEFAULT_NAME}, the name of the default wall"),
            expected,
        );
    }
    let size = CanvasSize::FULL_HD;
    let tiles: Vec<String> = cameras.names.iter().map(|(name, _)| name.clone()).collect();
    let layout = arrange(preset, size, tiles.len(), field, findings)?.with_fit(fit);
    Some(WallEntry {
        name: DEFAULT_NAME.to_owned(),
        size,
        fps: FrameRate::DEFAULT,
        bitrate: Bitrate::DEFAULT,
        encoder: Encoder::OpenH264,
        black_after: BLACK_AFTER,
        align: None,
        layout,
        tiles,
    })
}

fn wall(name: &str, field: &Field<'_>, cameras: &Cameras, findings: &mut Findings<'_>) -> Option<WallEntry> {
    let nothing;
    let fields = if field.is_nothing() {
        nothing = Fields::none(field);
        nothing
    } else {
        findings.mapping(field, &KEYS)?
    };
    let size = or_default(fields.get("size"), CanvasSize::FULL_HD, |field| self::size(field, findings));
    let fps = or_default(fields.get("fps"), FrameRate::DEFAULT, |field| fps(field, findings));
    let bitrate = or_default(fields.get("bitrate"), Bitrate::DEFAULT, |field| bitrate(field, findings));
    let encoder = or_default(fields.get("encoder"), Encoder::OpenH264, |field| {
        findings.parsed(field, "openh264 (others come later)", |text| {
            (text == "openh264").then_some(Encoder::OpenH264)
        })
    });
    let black_after =
        or_default(fields.get("black_after"), BLACK_AFTER, |field| black_after(field, findings));
    let align = fields.get("align").map_or(Some(None), |field| align(&field, findings).map(Some));
    let fit = fields.get("fit").map_or(Some(None), |field| fit(&field, findings).map(Some));
    let canvas = size.unwrap_or(CanvasSize::FULL_HD);
    let arranged = match fields.get("layout") {
        Some(layout) if layout.is_list() => {
            if let Some(tiles) = fields.get("tiles") {
                findings.problem(
                    &tiles,
                    "`tiles` next to a list of rectangles",
                    "each rectangle with its own `camera`",
                );
            }
            rectangles(&layout, fit.flatten().unwrap_or_default(), size, cameras, findings)
        }
        layout => {
            let preset = or_default(layout, Preset::Grid, |field| preset(field, findings));
            let tiles = match fields.get("tiles") {
                Some(field) => tiles(&field, cameras, findings).map(|tiles| (field, tiles)),
                // Nobody knows how many there are.
                None if cameras.names.is_empty() => None,
                None => {
                    let all = cameras.names.iter().map(|(name, _)| name.clone()).collect();
                    Some((field.clone(), all))
                }
            };
            preset.zip(tiles).and_then(|(preset, (place, tiles))| {
                let layout = arrange(preset, canvas, tiles.len(), &place, findings)?;
                Some((layout.with_fit(fit.flatten().unwrap_or_default()), tiles))
            })
        }
    };
    let (layout, tiles) = arranged?;
    fit?;
    Some(WallEntry {
        name: name.to_owned(),
        size: size?,
        fps: fps?,
        bitrate: bitrate?,
        encoder: encoder?,
        black_after: black_after?,
        align: align?,
        layout,
        tiles,
    })
}

fn or_default<'n, T>(
    field: Option<Field<'n>>,
    default: T,
    read: impl FnOnce(&Field<'n>) -> Option<T>,
) -> Option<T> {
    match field {
        Some(field) => read(&field),
        None => Some(default),
    }
}

fn size(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<CanvasSize> {
    let text = findings.text(field, "a size, such as 1920x1080")?;
    let Some((width, height)) = scalars::size(&text.value) else {
        findings.problem(field, text.shown, "width x height in pixels, such as 1920x1080");
        return None;
    };
    CanvasSize::new(width, height).map_err(|error| findings.refused_text(field, &text, &error)).ok()
}

fn fps(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<FrameRate> {
    const EXPECTED: &str = "a whole number, 1 to 60";
    let text = findings.text(field, EXPECTED)?;
    let fps = scalars::number(&text.value).and_then(|fps| FrameRate::new(fps).ok());
    if fps.is_none() {
        findings.problem(field, text.shown, EXPECTED);
    }
    fps
}

fn bitrate(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Bitrate> {
    const EXPECTED: &str = "bits a second, such as 4M, 800k or 4000000";
    let text = findings.text(field, EXPECTED)?;
    let Some(bps) = scalars::bitrate(&text.value) else {
        findings.problem(field, text.shown, EXPECTED);
        return None;
    };
    Bitrate::new(bps).map_err(|error| findings.refused_text(field, &text, &error)).ok()
}

fn black_after(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Duration> {
    // Shorter than a camera's usual hiccup, tiles would flicker; longer than an hour is a frozen picture.
    let sensible = Duration::from_secs(1)..=Duration::from_secs(3600);
    findings.parsed(field, "a time from 1s to 60m, such as 10s, 2500ms or 2m", |text| {
        scalars::duration(text).filter(|time| sensible.contains(time))
    })
}

fn align(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Duration> {
    // Less than a frame is nothing to choose among; of a camera 16 frames are kept, and a slow one may take more.
    let sensible = Duration::from_millis(40)..=Duration::from_millis(500);
    findings.parsed(field, "a time from 40ms to 500ms, such as 200ms", |text| {
        scalars::duration(text).filter(|time| sensible.contains(time))
    })
}

fn fit(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Fit> {
    findings.parsed(field, "contain, cover or stretch", |text| {
        [Fit::Contain, Fit::Cover, Fit::Stretch].into_iter().find(|fit| fit.as_str() == text)
    })
}

fn preset(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Preset> {
    let names = Preset::ALL.map(Preset::as_str);
    let expected = format!("{}, or a list of rectangles with camera, x, y, width, height", one_of(&names));
    findings.parsed(field, &expected, |text| Preset::ALL.into_iter().find(|preset| preset.as_str() == text))
}

fn arrange(
    preset: Preset,
    size: CanvasSize,
    tiles: usize,
    field: &Field<'_>,
    findings: &mut Findings<'_>,
) -> Option<Layout> {
    let layout = match preset {
        Preset::Columns => Layout::columns(size),
        Preset::Grid => {
            Layout::grid(size, tiles).map_err(|error| findings.refused(field, &error, "fewer tiles")).ok()?
        }
    };
    let cells = layout.placements().len();
    if tiles > cells {
        let expected = format!("at most {cells}, the cells of the layout {}", preset.as_str());
        findings.problem(field, format!("{tiles} tiles"), expected);
        return None;
    }
    Some(layout)
}

fn tiles(field: &Field<'_>, cameras: &Cameras, findings: &mut Findings<'_>) -> Option<Vec<String>> {
    let items = findings.list(field, "camera names")?;
    if items.is_empty() {
        findings.problem(field, "an empty list", "at least one camera, or no key `tiles` for all of them");
        return None;
    }
    let tiles: Vec<Option<String>> = items.iter().map(|item| camera_name(item, cameras, findings)).collect();
    tiles.into_iter().collect()
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
    fit: Fit,
    size: Option<CanvasSize>,
    cameras: &Cameras,
    findings: &mut Findings<'_>,
) -> Option<(Layout, Vec<String>)> {
    let items = findings.list(field, "rectangles")?;
    let read: Vec<Option<(String, TileRect)>> =
        items.iter().map(|item| rectangle(item, fit, cameras, findings)).collect();
    let whole = read.iter().all(Option::is_some);
    // Rectangles that could be read are checked beside ones that could not: `place` finds their field again.
    let (place, good): (Vec<usize>, Vec<(String, TileRect)>) =
        read.into_iter().enumerate().filter_map(|(i, tile)| Some((i, tile?))).unzip();
    let (tiles, rects): (Vec<String>, Vec<TileRect>) = good.into_iter().unzip();
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
    fit: Fit,
    cameras: &Cameras,
    findings: &mut Findings<'_>,
) -> Option<(String, TileRect)> {
    let fields = findings.mapping(field, &["camera", "x", "y", "width", "height", "fit"])?;
    let camera = match fields.get("camera") {
        Some(field) => camera_name(&field, cameras, findings),
        None => {
            findings.problem(field, "no `camera`", "the name of a camera");
            None
        }
    };
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
    let fit = or_default(fields.get("fit"), fit, |field| self::fit(field, findings));
    Some((camera?, TileRect { x: x?, y: y?, width: width?, height: height?, fit: fit? }))
}
