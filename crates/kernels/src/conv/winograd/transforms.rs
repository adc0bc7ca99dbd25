//! The transforms of weights, inputs and outputs, and the passes that bring tiles to the points and back.

use std::ops::Range;

use super::{GROUP, IN, OUT, POINTS, Winograd};
use crate::activation::Activation;
use crate::gemm::layout::SharedRows;
use crate::gemm::{Float, Rows};
use crate::simd::{Kernel, LANES, Simd};

/// The points: 0, ±NEAR, ±FAR and infinity.
const NEAR: f32 = 0.625;
const FAR: f32 = 1.5;
const NEAR2: f32 = NEAR * NEAR;
const FAR2: f32 = FAR * FAR;

/// `G`: how three weights become six factors, divided by what the interpolation asks for.
pub(super) fn weight_transform() -> [[f64; 3]; IN] {
    let (near, far) = (f64::from(NEAR), f64::from(FAR));
    let at = |point: f64, divisor: f64| [1.0 / divisor, point / divisor, point * point / divisor];
    let difference = near * near - far * far;
    [
        at(0.0, near * near * far * far),
        at(near, 2.0 * near * near * difference),
        at(-near, 2.0 * near * near * difference),
        at(far, -2.0 * far * far * difference),
        at(-far, -2.0 * far * far * difference),
        [0.0, 0.0, 1.0],
    ]
}

/// A row of `B^T d`.
#[inline(always)]
fn input_transform<S: Simd>(s: S, d: [S::F32; IN]) -> [S::F32; IN] {
    let (near, far) = (s.splat(NEAR), s.splat(FAR));
    let (near2, far2) = (s.splat(NEAR2), s.splat(FAR2));
    let (sum, product) = (s.splat(NEAR2 + FAR2), s.splat(NEAR2 * FAR2));
    let even_near = s.neg_mul_add(far2, d[2], d[4]);
    let odd_near = s.neg_mul_add(far2, d[1], d[3]);
    let even_far = s.neg_mul_add(near2, d[2], d[4]);
    let odd_far = s.neg_mul_add(near2, d[1], d[3]);
    [
        s.mul_add(product, d[0], s.neg_mul_add(sum, d[2], d[4])),
        s.mul_add(near, odd_near, even_near),
        s.neg_mul_add(near, odd_near, even_near),
        s.mul_add(far, odd_far, even_far),
        s.neg_mul_add(far, odd_far, even_far),
        s.mul_add(product, d[1], s.neg_mul_add(sum, d[3], d[5])),
    ]
}

/// A row of `A^T m`.
#[inline(always)]
fn output_transform<S: Simd>(s: S, m: [S::F32; IN]) -> [S::F32; OUT] {
    let (near, far) = (s.splat(NEAR), s.splat(FAR));
    let (even_near, odd_near) = (s.add(m[1], m[2]), s.mul(near, s.sub(m[1], m[2])));
    let (even_far, odd_far) = (s.add(m[3], m[4]), s.mul(far, s.sub(m[3], m[4])));
    let (near2, far2) = (s.splat(NEAR2), s.splat(FAR2));
    [
        s.add(m[0], s.add(even_near, even_far)),
        s.add(odd_near, odd_far),
        s.mul_add(far2, even_far, s.mul(near2, even_near)),
        s.add(m[5], s.mul_add(far2, odd_far, s.mul(near2, odd_near))),
    ]
}

/// `B^T d B` of some tiles, for all channels.
pub(super) struct ToPoints<'a, T> {
    pub conv: &'a Winograd,
    pub x: Rows<'a, f32>,
    pub tiles: Range<usize>,
    pub block: usize,
    /// 36 times planes of tiles, `[in_channels / L][block][L]` with L values in a line.
    pub to: &'a mut [T],
}

