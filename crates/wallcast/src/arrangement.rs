//! How a wall is arranged: the one type that the configuration file and the API are read into, by the same rules (see
//! [`crate::config`]), and that the API and the state file are written from.
//!
//! It keeps what its author wrote beside what that means, so that what is answered can be sent back unchanged and keys
//! that are added to the reader need nothing here. What is shown at a moment (promotions, whose turn it is) is the
//! [`crate::director`]'s.

use std::time::Duration;

use serde_json::{Map, Value, json};
use wallcast_compositor::{Layout, Placement, Presentation, Preset, Spacing};

/// Where the tiles of a wall are, and which cameras they show. Good for one size of canvas.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrangement {
    /// As it was written: the keys of a wall that say how it is arranged.
    written: Map<String, Value>,
    layout: Layout,
    spacing: Spacing,
    tiles: Vec<Tile>,
    plain: Presentation,
}

/// What a tile shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Never empty. Several take turns.
    pub cameras: Vec<String>,
    /// How long a turn is, where there are several.
    pub every: Duration,
    /// How each of them is shown.
    pub presentation: Presentation,
}

impl Tile {
    /// One camera, always.
    pub fn new(camera: String, presentation: Presentation) -> Tile {
        Tile { cameras: vec![camera], every: Tile::EVERY, presentation }
    }

    /// A turn, if nothing else is said.
    pub const EVERY: Duration = Duration::from_secs(10);
}

impl Arrangement {
    /// `tiles` are those of the first placements of `layout`, which already shows them as they are to be shown; `spacing`
    /// is what it was made with, and `plain` how cameras are shown of which nothing is said. What all of it was read from
    /// comes by [`Arrangement::with_written`].
    pub(crate) fn new(
        layout: Layout,
        spacing: Spacing,
        tiles: Vec<Tile>,
        plain: Presentation,
    ) -> Arrangement {
        Arrangement { written: Map::new(), layout, spacing, tiles, plain }
    }

    /// The same arrangement, from something else.
    pub(crate) fn with_written(self, written: Map<String, Value>) -> Arrangement {
        Arrangement { written, ..self }
    }

    /// Where the tiles are, and how each is shown.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The distances of a layout with a name.
    pub fn spacing(&self) -> Spacing {
        self.spacing
    }

    /// How a camera is shown of which nothing is said.
    pub fn plain(&self) -> &Presentation {
        &self.plain
    }

    /// What the places show, in their order; fewer than places where a layout has cells left over, which show the background.
    pub fn tiles(&self) -> &[Tile] {
        &self.tiles
    }

    /// The camera of each tile; of several the first.
    pub fn cameras(&self) -> Vec<&str> {
        self.tiles.iter().map(|tile| tile.cameras[0].as_str()).collect()
    }

    /// What it was read from: only the keys that were there.
    pub fn written(&self) -> &Map<String, Value> {
        &self.written
    }

    /// As the API answers it and takes it back: what was written, `layout` and `tiles` even where they were not, and the
    /// places that come of it.
    pub fn document(&self) -> Map<String, Value> {
        let mut document = self.written.clone();
        let has_tiles = document.contains_key("tiles");
        let layout = document.entry("layout").or_insert_with(|| json!(Preset::default().to_string()));
        let tiles = match layout {
            Value::Array(rectangles) => Some(shown_by(rectangles)),
            _ if has_tiles => None,
            _ => Some(self.tiles.iter().map(Tile::written).collect()),
        };
        if let Some(tiles) = tiles {
            document.insert("tiles".to_owned(), tiles);
        }
        let places = self.layout.placements().iter().enumerate();
        let placements = places.map(|(i, place)| placement(place, self.tiles.get(i))).collect();
        document.insert("placements".to_owned(), placements);
        document
    }
}

/// What each of a list of rectangles shows, as `tiles` says it.
pub(crate) fn shown_by(rectangles: &[Value]) -> Value {
    let shown = |rectangle: &Value| match (rectangle.get("tour"), rectangle.get("every")) {
        (None, _) => rectangle.get("camera").cloned().unwrap_or_default(),
        (Some(tour), None) => json!({ "tour": tour }),
        (Some(tour), Some(every)) => json!({ "tour": tour, "every": every }),
    };
    rectangles.iter().map(shown).collect()
}

impl Tile {
    fn written(&self) -> Value {
        match &self.cameras[..] {
            [camera] => json!(camera),
            cameras => json!({ "tour": cameras, "every": format!("{}s", self.every.as_secs_f64()) }),
        }
    }
}

fn placement(place: &Placement, tile: Option<&Tile>) -> Value {
    let mut placement = json!({
        "camera": tile.map(|tile| &tile.cameras[0]),
        "x": place.x(),
        "y": place.y(),
        "width": place.width(),
        "height": place.height(),
        "z": place.z(),
        "fit": place.fit().as_str(),
    });
    if let Some(tile) = tile.filter(|tile| tile.cameras.len() > 1) {
        placement["tour"] = json!(tile.cameras);
    }
    placement
}
