//! Canvases in, H.264 access units out. What a wall asks of an encoder, and what it says about its stream.
//!
//! When a key frame is due is not decided here but in `key_frames`; who gets the stream is in [`crate::wall`].

mod annex_b;
#[cfg(test)]
mod bucket;
mod choice;
mod ffmpeg;
mod level;
mod opener;
mod openh264;
#[cfg(test)]
mod sps;
#[cfg(test)]
mod testing;
mod threads;
mod trial;

pub use self::choice::{EncoderChoice, UnknownEncoder};
pub use self::level::Level;
pub(crate) use self::opener::Opener;
pub use self::openh264::OpenH264;

use crate::canvas::Canvas;
use crate::geometry::{Bitrate, CanvasSize, FrameRate};
use crate::tick::CanvasTime;
use bytes::Bytes;
use std::error::Error as StdError;
use thiserror::Error;

/// What an encoder is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderConfig {
    /// The canvases' size.
    pub size: CanvasSize,
    /// Canvases a second.
    pub fps: FrameRate,
    /// Bits a second to aim at.
    pub bitrate: Bitrate,
}

/// One coded canvas.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// An Annex B byte stream; an IDR comes with the SPS and PPS before it.
    pub data: Bytes,
    /// Whether it is an IDR.
    pub key: bool,
}

/// An encoder refused to start.
#[derive(Debug, Error)]
#[error("{encoder} does not open for {}x{} at {} fps and {} b/s", config.size.width(), config.size.height(), config.fps.get(), config.bitrate.bps())]
pub struct OpenError {
    /// Its name.
    pub encoder: &'static str,
    /// What it was asked for.
    pub config: EncoderConfig,
    /// What it says; its type is the encoder's own business.
    pub source: Box<dyn StdError + Send + Sync>,
}

/// A canvas was not encoded.
#[derive(Debug, Error)]
pub enum EncodeError {
    /// The canvas is not the size that the encoder was made for.
    #[error("found a canvas of {}x{}, expected {}x{}", found.width(), found.height(), expected.width(), expected.height())]
    Size {
        /// The canvas's size.
        found: CanvasSize,
        /// The encoder's.
        expected: CanvasSize,
    },
    /// The encoder failed.
    #[error("{encoder} failed at tick {tick}")]
    Failed {
        /// Its name.
        encoder: &'static str,
        /// The canvas's tick.
        tick: u64,
        /// What it says; its type is the encoder's own business.
        source: Box<dyn StdError + Send + Sync>,
    },
}

/// The seam between a wall and what encodes for it: OpenH264, FFmpeg's encoders, and in tests one that fails as told.
///
/// An encoder reads no clock. Threads that it has, for slices of a canvas, work during calls alone and end when it is
/// dropped. Whoever owns it limits the time it takes.
pub trait Encode: Send {
    /// Encodes a canvas; an IDR where `force_idr` says so, and as the first one. `None` where the encoder left it out, an
    /// asked IDR perhaps with it: ask again with the next one.
    fn encode(
        &mut self,
        canvas: &Canvas,
        force_idr: bool,
        time: CanvasTime,
    ) -> Result<Option<Encoded>, EncodeError>;

    /// Aims at another bitrate from the next canvas on, without an IDR. `false` where it cannot, or where the stream
    /// would need another level for it: whoever asked opens a new one.
    fn set_bitrate(&mut self, bitrate: Bitrate) -> bool;

    /// Makes every second picture one that no other needs (nal_ref_idc 0), so that whoever is slow can be sent half of
    /// them; or no longer. From the next asked IDR on. An encoder that cannot goes on as it is.
    fn set_halves(&mut self, _halves: bool) {}

    /// The name shown in statistics: `openh264`, `libx264`, `h264_vaapi`.
    fn name(&self) -> &'static str;
}

/// Opens an encoder once. A wall, which opens one again after a failure, keeps an [`Opener`].
pub fn open(choice: EncoderChoice, config: EncoderConfig) -> Result<Box<dyn Encode>, OpenError> {
    Opener::new(choice).open(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoder_of_any_library_can_say_what_went_wrong() {
        let (size, fps, bitrate) = (CanvasSize::FULL_HD, FrameRate::DEFAULT, Bitrate::DEFAULT);
        let open = OpenError {
            encoder: "h264_vaapi",
            config: EncoderConfig { size, fps, bitrate },
            source: std::io::Error::other("no such device").into(),
        };
        assert_eq!(open.to_string(), "h264_vaapi does not open for 1920x1080 at 25 fps and 4000000 b/s");
        assert_eq!(open.source().map(ToString::to_string).as_deref(), Some("no such device"));
        let encode = EncodeError::Failed { encoder: "libx264", tick: 7, source: "out of memory".into() };
        assert_eq!(encode.to_string(), "libx264 failed at tick 7");
        assert_eq!(encode.source().map(ToString::to_string).as_deref(), Some("out of memory"));
    }
}
