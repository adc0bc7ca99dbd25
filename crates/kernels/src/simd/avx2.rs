//! AVX2 with FMA: two registers are one vector.

use std::arch::x86_64::*;

use super::{Kernel, LANES, Simd};

/// Proof that the processor has AVX2 and FMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Avx2(());

impl Avx2 {
    /// Asks the processor.
    pub fn new() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }
}

type V = [__m256; 2];

/// Methods that do the same to both halves.
macro_rules! both_halves {
    ($(fn $name:ident($($arg:ident),*) = $intrinsic:expr;)*) => {$(
        #[inline(always)]
        fn $name(self $(, $arg: V)*) -> V {
            // SAFETY: a value of `Avx2` exists only where the processor has the instructions.
            unsafe { [$intrinsic($($arg[0]),*), $intrinsic($($arg[1]),*)] }
        }
    )*};
}

/// Rounds eight floats to bfloat16 in the upper half of each 32-bit lane, shifted down.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn bf16_words(x: __m256) -> __m256i {
    let bits = _mm256_castps_si256(x);
    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
    let rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(x, x));
    let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x0040_0000));
    _mm256_srli_epi32::<16>(_mm256_blendv_epi8(rounded, quiet, nan))
}

/// `x * 2^n` by two factors, since one float's exponent may not hold all of n.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn scale8(x: __m256, n: __m256) -> __m256 {
    let power = |n| {
        _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(n, _mm256_set1_epi32(127))))
    };
    let n = _mm256_cvtps_epi32(n);
    let half = _mm256_srai_epi32::<1>(n);
    _mm256_mul_ps(_mm256_mul_ps(x, power(half)), power(_mm256_sub_epi32(n, half)))
}

