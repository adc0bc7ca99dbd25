//! Packing the columns operand into panels.

use std::ops::Range;

use half::bf16;

use super::layout::{Element, PANEL, Panels};
use crate::matrix::Matrix;
use crate::simd::{Kernel, LANES, Simd};
use crate::threads::Cpu;

/// Packs `[depth, columns]` as f32 panels. A linear layer's weight `[out, in]` is packed as its
/// [transpose](Matrix::transposed).
///
/// # Panics
/// If `panels` does not have [`Panels::len`] values.
pub fn pack_f32(cpu: &Cpu, matrix: Matrix<'_>, panels: &mut [f32]) {
    let stride = panel_stride(matrix, panels);
    cpu.threads().each(panels.chunks_mut(stride).enumerate(), |(panel, to)| {
        cpu.isa().run(PackPanel {
            source: &matrix,
            rows: 0..matrix.rows(),
            column: panel * PANEL,
            to,
        });
    });
}

/// Packs `[depth, columns]` as bfloat16 panels, rounding to nearest, ties to even.
///
/// # Panics
/// If `panels` does not have [`Panels::len`] values.
pub fn pack_bf16(cpu: &Cpu, matrix: Matrix<'_>, panels: &mut [bf16]) {
    let (depth, stride) = (matrix.rows(), panel_stride(matrix, panels));
    cpu.threads().each(panels.chunks_mut(stride).enumerate(), |(panel, to)| {
        for (index, to) in to.chunks_mut(NARROWED * PANEL).enumerate() {
            let rows = index * NARROWED..depth.min((index + 1) * NARROWED);
            let mut wide = [0f32; NARROWED * PANEL];
            let packed = &mut wide[..rows.len() * PANEL];
            cpu.isa().run(PackPanel { source: &matrix, rows, column: panel * PANEL, to: packed });
            cpu.isa().run(Interleave { wide: &wide, to });
        }
    });
}

/// Values from one panel of a packed matrix to the next, of which `panels` must hold the right number.
#[track_caller]
fn panel_stride<T: Element>(matrix: Matrix<'_>, panels: &[T]) -> usize {
    let (depth, columns) = (matrix.rows(), matrix.columns());
    let len = Panels::<T>::len(depth, columns);
    assert_eq!(panels.len(), len, "panels of {depth}x{columns} take {len} values");
    (depth.next_multiple_of(T::PER_WORD) * PANEL).max(1)
}

/// Rows of a panel that are rounded to bfloat16 at a time.
const NARROWED: usize = 32;

/// Rounds `[rows][32]` to bfloat16 and puts the values of two rows side by side in words, `[rows / 2][32][2]`.
struct Interleave<'a> {
    wide: &'a [f32; NARROWED * PANEL],
    to: &'a mut [bf16],
}

impl Kernel for Interleave<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let pairs = self.wide.as_chunks::<{ 2 * PANEL }>().0;
        for (pair, to) in pairs.iter().zip(self.to.chunks_exact_mut(2 * PANEL)) {
            let mut narrow = [0u16; 2 * PANEL];
            for (lanes, narrow) in
                pair.as_chunks::<LANES>().0.iter().zip(narrow.chunks_exact_mut(LANES))
            {
                // SAFETY: there is room for sixteen values.
                unsafe { s.store_bf16_ptr(narrow.as_mut_ptr(), s.load(lanes)) };
            }
            let (low, high) = narrow.split_at(PANEL);
            let words = to.as_chunks_mut::<2>().0;
            for (word, (&low, &high)) in words.iter_mut().zip(low.iter().zip(high)) {
                *word = [low, high].map(bf16::from_bits);
            }
        }
    }
}

/// Panels of signed bytes with a scale for each column.
#[derive(Clone, Copy, Debug)]
pub struct QuantizedPanels<'a> {
    pub(crate) panels: Panels<'a, i8>,
    pub(crate) scales: &'a [f32],
    pub(crate) offsets: &'a [i32],
}

impl<'a> QuantizedPanels<'a> {
    /// What [`pack_int8`] wrote.
    ///
    /// # Panics
    /// If a length is not the one that [`pack_int8`] asks for.
    #[track_caller]
    pub fn new(panels: Panels<'a, i8>, scales: &'a [f32], offsets: &'a [i32]) -> Self {
        assert_eq!(scales.len(), panels.columns(), "one scale for each column");
        assert_eq!(
            offsets.len(),
            panels.columns().next_multiple_of(PANEL),
            "one offset for each column of the panels"
        );
        Self { panels, scales, offsets }
    }
}

