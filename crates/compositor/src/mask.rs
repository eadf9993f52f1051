//! Which part of the canvas a privacy mask blackens.
//!
//! Nothing of a picture is changed before it is scaled. Instead every sample of the canvas that any masked sample had a
//! part in is painted black afterwards: the mask is grown to whole chroma samples of the picture, and then to every sample
//! whose filter reaches into it. So not a single sample leaks, whatever the scale, and the common case costs nothing.

use crate::fit::Mapping;
use crate::geometry::Rect;
use crate::presentation::Orientation;
use crate::scale::{Axis, PlaneScaler};

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
    let across = Side { luma: luma.horizontal(), chroma: chroma.horizontal(), outputs: width };
    let down = Side { luma: luma.vertical(), chroma: chroma.vertical(), outputs: height };
    let (left, right) = across.touched(shared((mask.x, mask.width), (source.x, source.width))?);
    let (top, bottom) = down.touched(shared((mask.y, mask.height), (source.y, source.height))?);
    let scaled = Rect { x: left, y: top, width: right - left, height: bottom - top };
    let placed = orientation.place(scaled, width, height);
    Some(Rect { x: target.x + placed.x, y: target.y + placed.y, ..placed })
}

/// What of the first stretch is in the second, counted from where that begins: from one sample to another.
fn shared((begin, length): (u32, u32), (from, within): (u32, u32)) -> Option<(u32, u32)> {
    let (begin, end) = (begin.max(from), (begin + length).min(from + within));
    (begin < end).then(|| (begin - from, end - from))
}

/// What scales along one side of a picture, and to how many samples of luma; an even number.
struct Side<'a> {
    luma: &'a Axis,
    chroma: &'a Axis,
    outputs: u32,
}

impl Side<'_> {
    /// The scaled samples in which luma or chroma of a stretch has a part, grown to whole samples of chroma.
    fn touched(&self, (begin, end): (u32, u32)) -> (u32, u32) {
        let (first, last) = self.luma.touched(begin, end);
        let (first_chroma, last_chroma) = self.chroma.touched(begin / 2, end.div_ceil(2));
        let last = last.next_multiple_of(2).max(2 * last_chroma);
        ((first / 2 * 2).min(2 * first_chroma), last.min(self.outputs))
    }
}
