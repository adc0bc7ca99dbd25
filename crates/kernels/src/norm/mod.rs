//! Normalisation over the channels of a token, and over groups of channels of an image.

mod group;
mod layer;

pub use group::{GroupNorm, GroupNormGradients};
pub use layer::{LayerNorm, LayerNormGradients};
