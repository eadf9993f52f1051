//! Other pixel formats (4:2:2, 4:4:4, 10 bits, …) to planar 4:2:0 with 8 bits, by libswscale.

use std::ptr;

use ffmpeg_next::ffi;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;

use super::Picture;

/// Pictures that may be in use at a time: one being written, one in the cache, one being looked at, one spare.
const POOL: usize = 4;

/// Converts frames, and recycles the pictures it made once nobody looks at them any more.
pub(crate) struct Converter {
    /// Owned; null until the first conversion.
    context: *mut ffi::SwsContext,
    /// Format and size that `context` was made for. Kept here, because `sws_getCachedContext` does not recognise
    /// the "J" formats again and would make a new context for every frame.
    made_for: Option<(Pixel, u32, u32)>,
    pool: Vec<Video>,
}

/// A conversion that libswscale cannot do, or memory that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot convert pictures of the pixel format {from:?} to 4:2:0 with 8 bits")]
pub(crate) struct ConvertError {
    from: Pixel,
}

impl Converter {
    pub(crate) fn new() -> Self {
        Self { context: ptr::null_mut(), made_for: None, pool: Vec::new() }
    }

    /// Converts one frame. Matrix and range stay what they were: only the sampling and the depth change.
    pub(crate) fn convert(&mut self, from: &Video) -> Result<Picture, ConvertError> {
        let error = ConvertError { from: from.format() };
        let to = self.writable(from.width(), from.height()).ok_or(error)?;
        self.prepare(from).ok_or(error)?;
        let mut handed_out = Video::empty();
        let Some(target) = self.pool.get_mut(to) else { return Err(error) };
        // SAFETY: both frames are valid and own buffers of the formats and sizes the context was made for in
        // `prepare`; `target` is writable (nobody else refers to it), and `handed_out` is an empty frame.
        let done = unsafe {
            let (source, target) = (from.as_ptr(), target.as_mut_ptr());
            ffi::sws_scale(
                self.context,
                (*source).data.as_ptr().cast(),
                (*source).linesize.as_ptr(),
                0,
                (*source).height,
                (*target).data.as_ptr(),
                (*target).linesize.as_ptr(),
            ) == (*source).height
                && ffi::av_frame_ref(handed_out.as_mut_ptr(), target) >= 0
        };
        done.then(|| Picture::new(handed_out)).flatten().ok_or(error)
    }

    /// The place of a picture in the pool that nobody looks at.
    fn writable(&mut self, width: u32, height: u32) -> Option<usize> {
        self.pool.retain(|known| (known.width(), known.height()) == (width, height));
        let free = self.pool.iter_mut().position(|known| {
            // SAFETY: the pool's frames are valid and owned by it; the call reads reference counts only.
            unsafe { ffi::av_frame_is_writable(known.as_mut_ptr()) == 1 }
        });
        if free.is_some() {
            return free;
        }
        if self.pool.len() == POOL {
            self.pool.remove(0);
        }
        let fresh = Video::new(Pixel::YUV420P, width, height);
        // SAFETY: the frame is valid; `buf[0]` says whether `av_frame_get_buffer` found memory.
        let has_memory = unsafe { !(*fresh.as_ptr()).buf[0].is_null() };
        has_memory.then(|| {
            self.pool.push(fresh);
            self.pool.len() - 1
        })
    }

    /// Makes or keeps the context for this format and size.
    #[allow(clippy::unnecessary_cast, reason = "the constants' types differ between versions of FFmpeg")]
    fn prepare(&mut self, from: &Video) -> Option<()> {
        let wanted = (from.format(), from.width(), from.height());
        if self.made_for == Some(wanted) {
            return Some(());
        }
        self.made_for = None;
        let (width, height) = (i32::try_from(from.width()).ok()?, i32::try_from(from.height()).ok()?);
        // SAFETY: `context` is null (a no-op to free) or ours, and replaced at once. The coefficient tables are
        // static. Null filters and parameters mean none.
        unsafe {
            ffi::sws_freeContext(self.context);
            self.context = ffi::sws_getContext(
                width,
                height,
                from.format().into(),
                width,
                height,
                Pixel::YUV420P.into(),
                ffi::SWS_BILINEAR as i32,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null(),
            );
            if self.context.is_null() {
                return None;
            }
            // Same range on both sides, or libswscale squeezes the "J" formats' full range; 1 << 16 is "as it is".
            let table = ffi::sws_getCoefficients(ffi::SWS_CS_DEFAULT as i32);
            ffi::sws_setColorspaceDetails(self.context, table, 0, table, 0, 0, 1 << 16, 1 << 16);
        }
        self.made_for = Some(wanted);
        Some(())
    }
}

impl Drop for Converter {
    fn drop(&mut self) {
        // SAFETY: the context is null (a no-op) or ours, and not used again.
        unsafe { ffi::sws_freeContext(self.context) };
    }
}
