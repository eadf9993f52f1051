//! `fit`, `crop`, `rotate`, `mirror`, `mask`, `overlay` and `label`: how a tile shows its camera's picture.

use wallcast_compositor::{Area, AreaError, Fit, LabelText, Overlay, Presentation, Rotation};

use super::cameras::Cameras;
use super::fields::{Field, Fields, Findings};
use super::problem::one_of;
use super::scalars;
use super::walls::or_default;

pub(super) const KEYS: [&str; 7] = ["fit", "crop", "rotate", "mirror", "mask", "overlay", "label"];

/// The seven keys of a tile; `plain` is what those have that are not there. `shown` are the tile's cameras.
pub(super) fn read(
    fields: &Fields<'_>,
    plain: &Presentation,
    shown: &[String],
    cameras: &Cameras,
    findings: &mut Findings<'_>,
) -> Option<Presentation> {
    let has_substream =
        cameras.good.iter().any(|entry| shown.contains(&entry.name) && entry.substream.is_some());
    let fit = or_default(fields.get("fit"), plain.fit, |field| fit(field, findings));
    let crop = fields.get("crop").map_or(Some(None), |field| area(&field, has_substream, findings).map(Some));
    let rotation = or_default(fields.get("rotate"), plain.rotation, |field| {
        findings.parsed(field, "0, 90, 180 or 270 (degrees, clockwise)", |text| {
            scalars::number(text).and_then(Rotation::by_degrees)
        })
    });
    let mirrored = or_default(fields.get("mirror"), plain.mirrored, |field| {
        findings.parsed(field, "true or false", scalars::yes_or_no)
    });
    let masks = fields.get("mask").map_or(Some(Vec::new()), |field| masks(&field, has_substream, findings));
    let overlay = or_default(fields.get("overlay"), plain.overlay.clone(), |field| {
        overlay(field, &plain.overlay, findings)
    });
    let text = fields.get("label").map_or(Some(None), |field| {
        if shown.len() > 1 {
            findings.problem(&field, "a `label` next to `tour`", "none: each camera has its own name");
            return None;
        }
        label(&field, findings).map(Some)
    });
    let text = text?.zip(shown.first().cloned()).map(|(text, camera)| LabelText { camera, text });
    Some(Presentation {
        fit: fit?,
        crop: crop?,
        rotation: rotation?,
        mirrored: mirrored?,
        masks: masks?,
        overlay: Overlay { text, ..overlay? },
    })
}

pub(super) fn fit(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Fit> {
    findings.parsed(field, "contain, cover or stretch", |text| {
        [Fit::Contain, Fit::Cover, Fit::Stretch].into_iter().find(|fit| fit.as_str() == text)
    })
}

/// `none`, a list of exactly what is written, or a mapping of what is otherwise than `plain` has it.
pub(super) fn overlay(field: &Field<'_>, plain: &Overlay, findings: &mut Findings<'_>) -> Option<Overlay> {
    let items = one_of(&Overlay::ITEMS);
    if field.is_list() {
        let mut overlay = Overlay::NONE;
        let read: Vec<Option<()>> = findings
            .list(field, &items)?
            .iter()
            .map(|item| findings.parsed(item, &items, |text| overlay.item_mut(text).map(|item| *item = true)))
            .collect();
        return read.into_iter().collect::<Option<()>>().map(|()| overlay);
    }
    if field.is_mapping() {
        let (mut overlay, fields) = (plain.clone(), findings.mapping(field, &Overlay::ITEMS)?);
        let read = Overlay::ITEMS.map(|name| {
            let Some(field) = fields.get(name) else { return Some(()) };
            let is_on = findings.parsed(&field, "true or false", scalars::yes_or_no)?;
            overlay.item_mut(name).map(|item| *item = is_on)
        });
        return read.into_iter().collect::<Option<()>>().map(|()| overlay);
    }
    let expected = format!("none, a list of {items}, or a mapping such as {{ clock: true }}");
    findings.parsed(field, &expected, |text| (text == "none").then_some(Overlay::NONE))
}

/// A text, but not what was probably meant to turn the label off.
fn label(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<String> {
    const EXPECTED: &str =
        "a text of 1 to 64 characters for the label (`overlay: { label: false }` turns it off)";
    findings.parsed(field, EXPECTED, |text| {
        let is_switch = scalars::yes_or_no(text).is_some() || text == "none";
        let is_text = (1..=64).contains(&text.chars().count()) && !text.trim().is_empty();
        (is_text && !is_switch).then(|| text.to_owned())
    })
}

/// One area, or a list of them.
fn masks(field: &Field<'_>, has_substream: bool, findings: &mut Findings<'_>) -> Option<Vec<Area>> {
    /// More than anybody draws by hand.
    const MOST: usize = 32;
    if field.is_mapping() {
        return area(field, has_substream, findings).map(|area| vec![area]);
    }
    let items = findings.list(field, "areas with x, y, width and height")?;
    if items.len() > MOST {
        findings.problem(field, format!("{} masks", items.len()), format!("at most {MOST}"));
        return None;
    }
    let areas: Vec<Option<Area>> = items.iter().map(|item| area(item, has_substream, findings)).collect();
    areas.into_iter().collect()
}

/// A length as it is written.
#[derive(Clone, Copy)]
enum Length {
    Whole(u32),
    Fraction(f64),
}

fn area(field: &Field<'_>, has_substream: bool, findings: &mut Findings<'_>) -> Option<Area> {
    const SIDES: [&str; 4] = ["x", "y", "width", "height"];
    const EXPECTED: &str = "pixels such as 320, or a fraction of the picture such as 0.25 or 25%";
    let fields = findings.mapping(field, &SIDES)?;
    let read = SIDES.map(|key| match fields.get(key) {
        Some(field) => findings.parsed(&field, EXPECTED, length),
        None => {
            findings.problem(field, format!("no `{key}`"), "x, y, width and height of the area");
            None
        }
    });
    let lengths = [read[0]?, read[1]?, read[2]?, read[3]?];
    let is_in_pixels = lengths.iter().all(|length| matches!(length, Length::Whole(_)));
    if is_in_pixels && has_substream {
        // Nothing would be where it was meant to be as soon as the other stream is shown.
        let expected = "fractions such as 0.25 or 25%: the camera's substream has pictures of another size";
        findings.problem(field, "pixels", expected);
        return None;
    }
    let area = if is_in_pixels {
        let [x, y, width, height] = lengths.map(|length| match length {
            Length::Whole(pixels) => pixels,
            Length::Fraction(_) => 0,
        });
        Area::pixels(x, y, width, height)
    } else {
        // 0 and 1 are nothing and all, beside fractions; another whole number is a mistake that this refuses.
        let [x, y, width, height] = lengths.map(|length| match length {
            Length::Whole(whole) => f64::from(whole),
            Length::Fraction(fraction) => fraction,
        });
        Area::fractions(x, y, width, height)
    };
    let refuse = |error: AreaError| findings.refused(field, &error, "an area of the picture");
    area.map_err(refuse).ok()
}

/// `320`, `0.25` or `25%`.
fn length(text: &str) -> Option<Length> {
    if let Some(percent) = text.strip_suffix('%') {
        return decimal(percent.trim_end()).map(|percent| Length::Fraction(percent / 100.0));
    }
    match scalars::number(text) {
        Some(whole) => Some(Length::Whole(whole)),
        None => decimal(text).map(Length::Fraction),
    }
}

/// Digits with at most one point among them; not all else that is a number to a computer.
fn decimal(text: &str) -> Option<f64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| is_plain)
}
