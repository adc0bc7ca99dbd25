//! How the operands of a matrix product lie in memory.

use std::marker::PhantomData;
use std::ops::Range;

use bytemuck::Pod;
use half::bf16;

use crate::simd::Simd;

mod chunks;
mod copy;
mod panels;
mod shared;

pub use panels::Panels;
pub(crate) use shared::SharedRows;

/// Columns of a panel: two vectors.
pub(crate) const PANEL: usize = 32;

/// An element of a matrix operand. Kernels move 32-bit words along the depth (the dimension summed over): one f32, two
/// bfloat16 or four bytes.
pub trait Element: Pod + Send + Sync + sealed::Sealed {
    /// Values in a 32-bit word.
    const PER_WORD: usize;
    /// Values in a line of 64 bytes.
    const PER_LINE: usize = 16 * Self::PER_WORD;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for half::bf16 {}
    impl Sealed for u8 {}
    impl Sealed for i8 {}
}

impl Element for f32 {
    const PER_WORD: usize = 1;
}

impl Element for bf16 {
    const PER_WORD: usize = 2;
}

impl Element for u8 {
    const PER_WORD: usize = 4;
}

impl Element for i8 {
    const PER_WORD: usize = 4;
}

/// Where the value at (row, column) lies: `row * row_stride + column / L * line_stride + column % L`, where L is
/// [`Element::PER_LINE`].
///
/// Two layouts are special cases. *Row-major*: `row_stride` is the row's pitch and `line_stride` is L. *Planes*:
/// `row_stride` is L and `line_stride` is the size of a plane of all rows, `[columns / L][rows][L]`; for an image whose
/// rows are pixels these are its planes of L channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Strides {
    pub row: usize,
    pub line: usize,
}

impl Strides {
    #[inline(always)]
    pub fn offset<T: Element>(self, row: usize, column: usize) -> usize {
        row * self.row + column / T::PER_LINE * self.line + column % T::PER_LINE
    }

    /// Asserts that a matrix of this shape lies within `len` values.
    #[track_caller]
    fn check<T: Element>(self, rows: usize, columns: usize, len: usize) {
        if rows == 0 || columns == 0 {
            return;
        }
        let steps = [(rows - 1, self.row), ((columns - 1) / T::PER_LINE, self.line)];
        let last = steps.iter().try_fold((columns - 1) % T::PER_LINE, |sum, (count, stride)| {
            count.checked_mul(*stride)?.checked_add(sum)
        });
        assert!(
            last.is_some_and(|last| last < len),
            "a matrix of {rows}x{columns} with strides {self:?} does not fit in {len} values"
        );
    }
}

/// Asserts that a range lies within the rows, columns or depth that there are.
#[track_caller]
fn check_part(name: &str, range: &Range<usize>, len: usize) {
    assert!(range.start <= range.end && range.end <= len, "{name} {range:?} of {len}");
}

/// The distance between planes, in rows, that keeps equal pixels of many planes from competing for the same few sets
/// of the caches: at least `rows`, and never near a multiple of a large power of two.
pub const fn plane_rows(rows: usize) -> usize {
    rows.next_multiple_of(64) + 24
}

/// A matrix that is read, one row per token or pixel.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, T> {
    /// A pointer rather than a slice, because other columns of the same rows may be written meanwhile.
    start: *const T,
    rows: usize,
    columns: usize,
    strides: Strides,
    lifetime: PhantomData<&'a [T]>,
}

// SAFETY: a `Rows` is a borrow of values, as `&[T]` is.
unsafe impl<T: Sync> Send for Rows<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Rows<'_, T> {}

impl<'a, T: Element> Rows<'a, T> {
    /// `[rows, columns]`, row after row.
    ///
    /// # Panics
    /// If `data` is too short.
    #[track_caller]
    pub fn row_major(data: &'a [T], rows: usize, columns: usize) -> Self {
        Self::pitched(data, rows, columns, columns)
    }

    /// `[rows, pitch]`, of which the first `columns` of each row count. A pitch of a multiple of 4096 bytes is slow to
    /// multiply, because the rows compete for the same few sets of the cache.
    ///
    /// # Panics
    /// If `data` is too short.
    #[track_caller]
    pub fn pitched(data: &'a [T], rows: usize, columns: usize, pitch: usize) -> Self {
        Self::new(data, rows, columns, Strides { row: pitch, line: T::PER_LINE })
    }

