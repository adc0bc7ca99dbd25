//! CPU kernels on slices.

mod buffer;
mod isa;
pub mod mapped;
mod simd;
#[cfg(test)]
mod testing;
mod threads;

pub use buffer::{ALIGNMENT, AlignedVec, Arena};
pub use isa::Isa;

pub use threads::{Cpu, Threads};
