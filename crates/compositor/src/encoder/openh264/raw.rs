//! OpenH264's C++ object behind a safe type.
//!
//! The crate `openh264` has one, too, but none that would divide a picture into slices for threads, leave the rate
//! control's debts alone, or be quiet while it opens.

use crate::canvas::Canvas;
use openh264_sys2::source::APILoader;
use openh264_sys2::{
    API, ENCODER_OPTION, ENCODER_OPTION_BITRATE, ENCODER_OPTION_MAX_BITRATE, ENCODER_OPTION_TRACE_LEVEL,
    ISVCEncoder, ISVCEncoderVtbl, SBitrateInfo, SEncParamExt, SFrameBSInfo, SPATIAL_LAYER_0,
    SPATIAL_LAYER_ALL, SSourcePicture, WELS_LOG_QUIET, videoFormatI420, videoFrameTypeIDR,
    videoFrameTypeInvalid, videoFrameTypeSkip,
};
use std::ffi::{c_int, c_void};
use std::time::Duration;
use std::{ptr, slice};
use thiserror::Error;

/// A call that OpenH264 refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("OpenH264's {call} answered {answer}, expected 0")]
pub(super) struct RawError {
    call: &'static str,
    answer: c_int,
}

/// An encoder, open or not yet.
#[derive(Debug)]
pub(super) struct Raw {
    /// What `WelsCreateSVCEncoder` made; ours until it is dropped, never null.
    encoder: *mut ISVCEncoder,
}

// SAFETY: the object is used by whoever owns or mutably borrows this, so by one thread at a time, which is what OpenH264
// asks; its own threads synchronise among themselves and hold nothing of the thread that called.
unsafe impl Send for Raw {}

/// What came of one canvas.
pub(super) struct Coded {
    pub(super) data: Vec<u8>,
    pub(super) is_idr: bool,
}

impl Raw {
    /// Makes one and opens it with what `set` makes of OpenH264's defaults.
    pub(super) fn open(set: impl FnOnce(&mut SEncParamExt)) -> Result<Raw, RawError> {
        let mut encoder = ptr::null_mut();
        // SAFETY: `encoder` is a valid place for the new object's address.
        let answer = unsafe { APILoader::new().WelsCreateSVCEncoder(&raw mut encoder) };
        check("WelsCreateSVCEncoder", answer)?;
        if encoder.is_null() {
            return Err(RawError { call: "WelsCreateSVCEncoder", answer });
        }
        let mut raw = Raw { encoder };
        // Opening it warns about every setting that is on purpose. What goes wrong is still said by what calls answer.
        raw.set_option(ENCODER_OPTION_TRACE_LEVEL, &mut { WELS_LOG_QUIET });
        let mut parameters = SEncParamExt::default();
        let function = raw.table().GetDefaultParams;
        // SAFETY: the object is valid, and `parameters` a valid place that it fills in.
        let answer = function.map_or(-1, |function| unsafe { function(raw.encoder, &raw mut parameters) });
        check("GetDefaultParams", answer)?;
        set(&mut parameters);
        let function = raw.table().InitializeExt;
        // SAFETY: the object is valid and not open; it copies the parameters.
        let answer = function.map_or(-1, |function| unsafe { function(raw.encoder, &raw const parameters) });
        check("InitializeExt", answer)?;
        Ok(raw)
    }

    /// Makes an IDR of the next canvas.
    pub(super) fn force_idr(&mut self) {
        if let Some(function) = self.table().ForceIntraFrame {
            // SAFETY: the object is valid and open.
            unsafe { function(self.encoder, true) };
        }
    }

