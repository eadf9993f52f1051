//! FFmpeg's H.264 encoders, in software and hardware, behind one face.
//!
//! Whichever it is, its stream is constrained baseline without B-frames, SPS and PPS precede every IDR, an IDR comes when
//! it is asked for and never otherwise, each canvas comes back as one access unit before the next is given, and no decoder
//! needs to hold more than 0.45 s of the bitrate (section C.1.1's buffer). How each encoder is told so is in
//! [`family`]; what drivers leave out is put right in [`super::annex_b`].

mod family;
#[allow(unsafe_code, reason = "fields, options and device memory that ffmpeg-next has no function for")]
mod ffi;
mod input;

use self::family::{Family, Setting};
use self::ffi::{DeviceMemory, Fields, Rate};
use self::input::Input;
use super::annex_b::{Repair, StreamError};
use super::{Encode, EncodeError, Encoded, EncoderChoice, EncoderConfig, Level, threads};
use crate::canvas::Canvas;
use crate::geometry::Bitrate;
use crate::tick::CanvasTime;
use bytes::Bytes;
use ffmpeg_next::codec::encoder::video::Encoder as Opened;
use ffmpeg_next::codec::{self, encoder, threading};
use ffmpeg_next::format::Pixel;
use ffmpeg_next::{Error, Packet, color, picture};
use std::sync::Once;
use thiserror::Error as ThisError;

/// Pictures in a device's memory: one being encoded, one it refers to, one being painted, one spare.
const SURFACES: i32 = 4;
/// Longer than any wall goes without an IDR; some drivers take no larger number.
const NEVER: u32 = 36_000;

