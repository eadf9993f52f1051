//! What does composing one canvas cost? The reference layout from four 1080p pictures, 4x4 of 1080p and 8x8 of 640x360, when
//! all tiles are new at every tick, half, a tenth, or none of them; and what turning, mirroring, masking and converting add.
//!
//! Beside ffmpeg's scale and xstack, GStreamer's compositor, and a copy that touches as many bytes, in one run: CPU
//! milliseconds a canvas, their sources' cost measured by itself and taken off. A B B A, medians. The others paint
//! everything at every tick, so that they are measured once.
//! Also what each ratio costs by itself, beside swscale, and how near its picture is to swscale's.
//! `cargo bench -p wallcast-benches --bench compose [-- ROUNDS] [layouts] [presentations] [ratios] [ours]`

#![allow(clippy::print_stdout, reason = "its table is its purpose")]

use std::path::Path;
use std::process::Command;
use std::time::Instant;
use wallcast_benches::cpu::{self, median};
use wallcast_benches::pictures::{Picture, psnr, write_raw};
use wallcast_compositor::{
    Area, CanvasSize, Cells, ColorMatrix, ColorRange, Compositor, Fit, Layout, PictureView, Presentation,
    Preset, Rotation, Shown, Spacing, TileSource,
};

const SHARES: [u64; 4] = [100, 50, 10, 0];
const FLAGS: [&str; 3] = ["area", "bicubic", "fast_bilinear"];

/// One way of drawing a canvas of 1920x1080: what from, and where each picture goes on it (x, y, width, height).
struct Geometry {
    name: &'static str,
    layout: Layout,
    targets: Vec<[u32; 4]>,
    pictures: (u32, u32),
    /// So many pictures of each camera take turns: all together more than any cache that is not a server's.
    turns: u32,
    canvases: u32,
}

fn geometries() -> [Geometry; 4] {
    let reference = |name, layout: Layout, targets: &[[u32; 4]]| Geometry {
        name,
        layout,
        targets: targets.to_vec(),
        pictures: (1920, 1080),
        turns: 8,
        canvases: 400,
    };
    let cells = |name, side, pictures, turns, canvases| {
        let preset = Preset::Cells(Cells::new(side, side).expect("1 to 8 of each"));
        let layout =
            Layout::preset(preset, CanvasSize::FULL_HD, 0, Spacing::default()).expect("there is room");
        let targets = layout.placements().iter().map(|p| [p.x(), p.y(), p.width(), p.height()]).collect();
        Geometry { name, layout: layout.with_fit(Fit::Stretch), targets, pictures, turns, canvases }
    };
    let columns = || Layout::columns(CanvasSize::FULL_HD);
    let (top, bottom) = ([480, 0, 960, 540], [480, 540, 960, 540]);
    let (left, right) = ([0, 404, 480, 270], [1440, 404, 480, 270]);
    let (whole_left, whole_right) = ([0, 0, 480, 1080], [1440, 0, 480, 1080]);
    [
        reference("reference, contain", columns(), &[left, top, bottom, right]),
        reference(
            "reference, stretch",
            columns().with_fit(Fit::Stretch),
            &[whole_left, top, bottom, whole_right],
        ),
        cells("4x4 of 1920x1080", 4, (1920, 1080), 4, 200),
        cells("8x8 of 640x360", 8, (640, 360), 8, 200),
    ]
}

impl Geometry {
    fn covers_all(&self) -> bool {
        self.targets.iter().map(|[_, _, w, h]| w * h).sum::<u32>() == 1920 * 1080
    }

    /// Bytes of the pictures that are read and of the tiles that are written, for a canvas of which all is new.
    fn bytes(&self) -> usize {
        let luma: u32 =
            self.targets.iter().map(|[_, _, w, h]| w * h + self.pictures.0 * self.pictures.1).sum();
        luma as usize * 3 / 2
    }
}

