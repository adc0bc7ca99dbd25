//! Convolutions over all channels, and their gradients.

mod images;
mod patches;
mod pixels;
mod winograd;

pub use images::Conv;
pub use winograd::{Winograd, WinogradWeights};
