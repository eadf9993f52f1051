//! Reads the clocks that cameras burn into their pictures (`wallcast::demo::marks`) off a wall: FFmpeg plays it over RTSP,
//! and every tile of every frame is looked at.

use super::artifacts;
use super::watch::Area;
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};
use wallcast::demo::marks::{PictureArea, read_marks};

/// FFmpeg at work; ended when dropped. The last frame is left behind as `wall.pgm`, to be looked at.
pub struct Clocks {
    child: Child,
    reader: Option<JoinHandle<()>>,
    frames: Arc<Mutex<Vec<Seen>>>,
}

/// A frame of the wall, when it came and what its tiles' clocks said; in Unix milliseconds modulo 2^32.
#[derive(Clone)]
struct Seen {
    at: u32,
    clocks: Vec<Option<u32>>,
}

impl Clocks {
    /// Starts watching a wall of this size, in which each camera's whole picture lies at an area.
    pub fn start(test: &str, url: &str, (width, height): (usize, usize), areas: &[Area]) -> Self {
        let log = File::create(artifacts(test).join("ffmpeg.log")).unwrap();
        let mut child = Command::new("ffmpeg")
            .args(["-nostdin", "-loglevel", "warning", "-rtsp_transport", "tcp", "-threads", "1", "-i", url])
            .args(["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "pipe:1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("ffmpeg is installed by scripts/test.sh");
        let mut pictures = child.stdout.take().unwrap();
        let areas: Vec<PictureArea> = areas.iter().map(picture_area).collect();
        let frames = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&frames);
        let mut last = File::create(artifacts(test).join("wall.pgm")).unwrap();
        let reader = thread::spawn(move || {
            let mut luma = vec![0; width * height];
            while pictures.read_exact(&mut luma).is_ok() {
                let millis = |&area| read_marks(&luma, width, area).map(|marks| marks.millis);
                let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u32;
                seen.lock().unwrap().push(Seen { at, clocks: areas.iter().map(millis).collect() });
            }
            // The luma is whole but for the frame that FFmpeg was killed in.
            let _ = write!(last, "P5\n{width} {height}\n255\n").and_then(|()| last.write_all(&luma));
        });
        Self { child, reader: Some(reader), frames }
    }

    /// How many frames of the wall were seen until now.
    pub fn count(&self) -> usize {
        self.frames.lock().unwrap().len()
    }

    /// What the tiles said in every frame from `first` on: milliseconds; `None` where there are no marks.
    pub fn since(&self, first: usize) -> Vec<Vec<Option<u32>>> {
        self.frames.lock().unwrap().iter().skip(first).map(|frame| frame.clocks.clone()).collect()
    }

    /// How many milliseconds old the tiles were when they were seen, in every frame from `first` on: from a camera that is
    /// told the time to FFmpeg's output. Only for cameras whose clock is the wall clock.
    pub fn delays_since(&self, first: usize) -> Vec<Vec<Option<i64>>> {
        let delay = |at: u32, clock: u32| i64::from(at.wrapping_sub(clock) as i32);
        let delays = |frame: &Seen| {
            frame.clocks.iter().map(|clock| clock.map(|clock| delay(frame.at, clock))).collect()
        };
        self.frames.lock().unwrap().iter().skip(first).map(delays).collect()
    }
}

impl Drop for Clocks {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.reader.take().map(JoinHandle::join);
    }
}

fn picture_area(area: &Area) -> PictureArea {
    let [x, y, width, height] = [area.x, area.y, area.width, area.height].map(f64::from);
    PictureArea { x, y, width, height }
}
