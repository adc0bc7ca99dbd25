//! Softmax of rows, with entries that may be blocked.

use crate::simd::{Kernel, LANES, Simd, math};
use crate::threads::Cpu;

/// Rows in a task.
const TASK: usize = 16;

/// Replaces each row of `x [rows, columns]` by its softmax, `e^x / sum of e^x`; entries whose `blocked` is true, if there
/// is a mask of the same shape, become zero and take no part. A row whose entries are all blocked becomes zero.
///
/// # Panics
/// If the length is not a multiple of `columns` or the mask has another length.
pub fn softmax_rows(cpu: &Cpu, x: &mut [f32], columns: usize, blocked: Option<&[bool]>) {
    if x.is_empty() {
        return;
    }
    assert!(x.len().is_multiple_of(columns), "{} values are no rows of {columns}", x.len());
    assert!(
        blocked.is_none_or(|blocked| blocked.len() == x.len()),
        "the mask must have the shape of the values"
    );
    cpu.threads().each(x.chunks_mut(TASK * columns).enumerate(), |(task, rows)| {
        let blocked = blocked.map(|blocked| &blocked[task * TASK * columns..][..rows.len()]);
        cpu.isa().run(Softmax { rows, columns, blocked });
    });
}

/// The gradient of [`softmax_rows`]'s input, from its result `y` and the result's gradient: `dx = y (dy - sum of y dy)`.
///
/// # Panics
/// If the lengths differ or are not a multiple of `columns`.
pub fn softmax_backward(cpu: &Cpu, [y, dy]: [&[f32]; 2], dx: &mut [f32], columns: usize) {
    assert!(y.len() == dy.len() && y.len() == dx.len(), "y, dy and dx must have one length");
    if y.is_empty() {
        return;
    }
    assert!(y.len().is_multiple_of(columns), "{} values are no rows of {columns}", y.len());
    let size = TASK * columns;
    cpu.threads().each(
        y.chunks(size).zip(dy.chunks(size)).zip(dx.chunks_mut(size)),
        |((y, dy), dx)| {
            cpu.isa().run(Gradient { y, dy, dx, columns });
        },
    );
}

struct Softmax<'a> {
    rows: &'a mut [f32],
    columns: usize,
    blocked: Option<&'a [bool]>,
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (index, row) in self.rows.chunks_exact_mut(self.columns).enumerate() {
            let blocked =
                self.blocked.map(|blocked| &blocked[index * self.columns..][..self.columns]);
            let greatest = block_and_find_greatest(s, row, blocked);
            let sum = exponentials(s, row, greatest);
            if sum > 0.0 {
                let share = s.splat(1.0 / sum);
                for lanes in row.chunks_mut(LANES) {
                    let y = s.mul(s.load_part(lanes, 0.0), share);
                    s.store_part(lanes, y);
                }
            }
        }
    }
}

/// Sets blocked entries to minus infinity and answers the greatest entry.
#[inline(always)]
pub(super) fn block_and_find_greatest<S: Simd>(
    s: S,
    row: &mut [f32],
    blocked: Option<&[bool]>,
) -> f32 {
    let none = s.splat(f32::NEG_INFINITY);
    let mut greatest = [none; 2];
    let (pairs, rest) = row.as_chunks_mut::<{ 2 * LANES }>();
    if let Some(blocked) = blocked {
        let blocked: &[u8] = bytemuck::cast_slice(blocked);
        let (blocked_pairs, blocked_rest) = blocked.as_chunks::<{ 2 * LANES }>();
        for (pair, blocked) in pairs.iter_mut().zip(blocked_pairs) {
            let blocked = blocked.as_chunks::<LANES>().0;
            for ((lanes, blocked), greatest) in
                pair.as_chunks_mut().0.iter_mut().zip(blocked).zip(&mut greatest)
            {
                let x = s.select(s.mask_from_bytes(blocked), none, s.load(lanes));
                s.store(lanes, x);
                *greatest = s.max(*greatest, x);
            }
        }
        for (x, &blocked) in rest.iter_mut().zip(blocked_rest) {
            *x = if blocked != 0 { f32::NEG_INFINITY } else { *x };
        }
    } else {
        for pair in pairs {
            for (lanes, greatest) in pair.as_chunks().0.iter().zip(&mut greatest) {
                *greatest = s.max(*greatest, s.load(lanes));
            }
        }
    }
    let of_rest = rest.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    s.maximum(s.max(greatest[0], greatest[1])).max(of_rest)
}

