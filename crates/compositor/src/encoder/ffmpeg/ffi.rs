//! What `ffmpeg-next` has no safe function for: fields and options of an encoder's context, and pictures in a device's memory.

use ffmpeg_next::Error;
use ffmpeg_next::codec::encoder::video::{Encoder, Video as Context};
use ffmpeg_next::ffi;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;
use ffmpeg_next::util::error::ENOMEM;
use std::ffi::{CStr, CString, c_int};
use std::ptr;

/// How fast bits may come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) bps: u32,
    /// The decoder's buffer (annex C's CPB) in bits.
    pub(super) buffer_bits: u32,
}

/// Fields of a context that is not open yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    pub(super) rate: Rate,
    pub(super) level_idc: u8,
    pub(super) profile: Option<i32>,
    pub(super) slices: u16,
}

pub(super) fn configure(context: &mut Context, fields: Fields) {
    set_rate(context, fields.rate);
    // SAFETY: the context is valid, not open yet and ours alone; these are plain numbers.
    unsafe {
        let context = context.as_mut_ptr();
        // The buffer begins nearly full, so that the first IDR may be large.
        let full = i64::from(fields.rate.buffer_bits) * 9 / 10;
        (*context).rc_initial_buffer_occupancy = c_int::try_from(full).unwrap_or(c_int::MAX);
        (*context).level = c_int::from(fields.level_idc);
        (*context).refs = 1;
        (*context).slices = c_int::from(fields.slices);
        if let Some(profile) = fields.profile {
            (*context).profile = profile;
        }
    }
}

/// Sets target, maximum and buffer. Encoders that can change them look at these fields before each picture.
fn set_rate(context: &mut ffmpeg_next::codec::Context, rate: Rate) {
    // SAFETY: the context is valid and ours alone, so no encoder's thread reads while this writes; plain numbers.
    unsafe {
        let context = context.as_mut_ptr();
        (*context).bit_rate = i64::from(rate.bps);
        (*context).rc_max_rate = i64::from(rate.bps);
        (*context).rc_buffer_size = c_int::try_from(rate.buffer_bits).unwrap_or(c_int::MAX);
    }
}

/// The same while it runs.
pub(super) fn change_rate(encoder: &mut Encoder, rate: Rate) {
    set_rate(encoder, rate);
}

/// Sets an option of the encoder's own. An error if it does not know the option, or not the value.
pub(super) fn set_option(context: &mut Context, name: &str, value: &str) -> Result<(), Error> {
    let (Ok(name), Ok(value)) = (CString::new(name), CString::new(value)) else {
        return Err(Error::InvalidData);
    };
    // SAFETY: the context is valid; its private data, if there is any, begins with an `AVClass` as `av_opt_set` wants, and
    // the strings end with a zero and are copied.
    let result = unsafe {
        let own = (*context.as_mut_ptr()).priv_data;
        if own.is_null() {
            return Err(Error::OptionNotFound);
        }
        ffi::av_opt_set(own, name.as_ptr(), value.as_ptr(), 0)
    };
    if result < 0 { Err(Error::from(result)) } else { Ok(()) }
}

/// A picture in main memory that nobody else refers to.
pub(super) fn is_writable(frame: &mut Video) -> bool {
    // SAFETY: the frame is valid and ours; the call reads reference counts only.
    unsafe { ffi::av_frame_is_writable(frame.as_mut_ptr()) == 1 }
}

/// A new picture in main memory; none if there is no memory.
pub(super) fn allocate(format: Pixel, width: u32, height: u32) -> Option<Video> {
    let frame = Video::new(format, width, height);
    // SAFETY: the frame is valid and only read; `buf[0]` says whether `av_frame_get_buffer` found memory.
    let has_memory = unsafe { !(*frame.as_ptr()).buf[0].is_null() };
    has_memory.then_some(frame)
}

/// A pool of pictures in a device's memory.
#[derive(Debug)]
pub(super) struct DeviceMemory {
    /// An `AVHWFramesContext`; owned, never null. It keeps its device alive.
    frames: *mut ffi::AVBufferRef,
}

