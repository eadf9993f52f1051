//! The others at the same geometry: ffmpeg's scale and xstack, and GStreamer's compositor. What their sources cost is measured by
//! itself, and taken off by the caller.

use super::{Geometry, PLAIN, cameras};
use std::process::Command;
use std::time::Instant;
use wallcast_benches::cpu;
use wallcast_benches::pictures::{Picture, psnr, write_raw};
use wallcast_compositor::Compositor;

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
pub(super) fn ffmpeg(geometry: &Geometry, flags: Option<&str>) -> anyhow::Result<f64> {
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
pub(super) fn gstreamer(geometry: &Geometry, composes: bool) -> anyhow::Result<f64> {
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
pub(super) fn agreement(geometry: &Geometry) -> anyhow::Result<f64> {
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