/// Why one of FFmpeg's encoders cannot be had.
#[derive(Debug, ThisError)]
pub(super) enum FfmpegError {
    #[error("this FFmpeg (libavcodec {}.{}) was built without {encoder}, expected {expected}; `auto` takes an encoder that is there", version / 65_536, version / 256 % 256)]
    NotBuilt { encoder: &'static str, version: u32, expected: &'static str },
    #[error(
        "this FFmpeg's {encoder} refuses {option}={value}, expected FFmpeg 5.1 or later as its authors publish it"
    )]
    Option { encoder: &'static str, option: &'static str, value: &'static str, source: Error },
    #[error("found {found}, expected {expected}; `auto` takes an encoder that works here")]
    Unavailable { found: String, expected: &'static str, source: Error },
    #[error("found no memory for a picture")]
    Memory,
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    Library(#[from] Error),
}

/// One of FFmpeg's encoders for one stream of canvases.
pub(super) struct Ffmpeg {
    family: &'static Family,
    config: EncoderConfig,
    /// Of the bitrate that it was opened with.
    level: Level,
    // Dropped in this order: the encoder first, then the memory that its pictures are in.
    encoder: Opened,
    memory: Option<DeviceMemory>,
    input: Input,
    packet: Packet,
    repair: Repair,
    /// Canvases given. Time in the stream is counted, not told: rate control wants pictures one period apart.
    given: i64,
}

impl Ffmpeg {
    /// Opens it. Its first access unit is an IDR. Opening hardware may take seconds, or for ever: see `trial`.
    pub(super) fn new(choice: EncoderChoice, config: EncoderConfig) -> Result<Ffmpeg, FfmpegError> {
        static QUIET: Once = Once::new();
        QUIET.call_once(|| ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Quiet));
        let not_built = |encoder, expected| {
            let version = codec::version();
            FfmpegError::NotBuilt { encoder, version, expected }
        };
        let Some(family) = Family::of(choice) else {
            return Err(not_built(choice.as_str(), "the name of one of its encoders"));
        };
        if encoder::find_by_name(family.name).is_none() {
            return Err(not_built(family.name, family.expected));
        }
        let mut refusal = FfmpegError::Memory;
        for extra in family.attempts {
            match Ffmpeg::open(family, config, extra) {
                Ok(opened) => return Ok(opened),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    fn open(
        family: &'static Family,
        config: EncoderConfig,
        extra: &[Setting],
    ) -> Result<Ffmpeg, FfmpegError> {
        let size = (config.size.width(), config.size.height());
        let level = Level::of(config.size, config.fps, config.bitrate);
        let found = encoder::find_by_name(family.name).ok_or(Error::EncoderNotFound)?;
        let unavailable =
            |source| FfmpegError::Unavailable { found: family.found(), expected: family.expected, source };
        let threads = if family.device.is_none() { threads::here(config) } else { 1 };

        let mut context = codec::Context::new_with_codec(found).encoder().video()?;
        context.set_width(size.0);
        context.set_height(size.1);
        context.set_format(family.input);
        context.set_time_base((1, config.fps.get() as i32));
        context.set_frame_rate(Some((config.fps.get() as i32, 1)));
        context.set_gop(NEVER);
        context.set_max_b_frames(0);
        context.set_flags(codec::Flags::LOW_DELAY | codec::Flags::CLOSED_GOP);
        // A frame thread would be a frame of delay.
        let mut slices = threading::Config::kind(threading::Type::Slice);
        slices.count = threads.into();
        context.set_threading(slices);
        context.set_color_range(color::Range::MPEG);
        context.set_color_primaries(color::Primaries::BT709);
        context.set_color_transfer_characteristic(color::TransferCharacteristic::BT709);
        context.set_colorspace(color::Space::BT709);
        let rate = rate(config.bitrate);
        let fields = Fields { rate, level_idc: level.idc(), profile: family.profile, slices: threads };
        ffi::configure(&mut context, fields);
        for &(option, value) in family.required.iter().chain(extra) {
            ffi::set_option(&mut context, option, value).map_err(|source| FfmpegError::Option {
                encoder: family.name,
                option,
                value,
                source,
            })?;
        }
        for (option, value) in family.wanted {
            if let Err(error) = ffi::set_option(&mut context, option, value) {
                tracing::debug!(encoder = family.name, option, value, %error, "goes without an option");
            }
        }
        let memory = match family.device {
            Some(kind) => {
                let memory = DeviceMemory::open(kind, Pixel::VAAPI, size, SURFACES).map_err(unavailable)?;
                context.set_format(Pixel::VAAPI);
                memory.attach(&mut context);
                Some(memory)
            }
            None => None,
        };
        let encoder = context.open().map_err(unavailable)?;
        let input = Input::new(family.input, config.size).ok_or(FfmpegError::Memory)?;
        let (packet, repair) = (Packet::empty(), Repair::new(level));
        Ok(Ffmpeg { family, config, level, encoder, memory, input, packet, repair, given: 0 })
    }

    fn give(&mut self, canvas: &Canvas, force_idr: bool) -> Result<Option<Encoded>, FfmpegError> {
        let frame = self.input.paint(canvas).ok_or(FfmpegError::Memory)?;
        frame.set_pts(Some(self.given));
        frame.set_kind(if force_idr || self.given == 0 { picture::Type::I } else { picture::Type::None });
        self.given += 1;
        match &mut self.memory {
            Some(memory) => self.encoder.send_frame(&*memory.upload(frame)?)?,
            None => self.encoder.send_frame(&*frame)?,
        }
        self.take()
    }

    /// The next access unit, if it is ready.
    fn take(&mut self) -> Result<Option<Encoded>, FfmpegError> {
        loop {
            match self.encoder.receive_packet(&mut self.packet) {
                Ok(()) => {}
                Err(Error::Other { errno: ffmpeg_next::util::error::EAGAIN }) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
            let data = self.packet.data().unwrap_or_default();
            if let Some((data, key)) = self.repair.unit(data)? {
                return Ok(Some(Encoded { data: Bytes::from(data), key }));
            }
        }
    }
}

impl Encode for Ffmpeg {
    fn encode(
        &mut self,
        canvas: &Canvas,
        force_idr: bool,
        time: CanvasTime,
    ) -> Result<Option<Encoded>, EncodeError> {
        if canvas.size() != self.config.size {
            return Err(EncodeError::Size { found: canvas.size(), expected: self.config.size });
        }
        self.give(canvas, force_idr).map_err(|source| EncodeError::Failed {
            encoder: self.family.name,
            tick: time.tick(),
            source: source.into(),
        })
    }

    fn set_bitrate(&mut self, bitrate: Bitrate) -> bool {
        let needs = Level::of(self.config.size, self.config.fps, bitrate);
        let can = self.family.changes_bitrate && needs <= self.level;
        if can {
            ffi::change_rate(&mut self.encoder, rate(bitrate));
        }
        can
    }

    fn name(&self) -> &'static str {
        self.family.name
    }
}

fn rate(bitrate: Bitrate) -> Rate {
    let bps = bitrate.bps();
    Rate { bps, buffer_bits: (u64::from(bps) * 45 / 100) as u32 }
}

#[cfg(test)]
mod tests;
