//! B15, overload: a wall whose machine, which was large enough, gets half as fast shows fewer pictures and not older ones, and is itself again as
//! soon as it gets its share.
//!
//! Two simulated cameras burn the time into their pictures. FFmpeg plays the wall, and the age of every tile is read off every
//! frame, so that the delay of all there is counts: camera, network, decoder, wall, encoder, RTSP, and FFmpeg.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::clocks::Clocks;
use common::process::{Cpu, memory};
use common::slowed::Slowed;
use common::wallcast::Wallcast;
use common::watch::Area;
use common::{note, wait_until};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};
use wallcast::auth::{Auth, Authenticator};
use wallcast::demo::{CameraSpec, SimulatedCamera};
use wallcast::rtsp::{Mounts, RtspServer};
use wallcast_compositor::CanvasSize;

/// A wall that costs several times what its cameras do: those send on whatever the wall gets.
const SIZE: (usize, usize) = (1_920, 1_080);
const FPS: f64 = 25.0;
const CAMERA: (u32, u32) = (640, 360);
const TILES: [Area; 2] =
    [Area { x: 0, y: 0, width: 960, height: 1080 }, Area { x: 960, y: 0, width: 960, height: 1080 }];
const OVERLOADED: Duration = Duration::from_secs(15);
/// A machine that is large enough has so much more CPU than the wall needs. Half of that is what the wall gets.
const ENOUGH: f64 = 1.2;
/// The first moments of an overload are not looked at: what a queue holds comes out later.
const SETTLING: Duration = Duration::from_secs(3);

/// Two cameras that tell the time.
struct Cameras {
    server: RtspServer,
    _cameras: Vec<SimulatedCamera>,
    /// The server's; it ends after it.
    _runtime: tokio::runtime::Runtime,
}

impl Cameras {
    fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let entered = runtime.enter();
        let mounts = Mounts::new();
        let camera = |mut spec: CameraSpec| {
            spec.size = CanvasSize::new(CAMERA.0, CAMERA.1).unwrap();
            let camera = SimulatedCamera::start(spec).unwrap();
            mounts.add(Arc::clone(camera.mount())).unwrap();
            camera
        };
        let cameras = CameraSpec::four().into_iter().take(TILES.len()).map(camera).collect();
        let auth = Arc::new(Authenticator::new(Auth::Open));
        let server = RtspServer::bind("127.0.0.1:0".parse().unwrap(), mounts, auth).unwrap();
        drop(entered);
        Self { server, _cameras: cameras, _runtime: runtime }
    }

    /// A wall that they fill.
    fn config(&self) -> String {
        let address = self.server.local_addr();
        format!(
            "
listen: 127.0.0.1:0
cameras:
  cam1: rtsp://{address}/cam1
  cam2: rtsp://{address}/cam2
walls:
  wall:
    layout:
      - {{ camera: cam1, x: 0, y: 0, width: 960, height: 1080, fit: stretch }}
      - {{ camera: cam2, x: 960, y: 0, width: 960, height: 1080, fit: stretch }}
"
        )
    }
}

/// What was seen in a while.
#[derive(Debug)]
struct Seen {
    fps: f64,
    /// Of all tiles, sorted, in milliseconds.
    delays: Vec<i64>,
}

impl Seen {
    fn percentile(&self, percent: usize) -> i64 {
        self.delays[(self.delays.len() * percent).div_ceil(100).saturating_sub(1)]
    }
}

fn watch(clocks: &Clocks, length: Duration) -> Seen {
    let (from, first) = (Instant::now(), clocks.count());
    sleep(length);
    let (frames, seconds) = (clocks.delays_since(first), from.elapsed().as_secs_f64());
    let mut delays: Vec<i64> = frames.iter().flatten().filter_map(|delay| *delay).collect();
    delays.sort_unstable();
    assert!(
        delays.len() * 10 >= frames.len() * TILES.len() * 9,
        "clocks read: {} of {} frames",
        delays.len(),
        frames.len()
    );
    Seen { fps: frames.len() as f64 / seconds, delays }
}

#[test]
fn b15_with_the_cpu_halved_a_wall_is_slower_but_not_later_and_recovers_at_once() {
    let test = "overload";
    let cameras = Cameras::start();
    let wallcast = Wallcast::with_config(test, &cameras.config());
    let clocks = Clocks::start(test, &format!("{}/wall", wallcast.rtsp), SIZE, &TILES);
    wait_until("the wall to be seen at its full rate", Duration::from_secs(60), || {
        let first = clocks.count();
        sleep(Duration::from_secs(1));
        let frames = clocks.since(first);
        let read = frames.iter().filter(|tiles| tiles.iter().all(Option::is_some)).count();
        if read as f64 > 0.8 * FPS { Ok(()) } else { Err(format!("{read} of {} frames", frames.len())) }
    });

    let (from, before) = (Instant::now(), Cpu::of(wallcast.pid()));
    let full = watch(&clocks, Duration::from_secs(6));
    let needs = Cpu::of(wallcast.pid()).rate_since(&before, from.elapsed().as_secs_f64());
    note!(
        "at its full rate: {:.1} fps, p50 {} ms, p95 {} ms, {needs:?}",
        full.fps,
        full.percentile(50),
        full.percentile(95)
    );

    let (missed, resident) = (wallcast.number("/walls/wall/ticks_missed"), memory(wallcast.pid()));
    let slowed = Slowed::to(wallcast.pid(), ENOUGH * needs.total() / 2.0);
    sleep(SETTLING);
    let half = watch(&clocks, OVERLOADED);
    let (grown, used) = (memory(wallcast.pid()) - resident, Cpu::of(wallcast.pid()));
    let stood_still = slowed.release();
    let released = Instant::now();
    note!(
        "with half the CPU: {:.1} fps, p50 {} ms, p95 {} ms, max {} ms; stopped {:.0} % of the time, {:.1} MB more; {used:?}",
        half.fps,
        half.percentile(50),
        half.percentile(95),
        half.percentile(100),
        100.0 * stood_still,
        grown / 1e6
    );

    let mut recovered = watch(&clocks, Duration::from_secs(1));
    let is_itself =
        |seen: &Seen| seen.fps > 0.9 * full.fps && seen.percentile(95) < full.percentile(95) + 200;
    while !is_itself(&recovered) && released.elapsed() < Duration::from_secs(10) {
        recovered = watch(&clocks, Duration::from_secs(1));
    }
    let after = released.elapsed();
    note!("itself again after {after:.1?}: {:.1} fps, p95 {} ms", recovered.fps, recovered.percentile(95));

    // Ten of twenty-five; in proportion, because whoever else uses the machine slows both.
    let least = 0.4 * full.fps.min(FPS);
    assert!(half.fps >= least && half.fps < 0.9 * full.fps, "{:.1} of {:.1} fps", half.fps, full.fps);
    assert!(half.percentile(95) <= 1_000, "{} ms", half.percentile(95));
    assert!(wallcast.number("/walls/wall/ticks_missed") > missed);
    assert!(grown < 64e6, "{grown} bytes");
    assert!(is_itself(&recovered) && after <= Duration::from_secs(6), "{after:?}: {recovered:?}");
    drop(cameras);
}