/// A camera of whose pictures `share` in a hundred are new.
struct Camera {
    pictures: Vec<Picture>,
    share: u64,
    tick: u64,
    generation: u64,
    matrix: ColorMatrix,
    range: ColorRange,
}

impl TileSource for Camera {
    fn show(&mut self, _: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
        self.tick += 1;
        self.generation += u64::from(self.tick * self.share % 100 < self.share);
        let picture = &self.pictures[self.generation as usize % self.pictures.len()];
        paint(
            Some(PictureView { matrix: self.matrix, range: self.range, ..picture.view(self.generation) })
                .into(),
        );
    }
}

type Cameras = Vec<Box<dyn TileSource>>;

fn cameras(geometry: &Geometry, share: u64, (matrix, range): (ColorMatrix, ColorRange)) -> Cameras {
    let (width, height) = geometry.pictures;
    let camera = |c: u32| -> Box<dyn TileSource> {
        Box::new(Camera {
            pictures: (0..geometry.turns).map(|n| Picture::moving(width, height, c, n)).collect(),
            share,
            // They do not all change at once.
            tick: u64::from(c) * 37,
            generation: 0,
            matrix,
            range,
        })
    };
    (0..geometry.targets.len() as u32).map(camera).collect()
}

/// CPU milliseconds a canvas.
fn ours(layout: &Layout, canvases: u32, cameras: &mut [Box<dyn TileSource>]) -> f64 {
    let mut compositor = Compositor::new(layout);
    compositor.compose(Instant::now(), cameras);
    let before = cpu::ours();
    for _ in 0..canvases {
        std::hint::black_box(compositor.compose(Instant::now(), cameras));
    }
    (cpu::ours() - before).as_secs_f64() * 1e3 / f64::from(canvases)
}

/// Copying half as many bytes reads and writes as many.
fn copy(bytes: usize, from: &[Vec<u8>], to: &mut [Vec<u8>], canvases: u32) -> f64 {
    let half = bytes / 2;
    let before = cpu::ours();
    for n in 0..canvases as usize {
        to[n % 2][..half].copy_from_slice(std::hint::black_box(&from[n % from.len()][..half]));
        std::hint::black_box(&mut to[n % 2]);
    }
    (cpu::ours() - before).as_secs_f64() * 1e3 / f64::from(canvases)
}

fn xstack(geometry: &Geometry, flags: &str) -> String {
    let targets = || geometry.targets.iter().enumerate();
    let scales: Vec<String> =
        targets().map(|(i, [_, _, w, h])| format!("[{i}]scale={w}:{h}:flags={flags}[t{i}]")).collect();
    let inputs: String = targets().map(|(i, _)| format!("[t{i}]")).collect();
    let places: Vec<String> = targets().map(|(_, [x, y, _, _])| format!("{x}_{y}")).collect();
    let count = geometry.targets.len();
    // It fills every canvas anew, which is for nothing where pictures cover all of it.
    let fill = if geometry.covers_all() { "" } else { ":fill=black" };
    format!("{};{inputs}xstack=inputs={count}{fill}:layout={}", scales.join(";"), places.join("|"))
}

/// ffmpeg with a few pictures of noise for each camera that its `loop` filter hands out again and again without a copy. On
/// one filter thread: with more it takes the same CPU or more.
fn ffmpeg(geometry: &Geometry, flags: Option<&str>) -> anyhow::Result<f64> {
    let Geometry { pictures: (width, height), turns, canvases, .. } = geometry;
    let source = format!(
        "testsrc2=s={width}x{height}:r=25,noise=alls=8:allf=t,format=yuv420p,loop=loop=-1:size={turns},setpts=N/25/TB"
    );
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin"]);
    for _ in &geometry.targets {
        command.args(["-f", "lavfi", "-i", &source]);
    }
    let frames = canvases.to_string();
    if let Some(flags) = flags {
        let graph = xstack(geometry, flags);
        command.args(["-filter_complex_threads", "1", "-filter_complex", &graph]);
        command.args(["-frames:v", &frames, "-f", "null", "-"]);
    } else {
        for i in 0..geometry.targets.len() {
            command.args(["-map", &i.to_string(), "-frames:v", &frames, "-f", "null", "-"]);
        }
    }
    Ok(cpu::of(&mut command)?.as_secs_f64() * 1e3 / f64::from(*canvases))
}

