//! The operations that dominate a forward and a backward pass, in one place.
//!
//! On the CPU they run on our own kernels, forward and backward; on every other device they are
//! burn's own expressions. Each function here chooses, and so is the definition of what its kernel
//! computes.
//!
//! Legend: B batch, C channels, h heads, Q queries, K keys, d the width of a head.

mod activation;
mod attention;
mod convolution;
mod kernels;
mod linear;
mod modulation;
mod norm;
mod resize;
#[cfg(test)]
mod tests;

pub(crate) use activation::{gelu, quick_gelu, relu};
pub(crate) use attention::{Heads, attention};
pub(crate) use convolution::{Window, convolution};
pub(crate) use linear::{linear, linear_of};
pub(crate) use modulation::{Modulation, modulate};
pub(crate) use norm::{add_layer_norm, group_norm, layer_norm, layer_norm_with};
pub(crate) use resize::{bilinear, nearest};
