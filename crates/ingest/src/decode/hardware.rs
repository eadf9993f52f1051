//! Which hardware may decode.

/// What a camera's pictures are decoded with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Hardware {
    /// Software: works everywhere, and is the reference.
    #[default]
    None,
    /// Whatever this FFmpeg and this machine offer, tried one after the other; software when they offer nothing.
    Auto,
    /// Intel and AMD, by VA-API.
    Vaapi,
    /// NVIDIA, by NVDEC.
    Cuda,
    /// Rockchip, by its media process platform.
    Rkmpp,
    /// Raspberry Pi and other boards, by the kernel's memory-to-memory codecs.
    V4l2m2m,
}
