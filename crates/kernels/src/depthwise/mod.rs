//! Depthwise convolutions: each channel has a filter of its own, stride 1, zeros around the image.
//!
//! They run on sixteen channels at a time, `[pixels][16]`, where a vector is one pixel: every load is aligned and every lane
//! is used. Inference keeps its maps in such planes; training, whose rows are pixels, brings sixteen channels of an image
//! into them.

mod chain;
mod focal;
mod row;

pub use chain::{FocalChain, FocalChainGradients};
pub use focal::{FocalContext, FocalLevel, pack_depthwise};
