//! Pillow's bicubic resize of 8-bit RGB, to the bit: it is part of the model's arithmetic.
//!
//! After Pillow 13's `src/libImaging/Resample.c`: the cubic of Keys with a = -0.5, widened when
//! shrinking; weights rounded to 22 fractional bits; a horizontal pass, then a vertical one, each
//! rounding and clipping to 8 bits. A pass is left out where that axis keeps its length. The
//! vertical pass comes first where it takes away more than twice as many rows as the other takes
//! away columns; before version 13 it never did.

use std::borrow::Cow;

use rayon::prelude::*;

use super::fit::Placement;
use super::taps::{PRECISION_BITS, Taps};
use crate::picture::{RgbView, Size};
use crate::simd::vectorized;

const CHANNELS: usize = 3;
/// Rows that the horizontal pass works on together, one to a lane of a vector.
const LANES: usize = 16;
/// Bytes of a row that the vertical pass works on together.
const BLOCK: usize = 32;
/// Output rows of the vertical pass that one thread takes at a time.
const ROWS_PER_TASK: usize = 8;

/// Resizes a picture to `size`, keeping no aspect ratio; returns rows of RGB, `height * width * 3`
/// bytes.
///
/// The bytes equal those of Pillow's `Image.resize(size, Image.BICUBIC)` for any sizes and number
/// of threads.
pub fn resize_bicubic(picture: &RgbView, size: Size) -> Vec<u8> {
    resize_placed(picture, &Placement::stretched(picture.size()), size)
}

/// Resizes the canvas that `picture` lies on to `size`; the canvas is black (0) where the picture
/// is not.
///
/// The bytes are those of painting the canvas and resizing it with [`resize_bicubic`], but the
/// black is neither stored nor multiplied.
pub fn resize_placed(picture: &RgbView, placement: &Placement, size: Size) -> Vec<u8> {
    if size.area().is_none_or(|area| area == 0) {
        return Vec::new();
    }
    let Size { width, height } = picture.size();
    let columns = Taps::new(placement.columns(), width, size.width);
    let rows = Taps::new(placement.rows(), height, size.height);
    let mut pixels = Cow::Borrowed(picture.pixels());
    let vertical_first = is_vertical_first(placement.canvas(), size);
    if vertical_first && !rows.is_identity() {
        pixels = resample_columns(&pixels, width * CHANNELS, &rows).into();
    }
    if !columns.is_identity() {
        pixels = resample_rows(&pixels, width, &columns).into();
    }
    if !vertical_first && !rows.is_identity() {
        pixels = resample_columns(&pixels, size.width * CHANNELS, &rows).into();
    }
    pixels.into_owned()
}

/// Whether so many rows go away that Pillow saves time by the vertical pass first.
fn is_vertical_first(from: Size, to: Size) -> bool {
    let rows_less = from.height.saturating_sub(to.height);
    let columns_less = from.width.saturating_sub(to.width);
    rows_less > columns_less.saturating_mul(2)
}

/// The horizontal pass: every row of `width` pixels becomes one of `taps.len()` pixels.
fn resample_rows(source: &[u8], width: usize, taps: &Taps) -> Vec<u8> {
    let source_row = width * CHANNELS;
    let target_row = taps.len() * CHANNELS;
    let mut target = vec![0; source.len() / source_row * target_row];
    target
        .par_chunks_mut(LANES * target_row)
        .zip(source.par_chunks(LANES * source_row))
        .for_each_init(
            || (vec![[0; LANES]; source_row], vec![[0; LANES]; target_row]),
            |(source_columns, target_columns), (target, source)| {
                vectorized(
                    #[inline(always)]
                    || {
                        rows_to_columns(source, source_columns);
                        resample_strip(source_columns, taps, target_columns);
                        columns_to_rows(target_columns, target);
                    },
                );
            },
        );
    target
}

/// Lays up to 16 rows side by side: one byte of each row to a column. Lanes without a row keep what
/// they had.
#[inline(always)]
fn rows_to_columns(rows: &[u8], columns: &mut [[u8; LANES]]) {
    let row = columns.len();
    let whole = if rows.len() == LANES * row { row - row % LANES } else { 0 };
    for (tile, from) in columns.chunks_exact_mut(LANES).zip((0..whole).step_by(LANES)) {
        let block = std::array::from_fn(|lane| tile_row(&rows[lane * row + from..]));
        tile.copy_from_slice(&transpose(block));
    }
    for (lane, row) in rows.chunks_exact(row).enumerate() {
        for (column, &byte) in columns.iter_mut().zip(row).skip(whole) {
            column[lane] = byte;
        }
    }
}

