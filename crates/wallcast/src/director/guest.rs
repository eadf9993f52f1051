//! How a camera is shown on a wall where it has no tile: as its owners show it elsewhere, and never more of it than any of
//! them does by a mask.

use wallcast_compositor::Presentation;

use crate::arrangement::Arrangement;

/// As the first of `arrangements` that has `camera`, with the masks of all that have it. None if none has it.
pub fn as_guest<'a>(
    camera: &str,
    arrangements: impl IntoIterator<Item = &'a Arrangement>,
) -> Option<Presentation> {
    let tiles = arrangements.into_iter().flat_map(Arrangement::tiles);
    let mut shown =
        tiles.filter(|tile| tile.cameras.iter().any(|name| name == camera)).map(|tile| &tile.presentation);
    let mut guest = shown.next()?.clone();
    shown.for_each(|other| _ = join_masks(&mut guest, other));
    Some(guest)
}

/// Blacks out what `other` does, too. Whether that is more than before.
pub(super) fn join_masks(guest: &mut Presentation, other: &Presentation) -> bool {
    let before = guest.masks.len();
    for mask in &other.masks {
        if !guest.masks.contains(mask) {
            guest.masks.push(*mask);
        }
    }
    guest.masks.len() > before
}
