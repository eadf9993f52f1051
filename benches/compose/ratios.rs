//! What each ratio costs by itself, beside swscale, and how near our picture is to swscale's.

use super::{Camera, Cameras, Measured, PLAIN, medians, ours};
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use wallcast_benches::cpu;
use wallcast_benches::pictures::{Picture, psnr, write_raw};
use wallcast_compositor::{Area, CanvasSize, Compositor, Fit, Layout, Presentation};

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
        // It makes no pictures of odd sizes.
        let even = format!("{}x{}", width.next_multiple_of(2), height.next_multiple_of(2));
        let run = |filter: Option<String>| {
            let source = format!(
                "testsrc2=s={even}:r=25,noise=alls=8:allf=t,format=yuv420p,crop={width}:{height}:0:0:exact=1,loop=loop=-1:size=8,setpts=N/25/TB"
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
        compositor.compose(Instant::now(), &mut one_camera(vec![picture]));
        let canvas = compositor.canvas();
        let planes: Vec<u8> = (0..3).flat_map(|plane| canvas.plane(plane)).copied().collect();
        Ok(psnr(&planes, &std::fs::read(&to)?))
    }
}

fn one_camera(pictures: Vec<Picture>) -> Cameras {
    let (matrix, range) = PLAIN;
    vec![Box::new(Camera { pictures, share: 100, tick: 0, generation: 0, matrix, range })]
}

/// Prints a table. Fails where a picture is less than 45 dB near.
pub(super) fn each(rounds: u32, has_others: bool) -> anyhow::Result<()> {
    const CANVASES: u32 = 200;
    let folder = std::env::temp_dir().join(format!("wallcast-ratios-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    println!("{:<26} {:>10} {:>10} {:>8} {:>8} {:>8}", "one picture", "from", "to", "ms", "swscale", "dB");
    for ratio in ratios() {
        let (width, height) = ratio.picture;
        let layout = ratio.layout()?;
        let pictures = (0..8).map(|n| Picture::moving(width, height, 0, n)).collect();
        let mut cameras = one_camera(pictures);
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
