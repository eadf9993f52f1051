//! Opens an encoder that may never answer: on a thread of its own, with a time limit, and with a test picture.
//!
//! A driver can hang where it opens as well as at its first picture, and one that opens need not encode. The thread of one
//! that hangs cannot be ended; it is left behind, named `try-<encoder>`, and lets its encoder go should it ever come back.

use super::{Encode, EncoderConfig};
use crate::canvas::Canvas;
use crate::tick::CanvasTime;
use std::error::Error as StdError;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use thiserror::Error;

type AnyError = Box<dyn StdError + Send + Sync>;

/// Canvases that an encoder may hold back before its first access unit.
const PATIENCE: u64 = 4;

/// Why an encoder that may exist was not taken.
#[derive(Debug, Error)]
pub(super) enum TrialError {
    #[error("found no answer within {0:?}, expected its driver to open it and to encode a test picture")]
    Hangs(Duration),
    #[error("found no access unit after {PATIENCE} test pictures")]
    Silent,
    #[error("found a first access unit that is no IDR")]
    NoIdr,
    #[error("its thread did not start")]
    Thread(#[source] std::io::Error),
    #[error("it panicked")]
    Panicked,
    /// What the encoder says; its type is the encoder's own business.
    #[error(transparent)]
    Refused(AnyError),
}

/// Opens with `open`, encodes a test picture, and opens again: rate control must not learn from a test picture what a key
/// frame costs. All of that within `limit`.
pub(super) fn tried<E: Encode + 'static>(
    name: &'static str,
    config: EncoderConfig,
    limit: Duration,
    open: impl Fn() -> Result<E, AnyError> + Send + 'static,
) -> Result<E, TrialError> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name(format!("try-{name}")).spawn(move || {
        let opened = open().map_err(TrialError::Refused).and_then(|mut encoder| {
            encode_one(&mut encoder, config)?;
            drop(encoder);
            open().map_err(TrialError::Refused)
        });
        // Nobody may wait any more.
        let _ = sender.send(opened);
    });
    let thread = thread.map_err(TrialError::Thread)?;
    match receiver.recv_timeout(limit) {
        Ok(opened) => {
            // It has nothing left to do but to end.
            let _ = thread.join();
            opened
        }
        Err(RecvTimeoutError::Timeout) => Err(TrialError::Hangs(limit)),
        Err(RecvTimeoutError::Disconnected) => Err(TrialError::Panicked),
    }
}

fn encode_one(encoder: &mut impl Encode, config: EncoderConfig) -> Result<(), TrialError> {
    let canvas = Canvas::black(config.size);
    for tick in 0..PATIENCE {
        let time = CanvasTime::new(tick, config.fps);
        let unit = encoder.encode(&canvas, false, time).map_err(|error| TrialError::Refused(error.into()))?;
        if let Some(unit) = unit {
            return if unit.key { Ok(()) } else { Err(TrialError::NoIdr) };
        }
    }
    Err(TrialError::Silent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::{EncodeError, Encoded};
    use crate::geometry::{Bitrate, CanvasSize, FrameRate};
    use bytes::Bytes;

    /// Gives units with these `key`s, and nothing where there is none.
    struct Gives(Vec<Option<bool>>);

    impl Encode for Gives {
        fn encode(&mut self, _: &Canvas, _: bool, _: CanvasTime) -> Result<Option<Encoded>, EncodeError> {
            Ok(self.0.remove(0).map(|key| Encoded { data: Bytes::new(), key }))
        }

        fn set_bitrate(&mut self, _: Bitrate) -> bool {
            false
        }

        fn name(&self) -> &'static str {
            "test"
        }
    }

    const LIMIT: Duration = Duration::from_secs(20);

    fn config() -> EncoderConfig {
        let size = CanvasSize::new(64, 64).expect("a valid size");
        EncoderConfig { size, fps: FrameRate::DEFAULT, bitrate: Bitrate::DEFAULT }
    }

    fn outcome(gives: Vec<Option<bool>>) -> Result<(), TrialError> {
        tried("test", config(), LIMIT, move || Ok(Gives(gives.clone()))).map(drop)
    }

    #[test]
    fn one_that_encodes_is_taken_fresh() {
        let mut encoder =
            tried("test", config(), LIMIT, || Ok(Gives(vec![None, Some(true)]))).expect("taken");
        let time = CanvasTime::new(0, FrameRate::DEFAULT);
        let first = encoder.encode(&Canvas::black(config().size), false, time).expect("encodes");
        assert!(first.is_none(), "it has seen no test picture");
    }

    #[test]
    fn one_that_opens_and_does_not_encode_is_not_taken() {
        assert!(matches!(outcome(vec![None; 4]), Err(TrialError::Silent)));
        assert!(matches!(outcome(vec![Some(false)]), Err(TrialError::NoIdr)));
        assert!(matches!(outcome(vec![]), Err(TrialError::Panicked)));
    }

    #[test]
    fn one_that_hangs_is_given_up() {
        let (let_go, held) = mpsc::channel::<()>();
        let held = std::sync::Mutex::new(held);
        let limit = Duration::from_millis(50);
        let hangs = move || -> Result<Gives, AnyError> {
            let _ = held.lock().map(|held| held.recv());
            Err("too late".into())
        };
        let error = tried("test", config(), limit, hangs).map(drop).expect_err("given up");
        assert!(matches!(error, TrialError::Hangs(after) if after == limit), "{error}");
        drop(let_go);
    }
}
