//! Small operations on the rows of matrices: products of values, and sums of columns.

use std::ops::Range;

use crate::buffer::check_scratch;
use crate::gemm::layout::SharedRows;
use crate::gemm::{Rows, RowsMut};
use crate::simd::{Kernel, LANES, Simd};
use crate::threads::Cpu;

/// Rows in a task.
const TASK: usize = 128;

/// The most parts that columns are summed in; their number must not depend on the threads.
const PARTS: usize = 64;

/// `out = a * b`, value by value.
///
/// # Panics
/// If the shapes differ.
pub fn multiply_rows(cpu: &Cpu, a: Rows<'_, f32>, b: Rows<'_, f32>, out: RowsMut<'_, f32>) {
    let shape = (out.rows(), out.columns());
    let shapes = [(a.rows(), a.columns()), (b.rows(), b.columns())];
    assert_eq!(shapes, [shape; 2], "all three must have one shape");
    let (columns, out) = (out.columns(), out.shared());
    cpu.threads().each((0..shape.0).step_by(TASK), |first| {
        let rows = first..shape.0.min(first + TASK);
        cpu.isa().run(Product { a, b, out, rows, columns });
    });
}

struct Product<'a> {
    a: Rows<'a, f32>,
    b: Rows<'a, f32>,
    out: SharedRows<f32>,
    rows: Range<usize>,
    columns: usize,
}

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { a, b, out, rows, columns } = self;
        for row in rows {
            for column in (0..columns).step_by(LANES) {
                let count = LANES.min(columns - column);
                // SAFETY: the row and columns lie in all three; this task alone has the row of the output.
                unsafe {
                    let product =
                        s.mul(a.lanes(s, row, column, count), b.lanes(s, row, column, count));
                    let to = std::slice::from_raw_parts_mut(out.at(row, column), count);
                    s.store_part(to, product);
                }
            }
        }
    }
}

/// Values of scratch space that [`sum_rows`] takes.
pub const fn sum_rows_scratch(columns: usize) -> usize {
    PARTS * columns
}

/// The sum of each column of `rows`.
///
/// # Panics
/// If `sums` does not have one value for each column, or `scratch` fewer than [`sum_rows_scratch`] says.
pub fn sum_rows(cpu: &Cpu, rows: Rows<'_, f32>, sums: &mut [f32], scratch: &mut [f32]) {
    let (count, columns) = (rows.rows(), rows.columns());
    assert_eq!(sums.len(), columns, "one sum for each column");
    check_scratch(scratch.len(), sum_rows_scratch(columns));
    sums.fill(0.0);
    if count == 0 || columns == 0 {
        return;
    }
    let size = count.div_ceil(PARTS);
    let parts = &mut scratch[..count.div_ceil(size) * columns];
    let tasks = (0..count).step_by(size).zip(parts.chunks_mut(columns));
    cpu.threads().each(tasks, |(first, sums)| {
        let range = first..count.min(first + size);
        cpu.isa().run(Sum { rows, range, sums });
    });
    for part in parts.chunks(columns) {
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
}

struct Sum<'a> {
    rows: Rows<'a, f32>,
    range: Range<usize>,
    sums: &'a mut [f32],
}

impl Kernel for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { rows, range, sums } = self;
        for (line, sums) in sums.chunks_mut(LANES).enumerate() {
            let mut sum = s.zero();
            for row in range.clone() {
                // SAFETY: the row and as many columns as there are sums lie in the matrix.
                sum = s.add(sum, unsafe { rows.lanes(s, row, line * LANES, sums.len()) });
            }
            s.store_part(sums, sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, assert_close, machines};

    #[test]
    fn products_and_sums_agree_with_f64_at_odd_sizes_and_pitches() {
        let mut random = Random::new(141);
        for (rows, columns, pitch) in
            [(1, 1, 1), (7, 17, 20), (130, 40, 40), (1000, 33, 84), (0, 3, 3)]
        {
            let (a, b) = (random.vec(rows * pitch + 3), random.vec(rows * pitch + 3));
            let at =
                |values: &[f32], i: usize| f64::from(values[3 + i / columns * pitch + i % columns]);
            let want: Vec<f64> = (0..rows * columns).map(|i| at(&a, i) * at(&b, i)).collect();
            let mut want_sums = vec![0.0; columns];
            (0..rows * columns).for_each(|i| want_sums[i % columns] += at(&a, i));
            for cpu in machines() {
                let what = format!("{rows}x{columns} on {cpu:?}");
                let [a, b] = [&a, &b].map(|x| Rows::pitched(&x[3..], rows, columns, pitch));
                let mut out = vec![f32::NAN; rows * pitch];
                multiply_rows(&cpu, a, b, RowsMut::pitched(&mut out, rows, columns, pitch));
                let out: Vec<f32> =
                    (0..rows * columns).map(|i| out[i / columns * pitch + i % columns]).collect();
                assert_close(&out, &want, 1e-7, &what);
                let mut sums = vec![f32::NAN; columns];
                let mut scratch = vec![f32::NAN; sum_rows_scratch(columns)];
                sum_rows(&cpu, a, &mut sums, &mut scratch);
                assert_close(&sums, &want_sums, 1e-6 * (1 + rows) as f64, &what);
            }
        }
    }
}