/// Packs `[depth, columns]` as signed bytes: column `c` is `scales[c] * bytes` with bytes in -127..=127, where
/// `scales[c]` is the column's greatest magnitude over 127. `offsets[c]` is -128 times the sum of the column's bytes,
/// which undoes the offset by which rows are stored unsigned.
///
/// # Panics
/// If `panels` does not have [`Panels::len`] values, `scales` one for each column, or `offsets` one for each column
/// rounded up to a multiple of 32; or if the depth is over 66,000, where 32-bit sums could overflow.
pub fn pack_int8(
    cpu: &Cpu,
    matrix: Matrix<'_>,
    panels: &mut [i8],
    scales: &mut [f32],
    offsets: &mut [i32],
) {
    let (depth, columns, stride) = (matrix.rows(), matrix.columns(), panel_stride(matrix, panels));
    assert!(depth <= 66_000, "the 32-bit sums of depth {depth} could overflow");
    assert_eq!(scales.len(), columns, "one scale for each column");
    assert_eq!(
        offsets.len(),
        columns.next_multiple_of(PANEL),
        "one offset for each column of the panels"
    );
    for (column, scale) in scales.iter_mut().enumerate() {
        let greatest =
            (0..depth).fold(0f32, |greatest, row| greatest.max(matrix.at(row, column).abs()));
        *scale = greatest / 127.0;
    }
    offsets.fill(0);
    let tasks = panels.chunks_mut(stride).zip(offsets.chunks_mut(PANEL)).zip(scales.chunks(PANEL));
    cpu.threads().each(tasks.enumerate(), |(panel, ((to, offsets), scales))| {
        to.fill(0);
        for (lane, &scale) in scales.iter().enumerate() {
            for row in 0..depth {
                let x = matrix.at(row, panel * PANEL + lane);
                let scaled = if scale > 0.0 { x / scale } else { 0.0 };
                let (word, place) = (row / i8::PER_WORD, row % i8::PER_WORD);
                to[(word * PANEL + lane) * i8::PER_WORD + place] =
                    scaled.round_ties_even().clamp(-127.0, 127.0) as i8;
            }
        }
        for words in to.as_chunks::<{ i8::PER_WORD }>().0.chunks(PANEL) {
            for (offset, word) in offsets.iter_mut().zip(words) {
                *offset -= 128 * word.iter().map(|&byte| i32::from(byte)).sum::<i32>();
            }
        }
    });
}

/// What panels can be packed from: a matrix `[rows, columns]`, in memory or imagined.
pub(crate) trait PanelSource: Sync {
    fn rows(&self) -> usize;

    fn columns(&self) -> usize;

    /// Writes some rows of sixteen columns, `[rows.len()][PANEL]`, at the start of each row of `to`; columns beyond the
    /// last are zero.
    fn pack<S: Simd>(&self, s: S, rows: Range<usize>, column: usize, to: &mut [f32]);
}

/// Packs some rows of a panel of 32 columns as `[rows.len()][32]`.
pub(crate) struct PackPanel<'a, P> {
    pub source: &'a P,
    pub rows: Range<usize>,
    pub column: usize,
    pub to: &'a mut [f32],
}

impl<P: PanelSource> Kernel for PackPanel<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert!(self.to.len() == self.rows.len() * PANEL && self.rows.end <= self.source.rows());
        if !self.rows.is_empty() {
            self.source.pack(s, self.rows.clone(), self.column, self.to);
            self.source.pack(s, self.rows, self.column + LANES, &mut self.to[LANES..]);
        }
    }
}

impl PanelSource for Matrix<'_> {
    fn rows(&self) -> usize {
        Matrix::rows(self)
    }

    fn columns(&self) -> usize {
        Matrix::columns(self)
    }

    #[inline(always)]
    fn pack<S: Simd>(&self, s: S, rows: Range<usize>, column: usize, to: &mut [f32]) {
        let columns = column..self.columns().min(column + LANES);
        self.copy_lanes::<S, PANEL>(s, rows, columns, to);
    }
}

impl Matrix<'_> {
    /// Copies up to sixteen columns of some rows as `[rows.len()][PITCH]`, of which the first sixteen of each row are
    /// written, the last of them as zeros where there are fewer columns.
    #[inline(always)]
    pub(crate) fn copy_lanes<S: Simd, const PITCH: usize>(
        &self,
        s: S,
        rows: Range<usize>,
        columns: Range<usize>,
        to: &mut [f32],
    ) {
        let (column, count) = (columns.start, columns.len());
        let inside = rows.end <= self.rows() && columns.end <= self.columns();
        assert!(inside && count <= LANES, "up to sixteen columns that the matrix has");
        let [row_stride, column_stride] = self.strides();
        let mut row = rows.start;
        while row < rows.end {
            let to = &mut to[(row - rows.start) * PITCH..];
            if column_stride == 1 && count == LANES {
                // SAFETY: sixteen columns of the row lie inside, side by side.
                let x = unsafe { s.load_ptr(self.ptr(row, column)) };
                s.store_part(to, x);
                row += 1;
            } else if row_stride == 1 && count == LANES && row + LANES <= rows.end {
                // SAFETY: a square of sixteen rows and columns lies inside, the rows of each column side by side.
                let columns =
                    std::array::from_fn(|c| unsafe { s.load_ptr(self.ptr(row, column + c)) });
                for (r, x) in s.transpose(columns).into_iter().enumerate() {
                    s.store_part(&mut to[r * PITCH..], x);
                }
                row += LANES;
            } else {
                for (lane, to) in to[..LANES].iter_mut().enumerate() {
                    *to = if lane < count { self.at(row, column + lane) } else { 0.0 };
                }
                row += 1;
            }
        }
    }
}