    /// Encodes a canvas of the size that it was opened for. `None` where it left the canvas out.
    pub(super) fn encode(&mut self, canvas: &Canvas, time: Duration) -> Result<Option<Coded>, RawError> {
        let int = |number: usize| c_int::try_from(number).unwrap_or(c_int::MAX);
        let size = canvas.size();
        let plane = |plane: usize| canvas.plane(plane).as_ptr().cast_mut();
        let picture = SSourcePicture {
            iColorFormat: videoFormatI420,
            iStride: [int(canvas.stride(0)), int(canvas.stride(1)), int(canvas.stride(2)), 0],
            pData: [plane(0), plane(1), plane(2), ptr::null_mut()],
            iPicWidth: int(size.width() as usize),
            iPicHeight: int(size.height() as usize),
            uiTimeStamp: i64::try_from(time.as_millis()).unwrap_or(i64::MAX),
            bPsnrY: false,
            bPsnrU: false,
            bPsnrV: false,
        };
        let mut info = SFrameBSInfo::default();
        let function = self.table().EncodeFrame;
        // SAFETY: the object is valid and open; the picture's planes have the strides and sizes it says, live during the
        // call and are only read; `info` is a valid place that it fills in.
        let answer = function
            .map_or(-1, |function| unsafe { function(self.encoder, &raw const picture, &raw mut info) });
        check("EncodeFrame", answer)?;
        if info.eFrameType == videoFrameTypeSkip || info.eFrameType == videoFrameTypeInvalid {
            return Ok(None);
        }
        let mut data = Vec::with_capacity(usize::try_from(info.iFrameSizeInBytes).unwrap_or_default());
        let layers = usize::try_from(info.iLayerNum).unwrap_or_default();
        for layer in info.sLayerInfo.iter().take(layers) {
            let nals = usize::try_from(layer.iNalCount).unwrap_or_default();
            if nals == 0 || layer.pNalLengthInByte.is_null() || layer.pBsBuf.is_null() {
                continue;
            }
            // SAFETY: a layer has `iNalCount` lengths, and behind `pBsBuf` as many bytes as they add up to; both belong to
            // the encoder and stay until its next call.
            data.extend_from_slice(unsafe {
                let lengths = slice::from_raw_parts(layer.pNalLengthInByte, nals);
                let bytes = lengths.iter().map(|&length| usize::try_from(length).unwrap_or_default()).sum();
                slice::from_raw_parts(layer.pBsBuf, bytes)
            });
        }
        Ok((!data.is_empty()).then_some(Coded { data, is_idr: info.eFrameType == videoFrameTypeIDR }))
    }

    /// Aims at so many bits a second, `most` of them at the most, from the next canvas on.
    pub(super) fn set_bitrate(&mut self, target: u32, most: u32) -> bool {
        // At every step the maximum must be at least the target: it goes out of the way first.
        let steps = [
            (ENCODER_OPTION_BITRATE, SPATIAL_LAYER_ALL, target.min(1_000)),
            (ENCODER_OPTION_MAX_BITRATE, SPATIAL_LAYER_ALL, most),
            (ENCODER_OPTION_MAX_BITRATE, SPATIAL_LAYER_0, most),
            (ENCODER_OPTION_BITRATE, SPATIAL_LAYER_ALL, target),
        ];
        steps.into_iter().all(|(option, layer, bps)| {
            let Ok(bps) = c_int::try_from(bps) else { return false };
            self.set_option(option, &mut SBitrateInfo { iLayer: layer, iBitrate: bps })
        })
    }

    /// Sets an option whose value is a `T`.
    fn set_option<T>(&mut self, option: ENCODER_OPTION, value: &mut T) -> bool {
        let Some(function) = self.table().SetOption else { return false };
        // SAFETY: the object is valid; every caller in this module passes the type that its option reads, and the object
        // keeps no pointer to it. Before it is open, options other than the trace level refuse without looking.
        unsafe { function(self.encoder, option, ptr::from_mut(value).cast::<c_void>()) == 0 }
    }

    fn table(&self) -> &ISVCEncoderVtbl {
        // SAFETY: the object is valid and begins with the address of its table of functions, which is static.
        unsafe { &**self.encoder }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: the object is valid, ours, and not used again. To close one that is not open does nothing.
        unsafe {
            if let Some(function) = self.table().Uninitialize {
                function(self.encoder);
            }
            APILoader::new().WelsDestroySVCEncoder(self.encoder);
        }
    }
}

fn check(call: &'static str, answer: c_int) -> Result<(), RawError> {
    if answer == 0 { Ok(()) } else { Err(RawError { call, answer }) }
}
