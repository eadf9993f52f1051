//! What does encoding one 1080p canvas cost, and what does it look like? OpenH264 and libx264 as walls use them, beside
//! ffmpeg's own libx264, one thread each, at 2, 4 and 6 Mb/s, on a moving noisy pattern and on clips.
//!
//! CPU milliseconds a canvas, reading the raw file measured by itself and taken off of ffmpeg's. A B B A, medians. PSNR
//! (all planes) and SSIM are ffmpeg's, of what its decoder makes of the stream; `held` is the most that a leaky bucket of
//! the bitrate holds, in seconds: what a viewer behind such a link waits for. Of two clips or more there is also a wall of
//! four tiles. `cargo bench -p wallcast-benches --bench encode [-- CLIP…]`; the plot is artifacts/bench_encode/encode.svg.

#![allow(clippy::print_stdout, reason = "its table is its purpose")]

mod quality_plot;

use anyhow::Context;
use quality_plot::{Line, Panel};
use std::path::{Path, PathBuf};
use std::process::Command;
use wallcast_benches::cpu::{self, median};
use wallcast_benches::pictures::{Picture, write_raw};
use wallcast_compositor::encoder::{self, EncoderChoice, EncoderConfig};
use wallcast_compositor::{Bitrate, Canvas, CanvasSize, CanvasTime, FrameRate};

const CANVASES: u32 = 100;
const ROUNDS: usize = 1;
const MBPS: [u64; 3] = [2, 4, 6];
/// More often than walls do by themselves (every 4 s), about as often as viewers come.
const IDR_EVERY: u64 = 50;
const RAW: [&str; 8] =
    ["-f", "rawvideo", "-pixel_format", "yuv420p", "-video_size", "1920x1080", "-framerate", "25"];

/// Who encodes.
#[derive(Clone, Copy)]
enum Who {
    Ours(EncoderChoice),
    Ffmpeg(&'static str),
}

const ALL: [Who; 5] = [
    Who::Ours(EncoderChoice::OpenH264),
    Who::Ours(EncoderChoice::X264),
    Who::Ffmpeg("ultrafast"),
    Who::Ffmpeg("superfast"),
    Who::Ffmpeg("veryfast"),
];

impl Who {
    fn label(self) -> String {
        match self {
            Who::Ours(choice) => format!("wallcast, {choice}"),
            Who::Ffmpeg(preset) => format!("ffmpeg, {preset}"),
        }
    }

    /// Encodes the canvases into `to`; CPU milliseconds a canvas.
    fn encode(self, canvases: &[Canvas], raw: &Path, mbps: u64, to: &Path) -> anyhow::Result<f64> {
        match self {
            Who::Ours(choice) => ours(choice, canvases, mbps, to),
            Who::Ffmpeg(preset) => ffmpeg(preset, canvases.len(), raw, mbps, to),
        }
    }
}

fn ours(choice: EncoderChoice, canvases: &[Canvas], mbps: u64, to: &Path) -> anyhow::Result<f64> {
    let (fps, bitrate) = (FrameRate::DEFAULT, Bitrate::new(mbps * 1_000_000)?);
    let config = EncoderConfig { size: CanvasSize::FULL_HD, fps, bitrate };
    let mut encoder = encoder::open(choice, config)?;
    let mut stream = Vec::new();
    let before = cpu::ours();
    for (tick, canvas) in (0..).zip(canvases) {
        let unit = encoder.encode(canvas, tick % IDR_EVERY == 0, CanvasTime::new(tick, fps))?;
        stream.extend_from_slice(&unit.context("an access unit for each canvas")?.data);
    }
    let time = (cpu::ours() - before).as_secs_f64() * 1e3 / canvases.len() as f64;
    std::fs::write(to, stream)?;
    Ok(time)
}

fn ffmpeg(preset: &str, count: usize, raw: &Path, mbps: u64, to: &Path) -> anyhow::Result<f64> {
    let run = |output: &[&str]| {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-nostdin", "-y"]).args(RAW).arg("-i").arg(raw).args(output);
        anyhow::Ok(cpu::of(&mut command)?.as_secs_f64() * 1e3 / count as f64)
    };
    let (rate, buffer) = (format!("{mbps}M"), format!("{}k", mbps * 450));
    let to = to.to_str().context("a temporary path is UTF-8")?;
    let encode = ["-c:v", "libx264", "-preset", preset, "-tune", "zerolatency", "-threads", "1", "-g", "50"];
    let rate = ["-b:v", &rate, "-maxrate", &rate, "-bufsize", &buffer, "-f", "h264", to];
    Ok(run(&[&encode[..], &rate[..]].concat())? - run(&["-f", "null", "-"])?)
}

/// What came out.
struct Quality {
    mbps: f64,
    psnr: f64,
    ssim: f64,
    held_s: f64,
}

fn quality(stream: &Path, raw: &Path, mbps: u64) -> anyhow::Result<Quality> {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "info", "-nostdin", "-framerate", "25", "-i"])
        .arg(stream)
        .args(RAW)
        .arg("-i")
        .arg(raw);
    let graph = "[0:v]setpts=N/25/TB,split[a][b];[1:v]setpts=N/25/TB,split[c][d];[a][c]psnr;[b][d]ssim";
    command.args(["-lavfi", graph, "-f", "null", "-"]);
    let told = String::from_utf8(command.output()?.stderr)?;
    let figure = |after: &str| {
        let text = told.rsplit(after).next().filter(|rest| rest.len() < told.len());
        let word = text.and_then(|rest| rest.split_whitespace().next());
        word.and_then(|word| word.parse().ok()).with_context(|| format!("ffmpeg did not say {after}"))
    };
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-show_entries", "packet=size", "-of", "csv=p=0"]).arg(stream);
    let sizes = String::from_utf8(command.output()?.stdout)?;
    let sizes: Vec<f64> = sizes
        .lines()
        .filter_map(|line| line.trim_matches(',').parse().ok())
        .map(|bytes: f64| 8.0 * bytes)
        .collect();
    let bps = mbps as f64 * 1e6;
    let (mut held, mut most): (f64, f64) = (0.0, 0.0);
    for bits in &sizes {
        most = most.max(held + bits);
        held = (held + bits - bps / 25.0).max(0.0);
    }
    let rate = sizes.iter().sum::<f64>() * 25.0 / sizes.len() as f64 / 1e6;
    Ok(Quality { mbps: rate, psnr: figure("average:")?, ssim: figure("All:")?, held_s: most / bps })
}

