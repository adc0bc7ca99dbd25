//! Sixteen columns of the output at a time.

use std::ops::Range;

use super::Dequantize;
use crate::gemm::dot::Dot;
use crate::gemm::layout::{PANEL, Rows};
use crate::simd::Simd;

pub(super) type Values<D> = <<D as Dot>::Simd as Simd>::F32;

/// Sixteen columns of a tile.
pub(super) struct Lanes<D> {
    pub dot: D,
    /// Those of row `r` of the tile lie at `r * PANEL`.
    pub sums: *const u32,
    pub rows: Range<usize>,
    pub column: usize,
    /// How many of the sixteen the output has.
    pub count: usize,
}

impl<D: Dot> Lanes<D> {
    /// The scales of these rows and columns.
    #[inline(always)]
    pub fn scales<'a>(&self, dequantize: Option<Dequantize<'a>>) -> Option<(&'a [f32], Values<D>)> {
        dequantize
            .map(|scales| (&scales.rows[self.rows.clone()], self.of_columns(Some(scales.columns))))
    }

    /// The sums of a row of the tile as values.
    ///
    /// # Safety
    /// The row lies in the tile.
    #[inline(always)]
    pub unsafe fn value(&self, row: usize, scales: Option<(&[f32], Values<D>)>) -> Values<D> {
        let (dot, s) = (self.dot, self.dot.simd());
        // SAFETY: the row lies in the tile, and the scales are those of its rows.
        unsafe {
            let x = dot.to_f32(dot.load_sums(self.sums.add(row * PANEL)));
            match scales {
                Some((rows, columns)) => {
                    s.mul(x, s.mul(columns, s.splat(*rows.get_unchecked(row))))
                }
                None => x,
            }
        }
    }

    /// The values of these columns; zeros where there are none.
    #[inline(always)]
    pub fn of_columns(&self, values: Option<&[f32]>) -> Values<D> {
        let s = self.dot.simd();
        let Some(values) = values else { return s.zero() };
        let values = &values[self.column..][..self.count];
        s.load_part(values, 0.0)
    }

    /// # Safety
    /// The matrix has the output's shape, and the row is in it.
    #[inline(always)]
    pub unsafe fn of_matrix(&self, matrix: &Rows<'_, f32>, row: usize) -> Values<D> {
        let from = matrix.strides().offset::<f32>(row, self.column);
        // SAFETY: the row and `count` columns lie in the matrix, side by side within a line.
        unsafe { self.dot.simd().load_first(matrix.as_ptr().add(from), self.count, 0.0) }
    }
}
