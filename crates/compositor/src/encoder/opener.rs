//! Opens a wall's encoder, the first one and every one after a failure.

use super::{Encode, EncoderChoice, EncoderConfig, OpenError, OpenH264};

/// What opens the encoders of one wall, one after the other.
#[derive(Debug)]
pub(crate) struct Opener {
    choice: EncoderChoice,
}

impl Opener {
    /// For a wall that is to use `choice`.
    pub(crate) fn new(choice: EncoderChoice) -> Opener {
        Opener { choice }
    }

    /// Opens an encoder. Its first access unit is an IDR.
    pub(crate) fn open(&mut self, config: EncoderConfig) -> Result<Box<dyn Encode>, OpenError> {
        match self.choice {
            EncoderChoice::Auto | EncoderChoice::OpenH264 => Ok(Box::new(OpenH264::new(config)?)),
            choice => Err(OpenError {
                encoder: choice.as_str(),
                config,
                source: "this build does not have it".into(),
            }),
        }
    }
}
