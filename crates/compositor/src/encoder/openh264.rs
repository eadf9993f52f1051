//! Cisco's OpenH264 through the crate `openh264`: constrained baseline, one thread, for watching and not for keeping.
//!
//! What it does by itself, checked by the tests: profile_idc 66 with constraint_set0 and constraint_set1 (so no
//! FMO, ASO or redundant slices: constrained baseline, H.264 section A.2.1.1), no B slices, one reference picture, and
//! a VUI with `max_num_reorder_frames` 0, so that a player shows a picture as soon as it has it. SPS and PPS precede
//! every IDR. An IDR gets four times the bits of other pictures (`iIdrBitrateRatio`): about 0.16 s of the bitrate at
//! 25 fps.

#[allow(unsafe_code, reason = "options of OpenH264's C interface that the crate does not offer")]
mod options;

use super::{Encode, EncodeError, Encoded, EncoderConfig, Level, OpenError};
use crate::canvas::Canvas;
use crate::geometry::Bitrate;
use crate::tick::CanvasTime;
use ::openh264::encoder::{
    self as api, BitRate, Complexity, FrameType, IntraFramePeriod, Profile, QpRange, RateControlMode,
    SpsPpsStrategy, UsageType, VuiConfig,
};
use ::openh264::formats::YUVSource;
use ::openh264::{OpenH264API, Timestamp};
use bytes::Bytes;

/// The name shown in errors and statistics.
const NAME: &str = "openh264";

/// An encoder for one stream of canvases.
pub struct OpenH264 {
    config: EncoderConfig,
    /// Of the bitrate that it was opened with.
    level: Level,
    encoder: api::Encoder,
}

impl OpenH264 {
    /// Opens an encoder. Its first access unit is an IDR.
    pub fn new(config: EncoderConfig) -> Result<OpenH264, OpenError> {
        let open = || {
            let mut encoder = api::Encoder::with_api_config(OpenH264API::from_source(), settings(config))?;
            options::silence(&mut encoder);
            Ok::<_, ::openh264::Error>(encoder)
        };
        // OpenH264 looks at its settings only with the first picture. Show one to an encoder that is thrown away: the
        // rate control of the real one must not learn from a black canvas what a key frame costs.
        let tried =
            open().and_then(|mut encoder| encoder.encode(&Source(&Canvas::black(config.size))).map(drop));
        match tried.and_then(|()| open()) {
            Ok(encoder) => {
                Ok(OpenH264 { config, level: Level::of(config.size, config.fps, config.bitrate), encoder })
            }
            Err(source) => Err(OpenError { encoder: NAME, config, source: source.into() }),
        }
    }

    /// Encodes a canvas; an IDR where `force_idr` says so. `None` where the encoder left it out, an asked IDR with it:
    /// ask again with the next one.
    pub fn encode(
        &mut self,
        canvas: &Canvas,
        force_idr: bool,
        time: CanvasTime,
    ) -> Result<Option<Encoded>, EncodeError> {
        if canvas.size() != self.config.size {
            return Err(EncodeError::Size { found: canvas.size(), expected: self.config.size });
        }
        if force_idr {
            self.encoder.force_intra_frame();
        }
        let timestamp = Timestamp::from_millis(time.as_duration().as_millis() as u64);
        let failed = |source: ::openh264::Error| EncodeError::Failed {
            encoder: NAME,
            tick: time.tick(),
            source: source.into(),
        };
        let stream = self.encoder.encode_at(&Source(canvas), timestamp).map_err(failed)?;
        let key = match stream.frame_type() {
            FrameType::Skip | FrameType::Invalid => return Ok(None),
            frame => frame == FrameType::IDR,
        };
        let size = stream.raw_info().iFrameSizeInBytes;
        let mut data = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        stream.write_vec(&mut data);
        Ok((!data.is_empty()).then(|| Encoded { data: Bytes::from(data), key }))
    }

    /// The level that its stream declares.
    pub fn level(&self) -> Level {
        self.level
    }
}

impl Encode for OpenH264 {
    fn encode(
        &mut self,
        canvas: &Canvas,
        force_idr: bool,
        time: CanvasTime,
    ) -> Result<Option<Encoded>, EncodeError> {
        OpenH264::encode(self, canvas, force_idr, time)
    }

    fn set_bitrate(&mut self, bitrate: Bitrate) -> bool {
        // A higher level would have to be in the SPS; a lower one may be there without being needed.
        if Level::of(self.config.size, self.config.fps, bitrate) > self.level {
            return false;
        }
        let done = options::set_bitrate(&mut self.encoder, self.config.bitrate, bitrate);
        if done {
            self.config.bitrate = bitrate;
        }
        done
    }

    fn name(&self) -> &'static str {
        NAME
    }
}

fn settings(config: EncoderConfig) -> api::EncoderConfig {
    api::EncoderConfig::new()
        .bitrate(BitRate::from_bps(config.bitrate.bps()))
        .max_frame_rate(api::FrameRate::from_hz(config.fps.get() as f32))
        .profile(Profile::Baseline)
        .level(to_openh264(Level::of(config.size, config.fps, config.bitrate)))
        .vui(VuiConfig::bt709())
        .rate_control_mode(RateControlMode::Bitrate)
        // A lower limit of 0 counts as unset and makes the upper one 42, which misses the bitrate on noise at night.
        .qp(QpRange::new(12, 51))
        // Left to skip, it may leave out a hundred pictures before it obeys a key frame request (openh264#1424).
        .skip_frames(false)
        // Finding what stands still makes real footage 2.5 times cheaper and a third of the size, noise a little dearer.
        .background_detection(true)
        .usage_type(UsageType::CameraVideoRealTime)
        .complexity(Complexity::Low)
        // The wall counts its own IDR period; one that the encoder chose by itself would be one too many.
        .intra_frame_period(IntraFramePeriod::auto())
        .scene_change_detect(false)
        .sps_pps_strategy(SpsPpsStrategy::ConstantId)
        .num_threads(1)
}

fn to_openh264(level: Level) -> api::Level {
    match level.idc() {
        ..=10 => api::Level::Level_1_0,
        11 => api::Level::Level_1_1,
        12 => api::Level::Level_1_2,
        13 => api::Level::Level_1_3,
        14..=20 => api::Level::Level_2_0,
        21 => api::Level::Level_2_1,
        22 => api::Level::Level_2_2,
        23..=30 => api::Level::Level_3_0,
        31 => api::Level::Level_3_1,
        32 => api::Level::Level_3_2,
        33..=40 => api::Level::Level_4_0,
        41 => api::Level::Level_4_1,
        42 => api::Level::Level_4_2,
        43..=50 => api::Level::Level_5_0,
        51 => api::Level::Level_5_1,
        52.. => api::Level::Level_5_2,
    }
}

/// A canvas in the crate's terms.
struct Source<'a>(&'a Canvas);

impl YUVSource for Source<'_> {
    fn dimensions(&self) -> (usize, usize) {
        (self.0.size().width() as usize, self.0.size().height() as usize)
    }

    fn strides(&self) -> (usize, usize, usize) {
        (self.0.stride(0), self.0.stride(1), self.0.stride(2))
    }

    fn y(&self) -> &[u8] {
        self.0.plane(0)
    }

    fn u(&self) -> &[u8] {
        self.0.plane(1)
    }

    fn v(&self) -> &[u8] {
        self.0.plane(2)
    }
}

#[cfg(test)]
mod tests;
