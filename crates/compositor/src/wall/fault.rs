//! Why a canvas gave nothing, and who is told.

use super::Stall;
use super::view::{Shared, Told};
use crate::encoder::{EncodeError, OpenError};
use std::any::Any;
use std::error::Error;

/// Each costs a rendition its encoder; a new one is opened.
pub(super) enum Fault {
    Encode(EncodeError),
    Open(OpenError),
    Thread(std::io::Error),
    Panic(Box<dyn Any + Send>),
    Stall(Stall),
}

impl Fault {
    /// Counts it and logs it.
    pub(super) fn tell(&self, shared: &Shared, told: &Told) {
        let (error, text): (&(dyn Error + 'static), _) = match self {
            Fault::Panic(panic) => return shared.note_panic("the encoder", &**panic),
            Fault::Stall(stall) => return tell_stall(*stall, told),
            Fault::Encode(error) => (error, "encoding failed; opening a new encoder"),
            Fault::Open(error) => (error, "no encoder; trying again in a second"),
            Fault::Thread(error) => (error, "no thread for an encoder; trying again in a second"),
        };
        told.meters.lock().encode_errors += 1;
        tracing::error!(error, "{text}");
    }
}

fn tell_stall(stall: Stall, told: &Told) {
    let mut meters = told.meters.lock();
    meters.encoder_stalls += 1;
    meters.stalls_in_a_row = (meters.stalls_in_a_row.0 + 1, Some(stall));
    let (encoder, failure) = (meters.encoder, meters.failure());
    drop(meters);
    match failure {
        None => tracing::error!(encoder, reason = %stall, "the encoder stalled; opening a new one"),
        Some(failure) => tracing::error!(%failure, "found no encoder that works"),
    }
}
