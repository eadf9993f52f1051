//! A wall's arrangement on its own, as the API and the state file have it: the keys of a wall in JSON, by the rules of
//! the configuration file.

use serde_json::{Map, Value};
use wallcast_compositor::CanvasSize;

use super::cameras::Cameras;
use super::fields::{Field, Findings};
use super::problem::Problem;
use super::yaml::{At, Entry, Node, Value as Tree};
use super::{CameraEntry, json, tiles, walls};
use crate::arrangement::{Arrangement, shown_by};

/// What answers carry for whoever reads them; changes nothing when it is sent back.
const ONLY_READ: [&str; 2] = ["placements", "warning"];

/// What an arrangement of one wall has to fit.
pub struct LayoutRules {
    cameras: Cameras,
    size: CanvasSize,
}

/// Why a text is no arrangement.
#[derive(Debug)]
pub enum Unusable {
    /// It is not JSON from this place on.
    NotJson {
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
    },
    /// Everything that is wrong with it. Never empty; paths begin at the arrangement.
    Wrong(Vec<Problem>),
}

impl LayoutRules {
    /// For a wall of this size, and these cameras.
    pub fn new(size: CanvasSize, cameras: &[CameraEntry]) -> LayoutRules {
        let names = cameras.iter().map(|camera| (camera.name.clone(), At::default())).collect();
        LayoutRules { cameras: Cameras { good: cameras.to_vec(), names }, size }
    }

    /// The wall's size.
    pub fn size(&self) -> CanvasSize {
        self.size
    }

    /// Reads the text of a request.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(&self, text: &str) -> Result<Arrangement, Unusable> {
        let mut node = json::parse(text).map_err(|(line, column)| Unusable::NotJson { line, column })?;
        // What is in the tree is what was sent; here a key that stands twice is there once, but that is refused below.
        let mut written: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
        written.retain(|key, _| !ONLY_READ.contains(&key.as_str()));
        if let Tree::Map(entries) = &mut node.value {
            entries.retain(|entry| !ONLY_READ.contains(&entry.key.as_str()));
            if says_the_same_twice(&written) {
                written.remove("tiles");
                remove_once(entries, "tiles");
            }
        }
        self.judge(&node).map(|arrangement| arrangement.with_written(written)).map_err(Unusable::Wrong)
    }

    fn judge(&self, node: &Node) -> Result<Arrangement, Vec<Problem>> {
        let nothing = |_: &str| None;
        let mut findings = Findings::new(&nothing);
        let root = Field::root(node);
        let arrangement = findings.mapping(&root, &walls::arrangement_keys()).and_then(|fields| {
            if fields.get("layout").is_none() {
                findings.problem(&root, "no `layout`", "the name of a layout, or a list of rectangles");
            }
            tiles::read(&root, &fields, Some(self.size), &self.cameras, &mut findings)
        });
        match arrangement {
            Some(arrangement) if findings.problems.is_empty() => Ok(arrangement),
            _ => Err(findings.problems),
        }
    }
}

/// Rectangles name their cameras themselves. Answers repeat them in `tiles`, where other layouts have them.
fn says_the_same_twice(written: &Map<String, Value>) -> bool {
    let rectangles = written.get("layout").and_then(Value::as_array);
    rectangles.zip(written.get("tiles")).is_some_and(|(rectangles, tiles)| shown_by(rectangles) == *tiles)
}

fn remove_once(entries: &mut Vec<Entry>, key: &str) {
    if let Some(place) = entries.iter().position(|entry| entry.key == key) {
        entries.remove(place);
    }
}
