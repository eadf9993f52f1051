//! Which camera is in which place while others are promoted.
//!
//! The camera that was promoted last gets the largest place, the one before it the next largest, and so on; each
//! exchanges its place with who is there, so that everybody is still shown. Where no place is clearly larger than the
//! others there is another layout for the time, with a large place and one for everybody; beyond ten cameras only the
//! promoted one is shown, everywhere. A camera that takes turns leaves its turn to the one whose place it gets. A camera
//! without a tile hides the one whose place it gets, unless there is a cell left over.

use std::cmp::Reverse;
use std::collections::HashMap;
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
    pub(super) fn with(
        base: &Arrangement,
        promoted: &[Promotion],
        elsewhere: &HashMap<String, Presentation>,
    ) -> Plan {
        let mut plan = Plan::of(base);
        if promoted.is_empty() {
            return plan;
        }
        let has_tile = |camera: &str| plan.contents.iter().any(|content| content.position(camera).is_some());
        let seen = |camera: &String| Seen {
            camera: camera.clone(),
            presentation: elsewhere.get(camera).unwrap_or(base.plain()).clone(),
        };
        let guests: Vec<Seen> = promoted
            .iter()
            .map(|promotion| &promotion.camera)
            .filter(|camera| !has_tile(camera))
            .map(seen)
            .collect();
        let shown = plan.contents.len() + guests.len();
        match roomy(base, plan.contents.len(), shown) {
            Roomy::AsItIs => {}
            Roomy::Other(layout) => {
                plan.layout = layout;
                plan.contents.extend(guests.iter().cloned().map(Content::one));
            }
            Roomy::Whole(layout) => {
                plan.layout = layout;
                let camera = &promoted[0].camera;
                let tiles = plan.contents.iter().flat_map(|content| &content.seen);
                let found = tiles.chain(&guests).find(|seen| seen.camera == *camera).cloned();
                plan.contents = found.map(Content::one).into_iter().collect();
                return plan;
            }
        }
        let places = plan.layout.placements();
        let mut largest: Vec<usize> = (0..plan.contents.len()).collect();
        largest.sort_by_key(|&place| Reverse(picture_width(&places[place])));
        for (promotion, &place) in promoted.iter().zip(&largest) {
            let guest = guests.iter().find(|seen| seen.camera == promotion.camera);
            bring(&mut plan.contents, places.len(), place, &promotion.camera, guest);
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

/// Brings `camera` to the place of number `to`.
fn bring(contents: &mut Vec<Content>, places: usize, to: usize, camera: &str, guest: Option<&Seen>) {
    if contents[to].is_only(camera) {
        return;
    }
    if let Some(from) = contents.iter().position(|content| content.is_only(camera)) {
        contents.swap(from, to);
        return;
    }
    let in_tour = contents.iter().enumerate().find_map(|(i, content)| Some((i, content.position(camera)?)));
    if let Some((from, number)) = in_tour {
        let seen = contents[from].seen.remove(number);
        let displaced = std::mem::replace(&mut contents[to], Content::one(seen));
        if from != to {
            // Nobody twice.
            let rest = &contents[from];
            let others: Vec<Seen> =
                displaced.seen.into_iter().filter(|seen| rest.position(&seen.camera).is_none()).collect();
            contents[from].seen.splice(number..number, others);
        }
    } else if let Some(guest) = guest {
        let displaced = std::mem::replace(&mut contents[to], Content::one(guest.clone()));
        if contents.len() < places {
            contents.push(displaced);
        }
    }
}
