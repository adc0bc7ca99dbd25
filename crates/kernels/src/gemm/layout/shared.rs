//! Writing a matrix from several threads.

use std::marker::PhantomData;

use super::{Element, RowsMut, Strides};

/// Where several threads write disjoint parts of a matrix.
#[derive(Clone, Copy)]
pub(crate) struct SharedRows<T> {
    pub(super) start: *mut T,
    pub(super) strides: Strides,
}

// SAFETY: the pointer is only used through `at`, whose callers write disjoint parts.
unsafe impl<T: Send> Send for SharedRows<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedRows<T> {}

impl<T: Element> SharedRows<T> {
    /// From a value to the one below it.
    #[inline(always)]
    pub fn row_stride(self) -> usize {
        self.strides.row
    }

    /// The address of a value.
    ///
    /// # Safety
    /// The row and column lie in the matrix, and no other thread uses what is written there.
    #[inline(always)]
    pub unsafe fn at(self, row: usize, column: usize) -> *mut T {
        // SAFETY: the constructor checked that the whole matrix lies in the slice.
        unsafe { self.start.add(self.strides.offset::<T>(row, column)) }
    }
}

impl SharedRows<f32> {
    /// Some rows and columns of a row-major matrix, to be written.
    ///
    /// # Safety
    /// The rows and columns lie in the matrix, which is row-major, and nothing else uses them while the result lives.
    pub unsafe fn rows<'a>(
        self,
        row: usize,
        rows: usize,
        column: usize,
        columns: usize,
    ) -> RowsMut<'a, f32> {
        // SAFETY: promised by the caller.
        let start = unsafe { self.at(row, column) };
        RowsMut { start, rows, columns, strides: self.strides, lifetime: PhantomData }
    }
}
