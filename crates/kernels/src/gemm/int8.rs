//! int8 dot products: four unsigned bytes of a row by four signed bytes of a column, added in 32 bits.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

#[cfg(target_arch = "x86_64")]
use super::dot::With;
use super::dot::{Dot, DotKernel};
#[cfg(target_arch = "x86_64")]
use crate::isa::Vnni;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512, Simd as _};
use crate::simd::{LANES, Portable};

/// int8 in plain Rust.
#[derive(Clone, Copy)]
pub(crate) struct PlainInt8(pub Portable);

impl Dot for PlainInt8 {
    type Simd = Portable;
    type Sums = [i32; LANES];
    type Row = [u8; 4];
    type Columns = [[i8; 4]; LANES];

    const TILE: (usize, usize) = (2, 1);

    #[inline(always)]
    fn simd(self) -> Portable {
        self.0
    }

    #[inline(always)]
    fn run<K: DotKernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn zero(self) -> [i32; LANES] {
        [0; LANES]
    }

    #[inline(always)]
    unsafe fn row(self, from: *const u32) -> [u8; 4] {
        // SAFETY: the caller promises a readable word.
        unsafe { from.cast::<[u8; 4]>().read() }
    }

    #[inline(always)]
    unsafe fn columns(self, from: *const u32) -> [[i8; 4]; LANES] {
        // SAFETY: the caller promises sixteen readable words.
        unsafe { from.cast::<[[i8; 4]; LANES]>().read() }
    }

    #[inline(always)]
    fn accumulate(
        self,
        sums: [i32; LANES],
        row: [u8; 4],
        columns: [[i8; 4]; LANES],
    ) -> [i32; LANES] {
        std::array::from_fn(|i| {
            let products = row.iter().zip(&columns[i]).map(|(&a, &b)| i32::from(a) * i32::from(b));
            sums[i] + products.sum::<i32>()
        })
    }

    #[inline(always)]
    unsafe fn load_sums(self, from: *const u32) -> [i32; LANES] {
        // SAFETY: the caller promises sixteen readable words.
        unsafe { from.cast::<[i32; LANES]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store_sums(self, to: *mut u32, sums: [i32; LANES]) {
        // SAFETY: the caller promises sixteen writable words.
        unsafe { to.cast::<[i32; LANES]>().write_unaligned(sums) }
    }

    #[inline(always)]
    fn to_f32(self, sums: [i32; LANES]) -> [f32; LANES] {
        sums.map(|sum| sum as f32)
    }
}

/// Bytes at even places as 16-bit numbers, and those at odd places: two `madd` of 16-bit numbers then give the four
/// products, without the saturation of the instruction that multiplies bytes.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Avx2Int8(pub Avx2);

#[cfg(target_arch = "x86_64")]
impl Dot for Avx2Int8 {
    type Simd = Avx2;
    type Sums = [__m256i; 2];
    type Row = [__m256i; 2];
    type Columns = [[__m256i; 2]; 2];

    const TILE: (usize, usize) = (4, 1);

    #[inline(always)]
    fn simd(self) -> Avx2 {
        self.0
    }

    #[inline(always)]
    fn run<K: DotKernel>(self, kernel: K) -> K::Output {
        self.0.run(With(kernel, self))
    }

    #[inline(always)]
    fn zero(self) -> [__m256i; 2] {
        // SAFETY: `self.0` proves the features.
        unsafe { [_mm256_setzero_si256(); 2] }
    }

    #[inline(always)]
    unsafe fn row(self, from: *const u32) -> [__m256i; 2] {
        // SAFETY: the caller promises a readable word; `self.0` proves the features.
        unsafe {
            let word = _mm256_set1_epi32(from.cast::<i32>().read_unaligned());
            [_mm256_and_si256(word, _mm256_set1_epi16(0xff)), _mm256_srli_epi16::<8>(word)]
        }
    }

    #[inline(always)]
    unsafe fn columns(self, from: *const u32) -> [[__m256i; 2]; 2] {
        // SAFETY: the caller promises sixteen readable words; `self.0` proves the features.
        unsafe {
            [0, 8].map(|at| {
                let words = _mm256_loadu_si256(from.add(at).cast());
                [
                    _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(words)),
                    _mm256_srai_epi16::<8>(words),
                ]
            })
        }
    }

    #[inline(always)]
    fn accumulate(
        self,
        sums: [__m256i; 2],
        row: [__m256i; 2],
        columns: [[__m256i; 2]; 2],
    ) -> [__m256i; 2] {
        let half = |i: usize| {
            // SAFETY: `self.0` proves the features.
            unsafe {
                let even = _mm256_madd_epi16(row[0], columns[i][0]);
                let odd = _mm256_madd_epi16(row[1], columns[i][1]);
                _mm256_add_epi32(sums[i], _mm256_add_epi32(even, odd))
            }
        };
        [half(0), half(1)]
    }

    #[inline(always)]
    unsafe fn load_sums(self, from: *const u32) -> [__m256i; 2] {
        // SAFETY: the caller promises sixteen readable words; `self.0` proves the features.
        unsafe { [_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(8).cast())] }
    }

