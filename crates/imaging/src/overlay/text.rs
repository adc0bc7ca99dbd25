//! Letters: one line of Noto Sans, measured, shortened and drawn.

use std::borrow::Cow;
use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, GlyphId, PxScale, ScaleFont, point};

use super::Rgb;
use super::canvas::Canvas;

/// `None` only if the embedded font were broken, which a test rules out; text is then left out.
static FONT: LazyLock<Option<FontRef<'static>>> =
    LazyLock::new(|| FontRef::try_from_slice(notosans::REGULAR_TTF).ok());

const ELLIPSIS: char = '…';

/// Text of one size, in pixels from the highest ascender to the lowest descender.
#[derive(Clone, Copy)]
pub(super) struct Type {
    pub size: f32,
}

impl Type {
    /// The width of a line in pixels.
    pub fn width(self, line: &str) -> f32 {
        let Some(font) = FONT.as_ref() else {
            return 0.0;
        };
        let font = font.as_scaled(PxScale::from(self.size));
        line.chars().map(|c| font.h_advance(font.glyph_id(c))).sum()
    }

    /// The line, or as much of its start as leaves room for an ellipsis within `width`.
    pub fn shorten(self, line: &str, width: f32) -> Cow<'_, str> {
        if self.width(line) <= width {
            return Cow::Borrowed(line);
        }
        let mut kept: String = line.into();
        while kept.pop().is_some() {
            let shortened = format!("{}{ELLIPSIS}", kept.trim_end());
            if self.width(&shortened) <= width {
                return Cow::Owned(shortened);
            }
        }
        Cow::Borrowed("")
    }

    /// Draws a line whose box begins at `(x, y)`.
    pub fn draw(self, canvas: &mut Canvas, (x, y): (f32, f32), line: &str, color: Rgb) {
        let Some(font) = FONT.as_ref() else {
            return;
        };
        let scaled = font.as_scaled(PxScale::from(self.size));
        let (mut pen, baseline) = (x, (y + scaled.ascent()).round());
        for c in line.chars() {
            let id = scaled.glyph_id(c);
            let glyph = id.with_scale_and_position(self.size, point(pen, baseline));
            pen += scaled.h_advance(id);
            let Some(outlined) = font.outline_glyph(glyph) else {
                continue;
            };
            let corner = outlined.px_bounds().min;
            outlined.draw(|dx, dy, coverage| {
                let place = (corner.x as i64 + i64::from(dx), corner.y as i64 + i64::from(dy));
                canvas.dab(
                    place.0,
                    place.1,
                    color,
                    (coverage.clamp(0.0, 1.0) * 255.0).round() as u8,
                );
            });
        }
    }
}

/// A label as the font can show it: one line, and every character it lacks spelt in Latin letters.
pub(super) fn printable(label: &str) -> String {
    let shown = |c: char| FONT.as_ref().is_some_and(|font| font.glyph_id(c) != GlyphId(0));
    let mut text = String::with_capacity(label.len());
    for c in label.chars() {
        if c.is_whitespace() || c.is_control() {
            text.push(' ');
        } else if shown(c) {
            text.push(c);
        } else {
            text.push_str(deunicode::deunicode_char(c).unwrap_or("\u{fffd}"));
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_font_is_sound() {
        assert!(FONT.is_some());
        assert!(Type { size: 20.0 }.width("tumor") > 30.0);
    }

    #[test]
    fn labels_become_printable() {
        for (label, shown) in [
            ("tumor", "tumor"),
            ("опухоль · µm²", "опухоль · µm²"),
            ("肿瘤", "Zhong Liu"),
            ("a\tb\n c\u{7}", "a b c"),
            ("x\u{10ffff}", "x\u{fffd}"),
        ] {
            assert_eq!(printable(label), shown);
        }
    }

    #[test]
    fn long_lines_end_in_an_ellipsis_within_the_width() {
        let letters = Type { size: 16.0 };
        let line = "enhancing tumor core of the left temporal lobe";
        assert_eq!(letters.shorten(line, 1000.0), line);
        let short = letters.shorten(line, 120.0);
        assert!(
            short.ends_with('…') && letters.width(&short) <= 120.0 && short.len() > 8,
            "{short}"
        );
        assert_eq!(letters.shorten(line, 1.0), "");
    }
}
