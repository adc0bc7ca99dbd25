//! AVX-512: one register is one vector.

use std::arch::x86_64::*;

use super::{Kernel, LANES, Simd};

/// Proof that the processor has AVX-512 F, BW, VL and DQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Avx512(());

impl Avx512 {
    /// Asks the processor.
    pub fn new() -> Option<Self> {
        let present = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq");
        present.then_some(Self(()))
    }
}

/// Methods whose whole body is intrinsics.
macro_rules! intrinsics {
    ($(fn $name:ident($self:ident $(, $arg:ident: $type:ty)*) -> $result:ty $body:block)*) => {$(
        #[inline(always)]
        fn $name($self $(, $arg: $type)*) -> $result {
            // SAFETY: a value of `Avx512` exists only where the processor has the instructions.
            unsafe { $body }
        }
    )*};
}

/// A mask of the first `count` lanes, all of them if there are more.
#[inline(always)]
fn first_lanes(count: usize) -> __mmask16 {
    ((1u32 << count.min(LANES)) - 1) as __mmask16
}

impl Simd for Avx512 {
    type F32 = __m512;
    type Mask = __mmask16;

    const REGISTERS: usize = 32;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
        fn inner<K: Kernel>(simd: Avx512, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: a value of `Avx512` exists only where the processor has these features.
        unsafe { inner(self, kernel) }
    }

    #[inline(always)]
    unsafe fn load_ptr(self, from: *const f32) -> __m512 {
        // SAFETY: the caller promises sixteen readable values; the features are proven by `self`.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store_ptr(self, to: *mut f32, x: __m512) {
        // SAFETY: the caller promises sixteen writable values; the features are proven by `self`.
        unsafe { _mm512_storeu_ps(to, x) }
    }

    #[inline(always)]
    fn load_part(self, from: &[f32], fill: f32) -> __m512 {
        // SAFETY: only lanes for which there is a value are read; the features are proven by `self`.
        unsafe {
            _mm512_mask_loadu_ps(_mm512_set1_ps(fill), first_lanes(from.len()), from.as_ptr())
        }
    }

    #[inline(always)]
    fn store_part(self, to: &mut [f32], x: __m512) {
        // SAFETY: only lanes for which there is room are written; the features are proven by `self`.
        unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), first_lanes(to.len()), x) }
    }

    #[inline(always)]
    unsafe fn store_bf16_ptr(self, to: *mut u16, x: __m512) {
        // SAFETY: the caller promises sixteen writable values; the features are proven by `self`.
        unsafe {
            let bits = _mm512_castps_si512(x);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
            let quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x0040_0000));
            let kept = _mm512_mask_blend_epi32(nan, rounded, quiet);
            _mm256_storeu_si256(to.cast(), _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(kept)));
        }
    }

    #[inline(always)]
    fn mask_from_bytes(self, bytes: &[u8; LANES]) -> __mmask16 {
        // SAFETY: the array holds sixteen bytes; the features are proven by `self`.
        unsafe {
            let bytes = _mm_loadu_si128(bytes.as_ptr().cast());
            _mm_test_epi8_mask(bytes, bytes)
        }
    }

    #[inline(always)]
    fn widen_bf16_pairs(self, words: __m512) -> (__m512, __m512) {
        // SAFETY: the features are proven by `self`.
        unsafe {
            let words = _mm512_castps_si512(words);
            let high = _mm512_and_si512(words, _mm512_set1_epi32(0xffff_0000_u32 as i32));
            (_mm512_castsi512_ps(_mm512_slli_epi32::<16>(words)), _mm512_castsi512_ps(high))
        }
    }

    #[inline(always)]
    fn to_offset_u8(self, x: __m512) -> [u8; LANES] {
        let mut bytes = [0; LANES];
        // SAFETY: the array has room for sixteen bytes; the features are proven by `self`.
        unsafe {
            let offset = _mm512_add_epi32(_mm512_cvtps_epi32(x), _mm512_set1_epi32(128));
            _mm_storeu_si128(bytes.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(offset));
        }
        bytes
    }

    #[inline(always)]
    fn transpose(self, r: [__m512; LANES]) -> [__m512; LANES] {
        let mut pairs = r;
        let mut fours = r;
        let mut columns = r;
        // SAFETY: register arithmetic only; the features are proven by `self`.
        unsafe {
            for i in 0..8 {
                pairs[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
                pairs[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
            }
            // Afterwards the 128-bit lane l of fours[4i + j] holds column 4l + j of rows 4i..4i + 4.
            for i in 0..8 {
                let (a, b) = (pairs[i / 2 * 4 + i % 2], pairs[i / 2 * 4 + i % 2 + 2]);
                let (a, b) = (_mm512_castps_pd(a), _mm512_castps_pd(b));
                fours[2 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                fours[2 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
            }
            for j in 0..4 {
                let even_top = _mm512_shuffle_f32x4::<0x88>(fours[j], fours[4 + j]);
                let odd_top = _mm512_shuffle_f32x4::<0xdd>(fours[j], fours[4 + j]);
                let even_low = _mm512_shuffle_f32x4::<0x88>(fours[8 + j], fours[12 + j]);
                let odd_low = _mm512_shuffle_f32x4::<0xdd>(fours[8 + j], fours[12 + j]);
                columns[j] = _mm512_shuffle_f32x4::<0x88>(even_top, even_low);
                columns[4 + j] = _mm512_shuffle_f32x4::<0x88>(odd_top, odd_low);
                columns[8 + j] = _mm512_shuffle_f32x4::<0xdd>(even_top, even_low);
                columns[12 + j] = _mm512_shuffle_f32x4::<0xdd>(odd_top, odd_low);
            }
        }
        columns
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

    intrinsics! {
        fn splat(self, x: f32) -> __m512 { _mm512_set1_ps(x) }
        fn add(self, a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
        fn sub(self, a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
        fn mul(self, a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
        fn div(self, a: __m512, b: __m512) -> __m512 { _mm512_div_ps(a, b) }
        fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmadd_ps(a, b, c) }
        fn neg_mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fnmadd_ps(a, b, c) }
        fn min(self, a: __m512, b: __m512) -> __m512 { _mm512_min_ps(a, b) }
        fn max(self, a: __m512, b: __m512) -> __m512 { _mm512_max_ps(a, b) }
        fn abs(self, x: __m512) -> __m512 { _mm512_abs_ps(x) }
        fn round(self, x: __m512) -> __m512 { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x) }
        fn scale(self, x: __m512, n: __m512) -> __m512 { _mm512_scalef_ps(x, n) }
        fn less_than(self, a: __m512, b: __m512) -> __mmask16 { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b) }
        fn select(self, mask: __mmask16, yes: __m512, no: __m512) -> __m512 { _mm512_mask_blend_ps(mask, no, yes) }
        fn sum(self, x: __m512) -> f32 {
            let x = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x));
            let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
        }
        fn maximum(self, x: __m512) -> f32 { _mm512_reduce_max_ps(x) }
    }
}
