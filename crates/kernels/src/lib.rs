//! CPU kernels on slices.

mod activation;
pub mod allocator;
pub mod attention;
mod buffer;
pub mod conv;
pub mod depthwise;
pub mod gemm;
mod isa;
pub mod mapped;
mod matrix;
pub mod norm;
pub mod peak;
pub mod resample;
pub mod rows;
mod simd;
#[cfg(test)]
mod testing;
mod threads;

pub use activation::Activation;
pub use buffer::{ALIGNMENT, AlignedVec, Arena};
pub use isa::Isa;
pub use matrix::Matrix;
pub use threads::{Cpu, Threads};
