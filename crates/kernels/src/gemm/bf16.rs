//! bfloat16 dot products, with and without instructions for them.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use super::dot::{Dot, DotKernel, With};
#[cfg(target_arch = "x86_64")]
use crate::isa::Bf16;
#[cfg(target_arch = "x86_64")]
use crate::simd::Avx512;
use crate::simd::{LANES, Simd};

/// bfloat16 without instructions for it: the two values of a word are widened and multiplied in f32. Rows are widened
/// once for all panels, and then cost no more than f32 rows; panels are widened once for all rows of a tile.
#[derive(Clone, Copy)]
pub(crate) struct WidenedBf16<S>(pub S);

impl<S: Simd> Dot for WidenedBf16<S> {
    type Simd = S;
    type Sums = S::F32;
    type Row = (S::F32, S::F32);
    type Columns = (S::F32, S::F32);

    const TILE: (usize, usize) = match S::REGISTERS {
        32 => (12, 2),
        8 => (4, 1),
        _ => (2, 1),
    };

    const UNPACKS: bool = true;

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
    unsafe fn row(self, from: *const u32) -> (S::F32, S::F32) {
        // SAFETY: the caller promises readable words at these places.
        unsafe {
            let from = from.cast::<f32>();
            (self.0.splat(from.read_unaligned()), self.0.splat(from.add(LANES).read_unaligned()))
        }
    }

    #[inline(always)]
    unsafe fn unpack(self, from: *const u32, to: *mut u32) {
        // SAFETY: the caller promises sixteen readable and thirty-two writable words.
        unsafe {
            let (low, high) = self.0.widen_bf16_pairs(self.0.load_ptr(from.cast()));
            self.0.store_ptr(to.cast(), low);
            self.0.store_ptr(to.add(LANES).cast(), high);
        }
    }

    #[inline(always)]
    unsafe fn columns(self, from: *const u32) -> (S::F32, S::F32) {
        // SAFETY: the caller promises sixteen readable words.
        self.0.widen_bf16_pairs(unsafe { self.0.load_ptr(from.cast()) })
    }

    #[inline(always)]
    fn accumulate(self, sums: S::F32, row: (S::F32, S::F32), columns: (S::F32, S::F32)) -> S::F32 {
        self.0.mul_add(row.1, columns.1, self.0.mul_add(row.0, columns.0, sums))
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

/// bfloat16 by the instruction that multiplies and adds two values a lane. It flushes subnormal numbers to zero.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct NativeBf16(pub Avx512, pub Bf16);

#[cfg(target_arch = "x86_64")]
impl Dot for NativeBf16 {
    type Simd = Avx512;
    type Sums = __m512;
    type Row = __m512bh;
    type Columns = __m512bh;

    const TILE: (usize, usize) = (14, 2);

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self.0
    }

    #[inline(always)]
    fn run<K: DotKernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
        fn inner<K: DotKernel>(dot: NativeBf16, kernel: K) -> K::Output {
            kernel.run(dot)
        }
        // SAFETY: `self` holds the proofs of these features.
        unsafe { inner(self, kernel) }
    }

    #[inline(always)]
    fn zero(self) -> __m512 {
        self.0.zero()
    }

    #[inline(always)]
    unsafe fn row(self, from: *const u32) -> __m512bh {
        // SAFETY: the caller promises a readable word; `self` proves the features; any bits are a `__m512bh`.
        unsafe {
            std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(
                from.cast::<i32>().read_unaligned(),
            ))
        }
    }

    #[inline(always)]
    unsafe fn columns(self, from: *const u32) -> __m512bh {
        // SAFETY: the caller promises sixteen readable words; `self` proves the features; any bits are a `__m512bh`.
        unsafe { std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(from.cast())) }
    }

    #[inline(always)]
    fn accumulate(self, sums: __m512, row: __m512bh, columns: __m512bh) -> __m512 {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_dpbf16_ps(sums, row, columns) }
    }

    #[inline(always)]
    unsafe fn load_sums(self, from: *const u32) -> __m512 {
        // SAFETY: the caller promises sixteen readable words.
        unsafe { self.0.load_ptr(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store_sums(self, to: *mut u32, sums: __m512) {
        // SAFETY: the caller promises sixteen writable words.
        unsafe { self.0.store_ptr(to.cast(), sums) }
    }

    #[inline(always)]
    fn to_f32(self, sums: __m512) -> __m512 {
        sums
    }
}
