//! The gradients of LayerNorm.

use super::part;
use crate::simd::{Kernel, LANES, Simd};

/// Some rows of the gradient. With `n = (x - mean) * inverse` and `g = dy * weight`:
/// `dx = inverse * (g - mean(g) - n * mean(g * n))`, `dweight = sum of dy * n`, `dbias = sum of dy`.
pub(super) struct Backward<'a> {
    pub weight: &'a [f32],
    pub x: &'a [f32],
    pub dy: &'a [f32],
    pub saved: &'a [f32],
    pub dx: &'a mut [f32],
    /// `[2][columns]`: the sums over these rows for the weight and the bias.
    pub sums: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        self.sums.fill(0.0);
        let rows = self.saved.len() / 2;
        let mut row = 0;
        while row < rows {
            if row + 4 <= rows {
                self.rows::<S, 4>(s, row);
                row += 4;
            } else {
                self.rows::<S, 1>(s, row);
                row += 1;
            }
        }
    }
}

impl Backward<'_> {
    #[inline(always)]
    fn rows<S: Simd, const R: usize>(&mut self, s: S, row: usize) {
        let columns = self.weight.len();
        let (whole, rest) = (columns / LANES * LANES, columns % LANES);
        let mut sums = [[s.zero(); 2]; R];
        for column in (0..whole).step_by(LANES) {
            self.sum::<S, R>(s, row, (column, LANES), &mut sums);
        }
        if rest > 0 {
            self.sum::<S, R>(s, row, (whole, rest), &mut sums);
        }
        let mut means = [[0f32; 2]; R];
        for (means, sums) in means.iter_mut().zip(sums) {
            *means = sums.map(|sum| s.sum(sum) / columns as f32);
        }
        for column in (0..whole).step_by(LANES) {
            self.finish::<S, R>(s, row, (column, LANES), &means);
        }
        if rest > 0 {
            self.finish::<S, R>(s, row, (whole, rest), &means);
        }
    }

    /// The sums of `g` and of `g * n` over the columns, and those of all rows for the weight and the bias.
    #[inline(always)]
    fn sum<S: Simd, const R: usize>(
        &mut self,
        s: S,
        row: usize,
        (column, count): (usize, usize),
        sums: &mut [[S::F32; 2]; R],
    ) {
        let columns = self.weight.len();
        let weight = part(s, self.weight, column, count);
        let mut of_weight = part(s, self.sums, column, count);
        let mut of_bias = part(s, self.sums, columns + column, count);
        for (r, sums) in sums.iter_mut().enumerate() {
            let at = (row + r) * columns + column;
            let dy = part(s, self.dy, at, count);
            let normal = self.normal(s, row + r, part(s, self.x, at, count));
            // Beyond the last column dy and the weight are zero.
            let g = s.mul(dy, weight);
            sums[0] = s.add(sums[0], g);
            sums[1] = s.mul_add(g, normal, sums[1]);
            of_weight = s.mul_add(dy, normal, of_weight);
            of_bias = s.add(dy, of_bias);
        }
        s.store_part(&mut self.sums[column..column + count], of_weight);
        s.store_part(&mut self.sums[columns + column..columns + column + count], of_bias);
    }

    #[inline(always)]
    fn finish<S: Simd, const R: usize>(
        &mut self,
        s: S,
        row: usize,
        (column, count): (usize, usize),
        means: &[[f32; 2]; R],
    ) {
        let columns = self.weight.len();
        let weight = part(s, self.weight, column, count);
        for (r, &[of_g, with_normal]) in means.iter().enumerate() {
            let at = (row + r) * columns + column;
            let normal = self.normal(s, row + r, part(s, self.x, at, count));
            let g = s.sub(s.mul(part(s, self.dy, at, count), weight), s.splat(of_g));
            let dx = s.mul(
                s.splat(self.saved[(row + r) * 2 + 1]),
                s.neg_mul_add(normal, s.splat(with_normal), g),
            );
            s.store_part(&mut self.dx[at..at + count], dx);
        }
    }

    #[inline(always)]
    fn normal<S: Simd>(&self, s: S, row: usize, x: S::F32) -> S::F32 {
        s.mul(s.sub(x, s.splat(self.saved[row * 2])), s.splat(self.saved[row * 2 + 1]))
    }
}
