//! What stands in the middle of a black tile: the camera's name, its state, why there is no picture, and when there was
//! one last.

use super::super::font::Type;
use super::super::sprite::{Drawing, Sprite};
use super::plate::{AMBER, line_height};
use crate::geometry::Rect;

/// Y, U and V: white, #ff7b6b, and two greys.
const NAME: [u8; 3] = [235, 128, 128];
const ALARM: [u8; 3] = [141, 102, 192];
const REASON: [u8; 3] = [190, 128, 128];
const LAST: [u8; 3] = [140, 128, 128];
/// Lines for a reason; with more to read than that, nobody reads it on a wall.
const MOST_LINES: usize = 4;

struct Line {
    text: String,
    font: Type,
    color: [u8; 3],
}

/// `said` is name, state, reason and last picture, each on a line of its own, which may be empty. The last lines go where
/// there is no room for all.
pub(super) fn draw(tile: Rect, said: &str, is_alarming: bool) -> Sprite {
    let plain = Type::of_height(line_height(tile));
    let large = Type::of_height((line_height(tile) * 1.25).round());
    let margin = even(plain.height() * 0.4);
    let (Some(width), Some(height)) =
        (tile.width.checked_sub(2 * margin), tile.height.checked_sub(2 * margin))
    else {
        return Sprite::NOTHING;
    };
    let mut lines = lines(said, width as f32, plain, large, if is_alarming { ALARM } else { AMBER });
    let high = |lines: &[Line]| lines.iter().map(|line| line.font.height()).sum::<f32>().ceil();
    while high(&lines) > height as f32 {
        lines.pop();
    }
    let wide = lines.iter().map(|line| line.font.width(&line.text)).fold(0.0, f32::max);
    if wide == 0.0 || width < 2 {
        return Sprite::NOTHING;
    }
    let (wide, high) = (even(wide.ceil() + 2.0).min(width / 2 * 2), even(high(&lines)));
    let mut drawing = Drawing::new(wide, high);
    let mut top = 0.0;
    for Line { text, font, color } in &lines {
        let left = ((wide as f32 - font.width(text)) / 2.0).floor();
        drawing.lay_text(*font, text, left, top, *color);
        top += font.height();
    }
    let (x, y) = ((tile.width - wide) / 4 * 2, (tile.height.saturating_sub(high)) / 4 * 2);
    Sprite::new(drawing, tile.x + x, tile.y + y)
}

fn lines(said: &str, width: f32, plain: Type, large: Type, state_color: [u8; 3]) -> Vec<Line> {
    let mut said = said.split('\n');
    let mut next = || said.next().unwrap_or_default();
    let (name, state, reason, last) = (next(), next(), next(), next());
    let mut lines = vec![
        Line { text: large.shortened(name, width), font: large, color: NAME },
        Line { text: plain.shortened(state, width), font: plain, color: state_color },
    ];
    for text in plain.wrapped(reason, width, MOST_LINES) {
        lines.push(Line { text, font: plain, color: REASON });
    }
    lines.push(Line { text: plain.shortened(last, width), font: plain, color: LAST });
    lines.retain(|line| !line.text.is_empty());
    lines
}

/// The nearest even number, at least 2.
pub(super) fn even(length: f32) -> u32 {
    ((length / 2.0).round() as u32 * 2).max(2)
}