    /// `[columns / L][plane_rows][L]` with L = [`Element::PER_LINE`], of which the first `rows` of each plane count;
    /// see [`plane_rows`].
    ///
    /// # Panics
    /// If `data` is too short.
    #[track_caller]
    pub fn planes(data: &'a [T], rows: usize, columns: usize, plane_rows: usize) -> Self {
        Self::new(data, rows, columns, Strides { row: T::PER_LINE, line: plane_rows * T::PER_LINE })
    }

    #[track_caller]
    fn new(data: &'a [T], rows: usize, columns: usize, strides: Strides) -> Self {
        strides.check::<T>(rows, columns, data.len());
        Self { start: data.as_ptr(), rows, columns, strides, lifetime: PhantomData }
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// These rows alone.
    ///
    /// # Panics
    /// If the range exceeds the rows.
    #[track_caller]
    pub fn slice_rows(&self, range: Range<usize>) -> Self {
        check_part("rows", &range, self.rows);
        Self {
            start: self.start.wrapping_add(range.start * self.strides.row),
            rows: range.len(),
            ..*self
        }
    }

    pub(crate) fn strides(&self) -> Strides {
        self.strides
    }

    pub(crate) fn as_ptr(&self) -> *const T {
        self.start
    }
}

impl Rows<'_, f32> {
    /// `count` columns of a row, at most sixteen, from `column`, a multiple of sixteen, on; the other lanes are zero.
    ///
    /// # Safety
    /// The row and these columns lie in the matrix.
    #[inline(always)]
    pub(crate) unsafe fn lanes<S: Simd>(
        self,
        s: S,
        row: usize,
        column: usize,
        count: usize,
    ) -> S::F32 {
        // SAFETY: promised by the caller; the columns lie side by side within a line.
        unsafe {
            let from = self.start.add(self.strides.offset::<f32>(row, column));
            s.load_part(std::slice::from_raw_parts(from, count), 0.0)
        }
    }
}

/// A matrix that is written, one row per token or pixel; laid out as [`Rows`] says.
#[derive(Debug)]
pub struct RowsMut<'a, T> {
    start: *mut T,
    rows: usize,
    columns: usize,
    strides: Strides,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: a `RowsMut` is an exclusive borrow of values, as `&mut [T]` is.
unsafe impl<T: Send> Send for RowsMut<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for RowsMut<'_, T> {}

impl<'a, T: Element> RowsMut<'a, T> {
    /// As [`Rows::row_major`].
    ///
    /// # Panics
    /// If `data` is too short.
    #[track_caller]
    pub fn row_major(data: &'a mut [T], rows: usize, columns: usize) -> Self {
        Self::pitched(data, rows, columns, columns)
    }

    /// As [`Rows::pitched`].
    ///
    /// # Panics
    /// If `data` is too short or the rows overlap.
    #[track_caller]
    pub fn pitched(data: &'a mut [T], rows: usize, columns: usize, pitch: usize) -> Self {
        assert!(
            pitch >= columns || rows <= 1,
            "rows of {columns} values overlap at a pitch of {pitch}"
        );
        Self::new(data, rows, columns, Strides { row: pitch, line: T::PER_LINE })
    }

    /// As [`Rows::planes`].
    ///
    /// # Panics
    /// If `data` is too short or the planes overlap.
    #[track_caller]
    pub fn planes(data: &'a mut [T], rows: usize, columns: usize, plane_rows: usize) -> Self {
        assert!(plane_rows >= rows, "planes of {rows} rows overlap at a distance of {plane_rows}");
        Self::new(data, rows, columns, Strides { row: T::PER_LINE, line: plane_rows * T::PER_LINE })
    }

    #[track_caller]
    fn new(data: &'a mut [T], rows: usize, columns: usize, strides: Strides) -> Self {
        strides.check::<T>(rows, columns, data.len());
        Self { start: data.as_mut_ptr(), rows, columns, strides, lifetime: PhantomData }
    }

    /// The same matrix, read.
    pub fn as_rows(&self) -> Rows<'_, T> {
        let &Self { start, rows, columns, strides, .. } = self;
        Rows { start, rows, columns, strides, lifetime: PhantomData }
    }

    /// The same matrix, borrowed for a shorter time.
    pub fn reborrow(&mut self) -> RowsMut<'_, T> {
        let &mut Self { start, rows, columns, strides, .. } = self;
        RowsMut { start, rows, columns, strides, lifetime: PhantomData }
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    pub(crate) fn shared(self) -> SharedRows<T> {
        SharedRows { start: self.start, strides: self.strides }
    }
}
