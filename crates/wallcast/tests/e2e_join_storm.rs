//! Two hundred viewers within a second (failures.md W11, B7): they share key frames, and nobody waits for a picture.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::camera::{self, Camera};
use common::viewer::Viewer;
use common::wallcast::Wallcast;
use std::time::{Duration, Instant};
use wallcast_benches::fan_out::servers::Whep;
use wallcast_benches::fan_out::viewers::Fleet;

const VIEWERS: usize = 200;
const STORM: Duration = Duration::from_secs(1);
/// What is aimed at is 500 ms, on a machine that does nothing else.
const LIMIT: Duration = Duration::from_secs(2);

fn milliseconds(sorted: &[Duration], of_a_hundred: usize) -> f64 {
    1e3 * sorted[(sorted.len() * of_a_hundred / 100).min(sorted.len() - 1)].as_secs_f64()
}

#[test]
fn two_hundred_viewers_within_a_second_share_key_frames_and_see_a_picture_at_once() {
    let test = "join_storm";
    if !camera::available(test) {
        return;
    }
    let camera = Camera::numbered(1);
    let wallcast = Wallcast::start(test, &["run", &camera.url]);
    wallcast.wait_for_state("cam1", "live", Duration::from_secs(20));
    // One who watches already, and must not notice.
    let watching = Viewer::join(&wallcast, "wall");
    std::thread::sleep(Duration::from_secs(2));
    watching.reset_gap();
    let (keyframes, before) = (wallcast.number("/walls/wall/keyframes"), watching.received().frames);

    let (mut fleet, mut door) =
        (Fleet::counting().unwrap(), Whep::new(&format!("{}/whep/wall", wallcast.http)));
    let start = Instant::now();
    for number in 0..VIEWERS as u32 {
        fleet.join(&mut door).unwrap();
        fleet.run((start + STORM * number / VIEWERS as u32).saturating_duration_since(Instant::now()));
    }
    let joined = start.elapsed();
    while fleet.first_frames().any(|first| first.is_none()) && start.elapsed() < Duration::from_secs(20) {
        fleet.run(Duration::from_millis(8));
    }
    let seconds = start.elapsed().as_secs_f64();
    let idrs = wallcast.number("/walls/wall/keyframes") - keyframes;
    let went_on = watching.received();

    let mut first: Vec<Duration> = fleet.first_frames().flatten().collect();
    first.sort();
    common::note!(
        "{} of {VIEWERS} viewers within {:.2} s: first frame p50 {:.0} ms, p95 {:.0} ms, last {:.0} ms; {idrs} key frames in \
         {seconds:.2} s; who watched already: {} frames, no gap above {:.0} ms; {:?}",
        first.len(),
        joined.as_secs_f64(),
        milliseconds(&first, 50),
        milliseconds(&first, 95),
        milliseconds(&first, 100),
        went_on.frames - before,
        1e3 * went_on.longest_gap.as_secs_f64(),
        fleet.why_one_ended(),
    );
    assert_eq!(first.len(), VIEWERS, "somebody never got a picture: {:?}", fleet.why_one_ended());
    assert!(milliseconds(&first, 95) <= 1e3 * LIMIT.as_secs_f64(), "p95 {} ms", milliseconds(&first, 95));
    assert!(idrs <= 2.0 * seconds + 1.0, "{idrs} key frames in {seconds} s");
    assert!(went_on.longest_gap < Duration::from_secs(1), "{went_on:?}");
    assert_eq!(wallcast.number("/clients"), VIEWERS as f64 + 1.0);
}
