//! The operations that dominate a forward and a backward pass, in one place: whatever replaces
//! burn's own versions is plugged in here and nowhere else.
//!
//! Legend: B batch, C channels, h heads, Q queries, K keys, d the width of a head.

use burn::nn::{GroupNorm, LayerNorm};
use burn::tensor::activation::softmax;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Bool, Tensor, activation, module};

/// `x · Φ(x)` with the exact normal distribution (erf).
pub(crate) fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::gelu(x)
}

/// Normalises the last axis.
pub(crate) fn layer_norm<const D: usize>(norm: &LayerNorm, x: Tensor<D>) -> Tensor<D> {
    norm.forward(x)
}

/// Normalises groups of channels of `[B, C, H, W]`.
pub(crate) fn group_norm(norm: &GroupNorm, x: Tensor<4>) -> Tensor<4> {
    norm.forward(x)
}

/// A depthwise convolution of `[B, C, H, W]` with `[C, 1, k, k]`, stride 1, zeros around.
pub(crate) fn depthwise(x: Tensor<4>, weight: Tensor<4>) -> Tensor<4> {
    let [channels, _, kernel, _] = weight.dims();
    let padding = [kernel / 2, kernel / 2];
    module::conv2d(x, weight, None, ConvOptions::new([1, 1], padding, [1, 1], channels))
}

/// A convolution of `[B, C, H, W]` with `[C', C, k, k]`, stride 1, zeros around.
pub(crate) fn convolution(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>) -> Tensor<4> {
    let padding = weight.dims()[2] / 2;
    module::conv2d(x, weight, bias, ConvOptions::new([1, 1], [padding, padding], [1, 1], 1))
}

/// `softmax(q kᵀ / √d) v` per head, of `[B, h, Q, d]`, `[B, h, K, d]`, `[B, h, K, d]`.
///
/// `blocked` is `[B or 1, Q or 1, K]`, true where a query may not look; no query may be blocked
/// entirely.
pub(crate) fn attention(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    blocked: Option<Tensor<3, Bool>>,
) -> Tensor<4> {
    let scale = 1.0 / (query.dims()[3] as f64).sqrt();
    let mut scores = (query * scale).matmul(key.transpose()); // [B, h, Q, K]
    if let Some(blocked) = blocked {
        let shape = scores.dims();
        let blocked: Tensor<4, Bool> = blocked.unsqueeze_dim::<4>(1).expand(shape);
        scores = scores.mask_fill(blocked, f32::NEG_INFINITY);
    }
    softmax(scores, 3).matmul(value)
}
