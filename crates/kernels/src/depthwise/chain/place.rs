//! Where a task of the chain works, and its convolutions.

use super::FocalChain;
use crate::depthwise::row::{ConvolvedRow, Order, Ring, RowGradient, pack_filters};
use crate::gemm::Rows;
use crate::simd::{LANES, Simd};

/// Sixteen channels of an image.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub chain: &'a FocalChain<'a>,
    pub task: usize,
}

/// One thread's scratch space.
pub(super) struct Space<'a> {
    /// An image with zeros around.
    pub wide: [Ring; 2],
    /// An image.
    pub plain: &'a mut [f32],
    /// `[taps][16]`.
    pub weights: &'a mut [f32],
}

impl Place<'_> {
    /// The first channel, and how many there are.
    #[inline(always)]
    pub fn channels(&self) -> (usize, usize) {
        let first = self.task % self.chain.blocks() * LANES;
        (first, LANES.min(self.chain.channels - first))
    }

    /// The first pixel.
    #[inline(always)]
    pub fn first_row(&self) -> usize {
        self.task / self.chain.blocks() * self.chain.pixels()
    }

    #[inline(always)]
    pub fn space<'s>(&self, scratch: &'s mut [f32]) -> Space<'s> {
        let (kept, pitch, pad) = (self.chain.height, self.chain.pitch(), self.chain.pad());
        let (wide, rest) = scratch[..self.chain.share()].split_at_mut(2 * kept * pitch);
        let (plain, weights) = rest.split_at_mut(self.chain.pixels() * LANES);
        wide.fill(0.0);
        let wide = wide.as_mut_ptr();
        let wide =
            [0, 1].map(|i| Ring { start: wide.wrapping_add(i * kept * pitch), kept, pitch, pad });
        Space { wide, plain, weights }
    }

    /// Up to sixteen columns of a row, from the first channel of the block on.
    ///
    /// # Safety
    /// The row and `offset` plus the block's channels lie in the matrix.
    #[inline(always)]
    pub unsafe fn load<S: Simd>(
        &self,
        s: S,
        from: Rows<'_, f32>,
        offset: usize,
        pixel: usize,
    ) -> S::F32 {
        let (channel, count) = self.channels();
        let start = from.as_ptr().wrapping_add((self.first_row() + pixel) * from.strides().row);
        // SAFETY: promised by the caller.
        let values =
            unsafe { std::slice::from_raw_parts(start.wrapping_add(offset + channel), count) };
        s.load_part(values, 0.0)
    }

    /// The gate of a pixel.
    ///
    /// # Safety
    /// The projection has this row and gate.
    #[inline(always)]
    pub unsafe fn gate<S: Simd>(
        &self,
        s: S,
        projection: Rows<'_, f32>,
        level: usize,
        pixel: usize,
    ) -> S::F32 {
        let row = (self.first_row() + pixel) * projection.strides().row;
        // SAFETY: promised by the caller.
        s.splat(unsafe { *projection.as_ptr().add(row + 2 * self.chain.channels + level) })
    }

    /// Brings the input of the chain into a ring.
    #[inline(always)]
    pub fn input<S: Simd>(&self, s: S, projection: Rows<'_, f32>, ring: Ring) {
        let (width, channels) = (self.chain.width, self.chain.channels);
        for y in 0..self.chain.height {
            for x in 0..width {
                // SAFETY: the pixel lies in the projection and in the ring.
                unsafe {
                    let value = self.load(s, projection, channels, y * width + x);
                    s.store_ptr(ring.row(y).add(x * LANES), value);
                }
            }
        }
    }

    /// Packs the block's filters of a level, `[taps][16]`.
    #[inline(always)]
    pub fn pack(&self, weights: &[f32], level: usize, order: Order, packed: &mut [f32]) {
        let kernels = self.chain.kernels;
        let before: usize = kernels[..level].iter().map(|kernel| kernel * kernel).sum();
        let taps = kernels[level] * kernels[level];
        let weights = &weights[before * self.chain.channels..][..taps * self.chain.channels];
        let (channel, count) = self.channels();
        let filters = &weights[channel * taps..][..count * taps];
        pack_filters(filters, order, &mut packed[..taps * LANES]);
    }

    /// The filters in `weights` over a ring.
    ///
    /// # Safety
    /// `to` has room for an image.
    #[inline(always)]
    pub unsafe fn convolve<S: Simd>(
        &self,
        s: S,
        from: Ring,
        level: usize,
        weights: &[f32],
        to: *mut f32,
    ) {
        let (height, width) = (self.chain.height, self.chain.width);
        let radius = self.chain.kernels[level] / 2;
        let weights = weights.as_ptr();
        for y in 0..height {
            let to = to.wrapping_add(y * width * LANES);
            let row = ConvolvedRow { from, weights, radius, y, height, width, to };
            // SAFETY: the ring holds the whole image with zeros around; the rest is promised by the caller.
            unsafe { row.run(s) };
        }
    }
}

/// Adds up what an image contributes to the gradient of filters, `[taps][16]`.
#[inline(always)]
pub(super) fn gradient_of_filters<S: Simd>(
    s: S,
    chain: &FocalChain<'_>,
    [values, slopes]: [Ring; 2],
    kernel: usize,
    gradient: &mut [f32],
) {
    let (height, width, radius) = (chain.height, chain.width, kernel / 2);
    for y in 0..height {
        for ky in radius.saturating_sub(y)..kernel.min(height + radius - y) {
            let image = values.row(y + ky - radius);
            let gradient = gradient[ky * kernel * LANES..][..kernel * LANES].as_mut_ptr();
            let row = RowGradient { image, dy: slopes.row(y), radius, width, gradient };
            // SAFETY: both rings have zeros around their rows as far as the kernel reaches.
            unsafe { row.run(s) };
        }
    }
}
