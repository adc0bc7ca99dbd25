//! Multi-head attention with torch's weight layout, shared by all three transformers.
//!
//! Legend: B batch, Q queries, K keys, C width, h heads, d = C / h.

use burn::module::{Module, Param};
use burn::nn::{Initializer, Linear, LinearConfig};
use burn::tensor::{Bool, Device, Tensor};

use crate::ops;

/// `torch.nn.MultiheadAttention`: query, key and value projections stacked in one weight.
#[derive(Module, Debug)]
pub struct MultiheadAttention {
    in_proj_weight: Param<Tensor<2>>,
    in_proj_bias: Param<Tensor<1>>,
    out_proj: Linear,
    heads: usize,
}

/// What attends to what.
pub(crate) struct AttentionInput {
    /// `[B, Q, C]`.
    pub query: Tensor<3>,
    /// `[B, K, C]`.
    pub key: Tensor<3>,
    /// `[B, K, C]`.
    pub value: Tensor<3>,
    /// `[B or 1, Q or 1, K]`, true where a query may not look; no query may be blocked entirely.
    pub blocked: Option<Tensor<3, Bool>>,
}

impl MultiheadAttention {
    pub(crate) fn new(width: usize, heads: usize, device: &Device) -> Self {
        let initializer = Initializer::XavierUniform { gain: 1.0 };
        Self {
            in_proj_weight: initializer.init_with(
                [3 * width, width],
                Some(width),
                Some(3 * width),
                device,
            ),
            in_proj_bias: Initializer::Zeros.init([3 * width], device),
            out_proj: LinearConfig::new(width, width).init(device),
            heads,
        }
    }

    /// `softmax(q kᵀ / √d) v` per head, then the output projection: `[B, Q, C]`.
    pub(crate) fn forward(&self, input: AttentionInput) -> Tensor<3> {
        let query = self.project(input.query, 0);
        let key = self.project(input.key, 1);
        let value = self.project(input.value, 2);
        let heads = ops::Heads { count: self.heads, blocked: input.blocked };
        ops::linear(&self.out_proj, ops::attention(query, key, value, heads))
    }

    /// The projection `part` (0 query, 1 key, 2 value) of the stacked weight.
    fn project(&self, x: Tensor<3>, part: usize) -> Tensor<3> {
        let width = x.dims()[2];
        let weight = self.in_proj_weight.val().narrow(0, part * width, width);
        let bias = self.in_proj_bias.val().narrow(0, part * width, width);
        ops::linear_of(x, weight.transpose(), Some(bias))
    }
}
