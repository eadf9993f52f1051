//! Whether a wall can go on by itself.

use std::fmt;
use thiserror::Error;

/// How an encoder can stall. It is replaced by a new one every time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stall {
    /// It was not open after 5 s.
    Opening,
    /// It has had a canvas for 2 s (failure P4).
    NoAnswer,
    /// It takes canvases, and has given no access unit for 2 s of them.
    NoUnit,
    /// It has made no key frame of 25 canvases in a row that should have been one (failure W12).
    NoKeyFrame,
}

/// Encoders that stalled one after the other, without a key frame between them: the wall's viewers look at a frozen picture,
/// and a new encoder does not help. The wall goes on trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the encoder {encoder} stalled {times} times in a row; at last {stall}")]
pub struct EncoderFailure {
    /// The encoder's name.
    pub encoder: &'static str,
    /// How the last one stalled.
    pub stall: Stall,
    /// How many in a row, 2 or more.
    pub times: u32,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stall::Opening => "it did not open within 5 s",
            Stall::NoAnswer => "it kept a canvas for 2 s",
            Stall::NoUnit => "it gave no access unit for 2 s of canvases",
            Stall::NoKeyFrame => "it made no key frame of 25 canvases",
        })
    }
}
