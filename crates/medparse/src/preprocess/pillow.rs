//! Pillow's bicubic resize of 8-bit RGB, to the bit: it is part of the model's arithmetic.
//!
//! After Pillow 13's `src/libImaging/Resample.c`: the cubic of Keys with a = -0.5, widened when shrinking; weights
//! rounded to 22 fractional bits; a horizontal pass, then a vertical one, each rounding and clipping to 8 bits.
//! A pass is left out where that axis keeps its length. The vertical pass comes first where it takes away more
//! than twice as many rows as the other takes away columns; before version 13 it never did.

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
const BLOCK: usize = 64;
/// Output rows of the vertical pass that one thread takes at a time.
const ROWS_PER_TASK: usize = 8;

/// Resizes a picture to `size`, keeping no aspect ratio; returns rows of RGB, `height * width * 3` bytes.
///
/// The bytes equal those of Pillow's `Image.resize(size, Image.BICUBIC)` for any sizes and number of threads.
pub fn resize_bicubic(picture: &RgbView, size: Size) -> Vec<u8> {
    resize_placed(picture, &Placement::stretched(picture.size()), size)
}

/// Resizes the canvas that `picture` lies on to `size`; the canvas is black (0) where the picture is not.
///
/// The bytes are those of painting the canvas and resizing it with [`resize_bicubic`], but the black is neither
/// stored nor multiplied.
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

/// Lays up to 16 rows side by side: one byte of each row to a column. Lanes without a row keep what they had.
#[inline(always)]
fn rows_to_columns(rows: &[u8], columns: &mut [[u8; LANES]]) {
    for (lane, row) in rows.chunks_exact(columns.len()).enumerate() {
        for (column, &byte) in columns.iter_mut().zip(row) {
            column[lane] = byte;
        }
    }
}

#[inline(always)]
fn columns_to_rows(columns: &[[u8; LANES]], rows: &mut [u8]) {
    for (lane, row) in rows.chunks_exact_mut(columns.len()).enumerate() {
        for (byte, column) in row.iter_mut().zip(columns) {
            *byte = column[lane];
        }
    }
}

/// The weighted sums of one strip of rows, all lanes of the three channels at once.
#[inline(always)]
fn resample_strip(source: &[[u8; LANES]], taps: &Taps, target: &mut [[u8; LANES]]) {
    for (pixel, (start, weights)) in target.chunks_exact_mut(CHANNELS).zip(taps.windows()) {
        let mut sums = [[HALF; LANES]; CHANNELS];
        let window = source[start * CHANNELS..].chunks_exact(CHANNELS);
        for (pixel, &weight) in window.zip(weights) {
            for (sums, column) in sums.iter_mut().zip(pixel) {
                accumulate(sums, column, weight);
            }
        }
        for (column, sums) in pixel.iter_mut().zip(&sums) {
            round(column, sums);
        }
    }
}

/// The vertical pass: `taps.len()` rows out of the rows of `row` bytes in `source`.
fn resample_columns(source: &[u8], row: usize, taps: &Taps) -> Vec<u8> {
    let mut target = vec![0; taps.len() * row];
    target
        .par_chunks_mut(ROWS_PER_TASK * row)
        .enumerate()
        .for_each(|(task, target)| {
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
    let mut blocks = target.chunks_exact_mut(BLOCK);
    let mut from = 0;
    for block in &mut blocks {
        let mut sums = [HALF; BLOCK];
        for (source, &weight) in source.chunks_exact(row).zip(weights) {
            accumulate(&mut sums, &source[from..from + BLOCK], weight);
        }
        round(block, &sums);
        from += BLOCK;
    }
    let rest = blocks.into_remainder();
    let mut sums = [HALF; BLOCK];
    let sums = &mut sums[..rest.len()];
    for (source, &weight) in source.chunks_exact(row).zip(weights) {
        accumulate(sums, &source[from..], weight);
    }
    round(rest, sums);
}

/// What rounds a sum when its fractional bits are cut off.
const HALF: i32 = 1 << (PRECISION_BITS - 1);

#[inline(always)]
fn accumulate(sums: &mut [i32], bytes: &[u8], weight: i32) {
    for (sum, &byte) in sums.iter_mut().zip(bytes) {
        *sum += i32::from(byte) * weight;
    }
}

#[inline(always)]
fn round(bytes: &mut [u8], sums: &[i32]) {
    for (byte, &sum) in bytes.iter_mut().zip(sums) {
        *byte = (sum >> PRECISION_BITS).clamp(0, 255) as u8;
    }
}
