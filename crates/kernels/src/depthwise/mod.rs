//! Depthwise convolutions: each channel has a filter of its own, stride 1, zeros around the image.
//!
//! Inference works on planes of sixteen channels, `[channels / 16][pixels][16]`, where a vector is one pixel: every load
//! is aligned and every lane is used. Training works on `[batch, channels, height, width]`, and for the chain of focal
//! modulation on rows of pixels.

mod chain;
mod focal;
mod images;
mod row;

pub use chain::{FocalChain, FocalChainGradients};
pub use focal::{FocalContext, FocalLevel, pack_depthwise};
pub use images::Depthwise;