/// Swaps rows and columns of an 8x8 square.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn transpose8(r: [__m256; 8]) -> [__m256; 8] {
    let (mut pairs, mut fours, mut columns) = (r, r, r);
    for i in 0..4 {
        pairs[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        pairs[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    for i in 0..4 {
        let (a, b) = (pairs[i / 2 * 4 + i % 2], pairs[i / 2 * 4 + i % 2 + 2]);
        let (a, b) = (_mm256_castps_pd(a), _mm256_castps_pd(b));
        fours[2 * i] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
        fours[2 * i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
    }
    for j in 0..4 {
        columns[j] = _mm256_permute2f128_ps::<0x20>(fours[j], fours[4 + j]);
        columns[4 + j] = _mm256_permute2f128_ps::<0x31>(fours[j], fours[4 + j]);
    }
    columns
}

impl Simd for Avx2 {
    type F32 = V;
    type Mask = V;

    const REGISTERS: usize = 8;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma")]
        fn inner<K: Kernel>(simd: Avx2, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: a value of `Avx2` exists only where the processor has these features.
        unsafe { inner(self, kernel) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> V {
        // SAFETY: the features are proven by `self`.
        unsafe { [_mm256_set1_ps(x); 2] }
    }

    #[inline(always)]
    unsafe fn load_ptr(self, from: *const f32) -> V {
        // SAFETY: the caller promises sixteen readable values; the features are proven by `self`.
        unsafe { [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))] }
    }

    #[inline(always)]
    unsafe fn store_ptr(self, to: *mut f32, x: V) {
        // SAFETY: the caller promises sixteen writable values; the features are proven by `self`.
        unsafe {
            _mm256_storeu_ps(to, x[0]);
            _mm256_storeu_ps(to.add(8), x[1]);
        }
    }

    #[inline(always)]
    unsafe fn store_bf16_ptr(self, to: *mut u16, x: V) {
        // SAFETY: the caller promises sixteen writable values; the features are proven by `self`.
        unsafe {
            let packed = _mm256_packus_epi32(bf16_words(x[0]), bf16_words(x[1]));
            _mm256_storeu_si256(to.cast(), _mm256_permute4x64_epi64::<0b11_01_10_00>(packed));
        }
    }

    #[inline(always)]
    fn widen_bf16_pairs(self, words: V) -> (V, V) {
        // SAFETY: the features are proven by `self`.
        unsafe {
            let high = _mm256_castsi256_ps(_mm256_set1_epi32(0xffff_0000_u32 as i32));
            let low = words.map(|half| {
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(half)))
            });
            (low, words.map(|half| _mm256_and_ps(half, high)))
        }
    }

    #[inline(always)]
    fn to_offset_u8(self, x: V) -> [u8; LANES] {
        let mut bytes = [0; LANES];
        // SAFETY: the array has room for sixteen bytes; the features are proven by `self`.
        unsafe {
            let offset = _mm256_set1_epi32(128);
            let low = _mm256_add_epi32(_mm256_cvtps_epi32(x[0]), offset);
            let high = _mm256_add_epi32(_mm256_cvtps_epi32(x[1]), offset);
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(low, high));
            let packed = _mm_packus_epi16(
                _mm256_castsi256_si128(words),
                _mm256_extracti128_si256::<1>(words),
            );
            _mm_storeu_si128(bytes.as_mut_ptr().cast(), packed);
        }
        bytes
    }

    #[inline(always)]
    fn less_than(self, a: V, b: V) -> V {
        // SAFETY: the features are proven by `self`.
        unsafe {
            [_mm256_cmp_ps::<_CMP_LT_OQ>(a[0], b[0]), _mm256_cmp_ps::<_CMP_LT_OQ>(a[1], b[1])]
        }
    }

    #[inline(always)]
    fn mask_from_bytes(self, bytes: &[u8; LANES]) -> V {
        // SAFETY: eight bytes are read at each half of the array of sixteen; the features are proven by `self`.
        unsafe {
            [0, 8].map(|at| {
                let words = _mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes.as_ptr().add(at).cast()));
                _mm256_castsi256_ps(_mm256_cmpgt_epi32(words, _mm256_setzero_si256()))
            })
        }
    }

    #[inline(always)]
    fn select(self, mask: V, yes: V, no: V) -> V {
        // SAFETY: the features are proven by `self`.
        unsafe {
            [_mm256_blendv_ps(no[0], yes[0], mask[0]), _mm256_blendv_ps(no[1], yes[1], mask[1])]
        }
    }

    #[inline(always)]
    fn sum(self, x: V) -> f32 {
        // SAFETY: the features are proven by `self`.
        unsafe {
            let x = _mm256_add_ps(x[0], x[1]);
            let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
        }
    }

    #[inline(always)]
    fn maximum(self, x: V) -> f32 {
        // SAFETY: the features are proven by `self`.
        unsafe {
            let x = _mm256_max_ps(x[0], x[1]);
            let x = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let x = _mm_max_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)))
        }
    }

    #[inline(always)]
    fn transpose(self, r: [V; LANES]) -> [V; LANES] {
        // SAFETY: the features are proven by `self`.
        unsafe {
            let square =
                |top: usize, half: usize| transpose8(std::array::from_fn(|i| r[top + i][half]));
            let (a, b) = (square(0, 0), square(0, 1));
            let (c, d) = (square(8, 0), square(8, 1));
            std::array::from_fn(|i| if i < 8 { [a[i], c[i]] } else { [b[i - 8], d[i - 8]] })
        }
    }

    #[inline(always)]
    fn prefetch_near<T>(self, at: *const T) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }

    #[inline(always)]
    fn prefetch_far<T>(self, at: *const T) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }

    #[inline(always)]
    fn prefetch_write<T>(self, at: *const T) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(at.cast()) }
    }

    both_halves! {
        fn add(a, b) = _mm256_add_ps;
        fn sub(a, b) = _mm256_sub_ps;
        fn mul(a, b) = _mm256_mul_ps;
        fn div(a, b) = _mm256_div_ps;
        fn mul_add(a, b, c) = _mm256_fmadd_ps;
        fn neg_mul_add(a, b, c) = _mm256_fnmadd_ps;
        fn min(a, b) = _mm256_min_ps;
        fn max(a, b) = _mm256_max_ps;
        fn abs(x) = |x| _mm256_andnot_ps(_mm256_set1_ps(-0.0), x);
        fn round(x) = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>;
        fn scale(x, n) = scale8;
    }
}