/// Replaces each entry by `e^(entry - greatest)` and answers their sum; all become zero if `greatest` is minus infinity.
#[inline(always)]
pub(super) fn exponentials<S: Simd>(s: S, row: &mut [f32], greatest: f32) -> f32 {
    if greatest == f32::NEG_INFINITY {
        row.fill(0.0);
        return 0.0;
    }
    let greatest = s.splat(greatest);
    let mut sums = s.zero();
    let (whole, rest) = row.as_chunks_mut::<LANES>();
    for lanes in whole {
        let y = math::exp(s, s.sub(s.load(lanes), greatest));
        s.store(lanes, y);
        sums = s.add(sums, y);
    }
    if !rest.is_empty() {
        let y = math::exp(s, s.sub(s.load_part(rest, f32::NEG_INFINITY), greatest));
        s.store_part(rest, y);
        sums = s.add(sums, y);
    }
    s.sum(sums)
}

struct Gradient<'a> {
    y: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
    columns: usize,
}

impl Kernel for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self.y.chunks_exact(self.columns).zip(self.dy.chunks_exact(self.columns));
        for ((y, dy), dx) in rows.zip(self.dx.chunks_exact_mut(self.columns)) {
            let mut sums = s.zero();
            for (y, dy) in y.chunks(LANES).zip(dy.chunks(LANES)) {
                sums = s.mul_add(s.load_part(y, 0.0), s.load_part(dy, 0.0), sums);
            }
            let sum = s.splat(s.sum(sums));
            for ((y, dy), dx) in y.chunks(LANES).zip(dy.chunks(LANES)).zip(dx.chunks_mut(LANES)) {
                s.store_part(dx, s.mul(s.load_part(y, 0.0), s.sub(s.load_part(dy, 0.0), sum)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, assert_close, machines};

    #[test]
    fn values_and_gradients_agree_with_f64_at_odd_sizes() {
        let mut random = Random::new(71);
        for [rows, columns] in [[0, 3], [1, 1], [3, 15], [5, 16], [40, 33], [2, 1000]] {
            let len = rows * columns;
            let x: Vec<f32> = (0..len).map(|_| random.uniform(-30.0, 30.0)).collect();
            let dy = random.vec(len);
            // The first row is blocked altogether, every third entry of the others.
            let blocked: Vec<bool> = (0..len).map(|i| i < columns || i % 3 == 0).collect();
            for mask in [None, Some(&blocked[..])] {
                let mut want = Vec::new();
                for (row, x) in x.chunks(columns).enumerate() {
                    let open = |i: usize| mask.is_none_or(|mask| !mask[row * columns + i]);
                    let e = |i: usize| if open(i) { (f64::from(x[i]) - 30.0).exp() } else { 0.0 };
                    let sum: f64 = (0..columns).map(e).sum();
                    want.extend((0..columns).map(|i| if sum > 0.0 { e(i) / sum } else { 0.0 }));
                }
                let mut want_dx = Vec::new();
                for (y, dy) in want.chunks(columns).zip(dy.chunks(columns)) {
                    let sum: f64 = y.iter().zip(dy).map(|(y, &dy)| y * f64::from(dy)).sum();
                    want_dx.extend(y.iter().zip(dy).map(|(y, &dy)| y * (f64::from(dy) - sum)));
                }
                for cpu in machines() {
                    let what = format!("{rows}x{columns}, mask {} on {cpu:?}", mask.is_some());
                    let mut y = x.clone();
                    softmax_rows(&cpu, &mut y, columns, mask);
                    assert_close(&y, &want, 1e-6, &what);
                    let mut dx = vec![f32::NAN; len];
                    softmax_backward(&cpu, [&y, &dy], &mut dx, columns);
                    assert_close(&dx, &want_dx, 1e-6, &what);
                }
            }
        }
    }
}
