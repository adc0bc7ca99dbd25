//! A view of a matrix with any strides.

/// A matrix `[rows, columns]` whose value at `(r, c)` lies at `r * row_stride + c * column_stride`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `[rows, columns]`, row after row.
    ///
    /// # Panics
    /// If `data` is too short.
    #[track_caller]
    pub fn row_major(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, [columns, 1])
    }

    /// Any `[row, column]` strides.
    ///
    /// # Panics
    /// If `data` is too short.
    #[track_caller]
    pub fn strided(data: &'a [f32], rows: usize, columns: usize, strides: [usize; 2]) -> Self {
        if rows > 0 && columns > 0 {
            let row = (rows - 1).checked_mul(strides[0]);
            let column = (columns - 1).checked_mul(strides[1]);
            let last = row.zip(column).and_then(|(row, column)| row.checked_add(column));
            assert!(
                last.is_some_and(|last| last < data.len()),
                "a matrix of {rows}x{columns} with strides {strides:?} does not fit in {} values",
                data.len()
            );
        }
        Self { data, rows, columns, row_stride: strides[0], column_stride: strides[1] }
    }

    /// Rows and columns swapped, without moving a value.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// From one row to the next, and from one column to the next.
    pub fn strides(&self) -> [usize; 2] {
        [self.row_stride, self.column_stride]
    }

    /// The value at a place.
    ///
    /// # Panics
    /// If the place is outside.
    #[inline]
    #[track_caller]
    pub fn at(&self, row: usize, column: usize) -> f32 {
        assert!(
            row < self.rows && column < self.columns,
            "({row}, {column}) of {}x{}",
            self.rows,
            self.columns
        );
        self.data[row * self.row_stride + column * self.column_stride]
    }

    /// The address of a value that may be read without a check.
    ///
    /// # Safety
    /// The place must be inside.
    #[inline(always)]
    pub(crate) unsafe fn ptr(&self, row: usize, column: usize) -> *const f32 {
        debug_assert!(row < self.rows && column < self.columns);
        // SAFETY: the constructor checked that every place inside lies in the slice.
        unsafe { self.data.as_ptr().add(row * self.row_stride + column * self.column_stride) }
    }
}
