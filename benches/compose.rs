//! What does composing one canvas cost? The reference layout from four 1080p pictures, 4x4 of 1080p and 8x8 of 640x360, when
//! all tiles are new at every tick, half, a tenth, or none of them; and what turning, mirroring, masking and converting add.
//!
//! Beside ffmpeg's scale and xstack, GStreamer's compositor, and a copy that touches as many bytes, in one run: CPU
//! milliseconds a canvas, their sources' cost measured by itself and taken off. A B B A, medians. The others paint
//! everything at every tick, so that they are measured once.
//! Also what each ratio costs by itself, beside swscale, and how near its picture is to swscale's.
//! `cargo bench -p wallcast-benches --bench compose [-- ROUNDS] [layouts] [presentations] [ratios] [ours]`

#![allow(clippy::print_stdout, reason = "its table is its purpose")]

#[path = "compose/others.rs"]
mod others;
#[path = "compose/plot.rs"]
mod plot;
#[path = "compose/ratios.rs"]
mod ratios;

use self::others::{agreement, ffmpeg, gstreamer};
use std::process::Command;
use std::time::Instant;
use wallcast_benches::cpu::{self, median};
use wallcast_benches::pictures::Picture;
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

fn against_others(geometry: &Geometry, rounds: u32, others: Others) -> anyhow::Result<plot::Group> {
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
    println!("wallcast takes {:.2}x of copying", times[0] / times[SHARES.len()]);
    if others.ffmpeg {
        println!("agreement with ffmpeg scale=area: {:.1} dB", agreement(geometry)?);
    }
    println!();
    let bars = names.into_iter().zip(times).enumerate().filter(|(i, _)| *i == 0 || *i >= SHARES.len());
    Ok(plot::Group { name: geometry.name, bars: bars.map(|(_, bar)| bar).collect() })
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
        let groups: anyhow::Result<Vec<plot::Group>> =
            geometries().iter().map(|geometry| against_others(geometry, rounds, others)).collect();
        let file = std::env::temp_dir().join("wallcast-compose.svg");
        std::fs::write(&file, plot::svg(&groups?))?;
        println!("plot: {}\n", file.display());
    }
    if is_asked("presentations") {
        presentations(rounds)?;
    }
    if is_asked("ratios") {
        ratios::each(rounds, others.ffmpeg)?;
    }
    Ok(())
}