    #[inline(always)]
    unsafe fn store_sums(self, to: *mut u32, sums: [__m256i; 2]) {
        // SAFETY: the caller promises sixteen writable words; `self.0` proves the features.
        unsafe {
            _mm256_storeu_si256(to.cast(), sums[0]);
            _mm256_storeu_si256(to.add(8).cast(), sums[1]);
        }
    }

    #[inline(always)]
    fn to_f32(self, sums: [__m256i; 2]) -> [__m256; 2] {
        // SAFETY: `self.0` proves the features.
        unsafe { [_mm256_cvtepi32_ps(sums[0]), _mm256_cvtepi32_ps(sums[1])] }
    }
}

/// As [`Avx2Int8`], in one register.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Avx512Int8(pub Avx512);

#[cfg(target_arch = "x86_64")]
impl Dot for Avx512Int8 {
    type Simd = Avx512;
    type Sums = __m512i;
    type Row = [__m512i; 2];
    type Columns = [__m512i; 2];

    const TILE: (usize, usize) = (12, 2);

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self.0
    }

    #[inline(always)]
    fn run<K: DotKernel>(self, kernel: K) -> K::Output {
        self.0.run(With(kernel, self))
    }

    #[inline(always)]
    fn zero(self) -> __m512i {
        // SAFETY: `self.0` proves the features.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn row(self, from: *const u32) -> [__m512i; 2] {
        // SAFETY: the caller promises a readable word; `self.0` proves the features.
        unsafe {
            let word = _mm512_set1_epi32(from.cast::<i32>().read_unaligned());
            [_mm512_and_si512(word, _mm512_set1_epi16(0xff)), _mm512_srli_epi16::<8>(word)]
        }
    }

    #[inline(always)]
    unsafe fn columns(self, from: *const u32) -> [__m512i; 2] {
        // SAFETY: the caller promises sixteen readable words; `self.0` proves the features.
        unsafe {
            let words = _mm512_loadu_si512(from.cast());
            [_mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(words)), _mm512_srai_epi16::<8>(words)]
        }
    }

    #[inline(always)]
    fn accumulate(self, sums: __m512i, row: [__m512i; 2], columns: [__m512i; 2]) -> __m512i {
        // SAFETY: `self.0` proves the features.
        unsafe {
            let even = _mm512_madd_epi16(row[0], columns[0]);
            let odd = _mm512_madd_epi16(row[1], columns[1]);
            _mm512_add_epi32(sums, _mm512_add_epi32(even, odd))
        }
    }

    #[inline(always)]
    unsafe fn load_sums(self, from: *const u32) -> __m512i {
        // SAFETY: the caller promises sixteen readable words; `self.0` proves the features.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store_sums(self, to: *mut u32, sums: __m512i) {
        // SAFETY: the caller promises sixteen writable words; `self.0` proves the features.
        unsafe { _mm512_storeu_si512(to.cast(), sums) }
    }

    #[inline(always)]
    fn to_f32(self, sums: __m512i) -> __m512 {
        // SAFETY: `self.0` proves the features.
        unsafe { _mm512_cvtepi32_ps(sums) }
    }
}

/// int8 by the instruction that multiplies and adds four bytes a lane.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct VnniInt8(pub Avx512, pub Vnni);

#[cfg(target_arch = "x86_64")]
impl Dot for VnniInt8 {
    type Simd = Avx512;
    type Sums = __m512i;
    type Row = __m512i;
    type Columns = __m512i;

    const TILE: (usize, usize) = (14, 2);

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self.0
    }

    #[inline(always)]
    fn run<K: DotKernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
        fn inner<K: DotKernel>(dot: VnniInt8, kernel: K) -> K::Output {
            kernel.run(dot)
        }
        // SAFETY: `self` holds the proofs of these features.
        unsafe { inner(self, kernel) }
    }

    #[inline(always)]
    fn zero(self) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn row(self, from: *const u32) -> __m512i {
        // SAFETY: the caller promises a readable word; `self` proves the features.
        unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn columns(self, from: *const u32) -> __m512i {
        // SAFETY: the caller promises sixteen readable words; `self` proves the features.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    fn accumulate(self, sums: __m512i, row: __m512i, columns: __m512i) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_dpbusd_epi32(sums, row, columns) }
    }

    #[inline(always)]
    unsafe fn load_sums(self, from: *const u32) -> __m512i {
        // SAFETY: the caller promises sixteen readable words; `self` proves the features.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store_sums(self, to: *mut u32, sums: __m512i) {
        // SAFETY: the caller promises sixteen writable words; `self` proves the features.
        unsafe { _mm512_storeu_si512(to.cast(), sums) }
    }

    #[inline(always)]
    fn to_f32(self, sums: __m512i) -> __m512 {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_cvtepi32_ps(sums) }
    }
}
