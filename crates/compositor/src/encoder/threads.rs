//! How many threads a software encoder gets.
//!
//! Each thread is a slice of the canvas. Slices cost bits (prediction ends at their edges) and waiting for the slowest, so
//! a canvas gets the fewest with which it is surely encoded in its time: one encodes 1080p at 30 fps with half a core to
//! spare. All cores would be wrong: cameras are decoded, and other walls encoded, at the same time.

use super::EncoderConfig;

/// 1920x1080 at 30 fps, in macroblocks a second.
const ONE_THREAD: u64 = 8_160 * 30;
/// More slices than this make no 4K canvas faster.
const MOST: u64 = 8;

/// The number for this canvas on a machine with so many cores.
pub(super) fn threads(config: EncoderConfig, cores: usize) -> u16 {
    let macroblocks =
        u64::from(config.size.width().div_ceil(16)) * u64::from(config.size.height().div_ceil(16));
    let needed = (macroblocks * u64::from(config.fps.get())).div_ceil(ONE_THREAD);
    needed.min(MOST).min(cores as u64).max(1) as u16
}

/// The same on this machine.
pub(super) fn here(config: EncoderConfig) -> u16 {
    threads(config, std::thread::available_parallelism().map_or(1, usize::from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Bitrate, CanvasSize, FrameRate};

    #[test]
    fn a_canvas_gets_the_threads_it_needs_and_never_more_than_there_are_cores() {
        let check = |(width, height), fps, cores, expected| {
            let size = CanvasSize::new(width, height).expect("a valid size");
            let fps = FrameRate::new(fps).expect("a valid rate");
            let found = threads(EncoderConfig { size, fps, bitrate: Bitrate::DEFAULT }, cores);
            assert_eq!(found, expected, "{width}x{height} at {} fps on {cores} cores", fps.get());
        };
        check((64, 64), 1, 16, 1);
        check((1920, 1080), 25, 16, 1);
        check((1080, 1920), 30, 16, 1);
        check((1920, 1080), 60, 16, 2);
        check((3840, 2160), 25, 16, 4);
        check((2160, 3840), 60, 16, 8);
        check((3840, 2160), 60, 2, 2);
        check((1920, 1080), 60, 1, 1);
    }
}
