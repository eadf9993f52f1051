//! Text in the embedded font: how wide it is, where it is cut or broken, and which samples it covers.
//!
//! Characters are set one after the other from left to right, with kerning; combining marks stand on what they follow,
//! as the font draws them. There is no shaping: scripts that need it (Arabic joining, Indic clusters) and right-to-left
//! order are not set as their readers expect. A character that the font lacks is U+FFFD, the visible replacement.

use ab_glyph::{Font, FontRef, GlyphId, PxScale, PxScaleFont, ScaleFont, point};
use std::sync::LazyLock;

static FONT: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    FontRef::try_from_slice(include_bytes!("../../fonts/DejaVuSans.ttf"))
        .expect("the embedded font is a font")
});
const ELLIPSIS: char = '…';

/// The font in one size.
#[derive(Clone, Copy)]
pub(super) struct Type {
    font: PxScaleFont<&'static FontRef<'static>>,
}

impl Type {
    /// Of a height from the highest ascender to the lowest descender, in samples.
    pub(super) fn of_height(height: f32) -> Type {
        Type { font: FONT.as_scaled(PxScale::from(height)) }
    }

    /// From the highest ascender to the lowest descender.
    pub(super) fn height(&self) -> f32 {
        self.font.height()
    }

    /// From the highest ascender to the line that letters stand on.
    pub(super) fn ascent(&self) -> f32 {
        self.font.ascent()
    }

    pub(super) fn width(&self, text: &str) -> f32 {
        self.set(text).last().map_or(0.0, |set| set.end)
    }

    /// `text`, or as much of its beginning as fits with an ellipsis behind it; nothing where not even that fits.
    pub(super) fn shortened(&self, text: &str, width: f32) -> String {
        if self.width(text) <= width {
            return text.to_owned();
        }
        let room = width - self.width(ELLIPSIS.encode_utf8(&mut [0; 4]));
        if room < 0.0 {
            return String::new();
        }
        let mut short = text[..self.fitting(text, room)].trim_end().to_owned();
        short.push(ELLIPSIS);
        short
    }

    /// `text` in lines, at most so many; the last one is shortened where there is more to say.
    pub(super) fn wrapped(&self, text: &str, width: f32, most: usize) -> Vec<String> {
        let (mut lines, mut rest) = (Vec::new(), text.trim());
        while !rest.is_empty() && lines.len() < most {
            if lines.len() + 1 == most || self.width(rest) <= width {
                lines.push(self.shortened(rest, width));
                break;
            }
            let end = self.fitting(rest, width);
            let is_between_words = rest[end..].starts_with(' ');
            let space = if is_between_words { Some(end) } else { rest[..end].rfind(' ') };
            // A word longer than a line is broken where the line ends; there is at least one character a line.
            let first = rest.chars().next().map_or(0, char::len_utf8);
            let end = space.filter(|&space| space > 0).unwrap_or(end).max(first);
            lines.push(rest[..end].trim_end().to_owned());
            rest = rest[end..].trim_start();
        }
        lines
    }

    /// Calls `cover` with every sample that `text` has a part in, and that part, 0 to 256; it may lie anywhere. The text
    /// begins at `x` and stands on `baseline`.
    pub(super) fn draw(&self, text: &str, x: f32, baseline: f32, cover: &mut dyn FnMut(i32, i32, u16)) {
        for set in self.set(text) {
            let glyph = set.glyph.with_scale_and_position(self.font.scale(), point(x + set.x, baseline));
            let Some(outline) = self.font.outline_glyph(glyph) else { continue };
            let corner = outline.px_bounds().min;
            let (left, top) = (corner.x as i32, corner.y as i32);
            outline.draw(|x, y, part| {
                cover(left + x as i32, top + y as i32, (part.clamp(0.0, 1.0) * 256.0).round() as u16);
            });
        }
    }

    /// Bytes of the longest beginning that fits and does not tear a mark off what it stands on.
    fn fitting(&self, text: &str, width: f32) -> usize {
        let over = self.set(text).find(|set| set.end > width && set.is_base);
        over.map_or(text.len(), |set| set.at)
    }

    fn set<'t>(&self, text: &'t str) -> impl Iterator<Item = Set> + use<'t> {
        let (font, mut end, mut last) = (self.font, 0.0, None);
        text.char_indices().map(move |(at, char)| {
            let glyph = glyph(char);
            let advance = font.h_advance(glyph);
            let kern = last.replace(glyph).map_or(0.0, |last| font.kern(last, glyph));
            let x = end + kern;
            end = x + advance;
            Set { at, glyph, x, end, is_base: advance > 0.0 }
        })
    }
}

/// A character in its place.
struct Set {
    /// Bytes before it.
    at: usize,
    glyph: GlyphId,
    x: f32,
    end: f32,
    /// It takes room of its own; what does not stands on the one before.
    is_base: bool,
}

fn glyph(char: char) -> GlyphId {
    match FONT.glyph_id(char) {
        GlyphId(0) => FONT.glyph_id(char::REPLACEMENT_CHARACTER),
        known => known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_shortened_to_what_fits() {
        let font = Type::of_height(16.0);
        assert_eq!(font.shortened("yard", 500.0), "yard");
        for text in [
            "Front door, by the bicycles",
            "Übergrößenträger ÄÖÜ",
            "e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}",
        ] {
            for width in 0..(font.width(text) as u32) {
                let short = font.shortened(text, width as f32);
                assert!(font.width(&short) <= width as f32, "{short:?} in {width}");
                let kept = short.trim_end_matches(ELLIPSIS);
                assert!(
                    text.starts_with(kept) && (short.is_empty() || short.ends_with(ELLIPSIS)),
                    "{short:?}"
                );
                assert!(!text[kept.len()..].starts_with('\u{301}'), "{short:?}");
            }
        }
    }

    #[test]
    fn lines_are_broken_between_words_and_inside_them_only_where_they_are_too_long() {
        let font = Type::of_height(16.0);
        let width = font.width("connection to ");
        let lines = font.wrapped("connection to 192.168.8.101:554 refused", width, 9);
        assert_eq!(lines[0], "connection to");
        assert!(lines.len() >= 3 && lines.iter().all(|line| font.width(line) <= width), "{lines:?}");
        assert_eq!(lines.concat().replace(' ', ""), "connectionto192.168.8.101:554refused");
        let two = font.wrapped("connection to 192.168.8.101:554 refused", width, 2);
        assert!(two.len() == 2 && two[1].ends_with(ELLIPSIS), "{two:?}");
        assert_eq!(font.wrapped("  ", width, 3), Vec::<String>::new());
        assert_eq!(font.wrapped("ab", 0.5, 9).len(), 2, "a line has at least a character");
    }

    #[test]
    fn what_the_font_lacks_is_seen() {
        let replacement = glyph(char::REPLACEMENT_CHARACTER);
        assert_ne!(replacement, GlyphId(0));
        assert_eq!(glyph('門'), replacement);
        for known in "aÄéßøłŹŽΩжЂაԱא☀→€".chars() {
            assert_ne!(glyph(known), replacement, "{known}");
        }
    }
}
