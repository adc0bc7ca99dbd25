//! Plain Rust, for every processor without AVX2; the compiler maps the arrays to whatever vectors there are.

use super::{Kernel, LANES, Simd};

/// Plain Rust: needs nothing of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Portable;

type V = [f32; LANES];

#[inline(always)]
fn map(a: V, f: impl Fn(f32) -> f32) -> V {
    std::array::from_fn(|i| f(a[i]))
}

#[inline(always)]
fn zip(a: V, b: V, f: impl Fn(f32, f32) -> f32) -> V {
    std::array::from_fn(|i| f(a[i], b[i]))
}

/// `a * b + c`. Without an instruction for it, the fused form would be a slow library call.
#[inline(always)]
fn mul_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

/// Adding and subtracting this rounds a small float to an integer, ties to even, without a library call.
const ROUNDER: f32 = 12_582_912.0; // 1.5 * 2^23

impl Simd for Portable {
    type F32 = V;
    type Mask = [bool; LANES];

    // Sixteen (SSE2) or thirty-two (NEON) registers of four lanes.
    const REGISTERS: usize = if cfg!(target_arch = "aarch64") { 8 } else { 4 };

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> V {
        [x; LANES]
    }

    #[inline(always)]
    unsafe fn load_ptr(self, from: *const f32) -> V {
        // SAFETY: the caller promises sixteen values at any alignment.
        unsafe { from.cast::<V>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store_ptr(self, to: *mut f32, x: V) {
        // SAFETY: the caller promises room for sixteen values at any alignment.
        unsafe { to.cast::<V>().write_unaligned(x) }
    }

    #[inline(always)]
    unsafe fn store_bf16_ptr(self, to: *mut u16, x: V) {
        let narrow = x.map(|x| half::bf16::from_f32(x).to_bits());
        // SAFETY: the caller promises room for sixteen values at any alignment.
        unsafe { to.cast::<[u16; LANES]>().write_unaligned(narrow) }
    }

    #[inline(always)]
    fn widen_bf16_pairs(self, words: V) -> (V, V) {
        let words = words.map(f32::to_bits);
        (
            words.map(|word| f32::from_bits(word << 16)),
            words.map(|word| f32::from_bits(word & 0xffff_0000)),
        )
    }

    #[inline(always)]
    fn to_offset_u8(self, x: V) -> [u8; LANES] {
        // The low byte of the rounded float's bits is the integer in two's complement.
        x.map(|x| ((x + ROUNDER).to_bits() as u8).wrapping_add(128))
    }

    #[inline(always)]
    fn add(self, a: V, b: V) -> V {
        zip(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: V, b: V) -> V {
        zip(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: V, b: V) -> V {
        zip(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, a: V, b: V) -> V {
        zip(a, b, |a, b| a / b)
    }

    #[inline(always)]
    fn mul_add(self, a: V, b: V, c: V) -> V {
        std::array::from_fn(|i| mul_add(a[i], b[i], c[i]))
    }

    #[inline(always)]
    fn neg_mul_add(self, a: V, b: V, c: V) -> V {
        std::array::from_fn(|i| mul_add(-a[i], b[i], c[i]))
    }

    #[inline(always)]
    fn min(self, a: V, b: V) -> V {
        zip(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn max(self, a: V, b: V) -> V {
        zip(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn abs(self, x: V) -> V {
        map(x, f32::abs)
    }

    #[inline(always)]
    fn round(self, x: V) -> V {
        map(x, |x| {
            let small = (x + ROUNDER) - ROUNDER;
            if x.abs() < 4_194_304.0 { small } else { x.round_ties_even() }
        })
    }

    #[inline(always)]
    fn scale(self, x: V, n: V) -> V {
        // Two factors, since one float's exponent may not hold all of n.
        let power = |n: i32| f32::from_bits(((n + 127) as u32) << 23);
        zip(x, n, |x, n| {
            let n = n as i32;
            x * power(n >> 1) * power(n - (n >> 1))
        })
    }

    #[inline(always)]
    fn less_than(self, a: V, b: V) -> [bool; LANES] {
        std::array::from_fn(|i| a[i] < b[i])
    }

    #[inline(always)]
    fn mask_from_bytes(self, bytes: &[u8; LANES]) -> [bool; LANES] {
        bytes.map(|byte| byte != 0)
    }

    #[inline(always)]
    fn select(self, mask: [bool; LANES], yes: V, no: V) -> V {
        std::array::from_fn(|i| if mask[i] { yes[i] } else { no[i] })
    }

    #[inline(always)]
    fn sum(self, x: V) -> f32 {
        let x: [f32; 8] = std::array::from_fn(|i| x[i] + x[i + 8]);
        let x: [f32; 4] = std::array::from_fn(|i| x[i] + x[i + 4]);
        (x[0] + x[2]) + (x[1] + x[3])
    }

    #[inline(always)]
    fn maximum(self, x: V) -> f32 {
        x.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    #[inline(always)]
    fn transpose(self, rows: [V; LANES]) -> [V; LANES] {
        std::array::from_fn(|r| std::array::from_fn(|c| rows[c][r]))
    }

    #[inline(always)]
    fn prefetch_near<T>(self, _: *const T) {}

    #[inline(always)]
    fn prefetch_far<T>(self, _: *const T) {}

    #[inline(always)]
    fn prefetch_write<T>(self, _: *const T) {}
}
