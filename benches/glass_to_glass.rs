//! How late is a picture on a real wall? From the moment a camera hands it to the network until its last packet has arrived at
//! a viewer (the server's share), and until Chromium shows it (glass to glass); with 1 and with 400 viewers.
//!
//! `nice -n -10 cargo bench -p wallcast --bench glass_to_glass [-- SECONDS] [VIEWERS] [one four] [server glass]`
//!
//! The cameras play films of simulated ones over RTSP, whose pictures carry their numbers as blocks that survive encoding, and
//! remember when each was sent. `one` is a wall of one camera; `four` is the reference layout with four that know nothing of
//! each other: their pictures come 10 ms apart, which is the worst there is for a tick. Every picture of every tile counts,
//! in the frame of the wall that shows it first.
//!
//! * `server`: all viewers are those of `fan_out`; some decrypt, the kernel says when a packet arrived, and what was received is
//!   decoded and read when the measuring is over.
//! * `glass`: one viewer is Chromium with our own page, where `scripts/e2e/latency.mjs` reads the blocks of every frame and
//!   takes the time for which the browser expects it on the screen. The camera's exposure and encoder are not in it, nor is
//!   a display.
//!
//! The server has one core, everything else the other. Whether the meter measures anything is tried each time: the cameras hold
//! the pictures of every other two seconds for 40 ms after they were stamped, and those must read 40 ms later, within 2. A plot goes to
//! `artifacts/bench_glass_to_glass/latency.svg`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a benchmark prints, and may end at the first surprise"
)]

#[path = "glass_to_glass/browser.rs"]
mod browser;
#[path = "glass_to_glass/cameras.rs"]
mod cameras;
#[path = "../crates/wallcast/tests/common/mod.rs"]
mod common;
#[path = "glass_to_glass/delays.rs"]
mod delays;

use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use browser::Browser;
use cameras::{Cameras, Film};
use common::process;
use common::wallcast::Wallcast;
use delays::{Delays, Reading, SHARES};
use wallcast_benches::fan_out::chart::{self, Line};
use wallcast_benches::fan_out::servers;
use wallcast_benches::fan_out::viewers::Fleet;

const TEST: &str = "bench_glass_to_glass";
/// One viewer in so many is looked at, and the first.
const DECRYPTING: usize = 40;
/// Until every camera is known, and the tick is where it belongs.
const SETTLE: Duration = Duration::from_secs(6);
const HELD_MS: f64 = 40.0;
const TOLERANCE_MS: f64 = 2.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Server,
    Glass,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|text| !text.starts_with("--")).collect();
    let numbers: Vec<u64> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let span = Duration::from_secs(numbers.first().copied().unwrap_or(20));
    let most = numbers.get(1).map_or(400, |most| *most as usize);
    let is_named = |name: &str| arguments.iter().any(|argument| argument == name);
    let wanted = |name: &str, other: &str| is_named(name) || !is_named(other);

    process::pin(std::process::id(), "1");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _entered = runtime.enter();
    let films: Vec<Film> = (1..=4).map(Film::encode).collect();
    println!("| cameras | what | viewers | held | p50, ms | p95, ms | p99, ms | pictures |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let (mut lines, mut verdicts) = (Vec::new(), Vec::new());
    for (what, name, other) in [(What::Server, "server", "glass"), (What::Glass, "glass", "server")] {
        for (count, cameras) in [(1, "one"), (4, "four")] {
            if !wanted(name, other) || !wanted(cameras, if cameras == "one" { "four" } else { "one" }) {
                continue;
            }
            let bench = Bench { what, films: &films[..count], span };
            let one = bench.run(1, false).shares();
            let held = bench.run(1, true).held();
            let many = bench.run(most, false).shares();
            verdicts.push(verdict(name, count, held));
            verdicts.push(format!(
                "{name}, {count} cameras: p99 with {most} viewers ÷ with 1: {:.2}",
                many[2] / one[2]
            ));
            let of_this = (0..SHARES.len()).map(|share| Line {
                label: format!("{name}, p{:.0}", 100.0 * SHARES[share]),
                points: vec![(1.0, one[share]), (most as f64, many[share])],
            });
            lines.extend(of_this.map(|line| (count, line)));
        }
    }
    println!();
    verdicts.iter().for_each(|verdict| println!("{verdict}"));
    // The plot is of the hardest wall that was measured.
    let hardest = lines.iter().map(|(count, _)| *count).max();
    let lines: Vec<Line> =
        lines.into_iter().filter(|(count, _)| Some(*count) == hardest).map(|(_, line)| line).collect();
    let plot = common::artifacts(TEST).join("latency.svg");
    std::fs::write(
        &plot,
        chart::svg("ms from a camera's sending to arrival, and to Chromium's screen", &lines),
    )
    .unwrap();
    println!("plot: {}", plot.display());
    assert!(!verdicts.iter().any(|verdict| verdict.ends_with(WRONG)), "the meter is wrong");
}

