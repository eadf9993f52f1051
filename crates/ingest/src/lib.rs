//! Cameras in, pictures out.
//!
//! A [`Camera`] reads a stream and keeps it alive: one tokio task holds the session (RTSP through `retina`), another
//! has the connection to the camera and puts right what cameras get wrong (the gate), one thread `decode-<camera>`
//! decodes, and the last decoded [`Frame`] waits in a cache of one for whoever asks. If the camera has a smaller stream
//! too, it has tasks and a thread of its own, and the size of the tiles that somebody looks at decides which of the two is
//! connected. A wall asks [`CameraView::tile`] at every tick and gets what the tile shows at that moment: a picture or
//! black, with the state, the reason in words and since when. Asking never waits for the network or the decoder.
//!
//! This crate knows nothing of layouts, encoders or viewers.
//!
//! # Threads and queues
//! | queue | capacity | when full |
//! | --- | --- | --- |
//! | camera → gate → session: bytes | 256 KiB | the camera is not read, TCP slows it down; datagrams are lost |
//! | session → decode thread: access units | 600 or 12 MiB; 32 once the oldest has waited 1 s | drop up to the next key frame, count by reason |
//! | access units passed over while nobody looks | 600, 8 MiB, or what is decoded in 300 ms | the oldest are decoded |
//! | decode thread → last-frame cache | 1 | the newest wins, count `frames_overwritten` while a wall looks |
//!
//! # Secrets
//! A camera's user, password and query string appear in nothing this crate logs or returns. The library `retina`
//! however writes request addresses (with their query) to the `log` crate; a binary that bridges `log` to its own
//! output must switch off the targets in [`QUIET_LOG_TARGETS`].

mod align;
mod backoff;
mod camera;
mod coded;
mod decode;
#[allow(unsafe_code, reason = "libavutil's frames and libswscale behind safe types")]
mod ffi;
mod ffmpeg;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod pace;
mod queue;
mod record;
mod session;
mod shown;
mod source;
mod stats;
mod tile;

pub use align::{AlignedTile, Alignment, AlignmentStats, TileAlignment};
pub use camera::{Camera, CameraConfig, CameraView, OnWall, StartError, Transport};
pub use decode::Hardware;
pub use ffmpeg::{FfmpegTooOld, FfmpegVersions, LibraryVersion, check_ffmpeg};
pub use frame::{ColorMatrix, ColorRange, Frame};
pub use gate::{Certificate, Impairments, UnknownCertificate};
pub use shown::TileSize;
pub use source::{SourceUrl, SourceUrlError};
pub use stats::{CameraStats, Percentiles, StreamStats};
pub use tile::{Reason, Tile, TileState, TileStatus};

/// Targets of the `log` crate whose lines may carry a camera's query string, which can be a secret. Everything
/// worth knowing from them is in this crate's own reasons.
pub const QUIET_LOG_TARGETS: &[&str] = &["retina"];
