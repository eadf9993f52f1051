//! Cisco's OpenH264: constrained baseline, for watching and not for keeping.
//!
//! What it does by itself, checked by the tests: profile_idc 66 with constraint_set0 and constraint_set1 (so no
//! FMO, ASO or redundant slices: constrained baseline, H.264 section A.2.1.1), no B slices, one reference picture, and
//! a VUI with `max_num_reorder_frames` 0, so that a player shows a picture as soon as it has it. SPS and PPS precede
//! every IDR.
//!
//! What it does not do by itself is to keep within a buffer. After a picture that stood still and is as good as it gets,
//! the first one of another scene comes out at nearly the same fine quantiser: three seconds of the bitrate at once. So
//! every access unit is put into a leaky [`Bucket`]; its target is lowered while much is in there, and one that would make
//! the bucket run over is encoded again as an IDR, for which rate control chooses its quantiser anew. Viewers never see
//! the first attempt, and an IDR needs nothing of what was before.

mod bucket;
#[allow(unsafe_code, reason = "OpenH264's C++ interface")]
mod raw;

use self::bucket::Bucket;
use self::raw::{Coded, Raw, RawError};
use super::{Encode, EncodeError, Encoded, EncoderConfig, Level, OpenError, threads};
use crate::canvas::Canvas;
use crate::geometry::Bitrate;
use crate::tick::CanvasTime;
use bytes::Bytes;
use openh264_sys2::{
    CAMERA_VIDEO_REAL_TIME, CONSTANT_ID, ELevelIdc, LOW_COMPLEXITY, PRO_BASELINE, RC_BITRATE_MODE,
    SEncParamExt, SM_FIXEDSLCNUM_SLICE, SM_SINGLE_SLICE,
};
use std::ffi::c_int;

/// The name shown in errors and statistics.
const NAME: &str = "openh264";
/// How often a canvas is encoded again at the most. An IDR after a cut is quantised by what IDRs were like before it; the
/// next one knows better.
const MOST_AGAIN: usize = 2;

/// An encoder for one stream of canvases.
pub struct OpenH264 {
    config: EncoderConfig,
    /// Of the bitrate that it was opened with.
    level: Level,
    raw: Raw,
    bucket: Bucket,
    /// What `raw` was last told to aim at.
    target: u32,
}

impl OpenH264 {
    /// Opens an encoder. Its first access unit is an IDR.
    pub fn new(config: EncoderConfig) -> Result<OpenH264, OpenError> {
        OpenH264::with_threads(config, threads::here(config))
    }

    fn with_threads(config: EncoderConfig, threads: u16) -> Result<OpenH264, OpenError> {
        let level = Level::of(config.size, config.fps, config.bitrate);
        let bucket = Bucket::new(config.bitrate);
        match Raw::open(|parameters| set(parameters, config, level, threads)) {
            Ok(raw) => Ok(OpenH264 { config, level, raw, bucket, target: config.bitrate.bps() }),
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
        let coded = self.encode_until_it_fits(canvas, force_idr, time).map_err(|source| {
            EncodeError::Failed { encoder: NAME, tick: time.tick(), source: source.into() }
        })?;
        self.bucket.pour(coded.as_ref().map_or(0, |coded| coded.data.len()));
        Ok(coded.map(|Coded { data, is_idr }| Encoded { data: Bytes::from(data), key: is_idr }))
    }

    /// The level that its stream declares.
    pub fn level(&self) -> Level {
        self.level
    }

    fn encode_until_it_fits(
        &mut self,
        canvas: &Canvas,
        force_idr: bool,
        time: CanvasTime,
    ) -> Result<Option<Coded>, RawError> {
        self.bucket.flow(time.as_duration());
        let target = self.bucket.target();
        if target != self.target && self.raw.set_bitrate(target, most(self.config.bitrate)) {
            self.target = target;
        }
        if force_idr {
            self.raw.force_idr();
        }
        let mut coded = self.raw.encode(canvas, time.as_duration())?;
        for _ in 0..MOST_AGAIN {
            if coded.as_ref().is_none_or(|coded| self.bucket.fits(coded.data.len())) {
                break;
            }
            self.raw.force_idr();
            coded = self.raw.encode(canvas, time.as_duration())?;
        }
        Ok(coded)
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
        let done = self.raw.set_bitrate(bitrate.bps(), most(bitrate));
        if done {
            self.config.bitrate = bitrate;
            self.target = bitrate.bps();
            self.bucket.set_bitrate(bitrate);
        }
        done
    }

    fn name(&self) -> &'static str {
        NAME
    }
}