// SAFETY: an `AVBufferRef` is owned by whoever holds it and counts its references atomically; the device behind it may be
// used from any thread, by one at a time (libavutil/hwcontext.h), and `&mut` or ownership is what this type is used with.
unsafe impl Send for DeviceMemory {}

impl DeviceMemory {
    /// Opens the first device of this kind and makes a pool of `count` NV12 pictures.
    pub(super) fn open(
        kind: &CStr,
        surfaces: Pixel,
        size: (u32, u32),
        count: c_int,
    ) -> Result<DeviceMemory, Error> {
        let (Ok(width), Ok(height)) = (c_int::try_from(size.0), c_int::try_from(size.1)) else {
            return Err(Error::InvalidData);
        };
        let mut device = ptr::null_mut();
        // SAFETY: `kind` ends with a zero; `device` is a valid place for a new reference, null names and options mean the
        // defaults. The frames context takes a reference to the device of its own, so that ours is dropped in any case. Its
        // data is an `AVHWFramesContext` that nobody else has yet.
        unsafe {
            let kind = ffi::av_hwdevice_find_type_by_name(kind.as_ptr());
            match ffi::av_hwdevice_ctx_create(&raw mut device, kind, ptr::null(), ptr::null_mut(), 0) {
                error if error < 0 => return Err(Error::from(error)),
                _ => {}
            }
            let frames = ffi::av_hwframe_ctx_alloc(device);
            ffi::av_buffer_unref(&raw mut device);
            if frames.is_null() {
                return Err(Error::Other { errno: ENOMEM });
            }
            let memory = DeviceMemory { frames };
            let context = (*frames).data.cast::<ffi::AVHWFramesContext>();
            (*context).format = surfaces.into();
            (*context).sw_format = Pixel::NV12.into();
            (*context).width = width;
            (*context).height = height;
            (*context).initial_pool_size = count;
            match ffi::av_hwframe_ctx_init(frames) {
                error if error < 0 => Err(Error::from(error)),
                _ => Ok(memory),
            }
        }
    }

    /// Makes an encoder that is not open yet take pictures out of this pool.
    pub(super) fn attach(&self, context: &mut Context) {
        // SAFETY: both are valid; the context owns `hw_frames_ctx` and frees it; a fresh one has none.
        unsafe {
            let context = context.as_mut_ptr();
            ffi::av_buffer_unref(&raw mut (*context).hw_frames_ctx);
            (*context).hw_frames_ctx = ffi::av_buffer_ref(self.frames);
        }
    }

    /// Copies a picture into the device's memory, with its time and type.
    pub(super) fn upload(&mut self, from: &Video) -> Result<Video, Error> {
        let mut to = Video::empty();
        // SAFETY: both frames are valid; `to` is empty and gets a picture of the pool, of which `from` has format and size.
        let result = unsafe {
            match ffi::av_hwframe_get_buffer(self.frames, to.as_mut_ptr(), 0) {
                error if error < 0 => error,
                _ => match ffi::av_hwframe_transfer_data(to.as_mut_ptr(), from.as_ptr(), 0) {
                    error if error < 0 => error,
                    _ => ffi::av_frame_copy_props(to.as_mut_ptr(), from.as_ptr()),
                },
            }
        };
        if result < 0 { Err(Error::from(result)) } else { Ok(to) }
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        // SAFETY: the reference is ours and not used again.
        unsafe { ffi::av_buffer_unref(&raw mut self.frames) };
    }
}

/// Another reference to the same picture.
#[cfg(test)]
pub(super) fn share(frame: &Video) -> Video {
    let mut shared = Video::empty();
    // SAFETY: `shared` is an empty frame, `frame` a valid one with buffers.
    let result = unsafe { ffi::av_frame_ref(shared.as_mut_ptr(), frame.as_ptr()) };
    assert!(result >= 0, "there is memory for a reference");
    shared
}
