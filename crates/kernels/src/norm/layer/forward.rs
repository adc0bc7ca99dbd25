//! The values of LayerNorm.

use std::ops::Range;

use super::{LayerNorm, part};
use crate::gemm::Rows;
use crate::gemm::layout::{SharedRows, Strides};
use crate::gemm::output::Target;
use crate::simd::{Kernel, LANES, Simd};

/// How results join what lies there.
#[derive(Clone, Copy)]
pub(super) enum Update<'a> {
    Replace,
    Add { scale: &'a [f32] },
    AddPlain,
}

/// Checked operands of one shape.
pub(super) struct Job<'a> {
    pub rows: usize,
    pub columns: usize,
    pub start: *const f32,
    pub strides: Strides,
    pub update: Update<'a>,
    pub target: Target,
    /// Takes the mean and the inverse deviation of each row.
    pub saved: Option<SharedRows<f32>>,
}

// SAFETY: each task reads rows of its own, before it writes them.
unsafe impl Sync for Job<'_> {}

impl Job<'_> {
    pub fn new(x: Rows<'_, f32>, target: Target) -> Self {
        Self {
            rows: x.rows(),
            columns: x.columns(),
            start: x.as_ptr(),
            strides: x.strides(),
            update: Update::Replace,
            target,
            saved: None,
        }
    }
}

/// Some rows.
pub(super) struct Forward<'a> {
    pub norm: &'a LayerNorm<'a>,
    pub job: &'a Job<'a>,
    pub rows: Range<usize>,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { norm, job, rows } = self;
        let mut row = rows.start;
        while row < rows.end {
            // Four rows at a time hide the time that the sums of one take.
            if row + 4 <= rows.end {
                job.rows::<S, 4>(s, norm, row);
                row += 4;
            } else {
                job.rows::<S, 1>(s, norm, row);
                row += 1;
            }
        }
    }
}

impl Job<'_> {
    /// `R` rows from `row` on, which lie in the matrices.
    #[inline(always)]
    fn rows<S: Simd, const R: usize>(&self, s: S, norm: &LayerNorm<'_>, row: usize) {
        let columns = self.columns;
        let whole = columns / LANES * LANES;
        let rest = columns - whole;
        let mut mean = [0f32; R];
        let mut inverse = [0f32; R];
        // SAFETY: the rows and columns lie in the matrix.
        unsafe {
            let mut sums = [s.zero(); R];
            for column in (0..whole).step_by(LANES) {
                for (r, sum) in sums.iter_mut().enumerate() {
                    *sum = s.add(*sum, self.load(s, row + r, column, LANES, 0.0));
                }
            }
            for (r, sum) in sums.iter_mut().enumerate() {
                if rest > 0 {
                    *sum = s.add(*sum, self.load(s, row + r, whole, rest, 0.0));
                }
                mean[r] = s.sum(*sum) / columns as f32;
            }
            let mut squares = [s.zero(); R];
            for column in (0..whole).step_by(LANES) {
                for (r, squares) in squares.iter_mut().enumerate() {
                    let difference =
                        s.sub(self.load(s, row + r, column, LANES, 0.0), s.splat(mean[r]));
                    *squares = s.mul_add(difference, difference, *squares);
                }
            }
            for (r, squares) in squares.iter_mut().enumerate() {
                if rest > 0 {
                    let difference =
                        s.sub(self.load(s, row + r, whole, rest, mean[r]), s.splat(mean[r]));
                    *squares = s.mul_add(difference, difference, *squares);
                }
                inverse[r] = 1.0 / (s.sum(*squares) / columns as f32 + norm.epsilon).sqrt();
            }
        }
        if let Some(saved) = self.saved {
            for r in 0..R {
                // SAFETY: the row has two saved values, and this task alone has it.
                unsafe { saved.at(row + r, 0).cast::<[f32; 2]>().write([mean[r], inverse[r]]) };
            }
        }
        for column in (0..whole).step_by(LANES) {
            // SAFETY: the rows and these sixteen columns lie in the matrices; this task alone has the rows.
            unsafe { self.finish::<S, R>(s, norm, [&mean, &inverse], (row, column, LANES)) };
        }
        if rest > 0 {
            // SAFETY: as above, for the columns that are left.
            unsafe { self.finish::<S, R>(s, norm, [&mean, &inverse], (row, whole, rest)) };
        }
    }

    /// # Safety
    /// The rows and `count` columns lie in the matrices, and no other thread touches these rows.
    #[inline(always)]
    unsafe fn finish<S: Simd, const R: usize>(
        &self,
        s: S,
        norm: &LayerNorm<'_>,
        [mean, inverse]: [&[f32; R]; 2],
        (row, column, count): (usize, usize, usize),
    ) {
        let weight = part(s, norm.weight, column, count);
        let bias = part(s, norm.bias, column, count);
        for r in 0..R {
            let row = row + r;
            // SAFETY: passed on; no more than `count` columns are touched.
            unsafe {
                let x = self.load(s, row, column, count, 0.0);
                let normal = s.mul(s.sub(x, s.splat(mean[r])), s.splat(inverse[r]));
                let mut y = s.mul_add(normal, weight, bias);
                if let Target::F32(out) = self.target {
                    let old = || s.load_first(out.at(row, column), count, 0.0);
                    y = match self.update {
                        Update::Replace => y,
                        Update::Add { scale } => s.mul_add(y, part(s, scale, column, count), old()),
                        Update::AddPlain => s.add(y, old()),
                    };
                }
                self.target.write(s, row, column, count, y);
            }
        }
    }

    /// # Safety
    /// `count` columns of the row, from `column` on, lie in the matrix.
    #[inline(always)]
    unsafe fn load<S: Simd>(
        &self,
        s: S,
        row: usize,
        column: usize,
        count: usize,
        fill: f32,
    ) -> S::F32 {
        // SAFETY: the columns lie side by side, because `column` is a multiple of sixteen.
        unsafe {
            s.load_first(self.start.add(self.strides.offset::<f32>(row, column)), count, fill)
        }
    }
}
