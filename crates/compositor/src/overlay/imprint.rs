//! What is written over one tile, and where: over a picture the label with the tick at the bottom left, the clock at the
//! top right and the state at the top left, each on a darkened plate; on black, all there is to say in the middle.
//!
//! Everything lies inside the tile and is sized to it. Texts are set and drawn when they change, which is once a second at
//! most; laying them over a new picture is left to [`super::sprite`]. The tick is moved by new pictures alone.

mod board;
mod plate;

use self::plate::{Plates, Tick};
use super::sprite::Sprite;
use super::words::{Age, LocalTime, write_clean};
use super::{Caption, Overlay, TileState};
use crate::canvas::Canvas;
use crate::geometry::Rect;
use std::fmt;
use std::fmt::Write;
use std::time::Instant;

/// What is in a tile that may be written over.
#[derive(Clone, Copy)]
pub(crate) enum Content<'a> {
    /// A picture; as in [`crate::PictureView::generation`].
    Picture { generation: u64 },
    /// Nothing, or a picture that cannot be painted, for this reason.
    Black { refused: Option<&'a dyn fmt::Display> },
}

/// The writing on one tile. Call [`Imprint::prepare`] at every tick; where it says that something changed, or the tile is
/// painted for another reason, paint the tile and call [`Imprint::lay_on`].
#[derive(Debug)]
pub(crate) struct Imprint {
    overlay: Overlay,
    plates: Plates,
    label: Item,
    clock: Item,
    mark: Item,
    board: Item,
    tick: Tick,
    /// Of the picture that is shown, or was last.
    generation: Option<u64>,
    /// When that was taken. It stays with the picture, whatever is said later: two clocks read one after the other do not
    /// always agree on the second.
    taken: Option<LocalTime>,
    /// Memory for what is to be said.
    said: String,
    /// What was covered when the tile was painted last.
    covered: [Rect; 4],
}

impl Imprint {
    /// Nothing yet, on a tile at `tile`, which is even.
    pub(crate) fn new(overlay: &Overlay, tile: Rect) -> Imprint {
        let plates = Plates::new(tile, overlay);
        Imprint {
            overlay: overlay.clone(),
            tick: Tick::new(&plates),
            plates,
            label: Item::NEW,
            clock: Item::NEW,
            mark: Item::NEW,
            board: Item::NEW,
            generation: None,
            taken: None,
            said: String::new(),
            covered: [NOWHERE; 4],
        }
    }

    /// The same without anything to be seen, or known of a picture; what it said can be said again without being drawn.
    pub(crate) fn for_another_camera(mut self) -> Imprint {
        self.hide(true);
        Imprint { generation: None, taken: None, covered: [NOWHERE; 4], ..self }
    }

    /// Whether anything but the tick is to look different from what was prepared before; the tick moves with new pictures
    /// only, and those are painted anyway.
    pub(crate) fn prepare(
        &mut self,
        now: Instant,
        content: Content<'_>,
        caption: Option<&Caption<'_>>,
    ) -> bool {
        let Some(caption) = caption else { return self.hide(true) };
        match content {
            Content::Picture { generation } => {
                if self.generation.replace(generation) != Some(generation) {
                    self.tick.handle_picture(now);
                    self.taken = caption.taken.map(|taken| LocalTime::new(taken, caption.utc_offset_s));
                }
                self.prepare_plates(caption)
            }
            Content::Black { refused } => {
                let taken = caption.taken.map(|taken| LocalTime::new(taken, caption.utc_offset_s));
                if self.taken.zip(taken).is_none_or(|(known, taken)| known.distance_s(taken) > 1) {
                    self.taken = taken;
                }
                self.prepare_board(caption, refused)
            }
        }
    }

    /// Writes it over the tile, which has just been painted.
    pub(crate) fn lay_on(&mut self, canvas: &mut Canvas) {
        let items = [&self.label, &self.clock, &self.mark, &self.board];
        for (item, covered) in items.into_iter().zip(&mut self.covered) {
            *covered = NOWHERE;
            if item.is_visible {
                item.sprite.lay_on(canvas);
                *covered = item.sprite.rect();
            }
        }
        if self.label.is_visible && self.overlay.tick {
            self.tick.lay_on(canvas, self.label.sprite.rect());
        }
    }

    /// Takes away what was written outside of `target`, where the picture will be painted: beside it nothing else would.
    pub(crate) fn clear_beside(&self, target: Rect, canvas: &mut Canvas, background: [u8; 3]) {
        for covered in self.covered.into_iter().filter(|covered| !covered.is_within(&target)) {
            canvas.fill(covered, background);
        }
    }

    /// Whether there is anything to be seen of it.
    #[cfg(test)]
    pub(crate) fn is_seen(&self) -> bool {
        self.covered.iter().any(|covered| covered.width > 0)
    }

