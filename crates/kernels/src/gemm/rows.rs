//! Making the rows operand of a bfloat16 or int8 product from f32.

use half::bf16;

use super::layout::{Element, Rows, RowsMut, SharedRows};
use crate::simd::{Kernel, LANES, Simd};
use crate::threads::Cpu;

/// Rounds rows to bfloat16, to nearest, ties to even. If `to` has more columns than `from`, they become zero.
///
/// # Panics
/// If `to` has fewer columns than `from` or another number of rows.
pub fn narrow_rows(cpu: &Cpu, from: Rows<'_, f32>, to: RowsMut<'_, bf16>) {
    assert_eq!(from.rows(), to.rows(), "as many rows as before");
    assert!(from.columns() <= to.columns(), "at least as many columns as before");
    let (rows, columns, to) = (to.rows(), to.columns(), to.shared());
    cpu.threads().each(0..rows, |row| cpu.isa().run(NarrowRow { from, row, columns, to }));
}

struct NarrowRow<'a> {
    from: Rows<'a, f32>,
    row: usize,
    columns: usize,
    to: SharedRows<bf16>,
}

impl Kernel for NarrowRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for column in (0..self.columns).step_by(LANES) {
            let x = lanes_of(s, self.from, self.row, column);
            let count = LANES.min(self.columns - column);
            // SAFETY: `count` columns lie in the output, side by side within a line; this task alone has this row.
            unsafe { s.store_bf16_first(self.to.at(self.row, column).cast(), count, x) }
        }
    }
}

/// Sixteen columns from `column`, a multiple of sixteen, on; zeros where the row has ended.
#[inline(always)]
fn lanes_of<S: Simd>(s: S, rows: Rows<'_, f32>, row: usize, column: usize) -> S::F32 {
    let count = LANES.min(rows.columns().saturating_sub(column));
    if count == 0 {
        return s.zero();
    }
    debug_assert!(row < rows.rows() && column.is_multiple_of(LANES));
    // SAFETY: `count` columns lie in the row, side by side within a line.
    unsafe {
        let start = rows.as_ptr().add(rows.strides().offset::<f32>(row, column));
        s.load_first(start, count, 0.0)
    }
}

/// Rows of bytes with a scale for each row.
#[derive(Clone, Copy, Debug)]
pub struct QuantizedRows<'a> {
    pub(crate) bytes: Rows<'a, u8>,
    pub(crate) scales: &'a [f32],
}

impl<'a> QuantizedRows<'a> {
    /// What [`quantize_rows`] wrote.
    ///
    /// # Panics
    /// If there is not one scale for each row.
    #[track_caller]
    pub fn new(bytes: Rows<'a, u8>, scales: &'a [f32]) -> Self {
        assert_eq!(scales.len(), bytes.rows(), "one scale for each row");
        Self { bytes, scales }
    }
}

/// Quantizes rows: row `r` is `scales[r] * (byte - 128)` with bytes in 1..=255, where `scales[r]` is the row's greatest
/// magnitude over 127. Columns that `to` has beyond those of `from` mean zero. The values must be finite.
///
/// # Panics
/// If `to` has fewer columns than `from` or another number of rows, or if there is not one scale for each row.
pub fn quantize_rows(cpu: &Cpu, from: Rows<'_, f32>, to: RowsMut<'_, u8>, scales: &mut [f32]) {
    assert_eq!(
        (from.rows(), from.rows()),
        (to.rows(), scales.len()),
        "as many rows as before, a scale for each"
    );
    assert!(from.columns() <= to.columns(), "at least as many columns as before");
    let (columns, to) = (to.columns(), to.shared());
    cpu.threads().each(scales.iter_mut().enumerate(), |(row, scale)| {
        *scale = cpu.isa().run(QuantizeRow { from, row, columns, to });
    });
}

struct QuantizeRow<'a> {
    from: Rows<'a, f32>,
    row: usize,
    columns: usize,
    to: SharedRows<u8>,
}

impl Kernel for QuantizeRow<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let mut greatest = s.zero();
        for column in (0..self.from.columns()).step_by(LANES) {
            greatest = s.max(greatest, s.abs(lanes_of(s, self.from, self.row, column)));
        }
        let greatest = s.maximum(greatest);
        let inverse = s.splat(if greatest > 0.0 { 127.0 / greatest } else { 0.0 });
        let (least, most) = (s.splat(-127.0), s.splat(127.0));
        for column in (0..self.columns).step_by(LANES) {
            let x = s.mul(lanes_of(s, self.from, self.row, column), inverse);
            let bytes = s.to_offset_u8(s.min(s.max(x, least), most));
            let count = LANES.min(self.columns - column);
            // SAFETY: `count` columns lie in the output, side by side within a line; this task alone has this row.
            unsafe {
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.to.at(self.row, column), count)
            }
        }
        greatest / 127.0
    }
}

const _: () = assert!(<u8 as Element>::PER_LINE.is_multiple_of(LANES));
