//! Products of two matrices that are both packed on the way: attention, masks, gradients.

use std::ops::Range;

use super::dot::{Dot, DotKernel};
use super::epilogue::{Epilogue, Finish, Store};
use super::layout::{PANEL, RowsMut};
use super::pack::{PackPanel, PanelSource};
use super::run::run_f32;
use super::tile::{PanelWords, RowWords, STRIP, strip};
use crate::buffer::check_scratch;
use crate::matrix::Matrix;
use crate::simd::{LANES, Simd};
use crate::threads::Cpu;

/// The part of the depth that is packed at a time.
const DEPTH_BLOCK: usize = 1024;

/// The columns that are packed at a time.
const COLUMN_BLOCK: usize = 4096;

/// Values of scratch space that [`matmul`] takes for a product of this depth and number of columns.
pub fn matmul_scratch(cpu: &Cpu, depth: usize, columns: usize) -> usize {
    packed_len(depth, columns) + cpu.threads().count() * strip_scratch(depth.min(DEPTH_BLOCK))
}

fn packed_len(depth: usize, columns: usize) -> usize {
    depth.min(DEPTH_BLOCK) * columns.min(COLUMN_BLOCK).next_multiple_of(PANEL)
}

fn strip_scratch(depth: usize) -> usize {
    depth.next_multiple_of(LANES) * STRIP
}

/// `a [m, k]` by `b [k, n]` in f32, with any strides.
///
/// # Panics
/// If the shapes do not fit together, or if `scratch` has fewer values than [`matmul_scratch`] says.
pub fn matmul(
    cpu: &Cpu,
    a: Matrix<'_>,
    b: Matrix<'_>,
    epilogue: &Epilogue<'_>,
    output: RowsMut<'_, f32>,
    scratch: &mut [f32],
) {
    multiply(cpu, a, &b, epilogue, output, scratch);
}

/// [`matmul`], with a matrix on the right that may be imagined.
pub(crate) fn multiply<P: PanelSource>(
    cpu: &Cpu,
    a: Matrix<'_>,
    b: &P,
    epilogue: &Epilogue<'_>,
    mut output: RowsMut<'_, f32>,
    scratch: &mut [f32],
) {
    let (rows, depth, columns) = (a.rows(), a.columns(), b.columns());
    assert_eq!(depth, b.rows(), "the left matrix must be as wide as the right one is high");
    check_scratch(scratch.len(), matmul_scratch(cpu, depth, columns));
    let (packed, workers) = scratch.split_at_mut(packed_len(depth, columns));
    for first in (0..columns).step_by(COLUMN_BLOCK) {
        let panels = first / PANEL..columns.min(first + COLUMN_BLOCK).div_ceil(PANEL);
        let mut store = epilogue.store;
        for start in (0..depth.max(1)).step_by(DEPTH_BLOCK) {
            let part = start..depth.min(start + DEPTH_BLOCK);
            let size = part.len() * PANEL;
            let packed = &mut packed[..panels.len() * size];
            let tasks = panels.clone().zip(packed.chunks_mut(size.max(1)));
            cpu.threads().each(tasks, |(panel, to)| {
                let (rows, column) = (part.clone(), panel * PANEL);
                cpu.isa().run(PackPanel { source: b, rows, column, to });
            });
            // The sums pass through the output between the parts; only the last meets the epilogue.
            let epilogue = if part.end == depth { *epilogue } else { Epilogue::default() };
            let epilogue = Epilogue { store, ..epilogue };
            let finish = Finish::new(&epilogue, None, output.reborrow().into(), rows, columns);
            // The first of these panels lies at the start of the packed ones.
            let start = packed.as_ptr().wrapping_sub(panels.start * size).cast();
            let b = PanelWords { start, stride: size, words: part.len(), offsets: None };
            let (panels, finish) = (panels.clone(), &finish);
            run_f32(cpu.isa(), Part { cpu, a, depth: part, b, panels, finish, scratch: workers });
            store = Store::Add;
        }
    }
}

/// A part of the depth, for all rows and some panels of columns.
struct Part<'a> {
    cpu: &'a Cpu,
    a: Matrix<'a>,
    depth: Range<usize>,
    b: PanelWords,
    panels: Range<usize>,
    finish: &'a Finish<'a>,
    scratch: &'a mut [f32],
}

impl DotKernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, dot: D) {
        let Part { cpu, a, depth, b, panels, finish, scratch } = self;
        let rows = a.rows();
        // Enough tasks for all threads: short strips first, then few panels each. Neither changes a result.
        let wanted = if cpu.threads().count() > 1 { 3 * cpu.threads().count() } else { 1 };
        let height =
            (STRIP / D::TILE.0 * D::TILE.0).min(rows.div_ceil(wanted).next_multiple_of(D::TILE.0));
        let strips = rows.div_ceil(height.max(1));
        let groups = wanted.div_ceil(strips.max(1)).clamp(1, panels.len().max(1));
        let group = panels.len().div_ceil(groups).max(1);
        let tasks = (0..strips)
            .flat_map(|strip| panels.clone().step_by(group).map(move |panel| (strip, panel)));
        let tasks = tasks.map(|(strip, panel)| Task {
            a,
            depth: depth.clone(),
            b,
            finish,
            rows: strip * height..rows.min((strip + 1) * height),
            panels: panel..panels.end.min(panel + group),
        });
        let share = strip_scratch(depth.len());
        cpu.threads().each_with_scratch(scratch, share, tasks, |scratch, task| {
            dot.run(WithScratch { task, scratch });
        });
    }
}

