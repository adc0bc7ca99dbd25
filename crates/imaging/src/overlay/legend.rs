//! The strip below the picture that says which colour is what.

use super::canvas::Canvas;
use super::text::{Type, printable};
use super::{Layer, Rgb};
use crate::grouped;

const BACKGROUND: Rgb = [0x14, 0x17, 0x1c];
const LABEL: Rgb = [0xf2, 0xf4, 0xf7];
const NOTE: Rgb = [0xa6, 0xb0, 0xbf];
const ABSENT: Rgb = [0x7c, 0x86, 0x94];

/// Narrower pictures stand centred over a strip of this width, in pixels.
const LEAST_WIDTH: usize = 480;

/// Measures of the strip, all in proportion to the letters.
struct Measures {
    letters: Type,
    /// The side of a swatch.
    swatch: f32,
    /// Between swatch and label, and label and note.
    gap: f32,
    /// Around the strip and between columns.
    margin: f32,
    /// From one entry's top to the next one's.
    line: f32,
}

impl Measures {
    fn for_width(width: usize) -> Self {
        let size = (width as f32 / 46.0).clamp(19.0, 110.0).round();
        Self {
            letters: Type { size },
            swatch: (size * 0.62).round(),
            gap: (size * 0.45).round(),
            margin: (size * 0.9).round(),
            line: (size * 1.3).round(),
        }
    }
}

struct Entry {
    label: String,
    note: String,
    color: Rgb,
    found: bool,
}

impl Entry {
    fn new(layer: &Layer<'_>, color: Rgb) -> Self {
        let area = layer.mask.area();
        let found = area > 0 || layer.extent.is_some();
        let mut note = match (&layer.extent, area) {
            (Some(extent), _) => printable(extent),
            (None, 0) => "not found".to_owned(),
            (None, _) => format!("{} px", grouped(area)),
        };
        if let Some(own) = &layer.note {
            note = format!("{note} · {}", printable(own));
        }
        Self { label: printable(layer.label), note, color, found }
    }

    fn width(&self, measures: &Measures) -> f32 {
        let Measures { letters, swatch, gap, .. } = measures;
        swatch + gap * 2.0 + letters.width(&self.label) + letters.width(&self.note)
    }
}

/// The canvas with a legend under it.
pub(super) fn below(picture: &Canvas, layers: &[Layer<'_>], colors: &[Rgb]) -> Canvas {
    let width = picture.width.max(LEAST_WIDTH);
    let measures = Measures::for_width(width);
    let entries: Vec<Entry> =
        layers.iter().zip(colors).map(|(layer, color)| Entry::new(layer, *color)).collect();

    let grid = Grid::fit(&entries, &measures, width as f32);
    let strip = (measures.margin * 1.2 + measures.line * grid.rows as f32).ceil() as usize;
    let mut canvas = Canvas::plain(width, picture.height + strip, BACKGROUND);
    canvas.paste(picture, (width - picture.width) / 2);
    for (position, entry) in entries.iter().enumerate() {
        let (column, row) = (position / grid.rows, position % grid.rows);
        let x = measures.margin + column as f32 * (grid.column_width + measures.margin);
        let y = picture.height as f32 + measures.margin * 0.6 + row as f32 * measures.line;
        draw_entry(&mut canvas, entry, &measures, (x, y.round()), grid.column_width);
    }
    canvas
}

/// Columns of equal width, filled from top to bottom.
struct Grid {
    rows: usize,
    column_width: f32,
}

impl Grid {
    fn fit(entries: &[Entry], measures: &Measures, width: f32) -> Self {
        let margin = measures.margin;
        let available = width - 2.0 * margin;
        let widest = entries.iter().map(|entry| entry.width(measures).ceil()).fold(0.0, f32::max);
        // One very long label must not push all others into a single column.
        let half = ((available - margin) / 2.0).floor();
        let roomy = entries.len() > 4 && half > measures.letters.size * 16.0;
        let column_width = widest.min(if roomy { half } else { available });
        let columns =
            (((available + margin) / (column_width + margin)) as usize).clamp(1, entries.len());
        Self { rows: entries.len().div_ceil(columns), column_width }
    }
}

fn draw_entry(
    canvas: &mut Canvas,
    entry: &Entry,
    measures: &Measures,
    (x, y): (f32, f32),
    width: f32,
) {
    let Measures { letters, swatch, gap, .. } = measures;
    let note_width = letters.width(&entry.note);
    let room = width - swatch - gap * 2.0 - note_width;
    let label = letters.shorten(&entry.label, room);
    let label_x = x + swatch + gap;

    let swatch_y = y + (letters.size - swatch) / 2.0;
    draw_swatch(canvas, (x, swatch_y), *swatch, entry);
    let (label_color, note_color) = if entry.found { (LABEL, NOTE) } else { (ABSENT, ABSENT) };
    letters.draw(canvas, (label_x, y), &label, label_color);
    letters.draw(canvas, (label_x + letters.width(&label) + gap, y), &entry.note, note_color);
}

/// A square with round corners: full for what was found, a ring for what was not.
fn draw_swatch(canvas: &mut Canvas, (x, y): (f32, f32), side: f32, entry: &Entry) {
    let radius = side * 0.28;
    let ring = (side * 0.14).max(1.5);
    let half = side / 2.0;
    for row in 0..side as i64 + 1 {
        for column in 0..side as i64 + 1 {
            // Signed distance to the rounded square, negative inside.
            let offset = |index: i64| (index as f32 + 0.5 - half).abs() - (half - radius);
            let (dx, dy) = (offset(column), offset(row));
            let distance = dx.max(0.0).hypot(dy.max(0.0)) + dx.max(dy).min(0.0) - radius;
            let mut coverage = (0.5 - distance).clamp(0.0, 1.0);
            if !entry.found {
                coverage = coverage.min((distance + ring + 0.5).clamp(0.0, 1.0));
            }
            canvas.dab(
                x as i64 + column,
                y as i64 + row,
                entry.color,
                (coverage * 255.0).round() as u8,
            );
        }
    }
}
