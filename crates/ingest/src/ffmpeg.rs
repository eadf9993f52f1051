//! Which FFmpeg this process runs with.

use std::fmt;
use std::sync::Once;

use ffmpeg_next::util::log;
use ffmpeg_next::{codec, util};

/// Version of one of FFmpeg's libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LibraryVersion {
    /// Rises with incompatible changes.
    pub major: u32,
    /// Rises with additions.
    pub minor: u32,
    /// Rises with repairs.
    pub micro: u32,
}

/// The versions found at run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FfmpegVersions {
    /// Decoders.
    pub avcodec: LibraryVersion,
    /// Frames and buffers.
    pub avutil: LibraryVersion,
}

/// The FFmpeg on this machine cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FfmpegTooOld {
    /// libavcodec is too old.
    #[error("found libavcodec {found}, expected {expected} (FFmpeg 5.1) or later")]
    Version {
        /// What is installed.
        found: LibraryVersion,
        /// The oldest that will do.
        expected: LibraryVersion,
    },
    /// Not the library this program was compiled for: its structures are laid out differently.
    #[error(
        "found libavcodec {found}, expected major version {expected}: this program was built for another FFmpeg"
    )]
    OtherMajor {
        /// What is installed.
        found: LibraryVersion,
        /// The major version of the headers at build time.
        expected: u32,
    },
    /// A decoder is missing from this build of libavcodec.
    #[error(
        "found libavcodec {found} without the decoder {decoder}, expected an FFmpeg with h264, hevc and mjpeg"
    )]
    NoDecoder {
        /// What is installed.
        found: LibraryVersion,
        /// The decoder's name.
        decoder: &'static str,
    },
}

/// FFmpeg 5.1.
const EXPECTED: LibraryVersion = LibraryVersion { major: 59, minor: 37, micro: 0 };
const BUILT_FOR_MAJOR: u32 = ffmpeg_next::ffi::LIBAVCODEC_VERSION_MAJOR as u32;

/// Checks the FFmpeg that this process was loaded with, and silences FFmpeg's own log (errors of a stream are
/// counted, see [`crate::CameraStats::decode_errors`]).
///
/// # Errors
/// Says which version was found and which is expected.
pub fn check_ffmpeg() -> Result<FfmpegVersions, FfmpegTooOld> {
    silence();
    let avcodec = LibraryVersion::unpack(codec::version());
    check(avcodec, |decoder| codec::decoder::find_by_name(decoder).is_some())?;
    Ok(FfmpegVersions { avcodec, avutil: LibraryVersion::unpack(util::version()) })
}

/// FFmpeg writes to stderr from its own threads, per damaged macroblock; nothing of that is for an operator.
pub(crate) fn silence() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| log::set_level(log::Level::Quiet));
}

fn check(found: LibraryVersion, has_decoder: impl Fn(&str) -> bool) -> Result<(), FfmpegTooOld> {
    check_version(found)?;
    match ["h264", "hevc", "mjpeg"].into_iter().find(|decoder| !has_decoder(decoder)) {
        Some(decoder) => Err(FfmpegTooOld::NoDecoder { found, decoder }),
        None => Ok(()),
    }
}

fn check_version(found: LibraryVersion) -> Result<(), FfmpegTooOld> {
    if found < EXPECTED {
        return Err(FfmpegTooOld::Version { found, expected: EXPECTED });
    }
    if found.major != BUILT_FOR_MAJOR {
        return Err(FfmpegTooOld::OtherMajor { found, expected: BUILT_FOR_MAJOR });
    }
    Ok(())
}

impl LibraryVersion {
    /// `AV_VERSION_INT`: 16 bits major, 8 bits minor, 8 bits micro.
    fn unpack(version: u32) -> Self {
        Self { major: version >> 16, minor: (version >> 8) & 0xff, micro: version & 0xff }
    }
}

impl fmt::Display for LibraryVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_ffmpeg_of_this_machine_is_new_enough() {
        assert!(check_ffmpeg().unwrap().avcodec >= EXPECTED);
    }

    #[test]
    fn an_old_library_is_refused_with_what_was_found_and_what_was_expected() {
        let error = check_version(LibraryVersion::unpack((58 << 16) | (134 << 8) | 100)).unwrap_err();
        assert_eq!(error.to_string(), "found libavcodec 58.134.100, expected 59.37.0 (FFmpeg 5.1) or later");
        let error = check_version(LibraryVersion { major: 59, minor: 36, micro: 100 }).unwrap_err();
        assert!(matches!(error, FfmpegTooOld::Version { .. }));
    }

    #[test]
    fn a_library_with_another_layout_than_the_headers_is_refused() {
        let error = check_version(LibraryVersion { major: 99, minor: 8, micro: 7 }).unwrap_err();
        let built_for = format!("found libavcodec 99.8.7, expected major version {BUILT_FOR_MAJOR}: ");
        assert_eq!(error.to_string(), built_for + "this program was built for another FFmpeg");
    }

    #[test]
    fn a_library_without_a_decoder_is_refused_by_the_decoders_name() {
        let lacking = |missing: &'static str| check(EXPECTED, move |decoder| decoder != missing).unwrap_err();
        assert_eq!(
            lacking("hevc").to_string(),
            "found libavcodec 59.37.0 without the decoder hevc, expected an FFmpeg with h264, hevc and mjpeg"
        );
        assert!(matches!(lacking("h264"), FfmpegTooOld::NoDecoder { decoder: "h264", .. }));
    }
}