impl<T: Float> Kernel for ToPoints<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { conv, x, tiles, block, to } = self;
        let point_len = Winograd::point_len::<T>(conv.in_channels, block);
        assert!(to.len() >= POINTS * point_len && tiles.len() <= block);
        for (index, tile) in tiles.enumerate() {
            let (image, [top, left]) = conv.place(tile);
            for channel in (0..conv.in_channels).step_by(LANES) {
                let count = LANES.min(conv.in_channels - channel);
                let mut rows = [[s.zero(); IN]; IN];
                for (j, dx) in (0..IN).enumerate() {
                    let mut column = [s.zero(); IN];
                    for (dy, value) in column.iter_mut().enumerate() {
                        // One pixel above and to the left of the outputs; zeros lie around the image.
                        let (y, x_at) = ((top + dy).wrapping_sub(1), (left + dx).wrapping_sub(1));
                        if y < conv.height && x_at < conv.width {
                            let pixel = (image * conv.height + y) * conv.width + x_at;
                            // SAFETY: the pixel and `count` channels lie in the image, side by side.
                            *value = unsafe { x.lanes(s, pixel, channel, count) };
                        }
                    }
                    for (row, value) in rows.iter_mut().zip(input_transform(s, column)) {
                        row[j] = value;
                    }
                }
                let line = channel / T::PER_LINE * block + index;
                let plane = line * T::PER_LINE + channel % T::PER_LINE;
                for (i, row) in rows.into_iter().enumerate() {
                    for (j, value) in input_transform(s, row).into_iter().enumerate() {
                        // SAFETY: asserted above: every point has planes for all channels and tiles; `T` is the format
                        // of so many values in a word.
                        unsafe {
                            let at = to.as_mut_ptr().add((i * IN + j) * point_len + plane);
                            if T::PER_WORD == 2 {
                                s.store_bf16_ptr(at.cast(), value);
                            } else {
                                s.store_ptr(at.cast(), value);
                            }
                        };
                    }
                }
            }
        }
    }
}

/// `A^T m A` of some tiles, for a group of channels.
pub(super) struct FromPoints<'a> {
    pub conv: &'a Winograd,
    /// 36 times planes of tiles, `[channels / 16][block][16]`.
    pub from: &'a [f32],
    pub tiles: Range<usize>,
    pub block: usize,
    pub channels: Range<usize>,
    pub bias: Option<&'a [f32]>,
    pub activation: Activation,
    pub y: SharedRows<f32>,
}

impl Kernel for FromPoints<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { conv, from, tiles, block, channels, bias, activation, y } = self;
        let point_len = Winograd::point_len::<f32>(conv.out_channels.min(GROUP), block);
        assert!(from.len() >= POINTS * point_len && tiles.len() <= block);
        for (index, tile) in tiles.enumerate() {
            let (image, [top, left]) = conv.place(tile);
            for channel in (0..channels.len()).step_by(LANES) {
                let count = LANES.min(channels.len() - channel);
                let bias =
                    bias.map_or(s.zero(), |bias| s.load_part(&bias[channel..channel + count], 0.0));
                let plane = (channel / LANES * block + index) * LANES;
                let mut rows = [[s.zero(); IN]; OUT];
                for j in 0..IN {
                    let mut column = [s.zero(); IN];
                    for (i, value) in column.iter_mut().enumerate() {
                        // SAFETY: asserted above: every point has planes for all channels of the group and tiles.
                        *value = unsafe {
                            s.load_ptr(from.as_ptr().add((i * IN + j) * point_len + plane))
                        };
                    }
                    for (row, value) in rows.iter_mut().zip(output_transform(s, column)) {
                        row[j] = value;
                    }
                }
                for (dy, row) in rows.into_iter().enumerate() {
                    for (dx, value) in output_transform(s, row).into_iter().enumerate() {
                        if top + dy < conv.height && left + dx < conv.width {
                            let pixel = (image * conv.height + top + dy) * conv.width + left + dx;
                            let value = activation.apply(s, s.add(value, bias));
                            // SAFETY: the pixel and `count` channels lie in the output; this task alone has this tile.
                            let to = unsafe {
                                std::slice::from_raw_parts_mut(
                                    y.at(pixel, channels.start + channel),
                                    count,
                                )
                            };
                            s.store_part(to, value);
                        }
                    }
                }
            }
        }
    }
}
