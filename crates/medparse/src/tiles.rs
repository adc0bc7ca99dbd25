//! Pictures far larger than the model's square: overlapping tiles, blended where they meet.

use medparse_imaging::write::Target;
use medparse_imaging::{PALETTE, Region, Regions};

use crate::model::{Model, SegmentError};
use crate::parts::{self, Found, JournalError, JournalKey, PartAnswer, Scale, Votes, Work};
use crate::prompts::Prompt;
use crate::segmentation::SegmentOptions;

/// How a picture is cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TileOptions {
    /// Side of a tile in the picture's pixels, at least 1; the model resizes each to its own square.
    pub side: usize,
    /// How far neighbours reach into each other, in pixels; less than the side.
    pub overlap: usize,
    /// What is kept of a pixel.
    pub detail: Detail,
    /// How each tile is asked.
    pub segment: SegmentOptions,
}

/// What is kept of a pixel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Whether it belongs to the mask: one byte.
    #[default]
    Mask,
    /// The probability too: another byte.
    Probability,
}

/// The share of a tile's side that its neighbour sees too.
const SHARED: usize = 4;

impl TileOptions {
    /// Tiles of a side, a quarter of each shared with its neighbour.
    pub fn of_side(side: usize) -> Self {
        let overlap = side / SHARED;
        Self { side, overlap, detail: Detail::default(), segment: SegmentOptions::default() }
    }

    /// Tiles that show the model one pixel for every `wanted` µm of a picture of `own` µm a pixel, for a model whose
    /// square has `side` pixels.
    pub fn at_scale(side: usize, own: f64, wanted: f64) -> Self {
        Self::of_side(((side as f64 * wanted / own).round() as usize).max(1))
    }

    /// The key of a journal of these tiles' answers; `picture` tells the picture from others.
    pub fn key(&self, picture: &str, mut key: JournalKey) -> [u8; 32] {
        key.add(&format!("tiles {} {} {picture}", self.side, self.overlap));
        key.finish()
    }

    /// How many tiles a picture has.
    pub fn count(&self, (width, height): (u32, u32)) -> usize {
        spans(width as usize, self).len() * spans(height as usize, self).len()
    }
}