fn canvas(picture: &Picture) -> Canvas {
    let mut canvas = Canvas::black(CanvasSize::FULL_HD);
    (0..3).for_each(|plane| canvas.plane_mut(plane).copy_from_slice(picture.plane(plane)));
    canvas
}

/// A clip's first canvases, at 1080p and 25 fps.
fn clip(path: &Path, raw: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y", "-stream_loop", "-1", "-i"]).arg(path);
    command.args(["-vf", "fps=25,scale=1920:1080,format=yuv420p", "-frames:v", &CANVASES.to_string()]);
    cpu::of(command.args(["-f", "rawvideo"]).arg(raw)).map(drop)
}

/// Two clips, each from two places of its own, as four tiles.
fn wall(clips: [&Path; 2], raw: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]);
    for (from, path) in [("0", clips[0]), ("0", clips[1]), ("5", clips[1]), ("5", clips[0])] {
        command.args(["-stream_loop", "-1", "-ss", from, "-i"]).arg(path);
    }
    let tiles: String =
        (0..4).map(|i| format!("[{i}:v]fps=25,scale=960:540,format=yuv420p,setpts=N/25/TB[t{i}];")).collect();
    let graph = format!("{tiles}[t0][t1][t2][t3]xstack=inputs=4:layout=0_0|w0_0|0_h0|w0_h0");
    command.args(["-filter_complex", &graph, "-frames:v", &CANVASES.to_string(), "-f", "rawvideo"]).arg(raw);
    cpu::of(&mut command).map(drop)
}

fn compare(name: &str, raw: &Path, folder: &Path) -> anyhow::Result<Panel> {
    let mut file = std::io::BufReader::new(std::fs::File::open(raw)?);
    let canvases: Vec<Canvas> =
        std::iter::from_fn(|| Picture::read(&mut file, 1920, 1080)).map(|picture| canvas(&picture)).collect();
    println!("| {name} | asked, Mb/s | ms | ÷ openh264 | Mb/s | PSNR, dB | SSIM | held, s |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut lines: Vec<Line> = ALL.map(|who| Line { label: who.label(), points: Vec::new() }).into();
    for mbps in MBPS {
        let path = |what: usize| folder.join(format!("{what}.h264"));
        let mut times = vec![Vec::new(); ALL.len()];
        for round in 0..2 * ROUNDS {
            let mut order: Vec<usize> = (0..ALL.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for what in order {
                times[what].push(ALL[what].encode(&canvases, raw, mbps, &path(what))?);
            }
        }
        let times: Vec<f64> = times.into_iter().map(median).collect();
        for (what, time) in times.iter().enumerate() {
            let found = quality(&path(what), raw, mbps)?;
            println!(
                "| {} | {mbps} | {time:.2} | {:.2} | {:.2} | {:.2} | {:.4} | {:.2} |",
                lines[what].label,
                time / times[0],
                found.mbps,
                found.psnr,
                found.ssim,
                found.held_s
            );
            lines[what].points.push((*time, found.psnr));
        }
    }
    println!();
    Ok(Panel { name: name.to_owned(), lines })
}

fn main() -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("wallcast-encode-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    println!("CPU ms a 1080p canvas, {CANVASES} canvases, one thread; medians of {} runs\n", 2 * ROUNDS);
    let raw = folder.join("canvases.yuv");
    let pictures: Vec<Picture> = (0..CANVASES).map(|n| Picture::moving(1920, 1080, 0, n)).collect();
    write_raw(&raw, &pictures)?;
    drop(pictures);
    let mut panels = vec![compare("noisy pattern", &raw, &folder)?];
    let clips: Vec<PathBuf> =
        std::env::args().skip(1).filter(|word| !word.starts_with("--")).map(PathBuf::from).collect();
    for path in &clips {
        clip(path, &raw)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        panels.push(compare(&name, &raw, &folder)?);
    }
    if let [first, second, ..] = clips.as_slice() {
        wall([first, second], &raw)?;
        panels.push(compare("2x2 wall of both", &raw, &folder)?);
    }
    let artifacts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../artifacts/bench_encode");
    std::fs::create_dir_all(&artifacts)?;
    std::fs::write(artifacts.join("encode.svg"), quality_plot::svg(&panels))?;
    println!("plot: {}", artifacts.join("encode.svg").display());
    Ok(std::fs::remove_dir_all(&folder)?)
}
