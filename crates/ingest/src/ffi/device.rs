//! Devices that decode, and pictures in their memory (libavutil's hwcontext).

use std::ffi::CStr;
use std::ptr;

use ffmpeg_next::Error;
use ffmpeg_next::codec::Context;
use ffmpeg_next::ffi;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;

/// An opened device, shared by the decoders of all cameras: a CUDA context of its own for each would cost hundreds of
/// megabytes.
#[derive(Debug)]
pub(crate) struct Device {
    /// Owned, never null.
    context: *mut ffi::AVBufferRef,
}

// SAFETY: an `AVBufferRef` is owned by whoever holds it and counts its references atomically; the `AVHWDeviceContext` behind
// it is made for several decoders in several threads (libavutil/hwcontext.h: "the device context may be shared").
unsafe impl Send for Device {}
// SAFETY: as above; through a shared reference only `av_buffer_ref` is called, which changes the count alone.
unsafe impl Sync for Device {}

impl Device {
    /// The first device of this kind that works, by libavutil's name for the kind ("vaapi", "cuda").
    pub(crate) fn open(kind: &CStr) -> Result<Self, Error> {
        let mut context = ptr::null_mut();
        // SAFETY: `kind` ends with a zero; `context` is a valid place for the new reference, null names and options mean
        // the defaults. An unknown kind is AV_HWDEVICE_TYPE_NONE, which libavutil refuses.
        let result = unsafe {
            let kind = ffi::av_hwdevice_find_type_by_name(kind.as_ptr());
            ffi::av_hwdevice_ctx_create(&raw mut context, kind, ptr::null(), ptr::null_mut(), 0)
        };
        match result {
            error if error < 0 => Err(Error::from(error)),
            _ if context.is_null() => Err(Error::Unknown),
            _ => Ok(Self { context }),
        }
    }

    /// Makes a decoder that is not open yet use this device where it can: libavcodec's own choice of the pixel format
    /// (`avcodec_default_get_format`) then prefers the device's, and takes a software format if the device cannot
    /// decode the stream.
    pub(crate) fn attach(&self, context: &mut Context) {
        // SAFETY: `context` is a valid codec context that owns `hw_device_ctx` and frees it; a fresh one has none.
        unsafe {
            let context = context.as_mut_ptr();
            ffi::av_buffer_unref(&raw mut (*context).hw_device_ctx);
            (*context).hw_device_ctx = ffi::av_buffer_ref(self.context);
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: the reference is ours and not used again.
        unsafe { ffi::av_buffer_unref(&raw mut self.context) };
    }
}

/// Whether a frame's picture is in a device's memory.
pub(crate) fn is_on_device(frame: &Video) -> bool {
    // SAFETY: the frame is valid and only read.
    unsafe { !(*frame.as_ptr()).hw_frames_ctx.is_null() }
}

/// How the samples lie in the device's memory.
fn format_on_device(frame: &Video) -> Option<Pixel> {
    // SAFETY: the frame is valid and only read; the data of a frames context's buffer is an `AVHWFramesContext`.
    unsafe {
        let frames = (*frame.as_ptr()).hw_frames_ctx.as_ref()?;
        let frames = frames.data.cast::<ffi::AVHWFramesContext>().as_ref()?;
        Some(Pixel::from(frames.sw_format))
    }
}

/// Copies pictures out of a device's memory, always to the same place.
pub(crate) struct Download {
    staging: Video,
    /// What `staging` was allocated for: the samples' format on the device, width, height.
    made_for: Option<(Pixel, u32, u32)>,
}

impl Download {
    pub(crate) fn new() -> Self {
        Self { staging: Video::empty(), made_for: None }
    }

    /// The picture in the device's own layout of samples (NV12, P010, …), until the next one.
    pub(crate) fn fetch(&mut self, from: &Video) -> Result<&Video, Error> {
        let wanted = (format_on_device(from).ok_or(Error::InvalidData)?, from.width(), from.height());
        if self.made_for != Some(wanted) {
            // An empty frame makes libavutil choose the format and allocate.
            self.staging = Video::empty();
            self.made_for = None;
        }
        // SAFETY: both frames are valid; `from` has a frames context, `staging` is empty or has the buffers libavutil gave
        // it for a picture of the same format and size.
        let result = unsafe { ffi::av_hwframe_transfer_data(self.staging.as_mut_ptr(), from.as_ptr(), 0) };
        if result < 0 {
            self.made_for = None;
            return Err(Error::from(result));
        }
        self.made_for = Some(wanted);
        Ok(&self.staging)
    }
}
