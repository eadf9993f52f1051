//! What does decoding cost, beside `ffmpeg -threads 1` on the same file, and what do the lower efforts save?
//!
//! CPU milliseconds a picture: ours is the access units of the file through a camera's decoder, on one thread; ffmpeg's is
//! `ffmpeg -threads 1 -i FILE -f null -` less the same for one picture, so that starting does not count. A B B A, medians.
//! `--effort` shows instead what the lower efforts save, and what is left of the picture when it is shown at half and at a
//! quarter of its size; `--memory` what a decoder adds to the process.
//! `cargo bench -p wallcast-benches --bench decode [-- [--effort | --memory] CLIP…]`

#![allow(clippy::print_stdout, reason = "its table is its purpose")]

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wallcast_benches::cpu::{self, median};
use wallcast_benches::pictures::{Picture, psnr, write_raw};
use wallcast_ingest::Frame;
use wallcast_ingest::fuzzing::{Decoding, access_units};

const ROUNDS: usize = 3;
/// Pictures to look among for the one that a lower effort has decoded too.
const MAX_REORDERED: usize = 32;
const EFFORTS: [&str; 3] = ["everything", "no loop filter", "references only"];

/// A file as `ffmpeg` reads it, and as cameras send it.
struct Clip {
    name: String,
    path: PathBuf,
    codec: &'static str,
    units: Vec<Vec<u8>>,
}

impl Clip {
    fn read(name: &str, path: &Path, codec: &'static str) -> anyhow::Result<Self> {
        let units = access_units(codec, &std::fs::read(path)?);
        Ok(Self { name: name.to_owned(), path: path.to_owned(), codec, units })
    }

    /// Runs ffmpeg to make the elementary stream first.
    fn make(name: &str, folder: &Path, codec: &'static str, arguments: &[&str]) -> anyhow::Result<Self> {
        let path = folder.join(format!("{}.{codec}", name.replace([' ', ','], "-")));
        let format = if codec == "h264" { "h264" } else { "hevc" };
        let mut command = Command::new("ffmpeg");
        command
            .args(["-v", "error", "-nostdin", "-y"])
            .args(arguments)
            .args(["-an", "-f", format])
            .arg(&path);
        cpu::of(&mut command)?;
        Self::read(name, &path, codec)
    }

    /// The access units as a camera of 25 a second sends them.
    fn timed(&self) -> impl Iterator<Item = (Instant, &[u8])> {
        let began = Instant::now();
        (0..).zip(&self.units).map(move |(n, unit)| (began + Duration::from_millis(40 * n), &unit[..]))
    }

    /// Milliseconds a picture, and pictures.
    fn ours(&self, save: u8) -> (f64, usize) {
        let before = cpu::ours();
        let mut decoding = Decoding::open(self.codec);
        decoding.save_effort(save);
        let mut pictures = 0;
        for (captured, unit) in self.timed() {
            let outcome = decoding.decode(unit, captured);
            assert!(outcome.errors == 0 && outcome.refused.is_none(), "{:?}", outcome.refused);
            pictures += outcome.frames.len();
        }
        ((cpu::ours() - before).as_secs_f64() * 1e3 / self.units.len() as f64, pictures)
    }

    /// Starting, finding out what the file is and decoding one picture are taken off.
    fn ffmpegs(&self) -> anyhow::Result<f64> {
        let run = |pictures: &[&str]| {
            let mut command = Command::new("ffmpeg");
            command.args(["-v", "error", "-nostdin", "-threads", "1", "-i"]).arg(&self.path).args(pictures);
            cpu::of(command.args(["-f", "null", "-"]))
        };
        let time = run(&[])?.saturating_sub(run(&["-frames:v", "1"])?);
        Ok(time.as_secs_f64() * 1e3 / (self.units.len() - 1) as f64)
    }
}

fn compare(clip: &Clip) -> anyhow::Result<()> {
    let (mut ours, mut ffmpegs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(clip.ours(0).0);
        ffmpegs.push(clip.ffmpegs()?);
        ffmpegs.push(clip.ffmpegs()?);
        ours.push(clip.ours(0).0);
    }
    let (ours, ffmpegs) = (median(ours), median(ffmpegs));
    println!("{:<50} {ours:>8.3} {ffmpegs:>8.3} {:>8.3}", clip.name, ours / ffmpegs);
    Ok(())
}

/// Luma at `1 / factor` of the size, each sample the mean of a square, as a wall makes small tiles.
fn shrink(frame: &Frame, factor: usize) -> Vec<u8> {
    let (width, height) = (frame.width() as usize / factor, frame.height() as usize / factor);
    let (luma, stride) = (frame.plane(0), frame.stride(0));
    let square = |x: usize, y: usize| -> usize {
        let rows = (0..factor).map(|row| &luma[(y * factor + row) * stride + x * factor..][..factor]);
        rows.flatten().map(|&sample| usize::from(sample)).sum()
    };
    let area = factor * factor;
    let samples = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    samples.map(|(x, y)| ((square(x, y) + area / 2) / area) as u8).collect()
}

