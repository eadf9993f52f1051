//! Reads the wall's pixels: FFmpeg plays it over RTSP and measures every tile of every frame.
//!
//! A decoder that is not ours, and no picture ever reaches the test: FFmpeg's `signalstats` prints the mean of each plane and
//! the mean difference to the frame before, per frame, with its time.

use super::artifacts;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A rectangle of the wall, in its pixels.
#[derive(Clone, Copy)]
pub struct Area {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// The four tiles of the layout `columns` at 1920x1080, in the order of the configuration.
pub const COLUMNS: [Area; 4] = [
    Area { x: 0, y: 0, width: 480, height: 1080 },
    Area { x: 480, y: 0, width: 960, height: 540 },
    Area { x: 480, y: 540, width: 960, height: 540 },
    Area { x: 1440, y: 0, width: 480, height: 1080 },
];

/// One tile in one frame.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Seconds of the stream.
    pub time: f64,
    /// Means of the planes, 0 to 255.
    pub luma: f64,
    pub cb: f64,
    pub cr: f64,
    /// Mean absolute difference of luma to the frame before.
    pub change: f64,
}

/// FFmpeg at work; ended when dropped.
pub struct Watch {
    child: Child,
    files: Vec<PathBuf>,
}

impl Watch {
    /// Starts watching a wall of `rtsp://…`.
    pub fn start(test: &str, url: &str, areas: &[Area]) -> Self {
        let folder = artifacts(test);
        let files: Vec<PathBuf> = (0..areas.len()).map(|n| folder.join(format!("tile{n}.txt"))).collect();
        let mut graph = format!("split={}", areas.len());
        (0..areas.len()).for_each(|n| graph += &format!("[in{n}]"));
        for (n, (area, file)) in areas.iter().zip(&files).enumerate() {
            let _ = fs::remove_file(file);
            let Area { x, y, width, height } = area;
            let file = file.to_str().unwrap().replace(':', "\\:");
            graph += &format!(
                ";[in{n}]crop={width}:{height}:{x}:{y},scale=iw/8:-2:flags=area,signalstats,\
                 metadata=mode=print:direct=1:file='{file}',nullsink"
            );
        }
        // One output is needed for FFmpeg to run at all; the wall's own frames go nowhere.
        let child = Command::new("ffmpeg")
            .args(["-nostdin", "-loglevel", "warning", "-rtsp_transport", "tcp", "-fflags", "nobuffer"])
            .args(["-flags", "low_delay", "-threads", "1", "-i", url])
            .args(["-filter_complex", &format!("[0:v]split[watched][rest];[watched]{graph}")])
            .args(["-map", "[rest]", "-fps_mode", "passthrough", "-f", "null", "-"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("ffmpeg.log")).unwrap())
            .spawn()
            .expect("ffmpeg is installed by scripts/test.sh");
        Self { child, files }
    }

    /// Everything seen of a tile until now.
    pub fn samples(&self, tile: usize) -> Vec<Sample> {
        let text = fs::read_to_string(&self.files[tile]).unwrap_or_default();
        text.split("frame:").filter_map(Sample::parse).collect()
    }

    /// The samples of a tile's newest `length` of stream.
    pub fn newest(&self, tile: usize, length: Duration) -> Vec<Sample> {
        let mut samples = self.samples(tile);
        let end = samples.last().map_or(0.0, |sample| sample.time);
        samples.retain(|sample| sample.time > end - length.as_secs_f64());
        samples
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sample {
    /// Does the tile show something that moves? The cameras' bar changes 3 of 255 a frame, the encoder's noise less than 0.5.
    pub fn moves(&self) -> bool {
        self.change > 1.0
    }

    /// Is the tile black?
    pub fn is_black(&self) -> bool {
        self.luma < 20.0 && (self.cb - 128.0).abs() < 4.0 && (self.cr - 128.0).abs() < 4.0
    }

    /// `None` for a frame that is not written to its end yet.
    fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| -> Option<f64> {
            let start = text.find(key)? + key.len();
            let rest = &text[start..];
            rest[..rest.find(['\n', ' '])?].parse().ok()
        };
        Some(Self {
            time: value("pts_time:")?,
            luma: value("signalstats.YAVG=")?,
            cb: value("signalstats.UAVG=")?,
            cr: value("signalstats.VAVG=")?,
            change: value("signalstats.YDIF=")?,
        })
    }
}
