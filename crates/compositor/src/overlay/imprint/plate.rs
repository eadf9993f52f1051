//! The darkened plates in a tile's corners, and the tick on the label's.

use super::super::Overlay;
use super::super::font::Type;
use super::super::sprite::{Drawing, Sprite};
use super::super::words::{LocalTime, write_clean};
use super::board::even;
use crate::canvas::{BLACK, Canvas};
use crate::geometry::Rect;
use std::fmt;
use std::time::Instant;

/// Y, U and V.
const TEXT: [u8; 3] = [235, 128, 128];
/// #ffc857, of what is not as it should be.
pub(super) const AMBER: [u8; 3] = [192, 74, 156];
/// #62e08a, of the tick.
const GREEN: [u8; 3] = [181, 104, 75];
/// How dark a plate is, in 256ths: white text is read on white snow, and what is behind can still be made out.
const DARK: u16 = 150;
/// The places of the tick that it is not at, in 256ths.
const FAINT: u16 = 70;

/// How high a line of text is on a tile of this size: it grows with the tile, but much less than that, so that it can be
/// read on a small one and is not in the way on a large one.
pub(super) fn line_height(tile: Rect) -> f32 {
    let side = tile.height.min(tile.width * 3 / 4) as f32;
    (10.5 + side / 36.0).round()
}

/// Where plates are on one tile, and how they look.
#[derive(Debug)]
pub(super) struct Plates {
    tile: Rect,
    line: f32,
    /// Between a plate and the tile's edge, or another plate.
    margin: u32,
    /// Between a plate's edge and what is on it.
    padding: u32,
    height: u32,
    /// The side of one of the tick's four places; none without a tick.
    tick: Option<u32>,
    clock: Option<ClockPlate>,
}

#[derive(Debug)]
struct ClockPlate {
    has_date: bool,
    /// The same for every time: digits are of one width.
    width: u32,
}

impl Plates {
    pub(super) fn new(tile: Rect, overlay: &Overlay) -> Plates {
        let line = line_height(tile);
        let (margin, padding, height) = (even(line * 0.4), even(line * 0.35), even(line * 1.2));
        let mut plates = Plates { tile, line, margin, padding, height, tick: None, clock: None };
        plates.tick = overlay.tick.then(|| even(line * 0.3));
        if overlay.clock {
            plates.clock = plates.clock_plate();
        }
        plates
    }

    pub(super) fn tile(&self) -> Rect {
        self.tile
    }

    /// Whether one fits above another; otherwise there is one on the tile.
    pub(super) fn has_room_for_two(&self) -> bool {
        2 * self.height + 3 * self.margin <= self.tile.height
    }

    /// The first of the lines of `said` for which there is room beside the clock, or else in the clock's place.
    pub(super) fn mark(&self, said: &str) -> Sprite {
        let font = self.font();
        let room = self.room() - (2 * self.padding) as f32;
        let beside_clock = room - self.clock.as_ref().map_or(0, |clock| clock.width + self.margin) as f32;
        let fitting = |room| said.lines().find(|line| font.width(line) <= room);
        let text = fitting(beside_clock).or(fitting(room)).or(said.lines().last());
        let text = font.shortened(text.unwrap_or_default(), room);
        if text.is_empty() {
            return Sprite::NOTHING;
        }
        self.plate(&text, 0, AMBER, |_| (self.tile.x + self.margin, self.top()))
    }

    pub(super) fn label(&self, name: &str) -> Sprite {
        let beside = self.tick.map_or(0, |side| Tick::extent(side) + self.padding);
        let room = self.room() - (beside + 2 * self.padding) as f32;
        let text = self.font().shortened(name, room);
        // Without text the tick's distance to it is the plate's padding.
        let fits = room + self.padding as f32 >= 0.0;
        if (text.is_empty() && self.tick.is_none()) || !fits {
            return Sprite::NOTHING;
        }
        self.plate(&text, beside, TEXT, |_| (self.tile.x + self.margin, self.bottom()))
    }

    /// Whether there is a clock, and the mark, if there is one, leaves it its place.
    pub(super) fn has_clock_beside(&self, mark: Option<Rect>) -> bool {
        let right = mark.map_or(0, |mark| mark.x + mark.width);
        let clock =
            self.clock.as_ref().map(|clock| self.tile.x + self.tile.width - self.margin - clock.width);
        clock.is_some_and(|left| right <= left)
    }