/// PSNR of luma against everything, at a smaller size: the mean, and the worst picture's.
fn quality(clip: &Clip, save: u8, factor: usize) -> (f64, f64) {
    let (mut full, mut less) = (Decoding::open(clip.codec), Decoding::open(clip.codec));
    less.save_effort(save);
    let (mut references, mut all) = (VecDeque::<Arc<Frame>>::new(), Vec::new());
    for (captured, unit) in clip.timed() {
        references.extend(full.decode(unit, captured).frames);
        references.drain(..references.len().saturating_sub(MAX_REORDERED));
        for picture in less.decode(unit, captured).frames {
            // Pictures were left out and reordered: the time it was taken tells which one this is, but for a microsecond.
            let is_same = |other: &Arc<Frame>| {
                let (a, b) = (other.captured_at(), picture.captured_at());
                a.max(b) - a.min(b) < Duration::from_millis(1)
            };
            let Some(at) = references.iter().position(is_same) else { continue };
            let Some(reference) = references.remove(at) else { continue };
            let (ours, reference) = (shrink(&picture, factor), shrink(&reference, factor));
            all.push(psnr(&ours, &reference).min(99.0));
        }
    }
    (all.iter().sum::<f64>() / all.len() as f64, all.iter().copied().fold(f64::INFINITY, f64::min))
}

fn efforts(clip: &Clip) {
    println!(
        "{}\n{:<18} {:>8} {:>8} {:>10} {:>16} {:>16}",
        clip.name, "", "ms", "saved", "pictures", "dB at 1/2", "dB at 1/4"
    );
    let mut times = vec![Vec::new(); EFFORTS.len()];
    let mut pictures = [0; EFFORTS.len()];
    for round in 0..2 * ROUNDS {
        let mut order: Vec<usize> = (0..EFFORTS.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for save in order {
            let (time, count) = clip.ours(save as u8);
            times[save].push(time);
            pictures[save] = count;
        }
    }
    let times: Vec<f64> = times.into_iter().map(median).collect();
    for (save, effort) in EFFORTS.into_iter().enumerate() {
        let saved = 100.0 * (1.0 - times[save] / times[0]);
        print!("{effort:<18} {:>8.3} {saved:>6.0} % {:>10}", times[save], pictures[save]);
        for factor in [2, 4] {
            let (mean, worst) = quality(clip, save as u8, factor);
            print!(" {mean:>7.1} ({worst:>5.1})");
        }
        println!();
    }
    println!();
}

/// Resident memory of this process in MB.
fn resident() -> anyhow::Result<f64> {
    let pages: f64 =
        std::fs::read_to_string("/proc/self/statm")?.split(' ').nth(1).unwrap_or_default().parse()?;
    Ok(pages * 4096.0 / 1e6)
}

/// What each of four decoders adds, with a frame in the cache and another one being looked at.
fn memory(clip: &Clip) -> anyhow::Result<()> {
    const CAMERAS: usize = 4;
    let before = resident()?;
    let mut cameras: Vec<_> = (0..CAMERAS).map(|_| (Decoding::open(clip.codec), VecDeque::new())).collect();
    let mut most: f64 = 0.0;
    for (captured, unit) in clip.timed().take(150) {
        for (decoding, frames) in &mut cameras {
            frames.extend(decoding.decode(unit, captured).frames);
            frames.drain(..frames.len().saturating_sub(2));
        }
        most = most.max(resident()? - before);
    }
    println!("{:<50} {:>8.1} MB a camera", clip.name, most / CAMERAS as f64);
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("wallcast-decode-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut clips = vec![noisy(&folder)?];
    for path in words.iter().filter(|word| !word.starts_with("--")) {
        let name = Path::new(path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        clips.push(Clip::make(
            &name,
            &folder,
            "h264",
            &["-i", path, "-c:v", "copy", "-bsf:v", "h264_mp4toannexb"],
        )?);
        let large = ["-i", path, "-vf", "scale=1920:1080", "-r", "25", "-t", "8", "-b:v", "4M"];
        for (codec, encoder, kind, options) in [
            ("h264", "libx264", "H.264", ["-bf", "0", "-preset", "veryfast"]),
            ("h264", "libx264", "H.264 with B frames", ["-bf", "2", "-preset", "medium"]),
            ("h265", "libx265", "H.265", ["-x265-params", "log-level=none", "-preset", "veryfast"]),
        ] {
            let arguments = [&large[..], &["-g", "50", "-c:v", encoder], &options].concat();
            clips.push(Clip::make(&format!("{name}, 1080p {kind}"), &folder, codec, &arguments)?);
        }
    }
    if words.iter().any(|word| word == "--effort") {
        clips.iter().for_each(efforts);
    } else if words.iter().any(|word| word == "--memory") {
        clips.iter().try_for_each(memory)?;
    } else {
        println!("{:<50} {:>8} {:>8} {:>8}", "CPU ms a picture", "ours", "ffmpeg", "ratio");
        clips.iter().try_for_each(compare)?;
    }
    Ok(std::fs::remove_dir_all(&folder)?)
}

/// A moving noisy pattern, 1080p25 at 4 Mb/s: there when no clip is.
fn noisy(folder: &Path) -> anyhow::Result<Clip> {
    let raw = folder.join("noisy.yuv");
    write_raw(&raw, &(0..150).map(|n| Picture::moving(1920, 1080, 0, n)).collect::<Vec<_>>())?;
    let raw = raw.to_str().expect("a temporary path is UTF-8");
    let source =
        ["-f", "rawvideo", "-pixel_format", "yuv420p", "-video_size", "1920x1080", "-framerate", "25"];
    let encoder = ["-c:v", "libx264", "-preset", "veryfast", "-bf", "0", "-g", "50", "-b:v", "4M"];
    let clip = Clip::make(
        "noisy pattern, 1080p H.264",
        folder,
        "h264",
        &[&source[..], &["-i", raw], &encoder].concat(),
    )?;
    std::fs::remove_file(raw)?;
    Ok(clip)
}
