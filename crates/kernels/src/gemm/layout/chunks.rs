//! Handing out the rows of a matrix in chunks, for tasks that each write their own.

use super::{Element, RowsMut};

impl<'a, T: Element> RowsMut<'a, T> {
    /// These rows, `size` at a time; the last chunk may be shorter.
    ///
    /// # Panics
    /// If `size` is zero.
    #[track_caller]
    pub fn chunks(self, size: usize) -> impl ExactSizeIterator<Item = RowsMut<'a, T>> + Send {
        assert!(size > 0, "a chunk has at least one row");
        (0..self.rows.div_ceil(size)).map(move |chunk| {
            // The matrix as a whole may be sent to another thread, its pointer alone may not.
            let &Self { start, rows, columns, strides, lifetime } = &self;
            let first = chunk * size;
            // The first row of a chunk lies in the matrix, and no two chunks share a row.
            let start = start.wrapping_add(first * strides.row);
            RowsMut { start, rows: size.min(rows - first), columns, strides, lifetime }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_all_rows_once_in_either_layout() {
        for (rows, columns) in [(1, 1), (7, 20), (10, 33), (0, 4)] {
            let mut data = vec![0f32; 10 * 64];
            for size in [1, 3, 10] {
                let matrix = RowsMut::planes(&mut data, rows, columns, 10);
                let chunks: Vec<_> = matrix.chunks(size).map(|chunk| chunk.rows()).collect();
                assert_eq!(chunks.iter().sum::<usize>(), rows);
                let matrix = RowsMut::row_major(&mut data, rows, columns);
                for (index, chunk) in matrix.chunks(size).enumerate() {
                    let (count, to) = (chunk.rows(), chunk.shared());
                    for row in 0..count {
                        // SAFETY: the row lies in the chunk, which nobody else has.
                        unsafe { *to.at(row, 0) = (index * size + row) as f32 };
                    }
                }
                assert!((0..rows).all(|row| data[row * columns] == row as f32));
            }
        }
    }
}
