//! The instruction sets a kernel can run on, chosen once at run time.

use std::fmt;
use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};
use crate::simd::{Kernel, Portable, Simd};

/// An instruction set that this processor has; a value of this type is the proof.
///
/// From plain to rich: `portable`, `avx2` (with FMA), `avx512` (F, BW, VL, DQ), `avx512-vnni` (int8 dot products
/// as well) and `avx512-bf16` (bfloat16 dot products as well). A richer set changes results only by rounding.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Isa(pub(crate) Set);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Set {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512, Dots),
}

/// The dot-product extensions of AVX-512.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Dots {
    pub vnni: Option<Vnni>,
    pub bf16: Option<Bf16>,
}

/// Proof that the processor has AVX-512 VNNI.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Vnni(());

/// Proof that the processor has AVX-512 BF16.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bf16(());

impl Isa {
    /// Plain Rust, which runs everywhere.
    pub const PORTABLE: Isa = Isa(Set::Portable(Portable));

    /// Every instruction set of this processor, from plain to rich.
    pub fn available() -> Vec<Isa> {
        #[cfg_attr(
            not(target_arch = "x86_64"),
            expect(unused_mut, reason = "other processors have the plain set only")
        )]
        let mut sets = vec![Isa::PORTABLE];
        #[cfg(target_arch = "x86_64")]
        {
            sets.extend(Avx2::new().map(|avx2| Isa(Set::Avx2(avx2))));
            if let Some(avx512) = Avx512::new() {
                let vnni = is_x86_feature_detected!("avx512vnni").then_some(Vnni(()));
                let bf16 = is_x86_feature_detected!("avx512bf16").then_some(Bf16(()));
                sets.push(Isa(Set::Avx512(avx512, Dots { vnni: None, bf16: None })));
                if vnni.is_some() {
                    sets.push(Isa(Set::Avx512(avx512, Dots { vnni, bf16: None })));
                    if bf16.is_some() {
                        sets.push(Isa(Set::Avx512(avx512, Dots { vnni, bf16 })));
                    }
                }
            }
        }
        sets
    }

    /// The instruction set that is fastest on this processor: the richest, but for bfloat16 dot products where they
    /// are slow.
    pub fn best() -> Isa {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            let useful = |isa: &Isa| isa.name() != "avx512-bf16" || bf16_dot_is_fast();
            Isa::available().into_iter().rev().find(useful).unwrap_or(Isa::PORTABLE)
        })
    }

    /// The set with this [name](Isa::name), if this processor has it.
    pub fn by_name(name: &str) -> Option<Isa> {
        Isa::available().into_iter().find(|isa| isa.name() == name)
    }

    /// The environment variable `MEDPARSE_ISA` names the set, read once; without it, or if this processor lacks
    /// the set it names, the [best](Isa::best).
    pub fn chosen() -> Isa {
        static CHOSEN: OnceLock<Isa> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let wanted = std::env::var("MEDPARSE_ISA").ok();
            wanted.and_then(|name| Isa::by_name(&name)).unwrap_or_else(Isa::best)
        })
    }

    /// `portable`, `avx2`, `avx512`, `avx512-vnni` or `avx512-bf16`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Set::Portable(_) => "portable",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(_, Dots { bf16: Some(_), .. }) => "avx512-bf16",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(_, Dots { vnni: Some(_), .. }) => "avx512-vnni",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(..) => "avx512",
        }
    }

    /// Runs a kernel on this instruction set.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Set::Portable(simd) => simd.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(simd) => simd.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(simd, _) => simd.run(kernel),
        }
    }
}

/// Whether the dot products of AVX-512 BF16 are faster than two multiply-adds in f32. Intel's processors have them for
/// completeness beside AMX, at half the speed of f32 (measured on Sapphire Rapids: 88 of 179 GFLOP/s); widening is
/// faster there.
fn bf16_dot_is_fast() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        let vendor = std::arch::x86_64::__cpuid(0);
        let name = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes);
        name.as_flattened() != b"GenuineIntel"
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

impl fmt::Debug for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_the_sets_in_rising_order() {
        let all = Isa::available();
        assert_eq!(all[0], Isa::PORTABLE);
        assert!(all.contains(&Isa::best()));
        for isa in all {
            assert_eq!(Isa::by_name(isa.name()), Some(isa));
        }
        assert_eq!(Isa::by_name("avx1024"), None);
    }
}