const WRONG: &str = "WRONG, the meter does not measure";

fn verdict(name: &str, cameras: usize, more: f64) -> String {
    let is_right = (more - HELD_MS).abs() <= TOLERANCE_MS;
    let verdict = if is_right { "right" } else { WRONG };
    format!("{name}, {cameras} cameras: 40 ms held read {more:+.2} ms: {verdict}")
}

struct Bench<'a> {
    what: What,
    films: &'a [Film],
    span: Duration,
}

impl Bench<'_> {
    fn run(&self, viewers: usize, hold: bool) -> Delays {
        let cameras = Cameras::start(self.films, hold);
        let reading = Reading::of(self.films.len());
        let entries: String =
            (1..).zip(&cameras.urls).map(|(number, url)| format!("  cam{number}: {url}\n")).collect();
        let layout = if self.films.len() == 1 { "grid" } else { "columns" };
        let config = format!("cameras:\n{entries}walls:\n  wall:\n    layout: {layout}\n    overlay: none\n");
        let wallcast = Wallcast::with_config(TEST, &config);
        process::pin(wallcast.pid(), "0");
        for number in 1..=self.films.len() {
            wallcast.wait_for_state(&format!("cam{number}"), "live", Duration::from_secs(30));
        }
        let mut fleet = Fleet::keeping(DECRYPTING).unwrap();
        let address = format!("{}/whep/wall", wallcast.http);
        let mut door = servers::whep(&address);
        let delays = match self.what {
            What::Server => {
                fleet.grow(viewers, &mut door).unwrap();
                fleet.run(SETTLE);
                let from = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                fleet.run(self.span);
                tell(&wallcast);
                reading.of_frames(fleet.take_frames(), from, &cameras)
            }
            What::Glass => {
                fleet.grow(viewers - 1, &mut door).unwrap();
                let mut browser = Browser::open(&wallcast.http, SETTLE, self.span, &reading);
                while browser.is_open() {
                    match viewers {
                        1 => sleep(Duration::from_millis(100)),
                        _ => fleet.run(Duration::from_millis(100)),
                    }
                }
                tell(&wallcast);
                browser.delays(&cameras)
            }
        };
        let found = delays.shares();
        println!(
            "| {} | {:?} | {viewers} | {} | {:.2} | {:.2} | {:.2} | {} |",
            self.films.len(),
            self.what,
            if hold { "every other 2 s" } else { "" },
            found[0],
            found[1],
            found[2],
            delays.count()
        );
        delays.parts.iter().for_each(|(part, shares)| {
            println!("|  | {part} | | | {:.2} | {:.2} | {:.2} | |", shares[0], shares[1], shares[2]);
        });
        let (expected, seen) = (self.span.as_secs() * 25 * self.films.len() as u64, delays.count() as u64);
        let (lookers, tenths) = match self.what {
            What::Server => (1 + viewers / DECRYPTING, 8),
            // A page is not told of a picture that the next one overtook on the way to the screen.
            What::Glass => (1, 5),
        };
        let expected = expected * lookers as u64;
        assert!(seen * 10 >= expected * tenths, "{seen} pictures were read, expected {expected}");
        delays
    }
}

/// What the server says of itself.
fn tell(wallcast: &Wallcast) {
    let ms = |pointer: &str| wallcast.number(pointer);
    let both =
        |pointer: &str| format!("{:.1}/{:.1}", ms(&format!("{pointer}/p50")), ms(&format!("{pointer}/p99")));
    println!(
        "| | by /stats, p50/p99: decode {}, wait for the tick {}, compose {}, encode {}; ticks missed {} | | | | | | |",
        both("/cameras/cam1/decode_ms"),
        both("/walls/wall/tick_wait_ms"),
        both("/walls/wall/compose_ms"),
        both("/walls/wall/encode_ms"),
        ms("/walls/wall/ticks_missed")
    );
}