/// GStreamer with one noisy picture a camera that `imagefreeze` hands out again and again without a copy; in the canvas's
/// colours, so that nothing is converted.
fn gstreamer(geometry: &Geometry, composes: bool) -> anyhow::Result<f64> {
    let Geometry { pictures: (width, height), canvases, targets, .. } = geometry;
    const FORMAT: &str = "video/x-raw,format=I420,colorimetry=bt709,chroma-site=mpeg2,framerate=25/1";
    let mut line = String::new();
    if composes {
        line += "compositor name=c background=black max-threads=1";
        for (i, [x, y, w, h]) in targets.iter().enumerate() {
            line +=
                &format!(" sink_{i}::xpos={x} sink_{i}::ypos={y} sink_{i}::width={w} sink_{i}::height={h}");
        }
        line += &format!(" ! {FORMAT},width=1920,height=1080 ! fakesink sync=false");
    }
    for i in 0..targets.len() {
        let sink = if composes { format!("c.sink_{i}") } else { "fakesink sync=false".into() };
        line += &format!(
            " videotestsrc pattern=snow num-buffers=1 ! {FORMAT},width={width},height={height} \
             ! imagefreeze num-buffers={canvases} ! {sink}"
        );
    }
    let mut command = Command::new("gst-launch-1.0");
    command.arg("-q").args(line.split_ascii_whitespace());
    Ok(cpu::of(&mut command)?.as_secs_f64() * 1e3 / f64::from(*canvases))
}

