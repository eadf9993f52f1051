//! Deaths, returns, starts and stops of a camera leave nothing behind: no thread, no descriptor, no task, no memory (bar B9).
#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

#[allow(dead_code, reason = "each test program uses a part of it")]
#[path = "support/annexb.rs"]
mod annexb;
#[path = "support/footprint.rs"]
mod footprint;
#[allow(dead_code, reason = "each test program uses a part of it")]
#[path = "support/server.rs"]
mod server;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use footprint::{Footprint, in_a_process_of_its_own};
use server::{After, H264, H265, Script, Server, Stream};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc;
use wallcast_ingest::{Camera, CameraConfig, CameraView, SourceUrl, TileSize};

/// Ten pictures, and the last twenty-five of a longer film in another codec.
const SHORT: Stream = Stream { bytes: include_bytes!("fixtures/small.h264"), every_ms: 1, ..H264 };
const OTHER: Stream = Stream { first: 25, every_ms: 1, ..H265 };
/// Of each session so many pictures are waited for.
const PICTURES: u64 = 8;

fn camera(address: SocketAddr) -> Camera {
    let source = SourceUrl::parse(&format!("rtsp://{address}/live")).unwrap();
    Camera::start(CameraConfig::new("dies", source), &Handle::current()).unwrap()
}

fn decoded(view: &CameraView) -> u64 {
    // A camera that nobody looks at has the right to decode less.
    let _looked_at = view.tile(Instant::now(), Duration::from_secs(10), TileSize::new(320, 180));
    view.stats(Instant::now()).frames_decoded
}

/// Servers have a runtime of their own, because the camera's tasks are counted, and its clock may stand still.
fn servers() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).thread_name("servers").enable_all().build().unwrap()
}

async fn start_server(servers: &Handle, address: SocketAddr, script: Script) -> Server {
    servers.spawn(Server::start_at(address, vec![script])).await.unwrap()
}

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

// ── deaths and returns ───────────────────────────────────────────────────────────────────────────────────────────────

const CYCLES: usize = 1_000;
/// Memory is looked at once in so many cycles, always after the same death, because a decoder stays until the next session.
const SAMPLE_EVERY: usize = 10;

fn script(cycle: usize) -> Script {
    let deaths = [
        After::Reset,
        After::HalfAPacket,
        After::Silence,
        After::Garbage,
        After::HalfAMessage,
        After::Loop,
        After::Close,
    ];
    match cycle % SAMPLE_EVERY {
        9 => Script::playing(SHORT).then(After::Close),
        6 => Script::playing(OTHER).then(deaths[cycle / SAMPLE_EVERY % deaths.len()]),
        _ => Script::playing(SHORT).then(deaths[cycle % deaths.len()]),
    }
}

/// Milliseconds of real time, for a runtime whose own clock stands still until it is turned by hand. The blocking task
/// behind it is also what keeps tokio from turning that clock by itself.
struct RealTime(mpsc::Receiver<()>);

impl RealTime {
    fn start() -> Self {
        let (ticks, receiver) = mpsc::channel(1);
        tokio::task::spawn_blocking(move || {
            while ticks.blocking_send(()).is_ok() {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Self(receiver)
    }

    async fn tick(&mut self) {
        self.0.recv().await.expect("ticks as long as it is held");
    }

    /// What the process has once memory has not changed for some milliseconds.
    async fn steady(&mut self) -> Footprint {
        let (mut last, mut same) = (Footprint::now(), 0);
        while same < 4 {
            self.tick().await;
            let now = Footprint::now();
            same = if now.heap == last.heap { same + 1 } else { 0 };
            last = now;
        }
        last
    }
}

/// Sockets, sessions, decoders and servers are real. Only waiting is not: a backoff of 30 s is over in some milliseconds.
#[test]
fn a_thousand_deaths_and_returns_leave_nothing_behind() {
    in_a_process_of_its_own("a_thousand_deaths_and_returns_leave_nothing_behind", || {
        let servers = servers();
        let cameras = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let samples = cameras.block_on(die_and_return(servers.handle()));
        footprint::check(&samples);
    });
}

async fn die_and_return(servers: &Handle) -> Vec<Footprint> {
    let mut real = RealTime::start();
    let address = start_server(servers, ANY, script(0)).await.address;
    let camera = camera(address);
    let view = camera.view();
    // At its full size at once: it is on the heap too.
    let mut samples: Vec<Footprint> = Vec::with_capacity(CYCLES / SAMPLE_EVERY);
    for cycle in 0..CYCLES {
        let before = decoded(&view);
        let server = start_server(servers, address, script(cycle)).await;
        let began = Instant::now();
        let check = |what: &str| {
            let stats = view.stats(Instant::now());
            assert!(began.elapsed() < Duration::from_secs(20), "cycle {cycle}, {what}: {stats:?}");
        };
        while decoded(&view) < before + PICTURES {
            check("waiting for pictures");
            // The backoff passes at once. A session has its time-outs, but real time to do its work.
            let in_backoff = server.count("CONNECT") == 0;
            tokio::time::advance(Duration::from_millis(if in_backoff { 3_000 } else { 20 })).await;
            real.tick().await;
        }
        while matches!(script(cycle).after, After::Silence) && server.count("TEARDOWN") == 0 {
            check("waiting for the silence to be noticed");
            tokio::time::advance(Duration::from_millis(500)).await;
            real.tick().await;
        }
        drop(server);

        // Nothing turns the clock now: the camera waits for its next try, and must have nothing open.
        while samples.first().is_some_and(|level| !Footprint::now().has_no_more_than(level)) {
            check(&format!("{:?}, expected no more than {:?}", Footprint::now(), samples[0]));
            real.tick().await;
        }
        if cycle % SAMPLE_EVERY == SAMPLE_EVERY - 1 {
            samples.push(real.steady().await);
        }
    }
    let stats = view.stats(Instant::now());
    assert!(stats.reconnects >= CYCLES as u64 - 1 && stats.panics == 0, "{stats:?}");
    camera.stop().await;
    samples
}

// ── starts and stops ─────────────────────────────────────────────────────────────────────────────────────────────────

const STARTS: usize = 200;

#[test]
fn two_hundred_starts_and_stops_leave_nothing_behind() {
    in_a_process_of_its_own("two_hundred_starts_and_stops_leave_nothing_behind", || {
        let servers = servers();
        let cameras = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let samples = cameras.block_on(start_and_stop(servers.handle()));
        assert_eq!(cameras.metrics().num_alive_tasks(), 0);
        footprint::check(&samples);
    });
}

async fn start_and_stop(servers: &Handle) -> Vec<Footprint> {
    let mut real = RealTime::start();
    let mut samples: Vec<Footprint> = Vec::with_capacity(STARTS);
    for start in 0..STARTS {
        let server = start_server(servers, ANY, Script::playing(SHORT)).await;
        let camera = camera(server.address);
        let view = camera.view();
        let began = Instant::now();
        while decoded(&view) < PICTURES {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "start {start}: {:?}",
                view.stats(Instant::now())
            );
            real.tick().await;
        }
        match start % 2 {
            0 => camera.stop().await,
            // Its task ends by itself, soon after.
            _ => drop(camera),
        }
        drop((server, view));
        let level = samples.first();
        while level.is_some_and(|level| !Footprint::now().has_no_more_than(level)) {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "start {start}: {:?}, expected no more than {level:?}",
                Footprint::now()
            );
            real.tick().await;
        }
        samples.push(real.steady().await);
    }
    samples
}
