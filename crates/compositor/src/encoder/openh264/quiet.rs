//! Keeps OpenH264 from writing to stderr.
//!
//! The crate turns its log off only after opening it, and opening it warns about every setting that is on purpose.

use openh264::encoder::Encoder;
use openh264_sys2::{ENCODER_OPTION_TRACE_LEVEL, WELS_LOG_QUIET};

/// Turns the encoder's own log off. What goes wrong is still said by what its functions return.
pub(super) fn silence(encoder: &mut Encoder) {
    let mut level = WELS_LOG_QUIET;
    // SAFETY: the option reads one `int` through the pointer and keeps none; it may be set at any time, also before
    // the encoder is opened, and nothing else relies on it.
    unsafe { encoder.raw_api().set_option(ENCODER_OPTION_TRACE_LEVEL, (&raw mut level).cast()) };
}