/// The encoder's own limit: the targets that a [`Bucket`] asks for stay below it.
fn most(bitrate: Bitrate) -> u32 {
    bitrate.bps() / 10 * 11
}

/// What a wall wants of OpenH264's defaults to be otherwise.
fn set(parameters: &mut SEncParamExt, config: EncoderConfig, level: Level, threads: u16) {
    let int = |number: u32| c_int::try_from(number).unwrap_or(c_int::MAX);
    let (width, height) = (int(config.size.width()), int(config.size.height()));
    let fps = config.fps.get() as f32;
    parameters.iUsageType = CAMERA_VIDEO_REAL_TIME;
    parameters.iPicWidth = width;
    parameters.iPicHeight = height;
    parameters.fMaxFrameRate = fps;
    parameters.iRCMode = RC_BITRATE_MODE;
    parameters.iTargetBitrate = int(config.bitrate.bps());
    parameters.iMaxBitrate = int(most(config.bitrate));
    // Its debts would be those of attempts that nobody saw; the bucket keeps the true ones.
    parameters.bFixRCOverShoot = false;
    // A lower limit of 0 counts as unset and makes the upper one 42, which misses the bitrate on noise at night.
    (parameters.iMinQp, parameters.iMaxQp) = (12, 51);
    // Left to skip, it may leave out a hundred pictures before it obeys a key frame request (openh264#1424).
    parameters.bEnableFrameSkip = false;
    // Finding what stands still makes real footage 2.5 times cheaper and a third of the size, noise a little dearer.
    parameters.bEnableBackgroundDetection = true;
    parameters.bEnableAdaptiveQuant = true;
    parameters.bEnableDenoise = false;
    parameters.bEnableLongTermReference = false;
    parameters.iComplexityMode = LOW_COMPLEXITY;
    // The wall counts its own IDR period; one that the encoder chose by itself would be one too many.
    parameters.uiIntraPeriod = 0;
    parameters.bEnableSceneChangeDetect = false;
    parameters.eSpsPpsIdStrategy = CONSTANT_ID;
    parameters.iTemporalLayerNum = 1;
    parameters.iSpatialLayerNum = 1;
    parameters.iMultipleThreadIdc = threads;
    let layer = &mut parameters.sSpatialLayers[0];
    layer.iVideoWidth = width;
    layer.iVideoHeight = height;
    layer.fFrameRate = fps;
    layer.iSpatialBitrate = int(config.bitrate.bps());
    layer.iMaxSpatialBitrate = int(most(config.bitrate));
    layer.uiProfileIdc = PRO_BASELINE;
    // Its constants are H.264's own numbers, but for level 1b.
    layer.uiLevelIdc = ELevelIdc::from(level.idc());
    layer.sSliceArgument.uiSliceMode = if threads > 1 { SM_FIXEDSLCNUM_SLICE } else { SM_SINGLE_SLICE };
    layer.sSliceArgument.uiSliceNum = threads.into();
    // Limited range, and 1 for the primaries, the transfer and the matrix of BT.709 (tables E-3 to E-5).
    layer.bVideoSignalTypePresent = true;
    layer.bFullRange = false;
    layer.bColorDescriptionPresent = true;
    layer.uiColorPrimaries = 1;
    layer.uiTransferCharacteristics = 1;
    layer.uiColorMatrix = 1;
}

#[cfg(test)]
mod tests;
