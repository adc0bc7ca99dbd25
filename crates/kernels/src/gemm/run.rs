//! Which dot products run a kernel: those of a format on an instruction set.

#[cfg(target_arch = "x86_64")]
use super::bf16::NativeBf16;
use super::bf16::WidenedBf16;
use super::dot::{Dot, DotKernel, F32};
use super::int8::PlainInt8;
#[cfg(target_arch = "x86_64")]
use super::int8::{Avx2Int8, Avx512Int8, VnniInt8};
use crate::isa::{Isa, Set};

/// Runs a kernel on f32 dot products.
pub(crate) fn run_f32<K: DotKernel>(isa: Isa, kernel: K) -> K::Output {
    match isa.0 {
        Set::Portable(simd) => F32(simd).run(kernel),
        #[cfg(target_arch = "x86_64")]
        Set::Avx2(simd) => F32(simd).run(kernel),
        #[cfg(target_arch = "x86_64")]
        Set::Avx512(simd, _) => F32(simd).run(kernel),
    }
}

/// Runs a kernel on bfloat16 dot products.
pub(crate) fn run_bf16<K: DotKernel>(isa: Isa, kernel: K) -> K::Output {
    match isa.0 {
        Set::Portable(simd) => WidenedBf16(simd).run(kernel),
        #[cfg(target_arch = "x86_64")]
        Set::Avx2(simd) => WidenedBf16(simd).run(kernel),
        #[cfg(target_arch = "x86_64")]
        Set::Avx512(simd, dots) => match dots.bf16 {
            Some(bf16) => NativeBf16(simd, bf16).run(kernel),
            None => WidenedBf16(simd).run(kernel),
        },
    }
}

/// Runs a kernel on products of unsigned bytes (rows) and signed bytes (columns).
pub(crate) fn run_int8<K: DotKernel>(isa: Isa, kernel: K) -> K::Output {
    match isa.0 {
        Set::Portable(simd) => PlainInt8(simd).run(kernel),
        #[cfg(target_arch = "x86_64")]
        Set::Avx2(simd) => Avx2Int8(simd).run(kernel),
        #[cfg(target_arch = "x86_64")]
        Set::Avx512(simd, dots) => match dots.vnni {
            Some(vnni) => VnniInt8(simd, vnni).run(kernel),
            None => Avx512Int8(simd).run(kernel),
        },
    }
}
