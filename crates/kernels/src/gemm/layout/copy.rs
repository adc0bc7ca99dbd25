//! Copying a matrix from one layout to another.

use super::{Element, Rows, RowsMut};

impl<T: Element> Rows<'_, T> {
    /// Copies all values.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn copy_to(&self, to: RowsMut<'_, T>) {
        let shape = (self.rows, self.columns);
        assert_eq!((to.rows, to.columns), shape, "both matrices must have one shape");
        for row in 0..self.rows {
            for column in (0..self.columns).step_by(T::PER_LINE) {
                let count = T::PER_LINE.min(self.columns - column);
                // SAFETY: the row and `count` columns from the start of a line on lie in both matrices, side by side; `to`
                // is borrowed exclusively.
                unsafe {
                    let from = self.start.add(self.strides.offset::<T>(row, column));
                    let into = to.start.add(to.strides.offset::<T>(row, column));
                    std::ptr::copy_nonoverlapping(from, into, count);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_and_back_are_the_same_values() {
        for (rows, columns) in [(1, 1), (5, 33), (3, 16), (0, 2)] {
            let from: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
            let (mut planes, mut back) = (vec![f32::NAN; 7 * 48], vec![f32::NAN; rows * columns]);
            let to = RowsMut::planes(&mut planes, rows, columns, 7);
            Rows::row_major(&from, rows, columns).copy_to(to);
            let from_planes = Rows::planes(&planes, rows, columns, 7);
            from_planes.copy_to(RowsMut::row_major(&mut back, rows, columns));
            assert_eq!(back, from);
        }
    }
}
