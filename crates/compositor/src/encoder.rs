//! Canvases in, H.264 access units out. What a wall asks of an encoder, and what it says about its stream.
//!
//! When a key frame is due is not decided here but in `key_frames`; who gets the stream is in [`crate::wall`].

mod level;
mod openh264;
#[cfg(test)]
mod sps;

pub use self::level::Level;
pub use self::openh264::{EncodeError, EncoderConfig, OpenError, OpenH264};

use crate::canvas::Canvas;
use crate::tick::CanvasTime;
use bytes::Bytes;

/// One coded canvas.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// An Annex B byte stream; an IDR comes with the SPS and PPS before it.
    pub data: Bytes,
    /// Whether it is an IDR.
    pub key: bool,
}

/// The seam between a wall and what encodes for it. The tests put a failing encoder here; FFmpeg's follow.
pub(crate) trait Encode: Send {
    /// `None` where the encoder left this canvas out.
    fn encode(
        &mut self,
        canvas: &Canvas,
        force_idr: bool,
        time: CanvasTime,
    ) -> Result<Option<Encoded>, EncodeError>;

    /// The name shown in statistics.
    fn name(&self) -> &'static str;
}
