//! Many cameras: what does one more substream cost when there are 4, and when there are 64? How much memory is a camera?
//!
//! `cargo bench -p wallcast --bench many_cameras [-- SECONDS] [cpu] [tiles] [memory]` (of the package `wallcast`, for its binary and its tests' harness)
//!
//! * `cpu`: the cameras are 640x360 at 15 fps on one wall of 1920x1080 with 64 cells, which a WebRTC viewer watches; each has a cell,
//!   as large as with 64 of them, however many there are. Wallcast has one core to itself; this process (cameras and viewer) has the
//!   other. Measured is the CPU time of each thread. What a camera costs is what its decode thread and the I/O threads take, less what
//!   the I/O threads take on a wall without a picture. Composing and encoding are the wall's, and are shown beside it.
//! * `tiles`: 64 cameras, nothing pinned, cameras and viewer on the same two cores: what does the slowest tile show?
//! * `memory`: the resident set with more cameras less that with fewer, divided.
//!
//! A plot of `cpu` goes to `artifacts/bench_many_cameras/many_cameras.svg`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and may end at the first surprise"
)]

#[path = "../crates/wallcast/tests/common/mod.rs"]
mod common;
mod plot;

use std::process::{Command, Stdio};
use std::thread::{available_parallelism, sleep};
use std::time::{Duration, Instant};

use common::mosaic::{self, CELLS, Shown};
use common::process::{self, Cpu};
use common::rtsp_stub::{Answers, Stub};
use common::simulated::{SUBSTREAM, Simulated};
use common::viewer::Viewer;
use common::wallcast::Wallcast;

const TEST: &str = "bench_many_cameras";
const WARM_UP: Duration = Duration::from_secs(8);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let seconds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(20);
    let wanted = |part: &str| {
        let named = |argument: &String| matches!(argument.as_str(), "cpu" | "tiles" | "memory");
        !arguments.iter().any(named) || arguments.iter().any(|argument| argument == part)
    };
    if wanted("cpu") {
        cpu(Duration::from_secs(seconds));
    }
    if wanted("tiles") {
        tiles(Duration::from_secs(3 * seconds));
    }
    if wanted("memory") {
        memory();
    }
}

// ── what a camera costs ──────────────────────────────────────────────────────────────────────────────────────────────

/// One wall with so many cameras, per second.
#[derive(Clone, Copy)]
struct Run {
    cameras: usize,
    cpu: Cpu,
    slowest_tile: f64,
    mean_tile: f64,
}