/// Why a picture can't be segmented in tiles.
#[derive(Debug, thiserror::Error)]
pub enum TileError {
    /// One tile could not be segmented.
    #[error("the tile at {x},{y}: {error}")]
    Tile {
        /// Its left column.
        x: u32,
        /// Its top row.
        y: u32,
        /// Why not.
        error: SegmentError,
    },
    /// A region could not be read.
    #[error(transparent)]
    Picture(#[from] medparse_imaging::Error),
    /// There is nothing to look for.
    #[error(transparent)]
    Prompt(SegmentError),
    /// What is done could not be kept.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Asks every tile and gives what was found of each prompt in their order, of the picture's size.
///
/// Where tiles overlap, a tile's word counts less towards its border, linearly. It holds a byte a pixel and prompt (two
/// where probabilities are kept), four bytes a pixel and prompt of one row of tiles, and the tiles that are asked at the
/// same time; of the picture only what `picture` holds itself.
///
/// # Errors
/// When there is no prompt, a tile cannot be read or segmented, the journal cannot be kept, or the work is told to stop.
pub fn segment_tiles(
    model: &Model,
    picture: &dyn Regions,
    prompts: &[Prompt],
    options: &TileOptions,
    work: &mut Work<'_>,
) -> Result<Vec<Found>, TileError> {
    if prompts.is_empty() {
        return Err(TileError::Prompt(SegmentError::NoPrompt));
    }
    let (width, height) = picture.dimensions();
    let columns = spans(width as usize, options);
    let rows = spans(height as usize, options);
    let scale = Scale::new(options.segment.threshold);
    let stop = work.stop;
    let ask = |tile: usize| {
        let (column, row) = (&columns[tile % columns.len()], &rows[tile / columns.len()]);
        let [x, y, width, height] =
            [column.start, row.start, column.length, row.length].map(|pixels| pixels as u32);
        let at_tile = |error| TileError::Tile { x, y, error };
        let tile = picture.region(Region { x, y, width, height })?;
        parts::ask(model, &tile, prompts, &options.segment, stop).map_err(at_tile)
    };
    let canvas = Canvas::new(width as usize, &columns, &rows);
    let mut layers: Vec<Layer> = prompts
        .iter()
        .map(|_| Layer::new(width as usize * height as usize, &canvas, options.detail))
        .collect();
    parts::answer(columns.len() * rows.len(), work, &ask, &mut |tile, answers| {
        let (column, row) = (tile % columns.len(), tile / columns.len());
        for (layer, answer) in layers.iter_mut().zip(answers) {
            canvas.hear(layer, &answer, &columns[column], &rows[row]);
            layer.votes.hear(&answer);
        }
        if column + 1 == columns.len() {
            canvas.finish_row(row, &mut layers, scale);
        }
        Ok::<_, TileError>(())
    })?;
    let layers = prompts.iter().zip(layers).zip(PALETTE.iter().cycle());
    Ok(layers
        .map(|((prompt, layer), color)| {
            let target = Target {
                label: prompt.as_str().to_owned(),
                category: layer.votes.category().map(|category| category.to_string()),
                color: *color,
                voxels: layer.mask,
                probabilities: layer.probabilities,
            };
            Found { target, presence: layer.votes.presence() }
        })
        .collect())
}

/// Where tiles are put together: what each column and row of the picture weighs in all.
struct Canvas {
    width: usize,
    across: Vec<f32>,
    down: Vec<f32>,
    /// The first row of each row of tiles, and the picture's height.
    starts: Vec<usize>,
    /// Rows of a tile.
    length: usize,
}

/// What is known of one prompt.
struct Layer {
    /// Weighted bytes of the rows that are not finished.
    sums: Vec<f32>,
    mask: Vec<u8>,
    probabilities: Option<Vec<u8>>,
    votes: Votes,
}

impl Layer {
    fn new(pixels: usize, canvas: &Canvas, detail: Detail) -> Self {
        Self {
            sums: vec![0.0; canvas.width * canvas.length],
            mask: vec![0; pixels],
            probabilities: (detail == Detail::Probability).then(|| vec![0; pixels]),
            votes: Votes::default(),
        }
    }
}

impl Canvas {
    fn new(width: usize, columns: &[Span], rows: &[Span]) -> Self {
        let height = rows.last().map_or(0, |row| row.start + row.length);
        // A tile's weight is that of its column times that of its row, and every column meets every row: so the sums of
        // the weights are products too.
        let weights = |length: usize, spans: &[Span]| {
            let mut weights = vec![0.0; length];
            for span in spans {
                for at in 0..span.length {
                    weights[span.start + at] += span.weight(at);
                }
            }
            weights
        };
        let starts = rows.iter().map(|row| row.start).chain([height]).collect();
        let length = rows.first().map_or(0, |row| row.length);
        Self { width, across: weights(width, columns), down: weights(height, rows), starts, length }
    }

    /// Adds one tile's word.
    fn hear(&self, layer: &mut Layer, answer: &PartAnswer, column: &Span, row: &Span) {
        for (y, line) in answer.values.chunks_exact(column.length).take(row.length).enumerate() {
            let down = row.weight(y);
            let sums = &mut layer.sums[y * self.width + column.start..][..column.length];
            for (x, (sum, byte)) in sums.iter_mut().zip(line).enumerate() {
                *sum += f32::from(*byte) * (down * column.weight(x));
            }
        }
    }

    /// Finishes the rows that no later tile reaches.
    fn finish_row(&self, row: usize, layers: &mut [Layer], scale: Scale) {
        let (start, end) = (self.starts[row], self.starts[row + 1]);
        for layer in layers {
            for y in start..end {
                let sums = &layer.sums[(y - start) * self.width..][..self.width];
                let means = || {
                    let weighed = sums.iter().zip(&self.across);
                    weighed.map(|(sum, across)| sum / (across * self.down[y]))
                };
                let mask = &mut layer.mask[y * self.width..][..self.width];
                for (pixel, mean) in mask.iter_mut().zip(means()) {
                    *pixel = if scale.is_inside(mean) { 255 } else { 0 };
                }
                if let Some(probabilities) = &mut layer.probabilities {
                    let line = &mut probabilities[y * self.width..][..self.width];
                    for (byte, mean) in line.iter_mut().zip(means()) {
                        *byte = mean.round() as u8;
                    }
                }
            }
            let finished = (end - start) * self.width;
            layer.sums.copy_within(finished.., 0);
            let left = layer.sums.len() - finished;
            layer.sums[left..].fill(0.0);
        }
    }
}

/// A tile's extent along one axis.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span {
    start: usize,
    length: usize,
    overlap: usize,
}

impl Span {
    /// 1 inside, falling to the ends over the overlap, never 0.
    fn weight(&self, at: usize) -> f32 {
        let to_end = (at + 1).min(self.length - at);
        to_end.min(self.overlap + 1) as f32 / (self.overlap + 1) as f32
    }
}

/// Tiles of one length that cover an axis, at equal distances, sharing at least the overlap.
fn spans(length: usize, options: &TileOptions) -> Vec<Span> {
    let side = options.side.clamp(1, length);
    let overlap = options.overlap.min(side - 1);
    let count = if side == length { 1 } else { (length - overlap).div_ceil(side - overlap) };
    let start = |index: usize| if count == 1 { 0 } else { index * (length - side) / (count - 1) };
    (0..count).map(|index| Span { start: start(index), length: side, overlap }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(side: usize, overlap: usize) -> TileOptions {
        TileOptions { overlap, ..TileOptions::of_side(side) }
    }

    #[test]
    fn tiles_cover_everything_and_share_the_overlap() {
        for length in [1, 5, 99, 100, 101, 180, 181, 1000] {
            for (side, overlap) in [(100, 20), (100, 0), (7, 6), (1, 0), (100, 500)] {
                let spans = spans(length, &options(side, overlap));
                assert_eq!(spans[0].start, 0);
                let last = spans.last().unwrap();
                assert_eq!(last.start + last.length, length, "{length} {side} {overlap}");
                let shared = overlap.min(side.min(length) - 1);
                for pair in spans.windows(2) {
                    assert!(
                        pair[0].start + pair[0].length >= pair[1].start + shared,
                        "{length} {side} {overlap}"
                    );
                }
            }
        }
    }

    #[test]
    fn weights_fall_towards_the_ends_and_are_never_nothing() {
        let span = Span { start: 0, length: 10, overlap: 3 };
        let weights: Vec<f32> = (0..10).map(|at| span.weight(at)).collect();
        assert_eq!(weights, [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]);
    }

    /// Tiles that are cut out of one map and put together again are the map: nothing is lost, shifted or counted twice.
    #[test]
    fn tiles_of_one_map_are_the_map() {
        for (width, height, side, overlap) in [(50, 37, 16, 4), (50, 37, 64, 4), (9, 40, 7, 6)] {
            let map: Vec<u8> =
                (0..width * height).map(|at| (at * 7919 % 256) as u8).collect::<Vec<_>>();
            let options = options(side, overlap);
            let (columns, rows) = (spans(width, &options), spans(height, &options));
            let canvas = Canvas::new(width, &columns, &rows);
            let mut layers = [Layer::new(width * height, &canvas, Detail::Probability)];
            for (number, row) in rows.iter().enumerate() {
                for column in &columns {
                    let lines = map.chunks_exact(width).skip(row.start).take(row.length);
                    let values = lines
                        .flat_map(|line| line[column.start..][..column.length].to_vec())
                        .collect();
                    let answer = PartAnswer { values, ..PartAnswer::nothing(0) };
                    canvas.hear(&mut layers[0], &answer, column, row);
                }
                canvas.finish_row(number, &mut layers, Scale::new(0.5));
            }
            let [layer] = layers;
            assert_eq!(layer.probabilities.unwrap(), map, "{width}×{height}, {side} and {overlap}");
            let mask: Vec<u8> = map.iter().map(|byte| if *byte > 127 { 255 } else { 0 }).collect();
            assert_eq!(layer.mask, mask);
        }
    }

    #[test]
    fn a_scale_becomes_a_side() {
        assert_eq!(TileOptions::at_scale(1024, 0.25, 0.5).side, 2048);
    }
}
