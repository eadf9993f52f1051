//! What does a viewer cost? CPU and memory of a server over the number of WebRTC viewers, all servers with the same film:
//! 1080p, 25 fps, 4 Mb/s, encoded before.
//!
//! `nice -n -10 cargo bench -p wallcast-benches --bench fan_out [-- SECONDS] [MOST] [STEPS…] [ours plain bare janus aiortc]`
//!
//! * `ours`: `wallcast-webrtc`. `plain`: the crate `webrtc` 0.21.1 as it comes. `bare`: AES-128-GCM and one segmented send a
//!   frame and receiver. `janus`: Debian's. `aiortc`: of PyPI; `AIORTC_PYTHON` is the interpreter that has it. What is not
//!   installed is skipped.
//! * The server has one core, the viewers the other. They shake hands as browsers do (ICE, DTLS-SRTP, AES-128-GCM), and 1 in
//!   50 decrypts and compares what it gets with the film; see `fan_out/viewers.rs`.
//! * CPU seconds of all threads of the server. Loopback lets the sender pay for the receiver's half of the kernel's work,
//!   the floor included.
//! * Each server climbs from 10 viewers up to `MOST` or until its core is full, in the order A B … B A; medians. `STEPS` are
//!   other numbers of viewers, and are all taken, whatever becomes of them: `2 1000 400 1000` lets in 600 at once.
//!
//! `FAN_OUT_THREADS=2` gives `ours` two threads and both cores, to see that they share the work; the viewers' core is one of
//! them.
//!
//! A plot goes to `artifacts/bench_fan_out/fan_out.svg`.

#![allow(clippy::print_stdout, reason = "its table is its purpose")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use wallcast_benches::cpu::{self, median};
use wallcast_benches::fan_out::chart::{self, Line};
use wallcast_benches::fan_out::film::Film;
use wallcast_benches::fan_out::servers::{self, Kind, Server, VIEWERS_CORE};
use wallcast_benches::fan_out::viewers::Fleet;

/// As the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const STEPS: [usize; 9] = [10, 50, 100, 200, 400, 700, 1000, 1400, 2000];
const FILM_FRAMES: u32 = 100;
/// One viewer in so many decrypts.
const DECRYPTING: usize = 50;
const SETTLE: Duration = Duration::from_secs(3);
/// A server that needs more of its core is not asked for more viewers.
const FULL: f64 = 0.85;

/// A server with so many viewers.
#[derive(Clone, Copy)]
struct Point {
    kind: Kind,
    viewers: usize,
    /// CPU seconds a second.
    cores: f64,
    packets_a_second: f64,
    frames_a_second: f64,
    lost: u64,
    resident: f64,
    whole: u64,
    broken: u64,
}

impl Point {
    /// Everybody got everything.
    fn is_good(&self) -> bool {
        let missed = self.lost as f64 / (self.packets_a_second.max(1.0));
        self.frames_a_second > 24.5 && missed < 0.01 && self.whole > 0 && self.broken * 100 <= self.whole
    }

    fn microseconds_a_packet(&self) -> f64 {
        1e6 * self.cores / self.packets_a_second
    }
}

fn main() -> anyhow::Result<()> {
    servers::serve_if_asked()?;
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let numbers: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let span = Duration::from_secs(numbers.first().map_or(8, |seconds| *seconds as u64));
    let most = numbers.get(1).copied().unwrap_or(1000);
    let given = numbers.get(2..).filter(|given| !given.is_empty());
    let climb_by = Climb { span, steps: given.unwrap_or(&STEPS), most, is_stubborn: given.is_some() };
    let is_named = |kind: &Kind| arguments.iter().any(|argument| argument == kind.name());
    let any_named = Kind::ALL.iter().any(is_named);
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| !any_named || is_named(kind)).collect();

    let folder = folder()?;
    let film_file = folder.join("film");
    let film = Film::encode(FILM_FRAMES)?;
    film.write(&film_file)?;
    println!(
        "film: {:.2} Mb/s; {} s a point, load average {}",
        film.bitrate() / 1e6,
        span.as_secs(),
        load()?
    );
    cpu::pin(VIEWERS_CORE)?;

    let (mut points, mut skipped): (Vec<Point>, Vec<Kind>) = Default::default();
    for kind in kinds.iter().chain(kinds.iter().rev()).copied() {
        if skipped.contains(&kind) {
            continue;
        }
        if let Err(error) = climb(kind, &film, &film_file, &climb_by, &mut points) {
            println!("{kind}: skipped: {error:#}");
            skipped.push(kind);
        }
    }
    std::fs::remove_file(&film_file)?;
    report(&kinds, &points, &folder)
}