/// A strip of rows by a group of panels.
struct Task<'a> {
    a: Matrix<'a>,
    depth: Range<usize>,
    b: PanelWords,
    finish: &'a Finish<'a>,
    rows: Range<usize>,
    panels: Range<usize>,
}

struct WithScratch<'a> {
    task: Task<'a>,
    scratch: &'a mut [f32],
}

impl DotKernel for WithScratch<'_> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, dot: D) {
        let Self { task: Task { a, depth, b, finish, rows, panels }, scratch } = self;
        if rows.is_empty() {
            return;
        }
        let [row_stride, column_stride] = a.strides();
        let in_place = column_stride == 1 && !(row_stride * size_of::<f32>()).is_multiple_of(4096);
        let words = if depth.is_empty() {
            RowWords { start: scratch.as_ptr().cast(), row: 0, line: 0 }
        } else if in_place {
            // SAFETY: the first row and the depth's start lie inside.
            let start = unsafe { a.ptr(0, depth.start) };
            RowWords { start: start.cast(), row: row_stride * size_of::<f32>(), line: 64 }
        } else {
            pack_strip(dot.simd(), a, rows.clone(), depth, scratch);
            let row = LANES * size_of::<f32>();
            // The strip's first row lies at the start of the scratch space.
            let start = scratch.as_ptr().cast::<u8>().wrapping_sub(rows.start * row);
            RowWords { start, row, line: rows.len() * row }
        };
        // SAFETY: the left operand was checked by `Matrix` or just packed, the right one packed, `Finish` made for the
        // output; tasks differ in rows or panels.
        unsafe { strip(dot, words, b, rows, panels, finish) }
    }
}

/// Copies a strip of rows as planes, `[depth / 16][rows][16]`.
#[inline(always)]
fn pack_strip<S: Simd>(
    s: S,
    a: Matrix<'_>,
    rows: Range<usize>,
    depth: Range<usize>,
    to: &mut [f32],
) {
    for (start, plane) in depth.clone().step_by(LANES).zip(to.chunks_mut(rows.len() * LANES)) {
        let columns = start..depth.end.min(start + LANES);
        a.copy_lanes::<S, LANES>(s, rows.clone(), columns, plane);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;
    use crate::testing::{Random, assert_close, machines};

    #[test]
    fn every_transposition_agrees_with_f64_at_odd_sizes() {
        let mut random = Random::new(21);
        let shapes = [
            [1, 1, 1],
            [0, 2, 3],
            [3, 0, 2],
            [17, 5, 40],
            [50, 33, 31],
            [130, 1100, 70],
            [16, 2049, 33],
            [2, 3, 4130],
            [31, 1024, 16],
        ];
        for [m, k, n] in shapes {
            let (a, b, bias, old) =
                (random.vec(m * k), random.vec(k * n), random.vec(m), random.vec(m * n));
            let turn = |x: &[f32], rows: usize, columns: usize| {
                (0..rows * columns).map(|i| x[i % rows * columns + i / rows]).collect::<Vec<_>>()
            };
            let (at, bt) = (turn(&a, m, k), turn(&b, k, n));
            let mut magnitude = 1f64;
            let want: Vec<f64> = (0..m * n)
                .map(|i| {
                    let terms =
                        (0..k).map(|j| f64::from(a[i / n * k + j]) * f64::from(b[j * n + i % n]));
                    magnitude = magnitude.max(terms.clone().map(f64::abs).sum());
                    (f64::from(old[i]) + terms.sum::<f64>() + f64::from(bias[i / n])).max(0.0)
                })
                .collect();
            for cpu in machines() {
                for a in [Matrix::row_major(&a, m, k), Matrix::row_major(&at, k, m).transposed()] {
                    for b in
                        [Matrix::row_major(&b, k, n), Matrix::row_major(&bt, n, k).transposed()]
                    {
                        let mut out = old.clone();
                        let epilogue = Epilogue {
                            store: Store::Add,
                            row_bias: Some(&bias),
                            activation: Activation::Relu,
                            ..Default::default()
                        };
                        let mut scratch = vec![f32::NAN; matmul_scratch(&cpu, k, n)];
                        let output = RowsMut::row_major(&mut out, m, n);
                        matmul(&cpu, a, b, &epilogue, output, &mut scratch);
                        assert_close(
                            &out,
                            &want,
                            4e-7 * magnitude,
                            format!("{m}x{k}x{n} on {cpu:?}"),
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_bytes_do_not_depend_on_the_threads() {
        let mut random = Random::new(22);
        let [m, k, n] = [77, 1500, 90];
        let (a, b) = (random.vec(m * k), random.vec(k * n));
        for pair in machines().chunks(2) {
            let [alone, together] = [&pair[0], &pair[1]].map(|cpu| {
                let mut out = vec![0.0; m * n];
                let mut scratch = vec![0.0; matmul_scratch(cpu, k, n)];
                let (a, b) =
                    (Matrix::row_major(&a, k, m).transposed(), Matrix::row_major(&b, k, n));
                matmul(
                    cpu,
                    a,
                    b,
                    &Epilogue::default(),
                    RowsMut::row_major(&mut out, m, n),
                    &mut scratch,
                );
                out
            });
            assert_eq!(alone, together);
        }
    }

    #[test]
    #[should_panic(expected = "values of scratch space are needed, 3 were given")]
    fn missing_scratch_space_is_named() {
        let one = [1.0];
        let (cpu, one) = (&machines()[0], Matrix::row_major(&one, 1, 1));
        let mut out = [0.0];
        matmul(
            cpu,
            one,
            one,
            &Epilogue::default(),
            RowsMut::row_major(&mut out, 1, 1),
            &mut [0.0; 3],
        );
    }
}
