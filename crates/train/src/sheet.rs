//! Pictures with truth and answer drawn in, many on one sheet.

use medparse::picture::{RgbView, Size};
use medparse::preprocess::resize_bicubic;
use medparse_imaging::{Error, Layer, Mask, OverlayStyle, Picture, Rgb, overlay};

/// Tiles in a row.
const COLUMNS: usize = 4;

/// Width of a tile and its greatest height, in pixels.
const TILE: [usize; 2] = [480, 560];

/// Pixels between tiles.
const GAP: usize = 8;

const TRUTH: Rgb = [0x35, 0xd0, 0x7f];
const ANSWER: Rgb = [0xff, 0x6b, 0x35];
const PAPER: u8 = 0x10;

/// A picture with what is marked in it and what was answered.
#[derive(Debug, Clone)]
pub struct Tile {
    /// The picture.
    pub picture: Picture,
    /// What was asked for.
    pub target: String,
    /// What is marked, of the picture's size.
    pub truth: Mask,
    /// What was answered, of the picture's size.
    pub answer: Mask,
    /// Dice of the answer.
    pub dice: f64,
}

/// Draws tiles side by side, from left to right and down; each says what was asked for, how large
/// truth and answer are, and their Dice.
///
/// # Errors
/// When a mask is not of its picture's size.
pub fn contact_sheet(tiles: &[Tile]) -> Result<Picture, Error> {
    let drawn: Result<Vec<Drawn>, Error> = tiles.iter().map(Drawn::new).collect();
    let drawn = drawn?;
    let [width, _] = TILE;
    let columns = drawn.len().clamp(1, COLUMNS);
    let rows: Vec<&[Drawn]> = drawn.chunks(columns).collect();
    let heights: Vec<usize> = rows
        .iter()
        .map(|row| row.iter().map(|tile| tile.size.height).max().unwrap_or(0) + GAP)
        .collect();
    let whole =
        Size { width: columns * (width + GAP) + GAP, height: heights.iter().sum::<usize>() + GAP };
    let mut rgb = vec![PAPER; 3 * whole.width * whole.height];
    let mut top = GAP;
    for (row, height) in rows.iter().zip(heights) {
        for (column, tile) in row.iter().enumerate() {
            let left = GAP + column * (width + GAP) + (width - tile.size.width) / 2;
            for (y, line) in tile.rgb.chunks_exact(3 * tile.size.width).enumerate() {
                rgb[3 * ((top + y) * whole.width + left)..][..line.len()].copy_from_slice(line);
            }
        }
        top += height;
    }
    Picture::from_rgb(whole.width as u32, whole.height as u32, rgb)
}

struct Drawn {
    size: Size,
    rgb: Vec<u8>,
}

impl Drawn {
    fn new(tile: &Tile) -> Result<Self, Error> {
        let answer = format!("Dice {:.2}", tile.dice);
        let layers = [
            Layer::new(&tile.target, &tile.truth).with_color(TRUTH),
            Layer::new("answer", &tile.answer).with_color(ANSWER).with_note(answer),
        ];
        let style = OverlayStyle { fill_opacity: 0.12, ..OverlayStyle::default() };
        let drawn = overlay(&tile.picture, &layers, &style)?;
        let from = Size { width: drawn.width() as usize, height: drawn.height() as usize };
        let size = fit(from);
        let view = RgbView::new(from, drawn.pixels()).expect("a picture has its own pixels");
        Ok(Self { size, rgb: resize_bicubic(&view, size) })
    }
}

/// The largest size of the same shape that fits a tile.
fn fit(size: Size) -> Size {
    let [width, height] = TILE;
    let scale = (width as f64 / size.width as f64).min(height as f64 / size.height as f64);
    let scaled = |side: usize, most: usize| ((side as f64 * scale).round() as usize).clamp(1, most);
    Size { width: scaled(size.width, width), height: scaled(size.height, height) }
}

#[cfg(test)]
mod tests {
    use medparse_imaging::procedural;

    use super::*;

    #[test]
    fn tiles_of_any_shape_find_their_place() {
        let tile = |width, height| {
            let scene = procedural::cells(width, height, 1).unwrap();
            let truth = scene.targets[0].mask.clone();
            let answer = Mask::empty(width, height).unwrap();
            Tile { picture: scene.picture, target: "cells".into(), truth, answer, dice: 0.0 }
        };
        let tiles: Vec<Tile> = [(64, 64), (900, 40), (30, 700), (1200, 1100), (48, 32)]
            .map(|(w, h)| tile(w, h))
            .into();
        let sheet = contact_sheet(&tiles).unwrap();
        assert_eq!(sheet.width() as usize, 4 * (TILE[0] + GAP) + GAP);
        assert!(sheet.height() as usize <= 2 * (TILE[1] + GAP) + GAP);
        assert!(contact_sheet(&[]).is_ok());
    }
}
