//! Sixty-four substreams on one wall. `benches/many_cameras.rs` measures the same for longer, and what it costs.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::mosaic::{self, CELLS, Shown};
use common::process;
use common::simulated::{SUBSTREAM, Simulated};
use common::viewer::Viewer;
use common::wallcast::Wallcast;
use std::thread::sleep;
use std::time::Duration;

/// A machine that builds something meanwhile may spoil a stretch, but not every one.
const TRIES: usize = 3;

#[test]
fn sixty_four_substreams_play_at_full_rate_each_with_one_thread() {
    let cameras = Simulated::start(CELLS, SUBSTREAM, 15);
    let wallcast = Wallcast::with_config("many_cameras", &mosaic::config(&cameras.urls));
    let viewer = Viewer::join(&wallcast, "wall");
    for number in 1..=CELLS {
        wallcast.wait_for_state(&format!("cam{number}"), "live", Duration::from_secs(20));
    }

    let mut tries = (0..TRIES).map(|_| {
        // What has queued up while everything connected is worked off first.
        sleep(Duration::from_secs(2));
        let (before, frames) = (Shown::read(&wallcast, CELLS), viewer.received().frames);
        sleep(Duration::from_secs(6));
        let rates = before.until(&Shown::read(&wallcast, CELLS));
        let watched = (viewer.received().frames - frames) as f64 / 6.0;
        common::note!(
            "slowest tile {:.2} fps, viewer {watched:.1} fps, {:.1} % of ticks missed",
            rates.slowest(),
            100.0 * rates.ticks_missed
        );
        rates
    });
    assert!(
        tries.any(|rates| rates.slowest() >= 14.0),
        "no stretch in which every tile had 14 pictures a second"
    );

    let stats = wallcast.stats();
    for number in 1..=CELLS {
        let camera = &stats["cameras"][format!("cam{number}")];
        assert_eq!(
            (&camera["reconnects"], &camera["decode_errors"], &camera["panics"]),
            (&0.into(), &0.into(), &0.into()),
            "{camera}"
        );
    }
    let threads = process::threads(wallcast.pid());
    let named = |start: &str| threads.iter().filter(|name| name.starts_with(start)).count();
    assert_eq!((named("decode-"), named("wall-")), (CELLS, 1), "{threads:?}");
    let others = threads.len() - CELLS - 1;
    assert!(others <= 16, "threads that do not grow with cameras: {threads:?}");
}
