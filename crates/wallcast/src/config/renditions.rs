//! `walls.{name}.renditions`: the wall's own bitrate and its smaller encodings, `[1080p 4M, 540p 1M]`.

use wallcast_compositor::{Bitrate, CanvasSize, RenditionConfig};

use super::fields::{Field, Findings, Text};
use super::scalars;

/// More than viewers' links differ by; each may cost a thread.
const MOST: usize = 4;
/// Half a wall that is lower than this is too small to be of use.
const LEAST_HALF: u32 = 180;
const EXPECTED: &str = "a height and bits a second, such as 540p 1M";

/// One of the list, with the place where it stands.
struct Item<'n> {
    field: Field<'n>,
    text: Text,
    height: u32,
    bitrate: Bitrate,
}

/// Half the wall with a quarter of its bitrate, where that is of use.
pub(super) fn default(size: CanvasSize, bitrate: Bitrate) -> Vec<RenditionConfig> {
    let height = size.height() / 4 * 2;
    let quarter = Bitrate::new(u64::from(bitrate.bps()) / 4).ok();
    let half = scaled(size, height).filter(|_| height >= LEAST_HALF);
    half.zip(quarter).map(|(size, bitrate)| rendition(size, bitrate)).into_iter().collect()
}

/// The wall's own bitrate, where the list has one, and the smaller renditions. `size` and `bitrate` are the wall's, if they
/// could be read; `bitrate` comes with whether it stands there.
pub(super) fn read(
    field: &Field<'_>,
    size: Option<CanvasSize>,
    bitrate: Option<(Bitrate, bool)>,
    findings: &mut Findings<'_>,
) -> Option<(Option<Bitrate>, Vec<RenditionConfig>)> {
    if field.says("none") {
        return Some((None, Vec::new()));
    }
    let of = "heights with their bitrates, best first, such as [1080p 4M, 540p 1M], or `none`";
    let list = findings.list(field, of)?;
    if list.is_empty() {
        findings.problem(field, "an empty list", "at least the wall's own height, or `none`");
        return None;
    }
    if list.len() > MOST {
        findings.problem(field, format!("{} renditions", list.len()), format!("at most {MOST}"));
    }
    let items: Vec<Option<Item<'_>>> = list.into_iter().map(|field| item(field, findings)).collect();
    let items: Vec<Item<'_>> = items.into_iter().collect::<Option<_>>()?;
    let (size, first) = (size?, items.first()?);
    let mut is_sound = items.len() <= MOST;
    if first.height != size.height() {
        let expected = format!("{}p, the wall's own height, first", size.height());
        findings.problem(&first.field, first.text.shown.clone(), expected);
        is_sound = false;
    }
    if let Some((bitrate, true)) = bitrate.filter(|(bitrate, _)| *bitrate != first.bitrate) {
        let expected = format!("{} b/s as `bitrate` says, or no `bitrate`", bitrate.bps());
        findings.problem(&first.field, first.text.shown.clone(), expected);
        is_sound = false;
    }
    let mut smaller = Vec::with_capacity(items.len() - 1);
    for pair in items.windows(2) {
        let found = smaller_than(&pair[0], &pair[1], size).map_err(|expected| {
            findings.problem(&pair[1].field, pair[1].text.shown.clone(), expected);
        });
        smaller.push(found.ok());
    }
    let smaller: Option<Vec<RenditionConfig>> = smaller.into_iter().collect();
    smaller.filter(|_| is_sound).map(|smaller| (Some(first.bitrate), smaller))
}

/// `540p 1M`.
fn item<'n>(field: Field<'n>, findings: &mut Findings<'_>) -> Option<Item<'n>> {
    let text = findings.text(&field, EXPECTED)?;
    let parts: Vec<&str> = text.value.split_whitespace().collect();
    let parsed = match parts[..] {
        [height, bitrate] => {
            height.strip_suffix('p').and_then(scalars::number).zip(scalars::bitrate(bitrate))
        }
        _ => None,
    };
    let Some((height, bps)) = parsed else {
        findings.problem(&field, text.shown, EXPECTED);
        return None;
    };
    match Bitrate::new(bps) {
        Ok(bitrate) => Some(Item { field, text, height, bitrate }),
        Err(error) => {
            findings.refused_text(&field, &text, &error);
            None
        }
    }
}

/// What is wrong with an item is what was expected.
fn smaller_than(before: &Item<'_>, item: &Item<'_>, size: CanvasSize) -> Result<RenditionConfig, String> {
    if item.height >= before.height {
        return Err(format!("a height below {}p: the best comes first", before.height));
    }
    if item.bitrate >= before.bitrate {
        return Err(format!("less than {} b/s, which {}p has", before.bitrate.bps(), before.height));
    }
    let found = scaled(size, item.height).filter(|_| item.height.is_multiple_of(2));
    let found = found.ok_or("an even height of which the picture is 64x64 at least".to_owned())?;
    Ok(rendition(found, item.bitrate))
}

/// The canvas in another height: the width that comes nearest to its shape, even.
fn scaled(size: CanvasSize, height: u32) -> Option<CanvasSize> {
    let (across, down) = (u64::from(size.width()), u64::from(size.height()));
    let width = (across * u64::from(height) + down) / (2 * down) * 2;
    CanvasSize::new(u32::try_from(width).ok()?, height).ok()
}

fn rendition(size: CanvasSize, bitrate: Bitrate) -> RenditionConfig {
    RenditionConfig { name: format!("{}p", size.height()), size, bitrate }
}
