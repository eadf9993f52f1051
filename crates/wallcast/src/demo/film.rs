//! What a simulated camera would send, encoded ahead: for measuring, where painting and encoding must cost nothing.

use std::time::{Duration, UNIX_EPOCH};

use wallcast_compositor::encoder::{EncodeError, Encoded, EncoderConfig, OpenError, OpenH264};
use wallcast_compositor::{Canvas, CanvasTime};

use super::test_picture::TestPicture;
use super::{CameraSpec, IDR_EVERY};

/// Why there is no film.
#[derive(Debug, thiserror::Error)]
pub enum FilmError {
    /// The encoder does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It failed at a picture.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// It left a picture out, so that those after it would have the wrong numbers.
    #[error("the encoder left out picture {0}")]
    LeftOut(u64),
}

/// The first `pictures` of a camera whose clock began in 1970: the marks of picture n say [`millis`]. It can be played
/// round and round, because it begins with a key frame.
pub fn encode(spec: CameraSpec, pictures: u64) -> Result<Vec<Encoded>, FilmError> {
    let config = EncoderConfig { size: spec.size, fps: spec.fps, bitrate: spec.bitrate };
    let mut encoder = OpenH264::new(config)?;
    let mut picture = TestPicture::new(spec.number(), spec.size);
    let mut canvas = Canvas::black(spec.size);
    let idr_every = IDR_EVERY.as_secs() * u64::from(spec.fps.get());
    let encode = |number: u64| {
        picture.paint(UNIX_EPOCH + Duration::from_millis(millis(spec, number)));
        for plane in 0..3 {
            canvas.plane_mut(plane).copy_from_slice(picture.planes().plane(plane));
        }
        let time = CanvasTime::new(number, spec.fps);
        let encoded = encoder.encode(&canvas, number.is_multiple_of(idr_every), time)?;
        encoded.ok_or(FilmError::LeftOut(number))
    };
    (0..pictures).map(encode).collect()
}

/// What the marks of a film's picture say.
pub fn millis(spec: CameraSpec, number: u64) -> u64 {
    number * 1_000 / u64::from(spec.fps.get())
}
