//! `walls`: size, rate and the rest of each composed picture. What is where on it is read in [`super::tiles`].

use std::time::Duration;

use serde_json::{Map, Value};
use wallcast_compositor::encoder::EncoderChoice;
use wallcast_compositor::{Bitrate, CanvasSize, Fit, FrameRate, Presentation, Preset, Spacing};

use super::cameras::Cameras;
use super::fields::{Field, Fields, Findings};
use super::problem::{nearest, one_of, shown};
use super::tiles::{self, Places};
use super::{WallEntry, renditions, scalars, written};
use crate::arrangement::{Arrangement, Tile};

const KEYS: [&str; 14] = [
    "size",
    "fps",
    "bitrate",
    "renditions",
    "encoder",
    "black_after",
    "align",
    "layout",
    "tiles",
    "fit",
    "overlay",
    "background",
    "gap",
    "border",
];
/// The keys above that do not say how a wall is arranged. The others are the API's, too: whoever adds one to [`KEYS`]
/// has it there as well.
const OF_THE_PICTURE: [&str; 7] = ["size", "fps", "bitrate", "renditions", "encoder", "black_after", "align"];
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
    let plain = Presentation { fit, ..Presentation::default() };
    let tiles: Vec<Tile> =
        cameras.names.iter().map(|(name, _)| Tile::new(name.clone(), plain.clone())).collect();
    let (spacing, places) = (Spacing::default(), Places { tiles: field, spacing: Some(field) });
    let layout = tiles::arrange(preset, size, tiles.len(), spacing, &places, findings)?.with_fit(fit);
    let mut written = Map::from_iter([("layout".to_owned(), Value::from(preset.to_string()))]);
    if fit != Fit::default() {
        written.insert("fit".to_owned(), Value::from(fit.as_str()));
    }
    Some(WallEntry {
        name: DEFAULT_NAME.to_owned(),
        size,
        fps: FrameRate::DEFAULT,
        bitrate: Bitrate::DEFAULT,
        renditions: renditions::default(size, Bitrate::DEFAULT),
        encoder: EncoderChoice::default(),
        black_after: BLACK_AFTER,
        align: None,
        arrangement: Arrangement::new(layout, spacing, tiles, plain).with_written(written),
    })
}

/// The keys that say how a wall is arranged.
pub(super) fn arrangement_keys() -> Vec<&'static str> {
    KEYS.into_iter().filter(|key| !OF_THE_PICTURE.contains(key)).collect()
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
    let listed = fields.get("renditions").map(|field| {
        let bitrate = bitrate.map(|bitrate| (bitrate, fields.get("bitrate").is_some()));
        renditions::read(&field, size, bitrate, findings)
    });
    let (bitrate, renditions) = match listed {
        None => (bitrate, size.zip(bitrate).map(|(size, bitrate)| renditions::default(size, bitrate))),
        Some(Some((listed, smaller))) => (listed.or(bitrate), Some(smaller)),
        Some(None) => (bitrate, None),
    };
    let encoder =
        or_default(fields.get("encoder"), EncoderChoice::default(), |field| encoder(field, findings));
    let black_after =
        or_default(fields.get("black_after"), BLACK_AFTER, |field| black_after(field, findings));
    let align = fields.get("align").map_or(Some(None), |field| align(&field, findings).map(Some));
    let arrangement = tiles::read(field, &fields, size, cameras, findings);
    let written = arrangement.is_some().then(|| written::arrangement(&fields, &OF_THE_PICTURE, findings));
    Some(WallEntry {
        name: name.to_owned(),
        size: size?,
        fps: fps?,
        bitrate: bitrate?,
        renditions: renditions?,
        encoder: encoder?,
        black_after: black_after?,
        align: align?,
        arrangement: arrangement?.with_written(written?),
    })
}

pub(super) fn or_default<'n, T>(
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

/// Whether the machine has it is not asked here: a file is checked on machines that do not run it, too.
fn encoder(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<EncoderChoice> {
    let names = EncoderChoice::ALL.map(EncoderChoice::as_str);
    let text = findings.text(field, &one_of(&names))?;
    let choice = text.value.parse().ok();
    if choice.is_none() {
        // FFmpeg's prefix and its `lib` are what people leave out, and x264 is nearer to no name than to another.
        let near = ["", "h264_", "lib"].map(|prefix| format!("{prefix}{}", text.value.to_lowercase()));
        let near = names.into_iter().find(|name| near.iter().any(|near| near == name));
        let expected = match near.or_else(|| nearest(&text.value, &names)) {
            Some(near) => format!("{}; did you mean {near}?", one_of(&names)),
            None => one_of(&names),
        };
        findings.problem(field, text.shown, expected);
    }
    choice
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
