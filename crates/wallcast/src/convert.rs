//! Where the libraries meet: a camera's picture becomes a tile's, a wall's access unit becomes a viewer's.
//!
//! The three libraries do not know each other (the producer owns the owned type, the consumer takes a
//! borrowed view). Everything here is a thin adapter that copies no pixel and no coded byte; a decision taken
//! here would be in the wrong place.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use jiff::{Timestamp, tz::TimeZone};
use parking_lot::RwLock;
use wallcast_compositor::{
    AccessUnit, Caption, ColorMatrix, ColorRange, Fit, PictureView, Placement, Shown, Sink, TileSource,
    TileState, WallView,
};
use wallcast_ingest::{AlignedTile, Alignment, CameraView, Frame, OnWall, TileSize};
use wallcast_webrtc::{Source, SourceFrame};

use crate::rtsp::Mount;

/// How large a camera is shown there.
pub fn tile_size(placement: &Placement) -> TileSize {
    let (width, height) = placement.picture_size();
    match placement.fit() {
        Fit::Contain => TileSize::new(width, height),
        Fit::Cover | Fit::Stretch => TileSize::filled(width, height),
    }
}

/// A camera as a tile of one wall.
pub struct CameraTile {
    name: String,
    pictures: Pictures,
    black_after: Duration,
    size: TileSize,
    zone: TimeZone,
    /// The camera is ready to be looked at for as long as there is this tile.
    _on_wall: OnWall,
}

/// Which of a camera's pictures.
enum Pictures {
    Newest(CameraView),
    InStep(AlignedTile),
}

impl CameraTile {
    /// Shows `camera` at a place of this size, and black once its last decoded frame is `black_after` old; in step with
    /// the other tiles of `alignment`, if there is one.
    pub fn new(
        camera: CameraView,
        black_after: Duration,
        size: TileSize,
        alignment: Option<&Arc<Alignment>>,
    ) -> Self {
        let _on_wall = camera.put_on_wall(Instant::now(), size);
        let name = camera.name().to_owned();
        let pictures = match alignment {
            Some(alignment) => Pictures::InStep(alignment.tile(&camera)),
            None => Pictures::Newest(camera),
        };
        Self { name, pictures, black_after, size, zone: TimeZone::system(), _on_wall }
    }

    /// Its number in the alignment's figures.
    pub fn place(&self) -> Option<usize> {
        match &self.pictures {
            Pictures::Newest(_) => None,
            Pictures::InStep(tile) => Some(tile.place()),
        }
    }
}

