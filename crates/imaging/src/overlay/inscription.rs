//! What is written on the picture itself: which way the patient lies, and which slice it is.

use super::Rgb;
use super::canvas::Canvas;
use super::text::Type;

const INK: Rgb = [0xf2, 0xf4, 0xf7];
const HALO: Rgb = [0, 0, 0];

/// Letters at the edges of a part of the picture, and a line in its upper left corner.
#[derive(Clone, Debug)]
pub(crate) struct Inscription {
    /// The part: left, top, width and height in pixels of the picture.
    pub frame: [usize; 4],
    /// What lies towards the left, the right, the top and the bottom edge; empty where that is not known.
    pub edges: [String; 4],
    /// The line, empty for none.
    pub caption: String,
}

/// Writes on a canvas whose pixels are `scale` times as large as the picture's.
pub(super) fn draw(canvas: &mut Canvas, scale: usize, inscription: &Inscription) {
    let [left, top, width, height] = inscription.frame.map(|side| (side * scale) as f32);
    let size = (width.min(height) / 14.0).clamp(11.0, 60.0).round();
    let letters = Type { size };
    let margin = (size * 0.3).round();
    let mut write = |x: f32, y: f32, line: &str| write(canvas, letters, [x.round(), y], line);
    let [toward_left, toward_right, toward_top, toward_bottom] =
        inscription.edges.each_ref().map(String::as_str);
    let centred = |line: &str| left + (width - letters.width(line)) / 2.0;
    let middle = (top + (height - size) / 2.0).round();
    write(left + margin, middle, toward_left);
    write(left + width - margin - letters.width(toward_right), middle, toward_right);
    write(centred(toward_top), top, toward_top);
    write(centred(toward_bottom), top + height - size, toward_bottom);
    // Short of the letter at the top.
    let caption = letters.shorten(&inscription.caption, width * 0.45 - margin);
    write(left + margin, top, &caption);
}

/// A pale line with a dark rim, to be read on any background.
fn write(canvas: &mut Canvas, letters: Type, [x, y]: [f32; 2], line: &str) {
    let rim = (letters.size / 16.0).max(1.0).round();
    for (dx, dy) in [(-1, -1), (0, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (0, 1), (1, 1)] {
        letters.draw(canvas, (x + dx as f32 * rim, y + dy as f32 * rim), line, HALO);
    }
    letters.draw(canvas, (x, y), line, INK);
}
