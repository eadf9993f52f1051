//! The whole wall against one `ffmpeg` command: what does it cost to read four 1080p25 cameras by RTSP, lay them out as
//! the reference layout, and encode the result at 4 Mb/s?
//!
//! `cargo bench -p wallcast --bench whole_wall [-- SECONDS]` (of the package `wallcast`, for its binary and its tests' harness)
//!
//! The cameras are served by this process (pre-encoded, so that they cost next to nothing) and are the same for both. Ours
//! has one WebRTC viewer on top, which the ffmpeg command has not: it writes to null. Measured are CPU seconds (user plus
//! system, all threads) of the one process under test per second of video, in the order A B B A.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and may end at the first surprise"
)]

mod annex_b;
#[path = "../crates/wallcast/tests/common/mod.rs"]
mod common;

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::process::Cpu;
use common::viewer::Viewer;
use common::wallcast::Wallcast;
use wallcast::auth::{Auth, Authenticator};
use wallcast::rtsp::{Mount, Mounts, RtspServer};

const CAMERAS: usize = 4;
const FPS: u32 = 25;
const WARM_UP: Duration = Duration::from_secs(5);

fn main() {
    let span = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(20);
    let span = Duration::from_secs(span);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _entered = runtime.enter();
    let cameras = Cameras::start();
    println!("four cameras 1920x1080 at {FPS} fps, 4 Mb/s each; {} s a run, order A B B A", span.as_secs());

    let first = run_wallcast(&cameras.urls, span);
    let theirs = [(); 2].map(|()| run_ffmpeg(&cameras.urls, span, false));
    let frugal = [(); 2].map(|()| run_ffmpeg(&cameras.urls, span, true));
    let ours = mean([first, run_wallcast(&cameras.urls, span)]);
    let (theirs, frugal) = (mean(theirs), mean(frugal));
    cameras.stop();

    println!();
    println!("| what | CPU seconds a second | ffmpeg ÷ ours |");
    println!("| --- | --- | --- |");
    println!("| Wallcast, one WebRTC viewer | {ours:.3} | |");
    println!("| ffmpeg, libx264 ultrafast, as one would type it | {theirs:.3} | {:.2} |", theirs / ours);
    println!("| the same, one thread a decoder and for the encoder | {frugal:.3} | {:.2} |", frugal / ours);
}

/// CPU seconds a second of `wallcast run` with one viewer.
fn run_wallcast(urls: &[String], span: Duration) -> f64 {
    let cameras: String = (1..).zip(urls).map(|(number, url)| format!("  cam{number}: {url}\n")).collect();
    let config = format!("cameras:\n{cameras}walls:\n  wall:\n    layout: columns\n");
    let wallcast = Wallcast::with_config("bench_whole_wall", &config);
    let viewer = Viewer::join(&wallcast, "wall");
    sleep(WARM_UP);
    let frames = viewer.received().frames;
    let (threads, began) = (Cpu::of(wallcast.pid()), Instant::now());
    let rate = cpu_rate(wallcast.pid(), span);
    let threads = Cpu::of(wallcast.pid()).rate_since(&threads, began.elapsed().as_secs_f64());
    let fps = (viewer.received().frames - frames) as f64 / span.as_secs_f64();
    println!("wallcast: {rate:.3} CPU seconds a second, {fps:.2} fps at the viewer");
    println!("  {threads:.3?}\n  {}", wallcast.stat("/walls/wall"));
    assert!(
        fps > 0.98 * f64::from(FPS),
        "the viewer got {fps:.1} fps, expected {FPS}: the machine is too busy"
    );
    rate
}

fn cpu_rate(pid: u32, span: Duration) -> f64 {
    let (cpu, at) = (common::cpu_seconds(pid), Instant::now());
    sleep(span);
    (common::cpu_seconds(pid) - cpu) / at.elapsed().as_secs_f64()
}

fn mean(values: [f64; 2]) -> f64 {
    values.iter().sum::<f64>() / 2.0
}

