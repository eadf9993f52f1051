//! What FFmpeg's H.264 encoders want to be told, each in its own words, so that all of them write the same kind of stream.
//!
//! Written against the documentation and sources of FFmpeg 5.1 to 8. libx264 runs in the tests. The others need hardware
//! that the project's machines do not have; where one has been run, its entry says so.

use crate::encoder::EncoderChoice;
use ffmpeg_next::format::Pixel;
use std::ffi::CStr;
use std::path::{Path, PathBuf};

/// An option of one encoder, and its value.
pub(super) type Setting = (&'static str, &'static str);

/// One of FFmpeg's encoders.
#[derive(Debug)]
pub(super) struct Family {
    /// As FFmpeg and configuration files call it.
    pub(super) name: &'static str,
    /// How its pictures' samples lie.
    pub(super) input: Pixel,
    /// The kind of device whose memory its pictures must be in, by libavutil's name; none for main memory.
    pub(super) device: Option<&'static CStr>,
    /// `AVCodecContext::profile`, for those that are told so; others have an option.
    pub(super) profile: Option<i32>,
    /// What it must know. An FFmpeg whose encoder knows one of these not is too old, or was changed.
    pub(super) required: &'static [Setting],
    /// What not every version has, and what can be done without.
    pub(super) wanted: &'static [Setting],
    /// Tried one after the other until it opens, on top of the rest.
    pub(super) attempts: &'static [&'static [Setting]],
    /// It looks at its bitrate before each picture.
    pub(super) changes_bitrate: bool,
    /// The folder and the beginning of the names of the device nodes through which it works.
    nodes: Option<(&'static str, &'static str)>,
    /// What must be there.
    pub(super) expected: &'static str,
}

/// FF_PROFILE_H264_BASELINE and FF_PROFILE_H264_CONSTRAINED_BASELINE; FFmpeg 8 has other names for the same numbers.
const BASELINE: i32 = 66;
const CONSTRAINED_BASELINE: i32 = 578;

const X264: Family = Family {
    name: "libx264",
    input: Pixel::YUV420P,
    device: None,
    profile: None,
    required: &[
        // As dear as OpenH264 and as good. A faster one has no loop filter, a slower one takes half as much again for a tenth
        // of a decibel: benches/README.md, "Encoding".
        ("preset", "superfast"),
        ("tune", "zerolatency"),
        ("profile", "baseline"),
        ("forced-idr", "1"),
        // The wall counts its own IDR period, and knows nothing of scenes.
        ("x264-params", "keyint=infinite:scenecut=0:open-gop=0"),
    ],
    wanted: &[],
    attempts: &[&[]],
    changes_bitrate: true,
    nodes: None,
    expected: "an FFmpeg with libx264 (Debian and Ubuntu: the package libavcodec-extra or ffmpeg)",
};

const NVENC: Family = Family {
    name: "h264_nvenc",
    input: Pixel::YUV420P,
    device: None,
    profile: None,
    required: &[
        ("preset", "p4"),
        ("tune", "ull"),
        ("profile", "baseline"),
        ("rc", "cbr"),
        ("zerolatency", "1"),
        ("delay", "0"),
        ("forced-idr", "1"),
    ],
    wanted: &[("rc-lookahead", "0"), ("no-scenecut", "1"), ("extra_sei", "0"), ("a53cc", "0")],
    attempts: &[&[]],
    changes_bitrate: true,
    nodes: Some(("/dev", "nvidia")),
    expected: "an NVIDIA GPU with its driver (libcuda.so.1, libnvidia-encode.so.1; in Docker: --gpus all and \
               NVIDIA_DRIVER_CAPABILITIES=video)",
};

const VAAPI: Family = Family {
    name: "h264_vaapi",
    input: Pixel::NV12,
    device: Some(c"vaapi"),
    profile: Some(CONSTRAINED_BASELINE),
    required: &[("rc_mode", "CBR"), ("coder", "cavlc"), ("async_depth", "1")],
    wanted: &[("sei", "0"), ("aud", "0"), ("idr_interval", "0")],
    // Intel's newer graphics encode in their low-power unit only, the older ones not at all.
    attempts: &[&[("low_power", "0")], &[("low_power", "1")]],
    changes_bitrate: false,
    nodes: Some(("/dev/dri", "renderD")),
    expected: "an Intel or AMD GPU with its VA-API driver (intel-media-va-driver or mesa-va-drivers; in Docker: --device \
               /dev/dri), and the right to open /dev/dri/renderD128 (group render)",
};

const QSV: Family = Family {
    name: "h264_qsv",
    input: Pixel::NV12,
    device: None,
    profile: None,
    required: &[
        ("preset", "faster"),
        ("profile", "baseline"),
        ("async_depth", "1"),
        ("forced_idr", "1"),
        ("look_ahead", "0"),
    ],
    wanted: &[
        ("cavlc", "1"),
        ("idr_interval", "0"),
        ("adaptive_i", "0"),
        ("adaptive_b", "0"),
        ("pic_timing_sei", "0"),
        ("recovery_point_sei", "0"),
        ("max_dec_frame_buffering", "1"),
        ("a53cc", "0"),
    ],
    attempts: &[&[]],
    changes_bitrate: false,
    nodes: Some(("/dev/dri", "renderD")),
    expected: "an Intel GPU with its media driver and runtime (intel-media-va-driver, libmfx or libvpl; in Docker: --device \
               /dev/dri)",
};

const V4L2M2M: Family = Family {
    name: "h264_v4l2m2m",
    input: Pixel::NV12,
    device: None,
    profile: Some(CONSTRAINED_BASELINE),
    required: &[],
    wanted: &[],
    attempts: &[&[]],
    changes_bitrate: false,
    nodes: Some(("/dev", "video")),
    expected: "a V4L2 encoder such as a Raspberry Pi 4's (/dev/video11; in Docker: --device /dev/video11), which does up to \
               1920x1080",
};

const RKMPP: Family = Family {
    name: "h264_rkmpp",
    input: Pixel::NV12,
    device: None,
    profile: Some(BASELINE),
    required: &[("rc_mode", "CBR")],
    // By the option or by the context's field: FFmpeg 8 and the forks that had it before differ.
    wanted: &[("profile", "baseline"), ("coder", "cavlc")],
    attempts: &[&[]],
    changes_bitrate: false,
    nodes: Some(("/dev", "mpp_service")),
    expected: "a Rockchip system with /dev/mpp_service, and an FFmpeg with rkmpp",
};

impl Family {
    /// The encoder of that choice, if it is one of FFmpeg's.
    pub(super) fn of(choice: EncoderChoice) -> Option<&'static Family> {
        match choice {
            EncoderChoice::Auto | EncoderChoice::OpenH264 => None,
            EncoderChoice::X264 => Some(&X264),
            EncoderChoice::Nvenc => Some(&NVENC),
            EncoderChoice::Vaapi => Some(&VAAPI),
            EncoderChoice::Qsv => Some(&QSV),
            EncoderChoice::V4l2m2m => Some(&V4L2M2M),
            EncoderChoice::Rkmpp => Some(&RKMPP),
        }
    }

    /// What there is on this machine of what it works through, in words.
    pub(super) fn found(&self) -> String {
        let Some((folder, prefix)) = self.nodes else { return "no such encoder".to_owned() };
        let mut nodes = nodes(Path::new(folder), prefix);
        nodes.sort();
        match nodes.as_slice() {
            [] => format!("no {folder}/{prefix}*"),
            some => some.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "),
        }
    }
}

fn nodes(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect()
}
