//! Which part of the canvas a privacy mask blackens.
//!
//! Nothing of a picture is changed before it is scaled. Instead every sample of the canvas that any masked sample had a
//! part in is painted black afterwards: the mask is grown to whole chroma samples of the picture, and then to every sample
//! whose filter reaches into it. So not a single sample leaks, whatever the scale, and the common case costs nothing.

use crate::fit::Mapping;
use crate::geometry::Rect;
use crate::presentation::Orientation;
use crate::scale::PlaneScaler;

/// The rectangle of the canvas to paint black for `mask`, which begins on even samples of the picture; none where the
/// mask hides nothing of what is shown.
pub(crate) fn on_canvas(
    mask: Rect,
    mapping: &Mapping,
    orientation: Orientation,
    luma: &PlaneScaler,
    chroma: &PlaneScaler,
) -> Option<Rect> {
    let Mapping { source, target } = *mapping;
    let (width, height) = orientation.turned((target.width, target.height));
    let touched =
        |luma: Touched, chroma: Touched, begins: u32, ends: u32, from: u32, length: u32, most: u32| {
            let (begin, end) = (begins.max(from), ends.min(from + length));
            if begin >= end {
                return None;
            }
            let (begin, end) = (begin - from, end - from);
            let luma = luma(begin, end);
            let chroma = chroma(begin / 2, end.div_ceil(2));
            let first = (luma.0 / 2 * 2).min(2 * chroma.0);
            Some((first, luma.1.next_multiple_of(2).max(2 * chroma.1).min(most)))
        };
    let columns = touched(
        &|from, to| luma.columns_touched(from, to),
        &|from, to| chroma.columns_touched(from, to),
        mask.x,
        mask.x + mask.width,
        source.x,
        source.width,
        width,
    );
    let rows = touched(
        &|from, to| luma.rows_touched(from, to),
        &|from, to| chroma.rows_touched(from, to),
        mask.y,
        mask.y + mask.height,
        source.y,
        source.height,
        height,
    );
    let ((left, right), (top, bottom)) = columns.zip(rows)?;
    let scaled = Rect { x: left, y: top, width: right - left, height: bottom - top };
    let placed = orientation.place(scaled, width, height);
    Some(Rect { x: target.x + placed.x, y: target.y + placed.y, ..placed })
}

/// From a part of a plane's side, to the output samples that it has a part in.
type Touched<'a> = &'a dyn Fn(u32, u32) -> (u32, u32);
