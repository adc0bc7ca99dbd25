//! Runs plain loops with the widest vectors of this CPU.

/// Calls `kernel` compiled for the CPU at hand (AVX-512, AVX2 or NEON), so that the compiler
/// vectorises its loops accordingly; integer results are the same on every CPU.
#[inline(always)]
pub(crate) fn vectorized<R>(kernel: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(kernel)
}
