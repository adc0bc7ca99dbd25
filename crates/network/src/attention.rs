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
        let [batch, queries, width] = input.query.dims();
        let query = self.heads_of(self.project(input.query, 0)); // [B, h, Q, d]
        let key = self.heads_of(self.project(input.key, 1)); // [B, h, K, d]
        let value = self.heads_of(self.project(input.value, 2));
        let mixed = ops::attention(query, key, value, input.blocked); // [B, h, Q, d]
        self.out_proj.forward(mixed.swap_dims(1, 2).reshape([batch, queries, width]))
    }

    /// The projection `part` (0 query, 1 key, 2 value) of the stacked weight.
    fn project(&self, x: Tensor<3>, part: usize) -> Tensor<3> {
        let width = x.dims()[2];
        let weight = self.in_proj_weight.val().narrow(0, part * width, width);
        let bias = self.in_proj_bias.val().narrow(0, part * width, width);
        burn::tensor::module::linear(x, weight.transpose(), Some(bias))
    }

    /// `[B, N, C]` → `[B, h, N, d]`.
    fn heads_of(&self, x: Tensor<3>) -> Tensor<4> {
        let [batch, positions, width] = x.dims();
        x.reshape([batch, positions, self.heads, width / self.heads]).swap_dims(1, 2)
    }
}
