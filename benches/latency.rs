//! How late is a frame? From handing an access unit to a server until its last packet has arrived at a viewer who decrypts
//! it, with 1 and with 400 viewers.
//!
//! `nice -n -10 cargo bench -p wallcast-benches --bench latency [-- SECONDS] [VIEWERS] [ours plain bare janus aiortc]`
//!
//! The frame carries the time at which it was handed in, the kernel says when each packet arrived; neither waits for the
//! viewers' thread. Whether that measures anything is tried each time: the server holds every frame for 40 ms after it was
//! stamped, and must read 40 ms later, within 2.
//!
//! This is the server's share alone. A plot goes to `artifacts/bench_latency/server.svg`.

#![allow(clippy::print_stdout, reason = "its table is its purpose")]

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use wallcast_benches::cpu;
use wallcast_benches::fan_out::chart::{self, Line};
use wallcast_benches::fan_out::film::Film;
use wallcast_benches::fan_out::servers::{self, Kind, Server, VIEWERS_CORE};
use wallcast_benches::fan_out::viewers::Fleet;

/// As the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FILM_FRAMES: u32 = 100;
/// One viewer in so many is looked at, and the first and the last.
const DECRYPTING: usize = 10;
const SETTLE: Duration = Duration::from_secs(4);
const INJECTED: Duration = Duration::from_millis(40);
const TOLERANCE_MS: f64 = 2.0;
const WRONG: &str = "WRONG, the meter does not measure";
/// p50, p95 and p99.
const SHARES: [f64; 3] = [0.5, 0.95, 0.99];

/// In milliseconds, by [`SHARES`].
type Percentiles = [f64; 3];

fn main() -> anyhow::Result<()> {
    servers::serve_if_asked()?;
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let numbers: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let span = Duration::from_secs(numbers.first().map_or(20, |seconds| *seconds as u64));
    let most = numbers.get(1).copied().unwrap_or(400);
    let named = Kind::ALL.into_iter().filter(|kind| arguments.iter().any(|argument| argument == kind.name()));
    let mut kinds: Vec<Kind> = named.collect();
    if kinds.is_empty() {
        kinds = vec![Kind::Ours, Kind::Bare];
    }

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../artifacts/bench_latency");
    std::fs::create_dir_all(&folder)?;
    let film_file = folder.join("film");
    let film = Film::encode(FILM_FRAMES)?;
    film.write(&film_file)?;
    cpu::pin(VIEWERS_CORE)?;

    println!("| server | viewers | held, ms | p50, ms | p95, ms | p99, ms | frames |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let mut lines = Vec::new();
    let mut remarks = Vec::new();
    for kind in kinds {
        let mut server = Bench { kind, film: &film, file: &film_file, span };
        match server.compare(most) {
            Ok((found, said)) => {
                lines.extend(found);
                remarks.extend(said);
            }
            Err(error) if kind == Kind::Ours => return Err(error),
            Err(error) => remarks.push(format!("{kind}: skipped: {error:#}")),
        }
    }
    println!();
    remarks.iter().for_each(|remark| println!("{remark}"));
    std::fs::remove_file(&film_file)?;
    let plot = folder.join("server.svg");
    std::fs::write(
        &plot,
        chart::svg("ms from handing in a frame to the arrival of its last packet", &lines),
    )?;
    println!("plot: {}", plot.display());
    ensure!(!remarks.iter().any(|remark| remark.contains(WRONG)), "the meter is wrong");
    Ok(())
}

struct Bench<'a> {
    kind: Kind,
    film: &'a Film,
    file: &'a Path,
    span: Duration,
}

impl Bench<'_> {
    /// With one viewer and with many, without and with the delay that must be found.
    fn compare(&mut self, most: usize) -> anyhow::Result<(Vec<Line>, Vec<String>)> {
        let (kind, mut remarks) = (self.kind, Vec::new());
        // A B B A, and what is injected between.
        let (one, many) = (self.run(1, false)?, self.run(most, false)?);
        let (many_held, one_held) = (self.run(most, true)?, self.run(1, true)?);
        let many = lower(many, self.run(most, false)?);
        let one = lower(one, self.run(1, false)?);
        for (found, expected, viewers) in [(one_held, one, 1), (many_held, many, most)] {
            let more = found[0] - expected[0];
            let is_right = (more - INJECTED.as_secs_f64() * 1e3).abs() <= TOLERANCE_MS;
            let verdict = if is_right { "right" } else { WRONG };
            remarks.push(format!("{kind}, {viewers} viewers: 40 ms injected read {more:+.2} ms: {verdict}"));
        }
        let more = many[2] - one[2];
        remarks.push(format!("{kind}: p99 with {most} viewers is {more:.2} ms later than with 1"));
        let lines = SHARES.into_iter().zip(one.into_iter().zip(many)).map(|(share, (few, many))| Line {
            label: format!("{kind}, p{:.0}", 100.0 * share),
            points: vec![(1.0, few), (most as f64, many)],
        });
        Ok((lines.collect(), remarks))
    }

    fn run(&mut self, viewers: usize, is_held: bool) -> anyhow::Result<Percentiles> {
        let hold = if is_held { INJECTED } else { Duration::ZERO };
        let mut server = Server::start(self.kind, self.file, hold)?;
        let mut fleet = Fleet::new(self.film.recogniser(), DECRYPTING)?;
        fleet.grow(viewers, server.door())?;
        fleet.run(SETTLE);
        let (before, _) = (fleet.totals(), fleet.take_delays());
        fleet.run(self.span);
        let (after, mut delays) = (fleet.totals(), fleet.take_delays());
        let (kind, broken) = (self.kind, after.broken - before.broken);
        ensure!(!delays.is_empty(), "{kind} with {viewers} viewers: no frame arrived whole");
        ensure!(broken * 100 <= delays.len() as u64, "{kind} with {viewers} viewers: {broken} frames broken");
        delays.sort();
        let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        let found = SHARES.map(at);
        let [p50, p95, p99] = found;
        println!(
            "| {} | {viewers} | {} | {p50:.2} | {p95:.2} | {p99:.2} | {} |",
            kind.title(),
            hold.as_millis(),
            delays.len()
        );
        Ok(found)
    }
}

/// Of two runs on a machine with others on it, the less disturbed one.
fn lower(a: Percentiles, b: Percentiles) -> Percentiles {
    std::array::from_fn(|share| a[share].min(b[share]))
}
