//! Pictures in, one H.264 stream out.
//!
//! A [`Wall`] ticks on a clock of its own ([`CanvasTime`]), asks each tile's [`TileSource`] what it shows, scales that
//! into its place of the [`Layout`] on the [`Canvas`], encodes the canvas once ([`encoder::Encode`]), and once more for
//! each smaller rendition that somebody needs, and hands the [`AccessUnit`] to every [`Sink`] that is wanted. There is no network here, no camera and no viewer: the binary
//! brings those.

mod canvas;
mod colour;
mod compose;
pub mod encoder;
mod fit;
mod geometry;
mod key_frames;
mod layout;
mod locate;
mod mask;
mod overlay;
mod phase;
mod picture;
mod presentation;
mod scale;
mod shrink;
mod stillness;
mod tick;
mod wall;
mod window;

pub use canvas::Canvas;
pub use colour::{Color, ColorError, ColorMatrix, ColorRange};
pub use compose::{Composed, Compositor, TileSource};
pub use fit::Fit;
pub use geometry::{Bitrate, BitrateError, CanvasSize, CanvasSizeError, FrameRate, FrameRateError};
pub use layout::{
    Cells, Layout, LayoutProblem, LayoutProblems, MAX_TILES, Placement, Preset, PresetError, Spacing,
    SpacingError, TileRect, UnknownPreset,
};
pub use locate::{Located, Region};
pub use overlay::{Caption, LabelText, Overlay, Shown, TileState};
pub use picture::{PictureError, PictureView};
pub use presentation::{Area, AreaError, Presentation, Rotation};
pub use tick::CanvasTime;
pub use wall::{
    AccessUnit, ChangeError, EncoderFailure, RearrangeError, RenditionConfig, RenditionStats, Sink, Stall,
    StartError, Wall, WallConfig, WallStats, WallView,
};
pub use window::Percentiles;
