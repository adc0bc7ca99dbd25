//! Dot products of 32-bit words, sixteen columns at a time: the step of a matrix product, for every element type and
//! instruction set.

use crate::simd::{Kernel, Simd};

/// A computation that is compiled once per element type and instruction set.
pub(crate) trait DotKernel {
    type Output;

    /// As [`Kernel::run`].
    fn run<D: Dot>(self, dot: D) -> Self::Output;
}

/// Sums of products of words: `sum += a * b` where `a` is one word of a row, the same for sixteen columns, and `b` holds
/// a word of each column.
pub(crate) trait Dot: Copy + Send + Sync {
    type Simd: Simd;
    /// Sixteen running sums, 32 bits each.
    type Sums: Copy;
    /// A word of a row, ready to be multiplied.
    type Row: Copy;
    /// Sixteen words, one of each column.
    type Columns: Copy;

    /// Rows of a tile, and vectors of sixteen columns, such that the sums of the tile and what is multiplied fill the
    /// registers: one of 14x2, 12x2, 6x1, 4x1 and 2x1.
    const TILE: (usize, usize);

    /// Whether rows are [unpacked](Dot::unpack) before they are multiplied, once for all panels.
    const UNPACKS: bool = false;

    fn simd(self) -> Self::Simd;

    /// Runs `kernel` in code compiled for this instruction set.
    fn run<K: DotKernel>(self, kernel: K) -> K::Output;

    /// Sixteen sums of zero.
    fn zero(self) -> Self::Sums;

    /// # Safety
    /// A word must be readable at `from`; of unpacked rows, another one sixteen words further on.
    unsafe fn row(self, from: *const u32) -> Self::Row;

    /// Makes sixteen words of a row into thirty-two, as [`Dot::row`] reads them.
    ///
    /// # Safety
    /// Sixteen words must be readable at `from`, and thirty-two writable at `to`.
    #[inline(always)]
    unsafe fn unpack(self, from: *const u32, to: *mut u32) {
        let _ = (from, to);
        unreachable!("only rows that are unpacked ask for it");
    }

    /// # Safety
    /// Sixteen words must be readable at `from`.
    unsafe fn columns(self, from: *const u32) -> Self::Columns;

    fn accumulate(self, sums: Self::Sums, row: Self::Row, columns: Self::Columns) -> Self::Sums;

    /// # Safety
    /// Sixteen words must be readable at `from`.
    unsafe fn load_sums(self, from: *const u32) -> Self::Sums;

    /// # Safety
    /// Sixteen words must be writable at `to`.
    unsafe fn store_sums(self, to: *mut u32, sums: Self::Sums);

    /// The sums as floats.
    fn to_f32(self, sums: Self::Sums) -> <Self::Simd as Simd>::F32;
}

/// Adapts a [`DotKernel`] to the instruction set alone.
pub(super) struct With<K, D>(pub K, pub D);

impl<K: DotKernel, D: Dot> Kernel for With<K, D> {
    type Output = K::Output;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> K::Output {
        self.0.run(self.1)
    }
}

/// f32: a word is a value.
#[derive(Clone, Copy)]
pub(crate) struct F32<S>(pub S);

impl<S: Simd> Dot for F32<S> {
    type Simd = S;
    type Sums = S::F32;
    type Row = S::F32;
    type Columns = S::F32;

    const TILE: (usize, usize) = match S::REGISTERS {
        32 => (14, 2),
        8 => (6, 1),
        _ => (2, 1),
    };

    #[inline(always)]
    fn simd(self) -> S {
        self.0
    }

    #[inline(always)]
    fn run<K: DotKernel>(self, kernel: K) -> K::Output {
        self.0.run(With(kernel, self))
    }

    #[inline(always)]
    fn zero(self) -> S::F32 {
        self.0.zero()
    }

    #[inline(always)]
    unsafe fn row(self, from: *const u32) -> S::F32 {
        // SAFETY: the caller promises a readable word.
        self.0.splat(unsafe { from.cast::<f32>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn columns(self, from: *const u32) -> S::F32 {
        // SAFETY: the caller promises sixteen readable words.
        unsafe { self.0.load_ptr(from.cast()) }
    }

    #[inline(always)]
    fn accumulate(self, sums: S::F32, row: S::F32, columns: S::F32) -> S::F32 {
        self.0.mul_add(row, columns, sums)
    }

    #[inline(always)]
    unsafe fn load_sums(self, from: *const u32) -> S::F32 {
        // SAFETY: the caller promises sixteen readable words.
        unsafe { self.0.load_ptr(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store_sums(self, to: *mut u32, sums: S::F32) {
        // SAFETY: the caller promises sixteen writable words.
        unsafe { self.0.store_ptr(to.cast(), sums) }
    }

    #[inline(always)]
    fn to_f32(self, sums: S::F32) -> S::F32 {
        sums
    }
}
