//! Where results go: f32 or bfloat16, written by one thread or by several.

use half::bf16;

use super::layout::{RowsMut, SharedRows};
use crate::simd::Simd;

/// Where a result goes.
#[derive(Debug)]
pub enum Output<'a> {
    /// As f32.
    F32(RowsMut<'a, f32>),
    /// Rounded to bfloat16, ready to be the rows of the next product.
    Bf16(RowsMut<'a, bf16>),
}

impl<'a> From<RowsMut<'a, f32>> for Output<'a> {
    fn from(rows: RowsMut<'a, f32>) -> Self {
        Output::F32(rows)
    }
}

impl<'a> From<RowsMut<'a, bf16>> for Output<'a> {
    fn from(rows: RowsMut<'a, bf16>) -> Self {
        Output::Bf16(rows)
    }
}

impl Output<'_> {
    /// Rows and columns.
    pub(crate) fn shape(&self) -> (usize, usize) {
        match self {
            Output::F32(out) => (out.rows(), out.columns()),
            Output::Bf16(out) => (out.rows(), out.columns()),
        }
    }

    pub(crate) fn shared(self) -> Target {
        match self {
            Output::F32(out) => Target::F32(out.shared()),
            Output::Bf16(out) => Target::Bf16(out.shared()),
        }
    }
}

/// An [`Output`] of which several threads write disjoint parts.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    F32(SharedRows<f32>),
    Bf16(SharedRows<bf16>),
}

impl Target {
    /// Writes the first `count` of sixteen values, from `column`, a multiple of sixteen, on.
    ///
    /// # Safety
    /// The row and these columns lie in the matrix, and no other thread uses them.
    #[inline(always)]
    pub unsafe fn write<S: Simd>(self, s: S, row: usize, column: usize, count: usize, x: S::F32) {
        // SAFETY: promised by the caller; the columns lie side by side within a line.
        unsafe {
            match self {
                Target::F32(out) => s.store_first(out.at(row, column), count, x),
                Target::Bf16(out) => s.store_bf16_first(out.at(row, column).cast(), count, x),
            }
        }
    }
}
