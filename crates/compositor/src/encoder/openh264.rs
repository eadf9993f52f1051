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
//!
//! That helps after a cut. It does not where a bitrate is too low for the pictures: IDRs are never quantised by more than
//! 37, P pictures by up to 51. There the P picture is sent as it is, and canvases are left out until the bucket no longer
//! runs over: fewer pictures a second, not a growing delay.
//!
//! In two temporal layers every second picture is one that no other refers to. The others refer to one that is twice as far
//! away: that costs everybody 3 to 8 % of the bits of real footage, or 0.2 to 0.9 dB where the bits are given.

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
use std::time::Duration;

/// The name shown in errors and statistics.
const NAME: &str = "openh264";
/// How often a canvas is encoded again at the most. An IDR after a cut is quantised by what IDRs were like before it; the
/// next one knows better.
const MOST_AGAIN: usize = 2;
/// An IDR that is not smaller than this part of the attempt before it is as small as it gets.
const SMALLER: f64 = 0.9;
/// A P picture becomes an IDR at most this often: cuts are rarer, and what comes more often is no cut.
const REPLACED_EVERY: Duration = Duration::from_secs(1);
/// A P picture of fewer canvases' shares of the bitrate than this is no cut.
const FAR_TOO_MANY: f64 = 4.0;
/// The longest time without a picture because of those before. A wall takes two seconds for a failure.
const LEFT_OUT_FOR: Duration = Duration::from_secs(1);

/// An encoder for one stream of canvases.
pub struct OpenH264 {
    config: EncoderConfig,
    /// Of the bitrate that it was opened with.
    level: Level,
    threads: u16,
    raw: Raw,
    /// Whether `raw` makes two layers, and whether the next one is to.
    halves: (bool, bool),
    bucket: Bucket,
    /// What `raw` was last told to aim at.
    target: u32,
    /// When it last gave an access unit.
    given_at: Option<Duration>,
    /// When it last made an IDR of what was a P picture.
    replaced_at: Option<Duration>,
    /// Whether the last canvas was encoded more than once.
    again: bool,
    /// Bytes of the last IDR: what the next one is likely to have, too.
    idr_bytes: usize,
}

impl OpenH264 {
    /// Opens an encoder. Its first access unit is an IDR.
    pub fn new(config: EncoderConfig) -> Result<OpenH264, OpenError> {
        OpenH264::with_threads(config, threads::here(config))
    }

    fn with_threads(config: EncoderConfig, threads: u16) -> Result<OpenH264, OpenError> {
        let level = Level::of(config.size, config.fps, config.bitrate);
        let bucket = Bucket::new(config.bitrate);
        match open(config, level, threads, false) {
            Ok(raw) => Ok(OpenH264 {
                config,
                level,
                threads,
                raw,
                halves: (false, false),
                bucket,
                target: config.bitrate.bps(),
                given_at: None,
                replaced_at: None,
                again: false,
                idr_bytes: 0,
            }),
            Err(source) => Err(OpenError { encoder: NAME, config, source: source.into() }),
        }
    }

    /// Encodes a canvas; an IDR where `force_idr` says so. `None` where the encoder left it out, which it does with many
    /// if the bitrate is too low for them, but not for longer than a second, and not with an asked IDR.
    pub fn encode(
        &mut self,
        canvas: &Canvas,
        force_idr: bool,
        time: CanvasTime,
    ) -> Result<Option<Encoded>, EncodeError> {
        if canvas.size() != self.config.size {
            return Err(EncodeError::Size { found: canvas.size(), expected: self.config.size });
        }
        let at = time.as_duration();
        self.bucket.flow(at);
        if !force_idr && self.leaves_out(at) {
            return Ok(None);
        }
        let coded = self.encode_to_fit(canvas, force_idr, at).map_err(|source| EncodeError::Failed {
            encoder: NAME,
            tick: time.tick(),
            source: source.into(),
        })?;
        if let Some(Coded { data, is_idr }) = &coded {
            self.given_at = Some(at);
            self.bucket.pour(data.len());
            if *is_idr {
                self.idr_bytes = data.len();
            }
        }
        Ok(coded.map(|Coded { data, is_idr }| Encoded { data: Bytes::from(data), key: is_idr }))
    }

    /// The level that its stream declares.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Whether a canvas is left out for what is still to flow off.
    fn leaves_out(&self, at: Duration) -> bool {
        self.bucket.is_over() && self.given_at.is_some_and(|given| at.saturating_sub(given) < LEFT_OUT_FOR)
    }

    fn encode_to_fit(
        &mut self,
        canvas: &Canvas,
        force_idr: bool,
        at: Duration,
    ) -> Result<Option<Coded>, RawError> {
        if (force_idr || self.given_at.is_none()) && self.halves.0 != self.halves.1 {
            self.raw = open(self.config, self.level, self.threads, self.halves.1)?;
            (self.halves.0, self.target) = (self.halves.1, self.config.bitrate.bps());
        }
        let target = self.bucket.target();
        if target != self.target {
            self.raw.set_bitrate(target, most(self.config.bitrate))?;
            self.target = target;
        }
        if force_idr {
            self.raw.force_idr();
        }
        let mut coded = self.raw.encode(canvas, at)?;
        let may_again = !std::mem::take(&mut self.again);
        for _ in 0..MOST_AGAIN {
            let Some(Coded { data, is_idr }) = &coded else { break };
            let (bytes, was_idr) = (data.len(), *is_idr);
            if !may_again || self.bucket.fits(bytes) || !(was_idr || self.is_cut(bytes, at)) {
                break;
            }
            self.again = true;
            self.raw.force_idr();
            coded = self.raw.encode(canvas, at)?;
            if !was_idr {
                self.replaced_at = Some(at);
            } else if coded.as_ref().is_none_or(|coded| coded.data.len() as f64 > SMALLER * bytes as f64) {
                break;
            }
        }
        Ok(coded)
    }

    /// Whether a P picture of so many bytes that does not fit is better replaced by an IDR.
    fn is_cut(&self, bytes: usize, at: Duration) -> bool {
        let share = f64::from(self.config.bitrate.bps()) / 8.0 / f64::from(self.config.fps.get());
        self.bucket.is_low()
            && bytes > self.idr_bytes
            && bytes as f64 > FAR_TOO_MANY * share
            && self.replaced_at.is_none_or(|replaced| at.saturating_sub(replaced) >= REPLACED_EVERY)
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
        if self.raw.set_bitrate(bitrate.bps(), most(bitrate)).is_err() {
            return false;
        }
        self.config.bitrate = bitrate;
        self.target = bitrate.bps();
        self.bucket.set_bitrate(bitrate);
        true
    }

    fn set_halves(&mut self, halves: bool) {
        self.halves.1 = halves;
    }

    fn name(&self) -> &'static str {
        NAME
    }
}

fn open(config: EncoderConfig, level: Level, threads: u16, halves: bool) -> Result<Raw, RawError> {
    Raw::open(config.size, |parameters| {
        set(parameters, config, level, threads);
        parameters.iTemporalLayerNum = if halves { 2 } else { 1 };
    })
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
