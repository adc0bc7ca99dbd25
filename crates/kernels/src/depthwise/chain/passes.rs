//! The passes of the chain over sixteen channels of an image, forward and backward.

use super::place::{Place, Space, gradient_of_filters};
use crate::depthwise::row::Order;
use crate::gemm::Rows;
use crate::gemm::layout::SharedRows;
use crate::simd::{Kernel, LANES, Simd, math};

/// The context of sixteen channels of an image.
pub(super) struct Forward<'a> {
    pub place: Place<'a>,
    pub projection: Rows<'a, f32>,
    pub weights: &'a [f32],
    pub saved: &'a mut [f32],
    pub context: SharedRows<f32>,
    pub scratch: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { place, projection, weights, saved, context, scratch } = self;
        let chain = place.chain;
        let (width, pixels, levels) = (chain.width, chain.pixels(), chain.kernels.len());
        let Space { wide: [mut from, mut to], plain: sums, weights: packed } = place.space(scratch);
        place.input(s, projection, from);
        let mut total = s.zero();
        for level in 0..levels {
            place.pack(weights, level, Order::Forward, packed);
            let convolved = &mut saved[level * pixels * LANES..][..pixels * LANES];
            // SAFETY: the level's part of what is saved has room for an image.
            unsafe { place.convolve(s, from, level, packed, convolved.as_mut_ptr()) };
            for y in 0..chain.height {
                let mut row_total = s.zero();
                for x in 0..width {
                    let pixel = y * width + x;
                    let sum = &mut sums[pixel * LANES..][..LANES];
                    let c = math::gelu(s, s.load_part(&convolved[pixel * LANES..][..LANES], 0.0));
                    row_total = s.add(row_total, c);
                    // SAFETY: the pixel lies in the ring and the projection.
                    unsafe {
                        s.store_ptr(to.row(y).add(x * LANES), c);
                        let gate = place.gate(s, projection, level, pixel);
                        let old = if level > 0 { s.load_part(sum, 0.0) } else { s.zero() };
                        s.store_part(sum, s.mul_add(gate, c, old));
                    }
                }
                if level + 1 == levels {
                    total = s.add(total, row_total);
                }
            }
            std::mem::swap(&mut from, &mut to);
        }
        let mean = s.mul(total, s.splat(1.0 / pixels as f32));
        s.store_part(&mut saved[levels * pixels * LANES..][..LANES], mean);
        let everywhere = math::gelu(s, mean);
        let scale = s.splat(1.0 / (levels + 1) as f32);
        let (channel, count) = place.channels();
        for (pixel, sum) in sums.chunks_exact(LANES).enumerate() {
            // SAFETY: the pixel and channels lie in the projection and the context; this task alone has them.
            unsafe {
                let gate = place.gate(s, projection, levels, pixel);
                let sum = s.mul(s.mul_add(gate, everywhere, s.load_part(sum, 0.0)), scale);
                let to = context.at(place.first_row() + pixel, channel);
                s.store_part(std::slice::from_raw_parts_mut(to, count), sum);
            }
        }
    }
}

/// The gradients of sixteen channels of an image.
pub(super) struct Backward<'a> {
    pub place: Place<'a>,
    pub projection: Rows<'a, f32>,
    pub weights: &'a [f32],
    pub saved: &'a [f32],
    pub dcontext: Rows<'a, f32>,
    /// Takes the gradient of the chain's input.
    pub into: SharedRows<f32>,
    /// `[levels + 1][pixels]`.
    pub gates: &'a mut [f32],
    /// `[taps of all levels][16]`.
    pub of_weights: &'a mut [f32],
    pub scratch: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { place, projection, weights, saved, dcontext, into, gates, of_weights, scratch } =
            self;
        let chain = place.chain;
        let (width, pixels, levels) = (chain.width, chain.pixels(), chain.kernels.len());
        let Space { wide: [values, slopes], plain: dc, weights: packed } = place.space(scratch);
        let scale = s.splat(1.0 / (levels + 1) as f32);
        of_weights.fill(0.0);

        // Through the context of all pixels, to the mean of the last level.
        let mean = s.load_part(&saved[levels * pixels * LANES..][..LANES], 0.0);
        let everywhere = math::gelu(s, mean);
        let mut deverywhere = s.zero();
        for (pixel, of_gate) in gates[levels * pixels..].iter_mut().enumerate() {
            // SAFETY: the pixel and the block's channels lie in both matrices.
            unsafe {
                let ds = s.mul(scale, place.load(s, dcontext, 0, pixel));
                let gate = place.gate(s, projection, levels, pixel);
                *of_gate = s.sum(s.mul(ds, everywhere));
                deverywhere = s.mul_add(ds, gate, deverywhere);
            }
        }
        let dmean = s.mul(deverywhere, math::gelu_derivative(s, mean));
        let dmean = s.mul(dmean, s.splat(1.0 / pixels as f32));
        dc.chunks_exact_mut(LANES).for_each(|dc| s.store_part(dc, dmean));

        // From the last level to the first; `values` holds what the level answers, then what it is asked.
        let answered = |level: usize, pixel: usize| -> S::F32 {
            s.load_part(&saved[(level * pixels + pixel) * LANES..][..LANES], 0.0)
        };
        for level in (0..levels).rev() {
            for y in 0..chain.height {
                for x in 0..width {
                    let pixel = y * width + x;
                    let u = answered(level, pixel);
                    // SAFETY: the pixel lies in the rings and the matrices.
                    unsafe {
                        let at = values.row(y).add(x * LANES);
                        let c = if level + 1 == levels { math::gelu(s, u) } else { s.load_ptr(at) };
                        let ds = s.mul(scale, place.load(s, dcontext, 0, pixel));
                        gates[level * pixels + pixel] = s.sum(s.mul(ds, c));
                        let gate = place.gate(s, projection, level, pixel);
                        let dc = s.load_part(&dc[pixel * LANES..][..LANES], 0.0);
                        let dc = s.mul_add(gate, ds, dc);
                        let du = s.mul(dc, math::gelu_derivative(s, u));
                        s.store_ptr(slopes.row(y).add(x * LANES), du);
                        if level > 0 {
                            s.store_ptr(at, math::gelu(s, answered(level - 1, pixel)));
                        }
                    }
                }
            }
            if level == 0 {
                place.input(s, projection, values);
            }
            let kernel = chain.kernels[level];
            let before: usize = chain.kernels[..level].iter().map(|kernel| kernel * kernel).sum();
            let of_level = &mut of_weights[before * LANES..][..kernel * kernel * LANES];
            gradient_of_filters(s, chain, [values, slopes], kernel, of_level);
            place.pack(weights, level, Order::Turned, packed);
            // SAFETY: `dc` has room for an image.
            unsafe { place.convolve(s, slopes, level, packed, dc.as_mut_ptr()) };
        }
        let (channel, count) = place.channels();
        for (pixel, dc) in dc.chunks_exact(LANES).enumerate() {
            let dc = s.load_part(dc, 0.0);
            // SAFETY: the pixel and channels lie in the gradient; this task alone has them.
            unsafe {
                let to = into.at(place.first_row() + pixel, 0).add(chain.channels + channel);
                s.store_part(std::slice::from_raw_parts_mut(to, count), dc);
            }
        }
    }
}
