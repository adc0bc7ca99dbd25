//! Sixteen `f32` at a time, on every instruction set.
//!
//! A vector is always sixteen lanes wide: one register with AVX-512, two with AVX2, an array in plain Rust.
//! One fixed width keeps every packed layout of this crate the same on all machines, so that prepacked weights
//! can be stored in a file, and lets a kernel be written once.
//!
//! A kernel is a struct that implements [`Kernel`]; [`Simd::run`] compiles its body with the instruction set
//! switched on. Whoever holds a [`Simd`] value has proof that the processor supports it, because such values
//! are only made after asking the processor; that proof is what makes the arithmetic methods safe to call.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod math;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub(crate) use portable::Portable;

/// Lanes of a vector.
pub(crate) const LANES: usize = 16;

/// A computation that is compiled once per instruction set.
pub(crate) trait Kernel {
    type Output;

    /// The body. Implementations are `#[inline(always)]`, as is everything hot that they call, so that the code
    /// ends up inside the function that [`Simd::run`] compiles with the instruction set switched on.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Arithmetic on sixteen lanes. Methods follow IEEE 754 lane by lane unless said otherwise.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// Sixteen `f32`.
    type F32: Copy;
    /// Sixteen truth values.
    type Mask: Copy;

    /// How many [`Simd::F32`] the register file holds; kernels size their tiles by it.
    const REGISTERS: usize;

    /// Runs `kernel` in code compiled for this instruction set.
    fn run<K: Kernel>(self, kernel: K) -> K::Output;

    fn splat(self, x: f32) -> Self::F32;

    /// # Safety
    /// Sixteen values must be readable at `from`; no alignment is needed.
    unsafe fn load_ptr(self, from: *const f32) -> Self::F32;

    /// # Safety
    /// Sixteen values must be writable at `to`; no alignment is needed.
    unsafe fn store_ptr(self, to: *mut f32, x: Self::F32);

    /// Rounds to the nearest bfloat16, ties to even; a NaN stays a NaN.
    ///
    /// # Safety
    /// Sixteen values must be writable at `to`; no alignment is needed.
    unsafe fn store_bf16_ptr(self, to: *mut u16, x: Self::F32);

    /// The bfloat16 values in the low halves of sixteen words, and those in the high halves, given the bits of the words.
    fn widen_bf16_pairs(self, words: Self::F32) -> (Self::F32, Self::F32);

