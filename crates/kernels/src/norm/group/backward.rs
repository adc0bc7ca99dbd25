//! The gradients of GroupNorm.

use super::EXACT;
use crate::simd::{Kernel, LANES, Simd};

/// One group of one image of the gradient: as for LayerNorm, with a weight for each channel.
pub(super) struct Backward<'a> {
    pub weight: &'a [f32],
    pub x: &'a [f32],
    pub dy: &'a [f32],
    pub saved: [f32; 2],
    pub dx: &'a mut [f32],
    /// `[channels of the group][2]`: the sums for the weight and the bias.
    pub sums: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { weight, x, dy, saved: [mean, inverse], dx, sums } = self;
        let pixels = x.len() / weight.len();
        let (center, spread) = (s.splat(mean), s.splat(inverse));
        let (mut sum, mut sum_with_normal) = (0f64, 0f64);
        let channels = x.chunks_exact(pixels).zip(dy.chunks_exact(pixels));
        for ((x, dy), (sums, &weight)) in
            channels.zip(sums.as_chunks_mut::<2>().0.iter_mut().zip(weight))
        {
            let (mut of_dy, mut of_dy_with_normal) = (0f64, 0f64);
            for (x, dy) in x.chunks(EXACT).zip(dy.chunks(EXACT)) {
                let (mut plain, mut with_normal) = (s.zero(), s.zero());
                for start in (0..x.len()).step_by(LANES) {
                    let dy = s.load_part(&dy[start..], 0.0);
                    let normal = s.mul(s.sub(s.load_part(&x[start..], 0.0), center), spread);
                    plain = s.add(plain, dy);
                    with_normal = s.mul_add(dy, normal, with_normal);
                }
                of_dy += f64::from(s.sum(plain));
                of_dy_with_normal += f64::from(s.sum(with_normal));
            }
            *sums = [of_dy_with_normal as f32, of_dy as f32];
            sum += f64::from(weight) * of_dy;
            sum_with_normal += f64::from(weight) * of_dy_with_normal;
        }
        let mean_of_g = s.splat((sum / x.len() as f64) as f32);
        let mean_with_normal = s.splat((sum_with_normal / x.len() as f64) as f32);
        let channels =
            x.chunks_exact(pixels).zip(dy.chunks_exact(pixels)).zip(dx.chunks_exact_mut(pixels));
        for (((x, dy), dx), &weight) in channels.zip(weight) {
            let weight = s.splat(weight);
            for (start, dx) in (0..pixels).step_by(LANES).zip(dx.chunks_mut(LANES)) {
                let normal = s.mul(s.sub(s.load_part(&x[start..], 0.0), center), spread);
                let g = s.sub(s.mul(s.load_part(&dy[start..], 0.0), weight), mean_of_g);
                s.store_part(dx, s.mul(spread, s.neg_mul_add(normal, mean_with_normal, g)));
            }
        }
    }
}
