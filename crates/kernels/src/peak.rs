//! What this machine can do at most: the measure for every kernel.

use std::hint::black_box;
use std::time::Instant;

use crate::buffer::AlignedVec;
use crate::gemm::dot::{Dot, DotKernel};
use crate::gemm::run::{run_bf16, run_f32, run_int8};
use crate::simd::{Kernel, LANES, Simd};
use crate::threads::Cpu;

/// A format of numbers that products are computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// 32-bit floats.
    F32,
    /// bfloat16 products, summed in f32.
    Bf16,
    /// Byte products, summed in 32-bit integers.
    Int8,
}

/// The most multiplications and additions in a second that this format, instruction set and number of threads allow,
/// in units of 10^9: the best of several short runs of multiply-adds in registers. Takes about 30 ms.
///
/// Where a format has no instructions of its own, this is what the kernels do in their place.
pub fn gflops(cpu: &Cpu, format: Format) -> f64 {
    const STEPS: usize = 200_000;
    let run = || match format {
        Format::F32 => 2.0 * run_f32(cpu.isa(), Chains(STEPS)),
        Format::Bf16 => 4.0 * run_bf16(cpu.isa(), Chains(STEPS)),
        Format::Int8 => 8.0 * run_int8(cpu.isa(), Chains(STEPS)),
    };
    let threads = cpu.threads().count();
    let mut best = 0f64;
    for _ in 0..10 {
        let start = Instant::now();
        let mut work = vec![0f64; threads];
        cpu.threads().each(work.iter_mut(), |work| *work = run());
        best = best.max(work.iter().sum::<f64>() / start.elapsed().as_secs_f64() / 1e9);
    }
    best
}

/// Independent chains of multiply-adds, as many as a tile has sums; answers how many words were multiplied and added.
struct Chains(usize);

impl DotKernel for Chains {
    type Output = f64;

    #[inline(always)]
    fn run<D: Dot>(self, dot: D) -> f64 {
        match D::TILE.0 * D::TILE.1 {
            28 => self.chains::<D, 28>(dot),
            24 => self.chains::<D, 24>(dot),
            6 => self.chains::<D, 6>(dot),
            4 => self.chains::<D, 4>(dot),
            _ => self.chains::<D, 2>(dot),
        }
    }
}

impl Chains {
    #[inline(always)]
    fn chains<D: Dot, const N: usize>(self, dot: D) -> f64 {
        let words = black_box([0u32; 2 * LANES]);
        // SAFETY: the array holds a row's word and one sixteen further on, and sixteen words of columns.
        let (row, columns) = unsafe { (dot.row(words.as_ptr()), dot.columns(words.as_ptr())) };
        let mut sums = [dot.zero(); N];
        for _ in 0..self.0 {
            for sums in &mut sums {
                *sums = dot.accumulate(*sums, row, columns);
            }
        }
        let mut stored = [0u32; LANES];
        for sums in sums {
            // SAFETY: the array has room for sixteen words.
            unsafe { dot.store_sums(stored.as_mut_ptr(), sums) };
            black_box(&stored);
        }
        (self.0 * N * LANES) as f64
    }
}

/// Bytes read from main memory in a second, in units of 10^9: the best of several passes over 256 MiB.
/// Takes about 100 ms.
pub fn memory_gbytes(cpu: &Cpu) -> f64 {
    let buffer = {
        let mut buffer = AlignedVec::<f32>::zeroed(1 << 26);
        buffer.fill(1.0); // so that every page is there
        buffer
    };
    let part = buffer.len().div_ceil(cpu.threads().count());
    let mut best = 0f64;
    for _ in 0..4 {
        let start = Instant::now();
        cpu.threads().each(buffer.chunks(part), |part| {
            black_box(cpu.isa().run(Sum(part)));
        });
        best = best.max(size_of_val(&buffer[..]) as f64 / start.elapsed().as_secs_f64() / 1e9);
    }
    best
}

struct Sum<'a>(&'a [f32]);

impl Kernel for Sum<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let mut sums = [s.zero(); 4];
        for lines in self.0.as_chunks::<LANES>().0.chunks_exact(4) {
            for (sum, line) in sums.iter_mut().zip(lines) {
                *sum = s.add(*sum, s.load(line));
            }
        }
        sums.into_iter().map(|sum| s.sum(sum)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;

    #[test]
    fn richer_formats_are_measured_as_numbers() {
        for isa in Isa::available() {
            for format in [Format::F32, Format::Bf16, Format::Int8] {
                let peak = gflops(&Cpu::single(isa), format);
                assert!(peak.is_finite() && peak > 0.01, "{format:?} on {isa}: {peak}");
            }
        }
        assert!(memory_gbytes(&Cpu::single(Isa::best())) > 0.01);
    }
}
