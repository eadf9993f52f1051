//! Where the libraries meet: a camera's picture becomes a tile's, a wall's access unit becomes a viewer's.
//!
//! The three libraries do not know each other (the producer owns the owned type, the consumer takes a
//! borrowed view). Everything here is a thin adapter that copies no pixel and no coded byte; a decision taken
//! here would be in the wrong place.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use wallcast_compositor::{AccessUnit, PictureView, Sink, TileSource, WallView};
use wallcast_ingest::CameraView;
use wallcast_webrtc::{Source, SourceFrame};

use crate::rtsp::Mount;

/// A camera as a tile of one wall.
pub struct CameraTile {
    camera: CameraView,
    black_after: Duration,
}

impl CameraTile {
    /// Shows `camera`, and black once its last decoded frame is `black_after` old.
    pub fn new(camera: CameraView, black_after: Duration) -> Self {
        Self { camera, black_after }
    }
}

impl TileSource for CameraTile {
    fn show(&mut self, now: Instant, paint: &mut dyn FnMut(Option<PictureView<'_>>)) {
        let tile = self.camera.tile(now, self.black_after);
        match &tile.frame {
            Some(frame) => paint(Some(PictureView {
                width: frame.width(),
                height: frame.height(),
                planes: [frame.plane(0), frame.plane(1), frame.plane(2)],
                strides: [frame.stride(0), frame.stride(1), frame.stride(2)],
                sample_aspect: frame.sample_aspect_ratio(),
                generation: frame.sequence(),
            })),
            None => paint(None),
        }
    }
}

/// A cell of the layout that no camera was given: background.
pub struct EmptyTile;

impl TileSource for EmptyTile {
    fn show(&mut self, _now: Instant, paint: &mut dyn FnMut(Option<PictureView<'_>>)) {
        paint(None);
    }
}

/// Hands a wall's access units to its WebRTC peers.
pub struct WebRtcSink(pub Arc<Source>);

impl Sink for WebRtcSink {
    fn is_wanted(&self) -> bool {
        self.0.is_wanted()
    }

    fn deliver(&self, unit: &AccessUnit) {
        self.0.push(&SourceFrame {
            data: unit.data.clone(),
            key: unit.key,
            rtp_time: unit.canvas_time.as_rtp_90khz(),
            captured: unit.composed_at,
        });
    }
}

/// Hands a wall's access units to its RTSP readers.
pub struct RtspSink(pub Arc<Mount>);

impl Sink for RtspSink {
    fn is_wanted(&self) -> bool {
        self.0.is_wanted()
    }

    fn deliver(&self, unit: &AccessUnit) {
        self.0.push(&unit.data, unit.key, unit.canvas_time.as_rtp_90khz());
    }
}

/// Asks a wall for a key frame before the wall exists: its outputs are built first, because the wall takes them.
#[derive(Clone, Default)]
pub struct KeyFrameRequester(Arc<OnceLock<WallView>>);

impl KeyFrameRequester {
    /// From now on requests go to `wall`. The wall's first frame is a key frame anyway, so none is lost before.
    pub fn connect(&self, wall: WallView) {
        let _already_connected = self.0.set(wall);
    }

    /// The callback that outputs are given.
    pub fn callback(&self) -> Box<dyn Fn() + Send + Sync> {
        let wall = Arc::clone(&self.0);
        Box::new(move || {
            if let Some(wall) = wall.get() {
                wall.request_key_frame();
            }
        })
    }
}
