//! CPU kernels on slices: products, convolutions, attention, norms and resampling, on the vectors of x86-64 and in plain
//! Rust; and what else the house needs `unsafe` for, file mappings and the allocator's pages.
//!
//! It knows neither networks nor file formats. An operation takes a [`Cpu`] first and gives the same bytes on any number of
//! threads; each is held against plain f64 arithmetic at odd sizes, on every instruction set of the machine.

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