#[inline(always)]
fn columns_to_rows(columns: &[[u8; LANES]], rows: &mut [u8]) {
    let row = columns.len();
    let whole = if rows.len() == LANES * row { row - row % LANES } else { 0 };
    for (tile, from) in columns.chunks_exact(LANES).zip((0..whole).step_by(LANES)) {
        let block = transpose(std::array::from_fn(|column| tile[column]));
        for (lane, bytes) in block.iter().enumerate() {
            rows[lane * row + from..][..LANES].copy_from_slice(bytes);
        }
    }
    for (lane, row) in rows.chunks_exact_mut(row).enumerate() {
        for (byte, column) in row.iter_mut().zip(columns).skip(whole) {
            *byte = column[lane];
        }
    }
}

type Tile = [[u8; LANES]; LANES];

#[inline(always)]
fn tile_row(bytes: &[u8]) -> [u8; LANES] {
    let mut row = [0; LANES];
    row.copy_from_slice(&bytes[..LANES]);
    row
}

/// Swaps rows and columns: four rounds of weaving row `i` with row `i + 8`.
#[inline(always)]
fn transpose(tile: Tile) -> Tile {
    let mut tile = tile;
    for _ in 0..LANES.ilog2() {
        let mut woven = [[0; LANES]; LANES];
        for i in 0..LANES / 2 {
            let (a, b) = (tile[i], tile[i + LANES / 2]);
            for k in 0..LANES / 2 {
                woven[2 * i][2 * k] = a[k];
                woven[2 * i][2 * k + 1] = b[k];
                woven[2 * i + 1][2 * k] = a[k + LANES / 2];
                woven[2 * i + 1][2 * k + 1] = b[k + LANES / 2];
            }
        }
        tile = woven;
    }
    tile
}

/// The weighted sums of one strip of rows, all lanes of the three channels at once.
#[inline(always)]
fn resample_strip(source: &[[u8; LANES]], taps: &Taps, target: &mut [[u8; LANES]]) {
    for (pixel, (start, weights)) in target.chunks_exact_mut(CHANNELS).zip(taps.windows()) {
        let (mut red, mut green, mut blue) = ([HALF; LANES], [HALF; LANES], [HALF; LANES]);
        let window = source[start * CHANNELS..].chunks_exact(CHANNELS);
        for (pixel, &weight) in window.zip(weights) {
            red = accumulate(red, &pixel[0], weight);
            green = accumulate(green, &pixel[1], weight);
            blue = accumulate(blue, &pixel[2], weight);
        }
        pixel[0] = round(red);
        pixel[1] = round(green);
        pixel[2] = round(blue);
    }
}

/// The vertical pass: `taps.len()` rows out of the rows of `row` bytes in `source`.
fn resample_columns(source: &[u8], row: usize, taps: &Taps) -> Vec<u8> {
    let mut target = vec![0; taps.len() * row];
    target.par_chunks_mut(ROWS_PER_TASK * row).enumerate().for_each(|(task, target)| {
        vectorized(
            #[inline(always)]
            || {
                let windows = taps.windows().skip(task * ROWS_PER_TASK);
                for (target, (start, weights)) in target.chunks_exact_mut(row).zip(windows) {
                    blend_rows(&source[start * row..], row, weights, target);
                }
            },
        );
    });
    target
}

/// The weighted sum of as many rows as there are weights.
#[inline(always)]
fn blend_rows(source: &[u8], row: usize, weights: &[i32], target: &mut [u8]) {
    let (blocks, rest) = target.as_chunks_mut::<BLOCK>();
    for (index, block) in blocks.iter_mut().enumerate() {
        *block = blend_block(source.get(index * BLOCK..).unwrap_or_default(), row, weights);
    }
    for (index, byte) in rest.iter_mut().enumerate() {
        let from = blocks.len() * BLOCK + index;
        [*byte] = blend_block(source.get(from..).unwrap_or_default(), row, weights);
    }
}

/// The weighted sum of `N` bytes out of each row.
#[inline(always)]
fn blend_block<const N: usize>(source: &[u8], row: usize, weights: &[i32]) -> [u8; N] {
    let mut sums = [HALF; N];
    for (source, &weight) in source.chunks(row).zip(weights) {
        if let Some(bytes) = source.first_chunk() {
            sums = accumulate(sums, bytes, weight);
        }
    }
    round(sums)
}

/// What rounds a sum when its fractional bits are cut off.
const HALF: i32 = 1 << (PRECISION_BITS - 1);

// Arrays go by value here so that they stay in registers.

#[inline(always)]
fn accumulate<const N: usize>(mut sums: [i32; N], bytes: &[u8; N], weight: i32) -> [i32; N] {
    for (sum, &byte) in sums.iter_mut().zip(bytes) {
        *sum += i32::from(byte) * weight;
    }
    sums
}

#[inline(always)]
fn round<const N: usize>(sums: [i32; N]) -> [u8; N] {
    let mut bytes = [0; N];
    for (byte, sum) in bytes.iter_mut().zip(sums) {
        *byte = (sum >> PRECISION_BITS).clamp(0, 255) as u8;
    }
    bytes
}