/// CPU seconds a second of the ffmpeg command that does the same.
fn run_ffmpeg(urls: &[String], span: Duration, frugal: bool) -> f64 {
    let mut command = Command::new("ffmpeg");
    let progress = common::artifacts("bench_whole_wall").join("ffmpeg.progress");
    let _none = std::fs::remove_file(&progress);
    command.args(["-nostdin", "-loglevel", "error", "-stats_period", "0.5", "-progress"]).arg(&progress);
    for url in urls {
        if frugal {
            command.args(["-threads", "1"]);
        }
        command.args(["-rtsp_transport", "tcp", "-i", url]);
    }
    // The reference layout: 480x1080 | 960x540 over 960x540 | 480x1080, pictures kept in proportion.
    let tall = "scale=480:1080:force_original_aspect_ratio=decrease:flags=bilinear,pad=480:1080:-1:-1";
    let wide = "scale=960:540:flags=bilinear";
    command.arg("-filter_complex").arg(format!(
        "[0:v]{tall}[a];[1:v]{wide}[b];[2:v]{wide}[c];[3:v]{tall}[d];\
         [a][b][c][d]xstack=inputs=4:layout=0_0|480_0|480_540|1440_0[v]"
    ));
    if frugal {
        command.args(["-filter_complex_threads", "1", "-threads", "1"]);
    }
    command.args([
        "-map",
        "[v]",
        "-r",
        "25",
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-tune",
        "zerolatency",
    ]);
    command.args(["-b:v", "4M", "-maxrate", "4M", "-bufsize", "2M", "-g", "100", "-f", "null", "-"]);
    let mut ffmpeg =
        Killed(command.stdin(Stdio::null()).spawn().expect("this benchmark needs the ffmpeg command"));
    // It looks at one input after the other for some seconds each, and then works off what has queued up meanwhile.
    common::wait_until("ffmpeg's first frames", Duration::from_secs(60), || {
        if count_of(&progress, "frame=") > 25.0 { Ok(()) } else { Err("none yet") }
    });
    sleep(2 * WARM_UP);
    let (frames, repeated) = (count_of(&progress, "frame="), count_of(&progress, "dup_frames="));
    let rate = cpu_rate(ffmpeg.0.id(), span);
    let made = count_of(&progress, "frame=") - frames - (count_of(&progress, "dup_frames=") - repeated);
    let fps = made / span.as_secs_f64();
    assert!(ffmpeg.0.try_wait().unwrap().is_none(), "ffmpeg ended early");
    let what = if frugal { " (one thread)" } else { "" };
    println!("ffmpeg{what}: {rate:.3} CPU seconds a second, {fps:.2} fps");
    // A second's work is what is compared, so a command that does less of it is not the peer.
    assert!(fps > 0.9 * f64::from(FPS), "ffmpeg made {fps:.1} fps, expected {FPS}");
    rate
}

/// The newest number that ffmpeg reported under `key`.
fn count_of(progress: &std::path::Path, key: &str) -> f64 {
    let text = std::fs::read_to_string(progress).unwrap_or_default();
    text.lines().rev().find_map(|line| line.strip_prefix(key)?.trim().parse().ok()).unwrap_or(0.0)
}

/// A process that ends with its handle.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Four looping cameras on one RTSP server, paced by one thread.
struct Cameras {
    urls: Vec<String>,
    _server: RtspServer,
    stop: Arc<AtomicBool>,
    pacer: JoinHandle<()>,
}

impl Cameras {
    fn start() -> Self {
        let mounts = Mounts::new();
        let loops: Vec<_> = (1..=CAMERAS)
            .map(|number| {
                let mount = Mount::new(&format!("cam{number}"), Box::new(|| {}));
                mounts.add(Arc::clone(&mount)).unwrap();
                (mount, encode_clip(number))
            })
            .collect();
        let open = Arc::new(Authenticator::new(Auth::Open));
        let server = RtspServer::bind("127.0.0.1:0".parse().unwrap(), mounts, open).unwrap();
        let urls =
            (1..=CAMERAS).map(|number| format!("rtsp://{}/cam{number}", server.local_addr())).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let pace = move || {
            let origin = Instant::now();
            for frame in 0_u32.. {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                for (mount, clip) in &loops {
                    let unit = &clip[frame as usize % clip.len()];
                    mount.push(&unit.data, unit.key, frame.wrapping_mul(90_000 / FPS));
                }
                let due = origin + Duration::from_secs(1) * (frame + 1) / FPS;
                sleep(due.saturating_duration_since(Instant::now()));
            }
        };
        let pacer = std::thread::Builder::new().name("cameras".to_owned()).spawn(pace).unwrap();
        Self { urls, _server: server, stop, pacer }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.pacer.join().unwrap();
    }
}

/// Ten seconds of a moving, noisy pattern, as a camera would encode it: 4 Mb/s, a key frame every two seconds.
fn encode_clip(number: usize) -> Vec<annex_b::AccessUnit> {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-f", "lavfi", "-i"])
        .arg(format!("testsrc2=size=1920x1080:rate={FPS},hue=h={}:s=0.7,noise=alls=8:allf=t", number * 80))
        .args([
            "-t",
            "10",
            "-pix_fmt",
            "yuv420p",
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-profile:v",
            "main",
        ])
        .args([
            "-bf",
            "0",
            "-b:v",
            "4M",
            "-maxrate",
            "4M",
            "-bufsize",
            "4M",
            "-g",
            "50",
            "-sc_threshold",
            "0",
        ])
        .args(["-x264-params", "aud=1:repeat-headers=1", "-f", "h264", "-"])
        .stderr(Stdio::inherit())
        .output()
        .expect("this benchmark needs the ffmpeg command (Debian: apt-get install ffmpeg)");
    assert!(output.status.success(), "ffmpeg could not make a clip");
    let units = annex_b::access_units(&Bytes::from(output.stdout));
    assert!(units.len() >= 240, "found {} access units in the clip, expected 250", units.len());
    units
}
