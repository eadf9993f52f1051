//! A decoded picture that can be read from several threads.

use std::slice;

use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;

/// A planar 4:2:0 picture with 8 bits a sample in libavutil's reference-counted buffers, read-only from here on.
///
/// `Send` and `Sync` come from `ffmpeg_next::frame::Video`. They are sound for this type because
/// - it owns its `AVFrame`, and hands out nothing but shared slices of the samples;
/// - libavutil counts references to `AVBuffer` atomically, and a buffer goes back to the decoder's pool (which is
///   locked) only when the last reference is gone, from whatever thread;
/// - the decoders we open (h264, hevc) use pictures that were output for reference only: they do not write to a
///   buffer again that they have returned (`AVFrame` of `avcodec_receive_frame`: "reference-counted").
pub(crate) struct Picture {
    frame: Video,
    planes: [Plane; 3],
}

/// One plane inside `frame`, checked once.
struct Plane {
    data: *const u8,
    stride: usize,
    len: usize,
}

// SAFETY: `Plane` points into buffers that `frame`, which is `Send` and `Sync`, keeps alive and nobody writes to.
unsafe impl Send for Plane {}
// SAFETY: as above; only shared reads happen through `data`.
unsafe impl Sync for Plane {}

impl Picture {
    /// Whether a frame of this pixel format can be handed out as it is.
    pub(crate) fn is_native(format: Pixel) -> bool {
        matches!(format, Pixel::YUV420P | Pixel::YUVJ420P)
    }

    /// Takes a decoded frame. `None` if it is not planar 4:2:0 with 8 bits, empty, or not laid out top down in
    /// reference-counted buffers.
    pub(crate) fn new(frame: Video) -> Option<Self> {
        let (width, height) = (frame.width() as usize, frame.height() as usize);
        if !Self::is_native(frame.format()) || width == 0 || height == 0 {
            return None;
        }
        // SAFETY: `as_ptr` is the valid, initialised `AVFrame` that `frame` owns; it is only read here.
        let raw = unsafe { &*frame.as_ptr() };
        if raw.buf[0].is_null() {
            return None;
        }
        let plane = |i: usize| {
            let (width, height) =
                if i == 0 { (width, height) } else { (width.div_ceil(2), height.div_ceil(2)) };
            let stride = usize::try_from(raw.linesize[i]).ok()?;
            let fits = !raw.data[i].is_null() && stride >= width;
            fits.then(|| Plane { data: raw.data[i], stride, len: (height - 1) * stride + width })
        };
        let planes = [plane(0)?, plane(1)?, plane(2)?];
        Some(Self { frame, planes })
    }

    pub(crate) fn width(&self) -> u32 {
        self.frame.width()
    }

    pub(crate) fn height(&self) -> u32 {
        self.frame.height()
    }

    pub(crate) fn stride(&self, i: usize) -> usize {
        self.planes[i].stride
    }

    pub(crate) fn plane(&self, i: usize) -> &[u8] {
        let plane = &self.planes[i];
        // SAFETY: libavutil lays a plane out as `height` rows, `linesize` bytes apart, each at least the plane's
        // width long, starting at `data` (AVFrame.data, AVFrame.linesize). `len` ends with the last sample of the
        // last row, so nothing of the padding behind it is assumed. The buffers live as long as `self.frame`, and
        // nobody writes to them (see the type).
        unsafe { slice::from_raw_parts(plane.data, plane.len) }
    }
}