/// How far, and by which steps.
struct Climb<'a> {
    /// Of a measurement.
    span: Duration,
    steps: &'a [usize],
    most: usize,
    /// Goes on after a step that does not count.
    is_stubborn: bool,
}

fn climb(
    kind: Kind,
    film: &Film,
    file: &Path,
    by: &Climb<'_>,
    points: &mut Vec<Point>,
) -> anyhow::Result<()> {
    let mut server = Server::start(kind, file, Duration::ZERO)?;
    let mut fleet = Fleet::new(film.recogniser(), DECRYPTING)?;
    for viewers in by.steps.iter().copied().filter(|viewers| *viewers <= by.most) {
        let joining = Instant::now();
        if let Err(error) = fleet.grow(viewers, server.door()) {
            println!("{kind:>6} {viewers:>5} viewers: {error:#}");
            return if viewers == by.steps[0] { Err(error) } else { Ok(()) };
        }
        let joined = joining.elapsed();
        fleet.run(SETTLE);
        let point = measure(kind, viewers, &server, &mut fleet, by.span)?;
        println!(
            "{kind:>6} {viewers:>5} viewers: {:.3} cores, {:.2} µs a packet, {:.2} frames a second, {} lost, {:.1} MB, {} frames whole, {} broken; joined in {:.1} s{}",
            point.cores,
            point.microseconds_a_packet(),
            point.frames_a_second,
            point.lost,
            point.resident / 1e6,
            point.whole,
            point.broken,
            joined.as_secs_f64(),
            if point.is_good() { "" } else { "; does not count" }
        );
        points.push(point);
        if !by.is_stubborn && (point.cores > FULL || !point.is_good()) {
            break;
        }
    }
    Ok(())
}

fn measure(
    kind: Kind,
    viewers: usize,
    server: &Server,
    fleet: &mut Fleet,
    span: Duration,
) -> anyhow::Result<Point> {
    let (before, cpu, began) = (fleet.totals(), cpu::of_process(server.pid())?, Instant::now());
    fleet.run(span);
    let (after, used, seconds) =
        (fleet.totals(), cpu::of_process(server.pid())? - cpu, began.elapsed().as_secs_f64());
    Ok(Point {
        kind,
        viewers,
        cores: used.as_secs_f64() / seconds,
        packets_a_second: (after.packets - before.packets) as f64 / seconds,
        frames_a_second: (after.frames - before.frames) as f64 / seconds / viewers as f64,
        lost: after.lost - before.lost,
        resident: cpu::resident(server.pid())?,
        whole: after.whole - before.whole,
        broken: after.broken - before.broken,
    })
}

/// What the points of one server come to.
struct Summary {
    kind: Kind,
    /// Of each step the medians.
    points: Vec<Point>,
    /// CPU seconds per viewer-second.
    a_viewer: f64,
    bytes_a_viewer: f64,
    /// Microseconds.
    a_packet: f64,
}