    /// As much of the time as there is room for.
    pub(super) fn write_clock(&self, said: &mut String, at: LocalTime) {
        match &self.clock {
            Some(clock) if clock.has_date => write_clean(said, format_args!("{} {}", at.date(), at.time())),
            Some(_) => write_clean(said, at.time()),
            None => {}
        }
    }

    pub(super) fn clock(&self, said: &str) -> Sprite {
        let right = self.tile.x + self.tile.width - self.margin;
        self.plate(said, 0, TEXT, |width| (right - width, self.top()))
    }

    fn font(&self) -> Type {
        Type::of_height(self.line)
    }

    /// The width of the widest plate; negative where there is none, because the tile is too small to be written on.
    fn room(&self) -> f32 {
        let is_high_enough = self.height + 2 * self.margin <= self.tile.height;
        if is_high_enough { self.tile.width as f32 - (2 * self.margin) as f32 } else { f32::NEG_INFINITY }
    }

    fn top(&self) -> u32 {
        self.tile.y + self.margin
    }

    fn bottom(&self) -> u32 {
        self.tile.y + self.tile.height - self.margin - self.height
    }

    /// With the date where that leaves half of the tile; none on a tile that is too small for the time.
    fn clock_plate(&self) -> Option<ClockPlate> {
        let width = |text: &str| even(self.font().width(text).ceil() + 1.0) + 2 * self.padding;
        let (dated, plain) = (width("2026-11-21 13:05:00"), width("13:05:00"));
        let has_date = dated * 2 <= self.tile.width;
        let width = if has_date { dated } else { plain };
        (width as f32 <= self.room()).then_some(ClockPlate { has_date, width })
    }

    /// One line of text with `before` samples of something else in front; `place` says where a plate of such a width is.
    fn plate(&self, text: &str, before: u32, color: [u8; 3], place: impl Fn(u32) -> (u32, u32)) -> Sprite {
        let font = self.font();
        let length = if text.is_empty() { 0 } else { even(font.width(text).ceil() + 1.0) };
        let before_text = if text.is_empty() { before.saturating_sub(self.padding) } else { before };
        let width = before_text + length + 2 * self.padding;
        let mut drawing = Drawing::new(width, self.height);
        drawing.lay_plate(self.height as f32 * 0.25, DARK, BLACK);
        if before > 0
            && let Some(side) = self.tick
        {
            for place in 0..Tick::PLACES {
                let at = Tick::place(place, side, self.padding, self.height);
                drawing.lay_rect(at, FAINT, TEXT);
            }
        }
        let top = (self.height as f32 - font.height()) / 2.0;
        drawing.lay_text(font, text, (self.padding + before_text) as f32, top, color);
        let (x, y) = place(width);
        Sprite::new(drawing, x, y)
    }
}

/// Four places in a square; the mark goes round them, one further at the first new picture of every second.
#[derive(Debug)]
pub(super) struct Tick {
    side: u32,
    padding: u32,
    height: u32,
    at: u32,
    origin: Option<Instant>,
    second: u64,
}

impl Tick {
    const PLACES: u32 = 4;
    const BETWEEN: u32 = 2;

    pub(super) fn new(plates: &Plates) -> Tick {
        let side = plates.tick.unwrap_or(2);
        Tick { side, padding: plates.padding, height: plates.height, at: 0, origin: None, second: 0 }
    }

    /// The picture that is shown is another one than before. Nothing else moves the mark.
    pub(super) fn handle_picture(&mut self, now: Instant) {
        let origin = *self.origin.get_or_insert(now);
        let second = now.saturating_duration_since(origin).as_secs();
        if std::mem::replace(&mut self.second, second) != second {
            self.at = (self.at + 1) % Tick::PLACES;
        }
    }

    /// On the label's plate.
    pub(super) fn lay_on(&self, canvas: &mut Canvas, plate: Rect) {
        if plate.width == 0 {
            return;
        }
        let at = Tick::place(self.at, self.side, self.padding, self.height);
        canvas.fill(Rect { x: plate.x + at.x, y: plate.y + at.y, ..at }, GREEN);
    }

    fn extent(side: u32) -> u32 {
        2 * side + Tick::BETWEEN
    }

    /// Clockwise from the top left, on a plate of such a height.
    fn place(number: u32, side: u32, padding: u32, height: u32) -> Rect {
        let (column, row) = [(0, 0), (1, 0), (1, 1), (0, 1)][number as usize % 4];
        let top = height.saturating_sub(Tick::extent(side)) / 4 * 2;
        let step = side + Tick::BETWEEN;
        Rect { x: padding + column * step, y: top + row * step, width: side, height: side }
    }
}

impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Type").field("height", &self.height()).finish()
    }
}
