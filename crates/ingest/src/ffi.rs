//! The only unsafe code of this crate: libavutil's frames and devices, and libswscale.

mod convert;
mod device;
mod picture;

pub(crate) use convert::Converter;
pub(crate) use device::{Device, Download, is_on_device};
pub(crate) use picture::Picture;
