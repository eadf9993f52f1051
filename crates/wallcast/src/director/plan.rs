//! Which camera is in which place while others are promoted.
//!
//! The camera that was promoted last gets the largest place, the one before it the next largest, and so on; each
//! exchanges its place with who is there, so that everybody is still shown. Where no place is clearly larger than the
//! others there is another layout for the time, with a large place and one for everybody; beyond ten cameras only the
//! promoted one is shown, everywhere. A camera that takes turns leaves its turn to the one whose place it gets. A camera
//! without a tile hides one that is not promoted, unless there is a cell left over: as many of the promoted as there are
//! places are always shown.

use std::cmp::Reverse;
use std::time::Duration;

use wallcast_compositor::{Cells, Layout, Placement, Presentation, Preset, Spacing};

use super::Promotion;
use crate::arrangement::{Arrangement, Tile};

/// Where the tiles are, and what is in them.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) layout: Layout,
    /// Of the layout's first places.
    pub(super) contents: Vec<Content>,
}

/// One camera, or several that take turns.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Content {
    /// Never empty.
    pub(super) seen: Vec<Seen>,
    pub(super) every: Duration,
}

/// A camera, and how it is shown: what is cut off and blacked out belongs to it, not to the place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) camera: String,
    pub(super) presentation: Presentation,
}

impl Content {
    pub(super) fn is_tour(&self) -> bool {
        self.seen.len() > 1
    }

    fn one(seen: Seen) -> Content {
        Content { seen: vec![seen], every: Tile::EVERY }
    }

    fn is_only(&self, camera: &str) -> bool {
        matches!(&self.seen[..], [seen] if seen.camera == camera)
    }

    fn position(&self, camera: &str) -> Option<usize> {
        self.seen.iter().position(|seen| seen.camera == camera)
    }
}

impl From<&Tile> for Content {
    fn from(tile: &Tile) -> Content {
        let seen = |camera: &String| Seen { camera: camera.clone(), presentation: tile.presentation.clone() };
        Content { seen: tile.cameras.iter().map(seen).collect(), every: tile.every }
    }
}

impl Plan {
    /// Without promotions.
    pub(super) fn of(base: &Arrangement) -> Plan {
        Plan { layout: base.layout().clone(), contents: base.tiles().iter().map(Content::from).collect() }
    }

    /// `promoted` in the order of the places that they get.
    pub(super) fn with(base: &Arrangement, promoted: &[Promotion]) -> Plan {
        let mut plan = Plan::of(base);
        if promoted.is_empty() {
            return plan;
        }
        let in_tile = |camera: &str| {
            let mut tiles = plan.contents.iter().flat_map(|content| &content.seen);
            tiles.find(|seen| seen.camera == camera).cloned()
        };
        let as_guest = |promotion: &Promotion| Seen {
            camera: promotion.camera.clone(),
            presentation: promotion.as_guest.as_ref().unwrap_or(base.plain()).clone(),
        };
        let is_guest = |promotion: &&Promotion| in_tile(&promotion.camera).is_none();
        let guests: Vec<Seen> = promoted.iter().filter(is_guest).map(as_guest).collect();
        let promoted: Vec<Seen> = promoted
            .iter()
            .map(|promotion| in_tile(&promotion.camera).unwrap_or_else(|| as_guest(promotion)))
            .collect();
        match roomy(base, plan.contents.len(), plan.contents.len() + guests.len()) {
            Roomy::AsItIs => {}
            Roomy::Other(layout) => plan.layout = layout,
            Roomy::Whole(layout) => {
                plan.layout = layout;
                plan.contents = promoted.into_iter().take(1).map(Content::one).collect();
                return plan;
            }
        }
        let places = plan.layout.placements();
        let free = places.len().saturating_sub(plan.contents.len());
        plan.contents.extend(guests.into_iter().take(free).map(Content::one));
        let mut given = Vec::new();
        for seen in promoted {
            let left = (0..plan.contents.len()).filter(|place| !given.contains(place));
            let largest = left.min_by_key(|&place| Reverse(picture_width(&places[place])));
            let Some(place) = largest else { break };
            bring(&mut plan.contents, places.len(), place, seen);
            given.push(place);
        }
        plan
    }
}

enum Roomy {
    /// The base has a large place.
    AsItIs,
    /// For as many tiles as are shown.
    Other(Layout),
    /// For one.
    Whole(Layout),
}

/// A layout with a place that is clearly larger than most, for `shown` tiles in all.
fn roomy(base: &Arrangement, tiles: usize, shown: usize) -> Roomy {
    let area = |place: &Placement| u64::from(picture_width(place)).pow(2);
    let mut areas: Vec<u64> = base.layout().placements()[..tiles].iter().map(area).collect();
    areas.sort_unstable();
    let (Some(&largest), Some(&usual)) = (areas.last(), areas.get((tiles.max(1) - 1) / 2)) else {
        return Roomy::AsItIs;
    };
    if shown == 1 || (tiles > 1 && largest >= 2 * usual) {
        return Roomy::AsItIs;
    }
    let preset = match shown {
        ..=3 => Some(Preset::Pip),
        4..=6 => Some(Preset::OnePlusFive),
        7..=8 => Some(Preset::OnePlusSeven),
        9..=10 => Some(Preset::TwoPlusEight),
        _ => None,
    };
    let (canvas, tiles_of_base) = (base.layout().canvas(), tiles);
    let make = |preset, tiles| {
        let layout = Layout::preset(preset, canvas, tiles, base.spacing())
            .or_else(|_no_room| Layout::preset(preset, canvas, tiles, Spacing::default()));
        let layout = layout.ok()?.with_background(base.layout().background());
        // Half as much again, or the exchange is not worth the turmoil. One tile alone cannot become larger.
        let is_worth_it = |first: &Placement| tiles_of_base == 1 || 2 * area(first) >= 3 * largest;
        layout.placements().first().is_some_and(is_worth_it).then_some(layout)
    };
    let other = preset.and_then(|preset| make(preset, shown)).map(Roomy::Other);
    let whole = || make(Preset::Cells(Cells::new(1, 1)?), 1).map(Roomy::Whole);
    // Only where there is no preset for so many is everybody else worth giving up.
    other.or_else(|| if preset.is_none() { whole() } else { None }).unwrap_or(Roomy::AsItIs)
}

/// How wide a picture of 16:9 comes out there.
fn picture_width(place: &Placement) -> u32 {
    place.width().min(place.height() * 16 / 9)
}

/// Brings the camera of `seen` to the place of number `to`, from where it is. If it is nowhere, because it has no tile or
/// gave it to another, it hides who is there.
fn bring(contents: &mut Vec<Content>, places: usize, to: usize, seen: Seen) {
    let camera = seen.camera.as_str();
    if contents[to].is_only(camera) {
        return;
    }
    if let Some(from) = contents.iter().position(|content| content.is_only(camera)) {
        contents.swap(from, to);
        return;
    }
    let in_tour = contents.iter().enumerate().find_map(|(i, content)| Some((i, content.position(camera)?)));
    let Some((from, number)) = in_tour else {
        contents[to] = Content::one(seen);
        return;
    };
    let seen = contents[from].seen.remove(number);
    let displaced = std::mem::replace(&mut contents[to], Content::one(seen));
    if from != to {
        // Nobody twice.
        let rest = &contents[from];
        let others: Vec<Seen> =
            displaced.seen.into_iter().filter(|seen| rest.position(&seen.camera).is_none()).collect();
        contents[from].seen.splice(number..number, others);
    } else if contents.len() < places {
        contents.push(displaced);
    }
}
