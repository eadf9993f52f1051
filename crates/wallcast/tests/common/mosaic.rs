//! A wall of 64 cells, eight by eight, with cameras in the first of them: the same cells however many cameras there are.

use super::wallcast::Wallcast;
use std::time::Instant;

/// Cells of the wall.
pub const CELLS: usize = 64;

/// A configuration whose wall (1920x1080 at 25 fps, 4 Mb/s) shows these cameras, named `cam1` and so on.
pub fn config(urls: &[String]) -> String {
    assert!(urls.len() <= CELLS);
    let cameras: String = (1..).zip(urls).map(|(number, url)| format!("  cam{number}: {url}\n")).collect();
    let cells: String = (0..urls.len())
        .map(|cell| {
            let (x, y) = (cell % 8 * 240, cell / 8 * 134);
            format!("      - {{ camera: cam{}, x: {x}, y: {y}, width: 240, height: 134 }}\n", cell + 1)
        })
        .collect();
    format!("cameras:\n{cameras}walls:\n  wall:\n    layout:\n{cells}")
}

/// What the tiles had shown at one moment.
pub struct Shown {
    at: Instant,
    tiles: Vec<u64>,
    ticks_missed: u64,
}

/// What they showed between two.
#[derive(Debug)]
pub struct Rates {
    /// Different pictures a second, tile by tile.
    pub tiles: Vec<f64>,
    /// Of all ticks of the wall, the part that was left out because the machine was busy.
    pub ticks_missed: f64,
}

impl Shown {
    /// Reads `/stats`: a tile has shown what its camera decoded, but for what a newer picture replaced before the wall looked.
    pub fn read(wallcast: &Wallcast, cameras: usize) -> Self {
        let (stats, at) = (wallcast.stats(), Instant::now());
        let number = |pointer: &str| {
            stats
                .pointer(pointer)
                .and_then(|value| value.as_u64())
                .unwrap_or_else(|| panic!("found no {pointer}"))
        };
        let shown = |number_of_camera: usize| {
            let count = |key| number(&format!("/cameras/cam{number_of_camera}/{key}"));
            count("frames_decoded") - count("frames_overwritten")
        };
        let tiles = (1..=cameras).map(shown).collect();
        Self { at, tiles, ticks_missed: number("/walls/wall/ticks_missed") }
    }

    /// What happened until `later`.
    pub fn until(&self, later: &Self) -> Rates {
        let seconds = (later.at - self.at).as_secs_f64();
        let tiles =
            self.tiles.iter().zip(&later.tiles).map(|(from, to)| (to - from) as f64 / seconds).collect();
        Rates { tiles, ticks_missed: (later.ticks_missed - self.ticks_missed) as f64 / (25.0 * seconds) }
    }
}

impl Rates {
    /// The slowest tile's pictures a second.
    pub fn slowest(&self) -> f64 {
        self.tiles.iter().copied().fold(f64::INFINITY, f64::min)
    }
}
