//! What does encoding one 1080p canvas cost, and what does it look like? OpenH264 as a wall uses it, at 4 Mb/s, beside
//! libx264 ultrafast and superfast through the ffmpeg command, one thread each, on a moving noisy pattern and on clips.
//!
//! CPU milliseconds a canvas, reading the raw file measured by itself and taken off of ffmpeg's. A B B A, medians.
//! PSNR is of all three planes, decoded by ffmpeg. `cargo bench -p wallcast-benches --bench encode [-- CLIP…]`

#![allow(clippy::print_stdout, reason = "its table is its purpose")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use wallcast_benches::cpu::{self, median};
use wallcast_benches::pictures::{Picture, psnr, write_raw};
use wallcast_compositor::encoder::{EncoderConfig, OpenH264};
use wallcast_compositor::{Bitrate, Canvas, CanvasSize, CanvasTime, FrameRate};

const CANVASES: u32 = 150;
const ROUNDS: usize = 2;
const RAW: [&str; 8] =
    ["-f", "rawvideo", "-pixel_format", "yuv420p", "-video_size", "1920x1080", "-framerate", "25"];

/// Bytes of each access unit, and CPU milliseconds a canvas.
fn ours(canvases: &[Canvas], to: &Path) -> anyhow::Result<(Vec<(bool, usize)>, f64)> {
    let fps = FrameRate::DEFAULT;
    let config = EncoderConfig { size: CanvasSize::FULL_HD, fps, bitrate: Bitrate::DEFAULT };
    let mut encoder = OpenH264::new(config)?;
    let (mut sizes, mut stream) = (Vec::new(), Vec::new());
    let before = cpu::ours();
    for (tick, canvas) in (0..).zip(canvases) {
        if let Some(unit) = encoder.encode(canvas, tick % 100 == 0, CanvasTime::new(tick, fps))? {
            sizes.push((unit.key, unit.data.len()));
            stream.extend_from_slice(&unit.data);
        }
    }
    let time = (cpu::ours() - before).as_secs_f64() * 1e3 / canvases.len() as f64;
    std::fs::write(to, stream)?;
    Ok((sizes, time))
}

fn ffmpeg(raw: &Path, output: &[&str]) -> anyhow::Result<f64> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]).args(RAW).arg("-i").arg(raw).args(output);
    Ok(cpu::of(&mut command)?.as_secs_f64() * 1e3)
}

fn decoded_psnr(stream: &Path, canvases: &[Canvas]) -> anyhow::Result<f64> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(stream);
    command.args(["-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut pipe = std::io::BufReader::new(child.stdout.take().expect("it is piped"));
    let mut decibels = Vec::new();
    while let Some(decoded) = Picture::read(&mut pipe, 1920, 1080) {
        let canvas: Vec<u8> =
            (0..3).flat_map(|plane| canvases[decibels.len()].plane(plane)).copied().collect();
        decibels.push(psnr(decoded.bytes(), &canvas));
    }
    child.wait()?;
    Ok(decibels.iter().sum::<f64>() / decibels.len() as f64)
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

fn compare(name: &str, raw: &Path, folder: &Path) -> anyhow::Result<()> {
    let mut file = std::io::BufReader::new(std::fs::File::open(raw)?);
    let canvases: Vec<Canvas> =
        std::iter::from_fn(|| Picture::read(&mut file, 1920, 1080)).map(|picture| canvas(&picture)).collect();
    let (count, seconds) = (canvases.len() as f64, canvases.len() as f64 / 25.0);
    let presets = ["ultrafast", "superfast"];
    let path = |encoder: &str| folder.join(format!("{encoder}.h264"));
    let mut times = vec![Vec::new(); 1 + presets.len()];
    let mut units = Vec::new();
    for round in 0..2 * ROUNDS {
        let mut order: Vec<usize> = (0..times.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for what in order {
            if what == 0 {
                let (sizes, time) = ours(&canvases, &path("openh264"))?;
                units = sizes;
                times[0].push(time);
                continue;
            }
            let preset = presets[what - 1];
            let to = path(preset);
            let options =
                ["-c:v", "libx264", "-preset", preset, "-tune", "zerolatency", "-threads", "1", "-g", "100"];
            let rate = ["-b:v", "4M", "-maxrate", "4M", "-bufsize", "2M", "-f", "h264"];
            let output =
                [&options[..], &rate[..], &[to.to_str().expect("a temporary path is UTF-8")]].concat();
            let whole = ffmpeg(raw, &output)?;
            times[what].push((whole - ffmpeg(raw, &["-f", "null", "-"])?) / count);
        }
    }
    println!("{:<28} {:>8} {:>10} {:>10} {:>9}", name, "ms", "/ wallcast", "Mb/s", "PSNR dB");
    let times: Vec<f64> = times.into_iter().map(median).collect();
    for (what, time) in times.iter().enumerate() {
        let encoder = if what == 0 { "openh264" } else { presets[what - 1] };
        let label = if what == 0 { "wallcast, OpenH264".into() } else { format!("libx264 {encoder}") };
        let rate = std::fs::metadata(path(encoder))?.len() as f64 * 8.0 / seconds / 1e6;
        let quality = decoded_psnr(&path(encoder), &canvases)?;
        println!("{label:<28} {time:>8.2} {:>10.2} {rate:>10.2} {quality:>9.2}", time / times[0]);
    }
    let keys = units.iter().filter(|(key, _)| *key).map(|(_, bytes)| bytes / 1_000);
    println!(
        "OpenH264: {} of {count} canvases, key frames of {:?} kB\n",
        units.len(),
        keys.collect::<Vec<_>>()
    );
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("wallcast-encode-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    println!("CPU ms a 1080p canvas at 4 Mb/s, {CANVASES} canvases; medians of {} runs\n", 2 * ROUNDS);
    let raw = folder.join("canvases.yuv");
    let pictures: Vec<Picture> = (0..CANVASES).map(|n| Picture::moving(1920, 1080, 0, n)).collect();
    write_raw(&raw, &pictures)?;
    drop(pictures);
    compare("noisy pattern", &raw, &folder)?;
    for path in std::env::args().skip(1).filter(|word| !word.starts_with("--")).map(PathBuf::from) {
        clip(&path, &raw)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        compare(&name, &raw, &folder)?;
    }
    Ok(std::fs::remove_dir_all(&folder)?)
}
