//! The only unsafe code of this crate: reading libavutil's frames, and libswscale.

mod convert;
mod picture;

pub(crate) use convert::Converter;
pub(crate) use picture::Picture;
