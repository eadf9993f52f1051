//! What does composing one canvas cost? The reference layout from four 1080p pictures, every tile new at every tick.
//!
//! Beside ffmpeg's scale and xstack, GStreamer's compositor, and a copy that touches as many bytes, in one run: CPU
//! milliseconds a canvas, their sources' cost measured by itself and taken off. A B B A, medians.
//! `cargo bench -p wallcast-benches --bench compose [-- ROUNDS]`

#![allow(clippy::print_stdout, reason = "its table is its purpose")]

use std::process::Command;
use std::time::Instant;
use wallcast_benches::cpu::{self, median};
use wallcast_benches::pictures::{Picture, psnr, write_raw};
use wallcast_compositor::{CanvasSize, Compositor, Fit, Layout, PictureView, TileSource};

/// So many pictures of each camera take turns: together more than any cache that is not a server's.
const PICTURES: u32 = 8;
const CANVASES: u32 = 400;

struct Camera {
    pictures: Vec<Picture>,
    shown: u64,
}

impl TileSource for Camera {
    fn show(&mut self, _: Instant, paint: &mut dyn FnMut(Option<PictureView<'_>>)) {
        self.shown += 1;
        paint(Some(self.pictures[self.shown as usize % self.pictures.len()].view(self.shown)));
    }
}

fn cameras() -> Vec<Box<dyn TileSource>> {
    let camera = |c| -> Box<dyn TileSource> {
        Box::new(Camera {
            pictures: (0..PICTURES).map(|n| Picture::moving(1920, 1080, c, n)).collect(),
            shown: 0,
        })
    };
    (0..4).map(camera).collect()
}

fn ours(layout: &Layout, cameras: &mut [Box<dyn TileSource>]) -> f64 {
    let mut compositor = Compositor::new(layout);
    compositor.compose(Instant::now(), cameras);
    let before = cpu::ours();
    for _ in 0..CANVASES {
        assert_eq!(compositor.compose(Instant::now(), cameras).painted, 4);
    }
    (cpu::ours() - before).as_secs_f64() * 1e3 / f64::from(CANVASES)
}

/// Four pictures and a canvas are touched: 15.5 MB. Copying half of that reads and writes as much.
fn copy(from: &[Vec<u8>], to: &mut [Vec<u8>]) -> f64 {
    let before = cpu::ours();
    for n in 0..CANVASES as usize {
        to[n % 2].copy_from_slice(std::hint::black_box(&from[n % from.len()]));
        std::hint::black_box(&mut to[n % 2]);
    }
    (cpu::ours() - before).as_secs_f64() * 1e3 / f64::from(CANVASES)
}

/// One way of drawing the four tiles: x, y, width, height of each picture on the canvas.
struct Geometry {
    name: &'static str,
    layout: Layout,
    targets: [[u32; 4]; 4],
}

fn geometries() -> [Geometry; 2] {
    let columns = Layout::columns(CanvasSize::FULL_HD);
    let (top, bottom) = ([480, 0, 960, 540], [480, 540, 960, 540]);
    [
        Geometry {
            name: "contain",
            layout: columns.clone(),
            targets: [[0, 404, 480, 270], top, bottom, [1440, 404, 480, 270]],
        },
        Geometry {
            name: "stretch",
            layout: columns.with_fit(Fit::Stretch),
            targets: [[0, 0, 480, 1080], top, bottom, [1440, 0, 480, 1080]],
        },
    ]
}

fn xstack(geometry: &Geometry, flags: &str) -> String {
    let [scales, places]: [Vec<String>; 2] = [
        (0..4)
            .zip(geometry.targets)
            .map(|(i, [_, _, w, h])| format!("[{i}]scale={w}:{h}:flags={flags}[t{i}]"))
            .collect(),
        geometry.targets.iter().map(|[x, y, _, _]| format!("{x}_{y}")).collect(),
    ];
    format!("{};[t0][t1][t2][t3]xstack=inputs=4:fill=black:layout={}", scales.join(";"), places.join("|"))
}

/// ffmpeg with four pictures' worth of noise that its `loop` filter hands out again and again without a copy.
fn ffmpeg(graph: Option<&str>) -> anyhow::Result<f64> {
    let source = format!(
        "testsrc2=s=1920x1080:r=25,noise=alls=8:allf=t,format=yuv420p,loop=loop=-1:size={PICTURES},setpts=N/25/TB"
    );
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin"]);
    for _ in 0..4 {
        command.args(["-f", "lavfi", "-i", &source]);
    }
    let frames = CANVASES.to_string();
    if let Some(graph) = graph {
        command.args(["-filter_complex", graph, "-frames:v", &frames, "-f", "null", "-"]);
    } else {
        for i in 0..4 {
            command.args(["-map", &i.to_string(), "-frames:v", &frames, "-f", "null", "-"]);
        }
    }
    Ok(cpu::of(&mut command)?.as_secs_f64() * 1e3 / f64::from(CANVASES))
}

/// GStreamer with one noisy picture a camera that `imagefreeze` hands out again and again without a copy.
fn gstreamer(geometry: Option<&Geometry>) -> anyhow::Result<f64> {
    let mut line = String::new();
    if let Some(Geometry { targets, .. }) = geometry {
        line += "compositor name=c background=black";
        for (i, [x, y, w, h]) in targets.iter().enumerate() {
            line +=
                &format!(" sink_{i}::xpos={x} sink_{i}::ypos={y} sink_{i}::width={w} sink_{i}::height={h}");
        }
        line += " ! video/x-raw,format=I420,width=1920,height=1080 ! fakesink sync=false";
    }
    for i in 0..4 {
        let sink = if geometry.is_some() { format!("c.sink_{i}") } else { "fakesink sync=false".into() };
        line += &format!(
            " videotestsrc pattern=snow num-buffers=1 ! video/x-raw,format=I420,width=1920,height=1080,framerate=25/1 \
             ! imagefreeze num-buffers={CANVASES} ! {sink}"
        );
    }
    let mut command = Command::new("gst-launch-1.0");
    command.arg("-q").args(line.split_ascii_whitespace());
    Ok(cpu::of(&mut command)?.as_secs_f64() * 1e3 / f64::from(CANVASES))
}

/// Our canvas against swscale's, at the same geometry, as the `area` flag makes it.
fn agreement(geometry: &Geometry) -> anyhow::Result<f64> {
    let folder = std::env::temp_dir().join(format!("wallcast-compose-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]);
    for camera in 0..4 {
        let path = folder.join(format!("{camera}.yuv"));
        write_raw(&path, [&Picture::moving(1920, 1080, camera, 1)])?;
        command
            .args(["-f", "rawvideo", "-pixel_format", "yuv420p", "-video_size", "1920x1080", "-i"])
            .arg(path);
    }
    let stacked = folder.join("stacked.yuv");
    command.args(["-filter_complex", &xstack(geometry, "area+accurate_rnd"), "-f", "rawvideo"]).arg(&stacked);
    cpu::of(&mut command)?;
    let theirs = std::fs::read(&stacked)?;
    std::fs::remove_dir_all(&folder)?;
    let mut compositor = Compositor::new(&geometry.layout);
    compositor.compose(Instant::now(), &mut cameras());
    let canvas = compositor.canvas();
    let planes: Vec<u8> = (0..3).flat_map(|plane| canvas.plane(plane)).copied().collect();
    Ok(psnr(&planes, &theirs))
}

fn main() -> anyhow::Result<()> {
    let rounds: u32 = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(2);
    let mut cameras = cameras();
    let half = 1920 * 1080 * 3 / 2 * 5 / 2;
    let (from, mut to) = (vec![vec![7_u8; half]; PICTURES as usize], vec![vec![0_u8; half]; 2]);
    let has_gstreamer = Command::new("gst-launch-1.0").arg("--version").output().is_ok();
    let flags = ["area", "bilinear", "bicubic", "fast_bilinear"];

    println!(
        "CPU ms a canvas, 1920x1080 from four 1920x1080, every tile new; medians of {} runs\n",
        2 * rounds
    );
    for geometry in geometries() {
        let mut times: Vec<Vec<f64>> = vec![Vec::new(); 3 + flags.len()];
        for round in 0..2 * rounds {
            let mut order: Vec<usize> = (0..times.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for what in order {
                let time = match what {
                    0 => ours(&geometry.layout, &mut cameras),
                    1 => copy(&from, &mut to),
                    2 if has_gstreamer => gstreamer(Some(&geometry))? - gstreamer(None)?,
                    2 => f64::NAN,
                    flag => ffmpeg(Some(&xstack(&geometry, flags[flag - 3])))? - ffmpeg(None)?,
                };
                times[what].push(time);
            }
        }
        let times: Vec<f64> = times.into_iter().map(median).collect();
        let names =
            ["wallcast", "copying as many bytes", "GStreamer compositor"].map(String::from).into_iter();
        let names = names.chain(flags.map(|flag| format!("ffmpeg scale={flag}, xstack")));
        println!("{:<32} {:>8} {:>14}", format!("fit {}", geometry.name), "ms", "/ wallcast");
        for (name, time) in names.zip(&times) {
            println!("{name:<32} {time:>8.3} {:>14.2}", time / times[0]);
        }
        println!("agreement with ffmpeg scale=area: {:.1} dB\n", agreement(&geometry)?);
    }
    Ok(())
}