fn summary(kind: Kind, points: &[Point]) -> Option<Summary> {
    let good =
        |viewers: usize| points.iter().filter(move |p| p.kind == kind && p.viewers == viewers && p.is_good());
    let mut steps: Vec<usize> = points.iter().map(|point| point.viewers).collect();
    steps.sort_unstable();
    steps.dedup();
    let medians = steps.into_iter().filter_map(|viewers| {
        let middle = |what: fn(&Point) -> f64| median(good(viewers).map(what).collect());
        let (cores, resident) = (middle(|p| p.cores), middle(|p| p.resident));
        Some(Point {
            cores,
            resident,
            packets_a_second: middle(|p| p.packets_a_second),
            ..*good(viewers).next()?
        })
    });
    let points: Vec<Point> = medians.collect();
    let last = points.last()?;
    let a_viewer = slope(points.iter().map(|p| (p.viewers as f64, p.cores)));
    let packets = slope(points.iter().map(|p| (p.viewers as f64, p.packets_a_second)));
    let bytes_a_viewer = slope(points.iter().map(|p| (p.viewers as f64, p.resident)));
    let a_packet = if points.len() > 1 { 1e6 * a_viewer / packets } else { last.microseconds_a_packet() };
    Some(Summary { kind, points, a_viewer, bytes_a_viewer, a_packet })
}

fn report(kinds: &[Kind], points: &[Point], folder: &Path) -> anyhow::Result<()> {
    let summaries: Vec<Summary> = kinds.iter().filter_map(|kind| summary(*kind, points)).collect();
    println!(
        "\n| server | CPU a viewer, ms/s | viewers a core | µs a packet | KB a viewer | cores by viewers |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for Summary { kind, points, a_viewer, bytes_a_viewer, a_packet } in &summaries {
        let by_viewers: Vec<String> =
            points.iter().map(|p| format!("{}: {:.3}", p.viewers, p.cores)).collect();
        println!(
            "| {} | {:.3} | {:.0} | {a_packet:.2} | {:.0} | {} |",
            kind.title(),
            1e3 * a_viewer,
            1.0 / a_viewer,
            bytes_a_viewer / 1e3,
            by_viewers.join(", ")
        );
    }
    let of = |kind: Kind| summaries.iter().find(|summary| summary.kind == kind);
    println!();
    if let (Some(ours), Some(plain)) = (of(Kind::Ours), of(Kind::Plain)) {
        println!("plain ÷ ours, CPU a viewer: {:.2} (must 2.5)", plain.a_viewer / ours.a_viewer);
    }
    if let (Some(ours), Some(bare)) = (of(Kind::Ours), of(Kind::Bare)) {
        println!("ours ÷ bare, µs a packet: {:.2} (must 2)", ours.a_packet / bare.a_packet);
    }
    if let Some(ours) = of(Kind::Ours) {
        let at =
            |viewers| ours.points.iter().find(|p| p.viewers == viewers).map(|p| p.cores / viewers as f64);
        println!(
            "ours: {:.0} viewers a core (must 1000), {:.0} KB a viewer (must 150)",
            1.0 / ours.a_viewer,
            ours.bytes_a_viewer / 1e3
        );
        if let (Some(many), Some(few)) = (at(1000), at(100)) {
            println!("ours, CPU a viewer at 1000 ÷ at 100: {:.2} (must 1.15)", many / few);
        }
    }
    let lines = summaries.iter().map(|summary| Line {
        label: summary.kind.title().to_owned(),
        points: summary.points.iter().map(|p| (p.viewers as f64, p.cores)).collect(),
    });
    let plot = folder.join("fan_out.svg");
    let title = "CPU of the server, cores; 1080p, 25 fps, 4 Mb/s to each viewer";
    std::fs::write(&plot, chart::svg(title, &lines.collect::<Vec<_>>()))?;
    println!("plot: {}; load average {}", plot.display(), load()?);
    Ok(())
}

/// Of the straight line that fits best.
fn slope(points: impl Iterator<Item = (f64, f64)>) -> f64 {
    let points: Vec<_> = points.collect();
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let (over, under) = points.iter().fold((0.0, 0.0), |(over, under), point| {
        (over + (point.0 - x) * (point.1 - y), under + (point.0 - x).powi(2))
    });
    over / under
}

fn load() -> anyhow::Result<String> {
    let load = std::fs::read_to_string("/proc/loadavg")?;
    Ok(load.split(' ').next().context("no load average")?.to_owned())
}

fn folder() -> anyhow::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../artifacts/bench_fan_out");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