impl TileSource for CameraTile {
    fn show(&mut self, now: Instant, paint: &mut dyn FnMut(Shown<'_>)) {
        let tile = match &mut self.pictures {
            Pictures::Newest(camera) => camera.tile(now, self.black_after, self.size),
            Pictures::InStep(tile) => tile.tile(now, self.black_after, self.size),
        };
        let picture = tile.frame.as_deref().map(|frame| PictureView {
            width: frame.width(),
            height: frame.height(),
            planes: [frame.plane(0), frame.plane(1), frame.plane(2)],
            strides: [frame.stride(0), frame.stride(1), frame.stride(2)],
            sample_aspect: frame.sample_aspect_ratio(),
            matrix: match frame.matrix() {
                wallcast_ingest::ColorMatrix::Bt601 => ColorMatrix::Bt601,
                wallcast_ingest::ColorMatrix::Bt709 => ColorMatrix::Bt709,
                wallcast_ingest::ColorMatrix::Bt2020 => ColorMatrix::Bt2020,
            },
            range: match frame.range() {
                wallcast_ingest::ColorRange::Limited => ColorRange::Limited,
                wallcast_ingest::ColorRange::Full => ColorRange::Full,
            },
            generation: frame.sequence(),
        });
        let status = &tile.status;
        let taken = status.age.and_then(|age| SystemTime::now().checked_sub(age));
        let caption = Caption {
            name: &self.name,
            state: match status.state {
                wallcast_ingest::TileState::Connecting => TileState::Connecting,
                wallcast_ingest::TileState::Live => TileState::Live,
                wallcast_ingest::TileState::Holding => TileState::Holding,
                wallcast_ingest::TileState::Offline => TileState::Offline,
            },
            reason: status.reason.as_ref().map(|reason| reason as &dyn std::fmt::Display),
            age: status.age,
            taken,
            utc_offset_s: taken.map_or(0, |taken| utc_offset_s(&self.zone, taken)),
        };
        // A tile in step shows what is held back for it, and its wall looks back further or less far instead.
        let came = match &self.pictures {
            Pictures::Newest(_) => tile.frame.as_deref().map(Frame::decoded_at),
            Pictures::InStep(_) => None,
        };
        paint(Shown { picture, caption: Some(caption), came });
    }
}

/// By how much clocks in a time zone were ahead of UTC at a moment: daylight saving comes and goes while a wall runs.
fn utc_offset_s(zone: &TimeZone, at: SystemTime) -> i32 {
    Timestamp::try_from(at).map_or(0, |at| zone.to_offset(at).seconds())
}

/// The cameras that one wall shows, each with the size it is shown in. Clones tell of the same wall.
#[derive(Clone, Default)]
pub struct Watched(Arc<RwLock<Vec<(CameraView, TileSize)>>>);

impl Watched {
    /// Now it shows these, in any order.
    pub fn set(&self, cameras: impl IntoIterator<Item = (CameraView, TileSize)>) {
        *self.0.write() = cameras.into_iter().collect();
    }

    #[cfg(test)]
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.read().iter().map(|(camera, _)| camera.name().to_owned()).collect()
    }

    /// Somebody is about to watch the wall: by the time the viewer is connected, its pictures are there.
    pub fn wake(&self) {
        let now = Instant::now();
        self.0.read().iter().for_each(|(camera, size)| camera.wake(now, *size));
    }
}

/// Hands the access units of one of a wall's renditions to its WebRTC peers.
pub struct WebRtcSink {
    /// What the peers watch.
    pub source: Arc<Source>,
    /// Which of its renditions this is.
    pub rendition: usize,
    /// Whether its viewers may have to be content with half of the pictures.
    pub halves: bool,
}

impl Sink for WebRtcSink {
    fn is_wanted(&self) -> bool {
        self.source.is_wanted(self.rendition)
    }

    fn deliver(&self, unit: &AccessUnit) {
        let frame = SourceFrame {
            data: unit.data.clone(),
            key: unit.key,
            rtp_time: unit.canvas_time.as_rtp_90khz(),
            captured: unit.composed_at,
        };
        self.source.push(self.rendition, &frame);
    }

    fn rendition(&self) -> usize {
        self.rendition
    }

    fn wants_halves(&self) -> bool {
        self.halves
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
pub struct KeyFrameRequester {
    wall: Arc<OnceLock<WallView>>,
    cameras: Watched,
}

impl KeyFrameRequester {
    /// Whoever needs a key frame is about to watch, so a request wakes these cameras too.
    pub fn waking(cameras: Watched) -> Self {
        Self { cameras, ..Self::default() }
    }

    /// From now on requests go to `wall`. The wall's first frame is a key frame anyway, so none is lost before.
    pub fn connect(&self, wall: WallView) {
        let _already_connected = self.wall.set(wall);
    }

    /// The callback that outputs of the wall's own rendition are given.
    pub fn callback(&self) -> Box<dyn Fn() + Send + Sync> {
        self.callback_of(0)
    }

    /// The callback that outputs of one of its renditions are given: 0 is the wall's own.
    pub fn callback_of(&self, rendition: usize) -> Box<dyn Fn() + Send + Sync> {
        let requester = self.clone();
        Box::new(move || {
            requester.cameras.wake();
            if let Some(wall) = requester.wall.get() {
                wall.request_key_frame_of(rendition);
            }
        })
    }
}
