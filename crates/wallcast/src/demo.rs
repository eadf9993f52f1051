//! Simulated cameras: for `wallcast demo`, for tests, and for measuring.
//!
//! A simulated camera is a wall of one tile that shows a test picture: clock, encoder and pausing are the
//! compositor's. It is served by the RTSP server like anything else, and what reads it cannot tell it from a
//! camera. What time its picture was painted at can be read back from it: see [`marks`].

pub mod film;
mod font;
pub mod marks;
mod painting;
mod pattern;
mod plan;
mod test_picture;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use wallcast_compositor::encoder::EncoderChoice;
use wallcast_compositor::{
    Bitrate, CanvasSize, ColorMatrix, ColorRange, FrameRate, Layout, PictureView, Shown, StartError,
    TileSource, Wall, WallConfig, WallStats,
};

pub use plan::{Demo, DemoError};

use crate::convert::{KeyFrameRequester, RtspSink};
use crate::rtsp::Mount;
use test_picture::TestPicture;

const IDR_EVERY: Duration = Duration::from_secs(2);

/// What a simulated camera is.
#[derive(Debug, Clone, Copy)]
pub struct CameraSpec {
    number: u8,
    /// The picture's size; 1280x720 by default.
    pub size: CanvasSize,
    /// Frames a second; 25 by default.
    pub fps: FrameRate,
    /// Bits a second; 2 Mb/s by default.
    pub bitrate: Bitrate,
}

/// A number that the marks in the picture cannot carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("found a simulated camera number {0}, expected 1 to 15")]
pub struct CameraNumberError(pub u8);

impl CameraSpec {
    /// A camera with the defaults. There are four different patterns; camera 5 has that of camera 1.
    pub fn new(number: u8) -> Result<Self, CameraNumberError> {
        if !(1..=marks::LARGEST_CAMERA).contains(&number) {
            return Err(CameraNumberError(number));
        }
        Ok(Self {
            number,
            size: CanvasSize::new(1280, 720).expect("even and within the limits"),
            fps: FrameRate::DEFAULT,
            bitrate: Bitrate::new(2_000_000).expect("within the limits"),
        })
    }

    /// The cameras of the demo: 1 to 4.
    pub fn four() -> [Self; 4] {
        [1, 2, 3, 4].map(|number| Self::new(number).expect("within 1 to 15"))
    }

    /// Burnt into the picture.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// `cam1`, …
    pub fn name(&self) -> String {
        format!("cam{}", self.number)
    }
}

/// A running camera; dropping it ends its readers' sessions and joins its thread.
#[derive(Debug)]
pub struct SimulatedCamera {
    mount: Arc<Mount>,
    wall: Wall,
}

impl SimulatedCamera {
    /// Starts the camera's thread. Nothing is painted or encoded before somebody reads [`Self::mount`].
    pub fn start(spec: CameraSpec) -> Result<Self, StartError> {
        let key_frames = KeyFrameRequester::default();
        let mount = Mount::with_frame_rate(&spec.name(), f64::from(spec.fps.get()), key_frames.callback());
        let layout = Layout::grid(spec.size, 1).expect("one tile fits every canvas");
        let config = WallConfig {
            name: spec.name(),
            size: spec.size,
            fps: spec.fps,
            bitrate: spec.bitrate,
            encoder: EncoderChoice::OpenH264,
            layout,
            idr_every: IDR_EVERY,
            renditions: Vec::new(),
        };
        let scene = Scene { picture: TestPicture::new(spec.number, spec.size), painted: 0 };
        let wall = Wall::start(config, vec![Box::new(scene)], vec![Arc::new(RtspSink(Arc::clone(&mount)))])?;
        key_frames.connect(wall.view());
        Ok(Self { mount, wall })
    }

    /// What to serve: add it to the server's mounts.
    pub fn mount(&self) -> &Arc<Mount> {
        &self.mount
    }

    /// How its clock and its encoder are doing.
    pub fn stats(&self, now: Instant) -> WallStats {
        self.wall.view().stats(now)
    }

    /// Ends its readers' sessions and joins its thread.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for SimulatedCamera {
    fn drop(&mut self) {
        self.mount.close();
    }
}

/// Paints a new picture for every tick.
struct Scene {
    picture: TestPicture,
    painted: u64,
}

impl TileSource for Scene {
    fn show(&mut self, _now: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
        self.picture.paint(SystemTime::now());
        self.painted += 1;
        let planes = self.picture.planes();
        paint(
            Some(PictureView {
                width: planes.width() as u32,
                height: planes.height() as u32,
                planes: [0, 1, 2].map(|plane| planes.plane(plane)),
                strides: [0, 1, 2].map(|plane| planes.stride(plane)),
                sample_aspect: (1, 1),
                matrix: ColorMatrix::Bt709,
                range: ColorRange::Limited,
                generation: self.painted,
            })
            .into(),
        );
    }
}
