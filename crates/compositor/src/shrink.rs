//! A whole canvas as a smaller one, by area: for a wall's smaller renditions. Half of it both ways is summed in whole
//! numbers, like everything in [`crate::scale`] that can be.

use crate::canvas::Canvas;
use crate::geometry::CanvasSize;
use crate::presentation::Orientation;
use crate::scale::{Instructions, Plane, PlaneScaler};

/// Scales canvases of one size to another. Made once; shrinking allocates nothing.
#[derive(Debug)]
pub(crate) struct Shrinker {
    luma: PlaneScaler,
    chroma: PlaneScaler,
}

impl Shrinker {
    pub(crate) fn new(from: CanvasSize, to: CanvasSize) -> Shrinker {
        let instructions = Instructions::detect();
        let scaler = |divide: u32| {
            let size = |size: CanvasSize| (size.width() / divide, size.height() / divide);
            PlaneScaler::new(size(from), size(to), Orientation::default(), instructions)
        };
        Shrinker { luma: scaler(1), chroma: scaler(2) }
    }

    /// Fills `to` with all of `from`, which have the sizes this was made for.
    pub(crate) fn shrink(&mut self, from: &Canvas, to: &mut Canvas) {
        for plane in 0..3 {
            let scaler = if plane == 0 { &mut self.luma } else { &mut self.chroma };
            let source = Plane { data: from.plane(plane), stride: from.stride(plane) };
            let stride = to.stride(plane);
            scaler.scale(source, to.plane_mut(plane), stride);
        }
    }
}
