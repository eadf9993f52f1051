//! The few characters a test picture writes, five dots wide and seven high.

use super::painting::{Colour, Painting, Rect};

/// Dots from one character to the next.
const ADVANCE: usize = 6;
/// Dots of a character's height.
pub(super) const HEIGHT: usize = 7;

/// Writes `text` with its top left at `(x, y)`, every dot a square of `dot` samples. Characters that are not
/// in the font are spaces.
pub(super) fn write(painting: &mut Painting, (x, y): (usize, usize), dot: usize, text: &str, colour: Colour) {
    for (index, character) in text.chars().enumerate() {
        let left = x + index * ADVANCE * dot;
        for (row, bits) in glyph(character).into_iter().enumerate() {
            for column in (0..5).filter(|column| bits >> (4 - column) & 1 == 1) {
                let square = Rect { x: left + column * dot, y: y + row * dot, width: dot, height: dot };
                painting.fill(square, colour);
            }
        }
    }
}

/// How wide a text is, in dots.
pub(super) fn width(text: &str) -> usize {
    (text.chars().count() * ADVANCE).saturating_sub(1)
}

fn glyph(character: char) -> [u8; HEIGHT] {
    match character {
        '0' => [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110],
        '1' => [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
        '2' => [0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111],
        '3' => [0b01110, 0b10001, 0b00001, 0b00110, 0b00001, 0b10001, 0b01110],
        '4' => [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010],
        '5' => [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110],
        '6' => [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110],
        '7' => [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000],
        '8' => [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110],
        '9' => [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100],
        ':' => [0b00000, 0b00100, 0b00100, 0b00000, 0b00100, 0b00100, 0b00000],
        '.' => [0b00000, 0b00000, 0b00000, 0b00000, 0b00000, 0b01100, 0b01100],
        'C' => [0b01110, 0b10001, 0b10000, 0b10000, 0b10000, 0b10001, 0b01110],
        'A' => [0b01110, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001],
        'M' => [0b10001, 0b11011, 0b10101, 0b10101, 0b10001, 0b10001, 0b10001],
        _ => [0; HEIGHT],
    }
}