    /// Rounds to the nearest integer, ties to even, and writes the low bytes of `x + 128`; `|x|` must be at most 127.
    fn to_offset_u8(self, x: Self::F32) -> [u8; LANES];

    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b + c`, rounded once where the processor can.
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// `c - a * b`, rounded once where the processor can.
    fn neg_mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// The lesser; `b` where either is NaN.
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// The greater; `b` where either is NaN.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn abs(self, x: Self::F32) -> Self::F32;
    /// The nearest integer, ties to even.
    fn round(self, x: Self::F32) -> Self::F32;
    /// `x * 2^n` for an integer-valued `n` in -252..=254.
    fn scale(self, x: Self::F32, n: Self::F32) -> Self::F32;
    fn less_than(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// True where the byte is not zero.
    fn mask_from_bytes(self, bytes: &[u8; LANES]) -> Self::Mask;
    /// `yes` where the mask holds, else `no`.
    fn select(self, mask: Self::Mask, yes: Self::F32, no: Self::F32) -> Self::F32;
    /// The sum of the lanes, in one fixed order: halves are added until one lane is left.
    fn sum(self, x: Self::F32) -> f32;
    /// The greatest lane; no lane may be NaN.
    fn maximum(self, x: Self::F32) -> f32;
    /// Swaps rows and columns of a 16x16 square.
    fn transpose(self, rows: [Self::F32; LANES]) -> [Self::F32; LANES];
    /// Hints that the cache line at `at` is needed soon in the first level of cache; any address is allowed.
    fn prefetch_near<T>(self, at: *const T);
    /// Hints that the cache line at `at` is needed later, in the second level of cache; any address is allowed.
    fn prefetch_far<T>(self, at: *const T);
    /// Hints that the cache line at `at` will be written soon; any address is allowed.
    fn prefetch_write<T>(self, at: *const T);

    #[inline(always)]
    fn zero(self) -> Self::F32 {
        self.splat(0.0)
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F32 {
        // SAFETY: the array holds sixteen values.
        unsafe { self.load_ptr(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES], x: Self::F32) {
        // SAFETY: the array holds sixteen values.
        unsafe { self.store_ptr(to.as_mut_ptr(), x) }
    }

    /// Loads the first sixteen values; lanes for which there is none are `fill`.
    #[inline(always)]
    fn load_part(self, from: &[f32], fill: f32) -> Self::F32 {
        if let Some(whole) = from.first_chunk() {
            return self.load(whole);
        }
        let mut lanes = [fill; LANES];
        lanes[..from.len()].copy_from_slice(from);
        self.load(&lanes)
    }

    /// Stores as many of the sixteen lanes as `to` has room for.
    #[inline(always)]
    fn store_part(self, to: &mut [f32], x: Self::F32) {
        if let Some(whole) = to.first_chunk_mut() {
            return self.store(whole, x);
        }
        let mut lanes = [0.0; LANES];
        self.store(&mut lanes, x);
        to.copy_from_slice(&lanes[..to.len()]);
    }

    /// As [`Simd::load_part`] of `count` values, at most sixteen, for loops in which nearly all vectors are whole.
    ///
    /// # Safety
    /// `count` values must be readable at `from`.
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize, fill: f32) -> Self::F32 {
        // SAFETY: promised by the caller.
        unsafe {
            if count == LANES {
                self.load_ptr(from)
            } else {
                self.load_part(std::slice::from_raw_parts(from, count), fill)
            }
        }
    }

    /// As [`Simd::store_part`] of `count` values, at most sixteen, for loops in which nearly all vectors are whole.
    ///
    /// # Safety
    /// `count` values must be writable at `to`.
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize, x: Self::F32) {
        // SAFETY: promised by the caller.
        unsafe {
            if count == LANES {
                self.store_ptr(to, x);
            } else {
                self.store_part(std::slice::from_raw_parts_mut(to, count), x);
            }
        }
    }

    /// As [`Simd::store_bf16_ptr`] of the first `count` values, at most sixteen.
    ///
    /// # Safety
    /// `count` values must be writable at `to`.
    #[inline(always)]
    unsafe fn store_bf16_first(self, to: *mut u16, count: usize, x: Self::F32) {
        // SAFETY: promised by the caller.
        unsafe {
            if count == LANES {
                self.store_bf16_ptr(to, x);
            } else {
                let mut narrow = [0u16; LANES];
                self.store_bf16_ptr(narrow.as_mut_ptr(), x);
                std::ptr::copy_nonoverlapping(narrow.as_ptr(), to, count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::testing::Random;

    /// Runs every method once against the obvious scalar code.
    struct EveryMethod;

    impl Kernel for EveryMethod {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let mut random = Random::new(7);
            let [a, b, c]: [[f32; LANES]; 3] =
                std::array::from_fn(|_| std::array::from_fn(|_| random.uniform(-4.0, 4.0)));
            let (va, vb, vc) = (s.load(&a), s.load(&b), s.load(&c));
            let out = |v| {
                let mut lanes = [0.0; LANES];
                s.store(&mut lanes, v);
                lanes
            };
            let binary = [
                (s.add(va, vb), (|x, y| x + y) as fn(f32, f32) -> f32),
                (s.sub(va, vb), |x, y| x - y),
                (s.mul(va, vb), |x, y| x * y),
                (s.div(va, vb), |x, y| x / y),
                (s.min(va, vb), f32::min),
                (s.max(va, vb), f32::max),
                (s.abs(va), |x, _| x.abs()),
                (s.round(va), |x, _| x.round_ties_even()),
                (s.scale(vb, s.round(s.mul(va, s.splat(30.0)))), |x, y| {
                    y * (x * 30.0).round_ties_even().exp2()
                }),
                (
                    s.select(s.less_than(va, vb), va, s.splat(9.0)),
                    |x, y| if x < y { x } else { 9.0 },
                ),
            ];
            for (case, (got, want)) in binary.into_iter().enumerate() {
                for (lane, got) in out(got).into_iter().enumerate() {
                    assert_eq!(got, want(a[lane], b[lane]), "case {case}, lane {lane}");
                }
            }
            for lane in 0..LANES {
                let fused = a[lane].mul_add(b[lane], c[lane]);
                assert!((out(s.mul_add(va, vb, vc))[lane] - fused).abs() <= 2e-6);
                let fused = (-a[lane]).mul_add(b[lane], c[lane]);
                assert!((out(s.neg_mul_add(va, vb, vc))[lane] - fused).abs() <= 2e-6);
            }
            let mut halves = a.to_vec();
            while halves.len() > 1 {
                let (low, high) = halves.split_at(halves.len() / 2);
                halves = low.iter().zip(high).map(|(x, y)| x + y).collect();
            }
            assert_eq!(s.sum(va), halves[0]);
            assert_eq!(s.maximum(va), a.iter().copied().fold(f32::MIN, f32::max));

            let bytes: [u8; LANES] =
                std::array::from_fn(|i| if i % 3 == 0 { 0 } else { 1 << (i % 8) });
            let chosen = out(s.select(s.mask_from_bytes(&bytes), va, vb));
            assert!((0..LANES).all(|i| chosen[i] == if bytes[i] != 0 { a[i] } else { b[i] }));

            let square: [[f32; LANES]; LANES] =
                std::array::from_fn(|r| std::array::from_fn(|c| (r * LANES + c) as f32));
            let turned = s.transpose(square.map(|row| s.load(&row)));
            for (r, row) in turned.into_iter().enumerate() {
                assert_eq!(out(row), std::array::from_fn::<f32, LANES, _>(|c| square[c][r]));
            }

            let quantized = s.to_offset_u8(s.mul(va, s.splat(31.0)));
            for (lane, &byte) in quantized.iter().enumerate() {
                assert_eq!(f32::from(byte) - 128.0, (a[lane] * 31.0).round_ties_even());
            }
            self.bf16(s);
            let words: [u32; LANES] =
                std::array::from_fn(|i| 0x3f81_4049 + ((i as u32) << 20) + i as u32);
            let (low, high) = s.widen_bf16_pairs(s.load(&words.map(f32::from_bits)));
            assert_eq!(out(low), words.map(|word| f32::from_bits(word << 16)));
            assert_eq!(out(high), words.map(|word| f32::from_bits(word & 0xffff_0000)));
            for (have, fill) in [(0, 1.0), (1, 0.0), (7, -3.0), (15, 0.5), (16, 0.5)] {
                let lanes = out(s.load_part(&a[..have], fill));
                assert!((0..LANES).all(|i| lanes[i] == if i < have { a[i] } else { fill }));
                let mut part = vec![0.0; have];
                s.store_part(&mut part, va);
                assert_eq!(part, a[..have]);
                let (mut part, mut narrow) = (vec![0.0; have], vec![0u16; have]);
                // SAFETY: `have` values lie in the arrays.
                let again = unsafe {
                    s.store_first(part.as_mut_ptr(), have, va);
                    s.store_bf16_first(narrow.as_mut_ptr(), have, va);
                    out(s.load_first(a.as_ptr(), have, fill))
                };
                assert_eq!((again, &part[..]), (lanes, &a[..have]));
                let rounded = a.map(|x| half::bf16::from_f32(x).to_bits());
                assert_eq!(narrow, rounded[..have]);
            }
        }
    }

    impl EveryMethod {
        #[inline(always)]
        fn bf16<S: Simd>(&self, s: S) {
            let mut random = Random::new(3);
            let special = [
                0.0,
                -0.0,
                f32::NAN,
                f32::INFINITY,
                f32::NEG_INFINITY,
                f32::MAX,
                f32::MIN_POSITIVE,
                1e-40,
            ];
            let tie = [0x3f80_8000, 0x3f81_8000, 0x7fff_ffff, 0xffff_ffff].map(f32::from_bits);
            let values: Vec<f32> = special
                .into_iter()
                .chain(tie)
                .chain((0..500).map(|_| random.uniform(-1e3, 1e3)))
                .collect();
            for lanes in values.as_chunks::<LANES>().0 {
                let mut narrow = [0u16; LANES];
                // SAFETY: the array holds sixteen values.
                unsafe { s.store_bf16_ptr(narrow.as_mut_ptr(), s.load(lanes)) };
                for lane in 0..LANES {
                    let want = half::bf16::from_f32(lanes[lane]);
                    let got = half::bf16::from_bits(narrow[lane]);
                    let same = got == want || want.is_nan() && got.is_nan();
                    assert!(same, "{}", lanes[lane]);
                }
            }
        }
    }

    #[test]
    fn every_method_agrees_with_scalar_code_on_every_instruction_set() {
        for isa in Isa::available() {
            isa.run(EveryMethod);
        }
    }
}