/// Our canvas against swscale's, at the same geometry, as the `area` flag makes it.
fn agreement(geometry: &Geometry) -> anyhow::Result<f64> {
    let (width, height) = geometry.pictures;
    let folder = std::env::temp_dir().join(format!("wallcast-compose-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let size = format!("{width}x{height}");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]);
    for camera in 0..geometry.targets.len() as u32 {
        let path = folder.join(format!("{camera}.yuv"));
        write_raw(&path, [&Picture::moving(width, height, camera, 1)])?;
        command.args(["-f", "rawvideo", "-pixel_format", "yuv420p", "-video_size", &size, "-i"]).arg(path);
    }
    let stacked = folder.join("stacked.yuv");
    command.args(["-filter_complex", &xstack(geometry, "area+accurate_rnd"), "-f", "rawvideo"]).arg(&stacked);
    cpu::of(&mut command)?;
    let theirs = std::fs::read(&stacked)?;
    std::fs::remove_dir_all(&folder)?;
    let mut compositor = Compositor::new(&geometry.layout);
    let mut cameras = cameras(geometry, 100, PLAIN);
    compositor.compose(Instant::now(), &mut cameras);
    let canvas = compositor.canvas();
    let planes: Vec<u8> = (0..3).flat_map(|plane| canvas.plane(plane)).copied().collect();
    Ok(psnr(&planes, &theirs))
}

const PLAIN: (ColorMatrix, ColorRange) = (ColorMatrix::Bt709, ColorRange::Limited);

/// Runs all of `measured` there and back, `rounds` times; the median of each.
fn medians(rounds: u32, measured: &mut [Measured<'_>]) -> anyhow::Result<Vec<f64>> {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); measured.len()];
    for round in 0..2 * rounds {
        for step in 0..measured.len() {
            let what = if round % 2 == 0 { step } else { measured.len() - 1 - step };
            times[what].push(measured[what]()?);
        }
    }
    Ok(times.into_iter().map(median).collect())
}

type Measured<'a> = Box<dyn FnMut() -> anyhow::Result<f64> + 'a>;

/// Which of the others are measured, too.
#[derive(Clone, Copy)]
struct Others {
    ffmpeg: bool,
    gstreamer: bool,
}

fn against_others(geometry: &Geometry, rounds: u32, others: Others) -> anyhow::Result<()> {
    let Geometry { layout, canvases, .. } = geometry;
    let bytes = geometry.bytes();
    let from = vec![vec![7_u8; bytes / 2]; 8];
    let mut to = vec![vec![0_u8; bytes / 2]; 2];
    let mut shown = SHARES.map(|share| cameras(geometry, share, PLAIN));

    let mut names: Vec<String> = SHARES.map(|share| format!("wallcast, {share} % of the tiles new")).into();
    let mut measured: Vec<Measured<'_>> = shown
        .iter_mut()
        .map(|cameras| -> Measured<'_> { Box::new(move || Ok(ours(layout, *canvases, cameras))) })
        .collect();
    names.push("copying as many bytes".into());
    measured.push(Box::new(|| Ok(copy(bytes, &from, &mut to, *canvases))));
    for flags in FLAGS.into_iter().filter(|_| others.ffmpeg) {
        names.push(format!("ffmpeg scale={flags}, xstack"));
        measured.push(Box::new(move || Ok(ffmpeg(geometry, Some(flags))? - ffmpeg(geometry, None)?)));
    }
    if others.gstreamer {
        names.push("GStreamer compositor".into());
        measured.push(Box::new(move || Ok(gstreamer(geometry, true)? - gstreamer(geometry, false)?)));
    }
    let times = medians(rounds, &mut measured)?;
    println!("{:<36} {:>8} {:>12}", geometry.name, "ms", "/ wallcast");
    for (name, time) in names.iter().zip(&times) {
        println!("{name:<36} {time:>8.3} {:>12.2}", time / times[0]);
    }
    println!("agreement with ffmpeg scale=area: {:.1} dB\n", agreement(geometry)?);
    Ok(())
}

/// What is done to pictures beside scaling, each on every tile of the reference layout.
fn presentations(rounds: u32) -> anyhow::Result<()> {
    let [_, geometry, ..] = geometries();
    let with = |presentation: Presentation| {
        let presentation = Presentation { fit: Fit::Stretch, ..presentation };
        geometry.layout.clone().with_presentations(vec![presentation; 4])
    };
    let turned = |rotation| with(Presentation { rotation, ..Presentation::default() });
    let part = |x, y, width, height| Area::fractions(x, y, width, height).expect("an area");
    let masks = vec![part(0.1, 0.1, 0.2, 0.2), part(0.6, 0.5, 0.3, 0.4)];
    let cases = [
        ("as it comes", with(Presentation::default()), PLAIN),
        ("turned by 90", turned(Rotation::Quarter), PLAIN),
        ("turned by 180", turned(Rotation::Half), PLAIN),
        ("mirrored", with(Presentation { mirrored: true, ..Presentation::default() }), PLAIN),
        ("two masks", with(Presentation { masks, ..Presentation::default() }), PLAIN),
        (
            "the middle of it",
            with(Presentation { crop: Some(part(0.25, 0.25, 0.5, 0.5)), ..Presentation::default() }),
            PLAIN,
        ),
        ("BT.601, full range", with(Presentation::default()), (ColorMatrix::Bt601, ColorRange::Full)),
    ];
    let mut shown: Vec<Cameras> =
        cases.iter().map(|(_, _, colours)| cameras(&geometry, 100, *colours)).collect();
    let mut measured: Vec<Measured<'_>> = cases
        .iter()
        .zip(&mut shown)
        .map(|((_, layout, _), cameras)| -> Measured<'_> {
            Box::new(move || Ok(ours(layout, geometry.canvases, cameras)))
        })
        .collect();
    let times = medians(rounds, &mut measured)?;
    println!("{:<36} {:>8} {:>12}", "reference, stretch, every tile", "ms", "/ plain");
    for ((name, _, _), time) in cases.iter().zip(&times) {
        println!("{name:<36} {time:>8.3} {:>12.2}", time / times[0]);
    }
    Ok(())
}

/// Where one picture on all of a canvas tells what a ratio costs, and how near it is to swscale's picture.
struct Ratio {
    name: &'static str,
    picture: (u32, u32),
    /// What of it is shown, beginning on even samples: x, y, width, height.
    part: [u32; 4],
    output: (u32, u32),
}

fn ratios() -> Vec<Ratio> {
    let ratio = |name, picture: (u32, u32), output| Ratio {
        name,
        picture,
        part: [0, 0, picture.0, picture.1],
        output,
    };
    vec![
        ratio("1:1", (1280, 720), (1280, 720)),
        ratio("2:1", (1920, 1080), (960, 540)),
        ratio("4:1", (1920, 1080), (480, 270)),
        ratio("4:1 across only", (1920, 1080), (480, 1080)),
        ratio("3:1", (1920, 1080), (640, 360)),
        ratio("3:2", (1920, 1080), (1280, 720)),
        ratio("4:3", (1280, 720), (960, 540)),
        ratio("8:3", (640, 360), (240, 134)),
        ratio("7.5:1", (3840, 2160), (512, 288)),
        ratio("1:1.5, growing", (640, 360), (960, 540)),
        ratio("1:3, growing", (640, 360), (1920, 1080)),
        ratio("odd sizes", (1279, 719), (854, 480)),
        ratio("odd sizes, growing", (351, 287), (802, 602)),
        ratio("D1 with samples of 12:11", (704, 576), (720, 540)),
        ratio("narrower and taller", (1920, 1080), (606, 1080)),
        Ratio {
            name: "a part, shrunk",
            picture: (1920, 1080),
            part: [320, 180, 1282, 722],
            output: (640, 360),
        },
        Ratio {
            name: "a part, grown",
            picture: (1920, 1080),
            part: [960, 540, 480, 270],
            output: (960, 540),
        },
    ]
}

impl Ratio {
    fn layout(&self) -> anyhow::Result<Layout> {
        let canvas = CanvasSize::new(self.output.0, self.output.1)?;
        let [x, y, width, height] = self.part;
        let crop = Some(Area::pixels(x, y, width, height)?);
        Ok(Layout::grid(canvas, 1)?.with_presentations([Presentation {
            fit: Fit::Stretch,
            crop,
            ..Presentation::default()
        }]))
    }

    /// The filter that does the same, `area` where it shrinks and `bilinear` where it grows.
    fn swscale(&self, flags: &str) -> String {
        let ([x, y, width, height], (w, h)) = (self.part, self.output);
        format!("crop={width}:{height}:{x}:{y}:exact=1,scale={w}:{h}:flags={flags}")
    }

    fn flags(&self) -> &'static str {
        if self.part[2] > self.output.0 || self.part[3] > self.output.1 { "area" } else { "bilinear" }
    }

    /// CPU milliseconds a picture of swscale alone: with it, less without it.
    fn theirs(&self, canvases: u32, flags: &str) -> anyhow::Result<f64> {
        let (width, height) = self.picture;
        let run = |filter: Option<String>| {
            let source = format!(
                "testsrc2=s={width}x{height}:r=25,noise=alls=8:allf=t,format=yuv420p,loop=loop=-1:size=8,setpts=N/25/TB"
            );
            let filters: Vec<String> = std::iter::once(source).chain(filter).collect();
            let mut command = Command::new("ffmpeg");
            command.args(["-v", "error", "-nostdin", "-filter_complex_threads", "1", "-filter_complex"]);
            command.arg(filters.join(",")).args(["-frames:v", &canvases.to_string(), "-f", "null", "-"]);
            cpu::of(&mut command)
        };
        let (with, without) = (run(Some(self.swscale(flags)))?, run(None)?);
        Ok((with.as_secs_f64() - without.as_secs_f64()) * 1e3 / f64::from(canvases))
    }

    /// Peak signal-to-noise ratio of our canvas against swscale's, dB.
    fn agreement(&self, folder: &Path, flags: &str) -> anyhow::Result<f64> {
        let (width, height) = self.picture;
        let (from, to) = (folder.join("from.yuv"), folder.join("to.yuv"));
        let picture = Picture::moving(width, height, 0, 1);
        write_raw(&from, [&picture])?;
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-nostdin", "-y", "-f", "rawvideo", "-pixel_format", "yuv420p"]);
        command.args(["-video_size", &format!("{width}x{height}"), "-i"]).arg(&from);
        command.args(["-vf", &self.swscale(&format!("{flags}+accurate_rnd")), "-f", "rawvideo"]).arg(&to);
        cpu::of(&mut command)?;
        let mut compositor = Compositor::new(&self.layout()?);
        compositor.compose(Instant::now(), &mut one_camera(vec![picture], PLAIN));
        let canvas = compositor.canvas();
        let planes: Vec<u8> = (0..3).flat_map(|plane| canvas.plane(plane)).copied().collect();
        Ok(psnr(&planes, &std::fs::read(&to)?))
    }
}

fn one_camera(pictures: Vec<Picture>, (matrix, range): (ColorMatrix, ColorRange)) -> Cameras {
    vec![Box::new(Camera { pictures, share: 100, tick: 0, generation: 0, matrix, range })]
}

fn each_ratio(rounds: u32, has_others: bool) -> anyhow::Result<()> {
    const CANVASES: u32 = 200;
    let folder = std::env::temp_dir().join(format!("wallcast-ratios-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    println!("{:<26} {:>10} {:>10} {:>8} {:>8} {:>8}", "one picture", "from", "to", "ms", "swscale", "dB");
    for ratio in ratios() {
        let (width, height) = ratio.picture;
        let layout = ratio.layout()?;
        let pictures = (0..8).map(|n| Picture::moving(width, height, 0, n)).collect();
        let mut cameras = one_camera(pictures, PLAIN);
        let mut measured: Vec<Measured<'_>> = vec![Box::new(|| Ok(ours(&layout, CANVASES, &mut cameras)))];
        let flags = ratio.flags();
        if has_others {
            measured.push(Box::new(|| ratio.theirs(CANVASES, flags)));
        }
        let times = medians(rounds, &mut measured)?;
        let agreement = ratio.agreement(&folder, flags)?;
        let ([_, _, w, h], (ow, oh)) = (ratio.part, ratio.output);
        let theirs = times.get(1).map_or_else(String::new, |time| format!("{time:.3}"));
        println!(
            "{:<26} {:>10} {:>10} {:>8.3} {theirs:>8} {agreement:>8.1}",
            ratio.name,
            format!("{w}x{h}"),
            format!("{ow}x{oh}"),
            times[0]
        );
        anyhow::ensure!(agreement >= 45.0, "{}: found {agreement:.1} dB, expected 45 or more", ratio.name);
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let rounds: u32 = words.iter().find_map(|word| word.parse().ok()).unwrap_or(2);
    let parts = ["layouts", "presentations", "ratios"];
    let is_asked = |part: &str| {
        words.iter().all(|word| !parts.contains(&word.as_str())) || words.iter().any(|word| word == part)
    };
    let others = Others {
        ffmpeg: !words.iter().any(|word| word == "ours"),
        gstreamer: !words.iter().any(|word| word == "ours")
            && Command::new("gst-launch-1.0").arg("--version").output().is_ok(),
    };
    println!("CPU ms a canvas of 1920x1080; medians of {} runs\n", 2 * rounds);
    if is_asked("layouts") {
        for geometry in geometries() {
            against_others(&geometry, rounds, others)?;
        }
    }
    if is_asked("presentations") {
        presentations(rounds)?;
    }
    if is_asked("ratios") {
        each_ratio(rounds, others.ffmpeg)?;
    }
    Ok(())
}