    /// Hides everything, or everything but the board.
    fn hide(&mut self, board: bool) -> bool {
        let plates = [&mut self.label, &mut self.clock, &mut self.mark];
        let mut changed = plates.into_iter().fold(false, |changed, item| item.hide() | changed);
        if board {
            changed |= self.board.hide();
        }
        changed
    }

    fn prepare_plates(&mut self, caption: &Caption<'_>) -> bool {
        let Imprint { overlay, plates, said, .. } = self;
        let mut changed = self.board.hide();

        said.clear();
        if overlay.state {
            write_mark(said, caption);
        }
        changed |= self.mark.show_if(!said.is_empty(), said, |said| plates.mark(said));

        // Where there is room for one plate, it is the one that says what is wrong, or whose picture it is.
        let has_room_for_two = plates.has_room_for_two();
        said.clear();
        if overlay.label {
            write_name(said, overlay, caption);
        }
        let has_label = overlay.tick || !said.is_empty();
        let has_room = !self.mark.is_visible || has_room_for_two;
        changed |= self.label.show_if(has_label && has_room, said, |said| plates.label(said));

        said.clear();
        let mark = self.mark.is_visible.then(|| self.mark.sprite.rect());
        let has_room = has_room_for_two || !(self.mark.is_visible || self.label.is_visible);
        if let Some(taken) = self.taken.filter(|_| has_room && plates.has_clock_beside(mark)) {
            plates.write_clock(said, taken);
        }
        changed |= self.clock.show_if(!said.is_empty(), said, |said| plates.clock(said));
        changed
    }

    /// The board's lines are told apart by line feeds, which no text has.
    fn prepare_board(&mut self, caption: &Caption<'_>, refused: Option<&dyn fmt::Display>) -> bool {
        let changed = self.hide(false);
        let Imprint { overlay, plates, said, .. } = self;
        said.clear();
        if overlay.label {
            write_name(said, overlay, caption);
        }
        said.push('\n');
        let state = said.len();
        if overlay.state {
            said.push_str(state_in_words(caption.state));
        }
        let state = state..said.len();
        said.push('\n');
        if overlay.reason {
            let reason = said.len();
            match (refused, caption.reason) {
                (Some(refused), _) => write_clean(said, refused),
                (None, Some(why)) => write_clean(said, why),
                (None, None) => {}
            }
            // "connecting: connecting" says nothing twice.
            if said[reason..] == said[state] {
                said.truncate(reason);
            }
        }
        said.push('\n');
        if let Some(taken) = self.taken.filter(|_| overlay.clock) {
            write_clean(said, format_args!("last picture {} {}", taken.date(), taken.time()));
        }
        let is_alarming = caption.state == TileState::Offline || refused.is_some();
        self.board.show(said, |said| board::draw(plates.tile(), said, is_alarming)) | changed
    }
}

fn write_name(said: &mut String, overlay: &Overlay, caption: &Caption<'_>) {
    let text = overlay.text.as_ref().filter(|text| text.camera == caption.name);
    write_clean(said, text.map_or(caption.name, |text| &text.text));
}

/// What is wrong with a picture that is shown, and behind a line feed the same for a tile without room for that.
fn write_mark(said: &mut String, caption: &Caption<'_>) {
    let state = state_in_words(caption.state);
    // Memory cannot refuse what is written to it.
    let _never_fails = match (caption.state, caption.age) {
        (TileState::Live, _) => Ok(()),
        (TileState::Holding, Some(age)) => write!(said, "no picture for {0}\n{0}", Age(age)),
        (TileState::Holding, None) => said.write_str("no new picture"),
        (TileState::Connecting | TileState::Offline, _) => said.write_str(state),
    };
}

fn state_in_words(state: TileState) -> &'static str {
    match state {
        TileState::Connecting => "connecting",
        TileState::Live => "",
        TileState::Holding => "holding",
        TileState::Offline => "offline",
    }
}

const NOWHERE: Rect = Rect { x: 0, y: 0, width: 0, height: 0 };

/// One of the things that are written.
#[derive(Debug)]
struct Item {
    is_visible: bool,
    /// What the sprite says, if it has been drawn.
    said: Option<String>,
    sprite: Sprite,
}

impl Item {
    const NEW: Item = Item { is_visible: false, said: None, sprite: Sprite::NOTHING };

    /// Whether it was to be seen until now.
    fn hide(&mut self) -> bool {
        std::mem::take(&mut self.is_visible)
    }

    fn show_if(&mut self, is_wanted: bool, said: &str, draw: impl FnOnce(&str) -> Sprite) -> bool {
        if is_wanted { self.show(said, draw) } else { self.hide() }
    }

    /// Says `said`; drawn only where that is new. Whether it said something else until now, or nothing.
    fn show(&mut self, said: &str, draw: impl FnOnce(&str) -> Sprite) -> bool {
        let was_visible = std::mem::replace(&mut self.is_visible, true);
        if self.said.as_deref() == Some(said) {
            return !was_visible;
        }
        let memory = self.said.get_or_insert_default();
        memory.clear();
        memory.push_str(said);
        self.sprite = draw(said);
        true
    }
}