fn cpu(span: Duration) {
    assert!(available_parallelism().unwrap().get() >= 2, "one core for Wallcast and one for everything else");
    println!("substreams 640x360 at 15 fps, Wallcast on one core, {} s a run", span.as_secs());
    process::pin(std::process::id(), "1");
    // Up and down again, so that a machine that becomes slower or faster meanwhile favours none.
    let order = [0, 4, 64, 1, 16, 32, 32, 16, 1, 64, 4, 0, 0, 4, 64, 64, 4, 0];
    let runs: Vec<Run> = order.iter().map(|&cameras| run(cameras, span)).collect();
    let of = |cameras: usize| runs.iter().filter(move |run| run.cameras == cameras);
    let idle = median(of(0).map(|run| run.cpu.sessions));

    println!();
    println!(
        "| cameras | CPU a camera, ms/s | decoding | sessions | wall, ms/s | process, cores | pictures a second, slowest tile |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let points: Vec<plot::Point> = [1, 4, 16, 32, 64]
        .into_iter()
        .map(|cameras| {
            let per_camera = |what: fn(&Run) -> f64| 1e3 / cameras as f64 * median(of(cameras).map(what));
            let decoding = per_camera(|run| run.cpu.decoding);
            let sessions = per_camera(|run| run.cpu.sessions) - 1e3 * idle / cameras as f64;
            let wall = 1e3 * median(of(cameras).map(|run| run.cpu.walls));
            let total = median(of(cameras).map(|run| run.cpu.total()));
            let slowest = of(cameras).map(|run| run.slowest_tile).fold(f64::INFINITY, f64::min);
            println!(
                "| {cameras} | {:.2} | {decoding:.2} | {sessions:.2} | {wall:.0} | {total:.3} | {slowest:.2} |",
                decoding + sessions
            );
            plot::Point {
                cameras,
                cpu_ms: decoding + sessions,
                fps: median(of(cameras).map(|run| run.mean_tile)),
            }
        })
        .collect();
    let at = |cameras| points.iter().find(|point| point.cameras == cameras).unwrap().cpu_ms;
    println!("\nCPU a camera at 64 ÷ at 4: {:.3} (must 1.10)", at(64) / at(4));
    let file = common::artifacts(TEST).join("many_cameras.svg");
    std::fs::write(&file, plot::svg(&points)).unwrap();
    println!("plot: {}", file.display());
}

fn run(cameras: usize, span: Duration) -> Run {
    // A wall must have a camera; one that never answers costs nothing and shows nothing.
    let silent = Stub::start(Answers::Nothing);
    let simulated = Simulated::start(cameras.max(1), SUBSTREAM, 15);
    let urls = match cameras {
        0 => vec![format!("rtsp://{}/", silent.address)],
        _ => simulated.urls.clone(),
    };
    let wallcast = Wallcast::with_config(TEST, &mosaic::config(&urls));
    process::pin(wallcast.pid(), "0");
    let _viewer = Viewer::join(&wallcast, "wall");
    wait_until_live(&wallcast, cameras);
    sleep(WARM_UP);
    let shown = Shown::read(&wallcast, cameras);
    let (before, began) = (Cpu::of(wallcast.pid()), Instant::now());
    sleep(span);
    let cpu = Cpu::of(wallcast.pid()).rate_since(&before, began.elapsed().as_secs_f64());
    let rates = shown.until(&Shown::read(&wallcast, cameras));
    let (slowest_tile, mean_tile) = (rates.slowest(), rates.tiles.iter().sum::<f64>() / cameras as f64);
    println!(
        "{cameras:>2} cameras: decoding {:.4}, sessions {:.4}, wall {:.4}, others {:.4} cores; slowest tile {slowest_tile:.2} fps, {:.2} % of ticks missed, composing {} ms, encoding {} ms",
        cpu.decoding,
        cpu.sessions,
        cpu.walls,
        cpu.others,
        100.0 * rates.ticks_missed,
        wallcast.stat("/walls/wall/compose_ms/p50"),
        wallcast.stat("/walls/wall/encode_ms/p50")
    );
    Run { cameras, cpu, slowest_tile, mean_tile }
}

// ── what tiles show on a machine of two cores ────────────────────────────────────────────────────────────────────────

fn tiles(span: Duration) {
    const STRETCH: Duration = Duration::from_secs(5);
    process::pin(std::process::id(), "0,1");
    let simulated = Simulated::start(CELLS, SUBSTREAM, 15);
    let wallcast = Wallcast::with_config(TEST, &mosaic::config(&simulated.urls));
    process::pin(wallcast.pid(), "0,1");
    let viewer = Viewer::join(&wallcast, "wall");
    wait_until_live(&wallcast, CELLS);
    sleep(WARM_UP);
    let (cpu, frames, began) = (Cpu::of(wallcast.pid()), viewer.received().frames, Instant::now());
    let first = Shown::read(&wallcast, CELLS);
    let mut last = Shown::read(&wallcast, CELLS);
    let mut worst_stretch = f64::INFINITY;
    while began.elapsed() < span {
        sleep(STRETCH);
        let now = Shown::read(&wallcast, CELLS);
        worst_stretch = worst_stretch.min(last.until(&now).slowest());
        last = now;
    }
    let (rates, seconds) = (first.until(&last), began.elapsed().as_secs_f64());
    let cpu = Cpu::of(wallcast.pid()).rate_since(&cpu, seconds);
    println!(
        "\n64 cameras on {} cores for {seconds:.0} s: slowest tile {:.2} fps (must 14), in its worst {} s {worst_stretch:.2}; viewer {:.2} fps; \
         {:.2} % of ticks missed; {:.2} cores",
        available_parallelism().unwrap(),
        rates.slowest(),
        STRETCH.as_secs(),
        (viewer.received().frames - frames) as f64 / seconds,
        100.0 * rates.ticks_missed,
        cpu.total()
    );
}

// ── memory ───────────────────────────────────────────────────────────────────────────────────────────────────────────

fn memory() {
    process::pin(std::process::id(), "0,1");
    let main_stream = full_hd();
    println!("\n| cameras | resident, MB | a camera more, MB |");
    println!("| --- | --- | --- |");
    for (what, film, fps, counts) in [
        ("1920x1080 at 25 fps, 4 reference pictures", &main_stream[..], 25, [0, 1, 5]),
        ("640x360 at 15 fps", SUBSTREAM, 15, [0, 4, 64]),
    ] {
        let mut before: Option<(usize, f64)> = None;
        for cameras in counts {
            let resident = resident(cameras, film, fps) / 1e6;
            let more = before.map_or(String::new(), |(fewer, memory)| {
                format!("{:.1}", (resident - memory) / (cameras - fewer) as f64)
            });
            println!("| {cameras}: {what} | {resident:.1} | {more} |");
            before = Some((cameras, resident));
        }
    }
}

fn resident(cameras: usize, film: &[u8], fps: u32) -> f64 {
    let silent = Stub::start(Answers::Nothing);
    let simulated = Simulated::start(cameras.max(1), film, fps);
    let urls = match cameras {
        0 => vec![format!("rtsp://{}/", silent.address)],
        _ => simulated.urls.clone(),
    };
    let wallcast = Wallcast::with_config(TEST, &mosaic::config(&urls));
    let _viewer = Viewer::join(&wallcast, "wall");
    wait_until_live(&wallcast, cameras);
    sleep(Duration::from_secs(15));
    process::memory(wallcast.pid())
}

/// A camera's main stream with more reference pictures than cameras have, because each is memory: 4 Mb/s, two seconds.
fn full_hd() -> Vec<u8> {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-f", "lavfi", "-i"])
        .arg("testsrc2=size=1920x1080:rate=25,hue=h=80:s=0.7,noise=alls=8:allf=t")
        .args([
            "-t",
            "2",
            "-pix_fmt",
            "yuv420p",
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-profile:v",
            "main",
        ])
        .args(["-bf", "0", "-refs", "4", "-b:v", "4M", "-maxrate", "4M", "-bufsize", "4M", "-g", "50"])
        .args(["-sc_threshold", "0", "-x264-params", "aud=1:repeat-headers=1", "-f", "h264", "-"])
        .stderr(Stdio::inherit())
        .output()
        .expect("this benchmark needs the ffmpeg command (Debian: apt-get install ffmpeg)");
    assert!(output.status.success(), "ffmpeg could not make a clip");
    output.stdout
}

fn wait_until_live(wallcast: &Wallcast, cameras: usize) {
    for number in 1..=cameras {
        wallcast.wait_for_state(&format!("cam{number}"), "live", Duration::from_secs(30));
    }
}

/// Of an even number the mean of the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}
