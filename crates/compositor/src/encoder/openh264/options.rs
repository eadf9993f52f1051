//! Options of a running OpenH264 that the crate has no function for: how much it writes to stderr, and its bitrate.

use crate::geometry::Bitrate;
use openh264::encoder::Encoder;
use openh264_sys2::{
    ENCODER_OPTION, ENCODER_OPTION_BITRATE, ENCODER_OPTION_MAX_BITRATE, ENCODER_OPTION_TRACE_LEVEL,
    SBitrateInfo, SPATIAL_LAYER_0, SPATIAL_LAYER_ALL, WELS_LOG_QUIET,
};

/// Turns the encoder's own log off: the crate does so only after opening it, and opening it warns about every setting
/// that is on purpose. What goes wrong is still said by what its functions return.
pub(super) fn silence(encoder: &mut Encoder) {
    let mut level = WELS_LOG_QUIET;
    // SAFETY: the option reads one `int` through the pointer and keeps none; it may be set at any time, also before
    // the encoder is opened, and nothing else relies on it.
    unsafe { encoder.raw_api().set_option(ENCODER_OPTION_TRACE_LEVEL, (&raw mut level).cast()) };
}

/// Aims at `next` bits a second instead of `now`. `false` where the encoder refuses, as it does before its first canvas.
pub(super) fn set_bitrate(encoder: &mut Encoder, now: Bitrate, next: Bitrate) -> bool {
    // At every step the maximum must be at least the target, and the target at least its layer's.
    let mut steps = [
        (ENCODER_OPTION_MAX_BITRATE, SPATIAL_LAYER_ALL),
        (ENCODER_OPTION_MAX_BITRATE, SPATIAL_LAYER_0),
        (ENCODER_OPTION_BITRATE, SPATIAL_LAYER_ALL),
        (ENCODER_OPTION_BITRATE, SPATIAL_LAYER_0),
    ];
    if next.bps() < now.bps() {
        steps.reverse();
    }
    steps.into_iter().all(|(option, layer)| set(encoder, option, layer, next))
}

fn set(encoder: &mut Encoder, option: ENCODER_OPTION, layer: i32, bitrate: Bitrate) -> bool {
    let Ok(bps) = i32::try_from(bitrate.bps()) else { return false };
    let mut info = SBitrateInfo { iLayer: layer, iBitrate: bps };
    // SAFETY: both options read one `SBitrateInfo` through the pointer and keep none. Before the encoder is opened they
    // refuse without looking at it.
    unsafe { encoder.raw_api().set_option(option, (&raw mut info).cast()) == 0 }
}
