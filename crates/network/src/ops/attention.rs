//! Attention of several heads.

use std::sync::Arc;

use burn::backend::flex::FlexTensor;
use burn::tensor::activation::softmax;
use burn::tensor::{Bool, Tensor};
use medparse_kernels::attention::{Attention, AttentionGradients, AttentionOutput, AttentionSaved};

use super::kernels::{
    Operation, Saved, apply, cpu, input, serves, sizes, tensor, values, with_scratch,
};

/// How queries look at keys.
#[derive(Debug)]
pub(crate) struct Heads {
    /// h; divides the width.
    pub count: usize,
    /// `[B or 1, Q or 1, K]`, true where a query may not look; no query may be blocked entirely.
    pub blocked: Option<Tensor<3, Bool>>,
}

/// `softmax(q kᵀ / √d) v` per head, of `[B, Q, h d]`, `[B, K, h d]`, `[B, K, h d]`, as `[B, Q, h d]`.
pub(crate) fn attention(
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    heads: Heads,
) -> Tensor<3> {
    let [batch, queries, width] = query.dims();
    let keys = key.dims()[1];
    let blocked = heads.blocked.map(|blocked| blocked.expand([batch, queries, keys]));
    if serves(&query) {
        let blocked = blocked.map(|blocked| blocked.into_data().iter::<bool>().collect());
        let looks = Looks { heads: heads.count, blocked };
        return apply(looks, vec![input(query), input(key), input(value)]);
    }
    let [query, key, value] = [query, key, value].map(|x| heads_of(x, heads.count));
    let scale = 1.0 / (query.dims()[3] as f64).sqrt();
    let mut scores = (query * scale).matmul(key.transpose()); // [B, h, Q, K]
    if let Some(blocked) = blocked {
        let shape = scores.dims();
        let blocked: Tensor<4, Bool> = blocked.unsqueeze_dim::<4>(1).expand(shape);
        scores = scores.mask_fill(blocked, f32::NEG_INFINITY);
    }
    let mixed = softmax(scores, 3).matmul(value); // [B, h, Q, d]
    mixed.swap_dims(1, 2).reshape([batch, queries, width])
}

/// `[B, N, h d]` → `[B, h, N, d]`.
fn heads_of(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, positions, width] = x.dims();
    x.reshape([batch, positions, heads, width / heads]).swap_dims(1, 2)
}

/// Of queries, keys and values.
#[derive(Debug)]
struct Looks {
    heads: usize,
    blocked: Option<Vec<bool>>,
}

impl Looks {
    fn shape(&self, query: &FlexTensor, key: &FlexTensor) -> Attention {
        let ([batch, queries, width], [_, keys, _]) = (sizes(query), sizes(key));
        let head_dim = width / self.heads;
        let scale = 1.0 / (head_dim as f32).sqrt();
        Attention { batch, heads: self.heads, queries, keys, head_dim, scale }
    }
}

impl Operation for Looks {
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Saved) {
        let [q, k, v] = [0, 1, 2].map(|i| inputs[i].to_contiguous());
        let (cpu, shape) = (cpu(), self.shape(&q, &k));
        let mut out = vec![0.0; values(&q).len()];
        let mut logsumexp = vec![0.0; shape.batch * shape.heads * shape.queries];
        with_scratch(shape.forward_scratch(&cpu), |scratch| {
            let output = AttentionOutput { out: &mut out, logsumexp: Some(&mut logsumexp) };
            let blocked = self.blocked.as_deref();
            shape.forward(&cpu, [values(&q), values(&k), values(&v)], blocked, output, scratch);
        });
        let out = tensor(out, q.layout().shape().clone());
        let saved = Saved { tensors: vec![q, k, v, out.clone()], values: Arc::new(logsumexp) };
        (out, saved)
    }

    fn backward(&self, saved: &Saved, slope: FlexTensor, _: &[bool]) -> Vec<Option<FlexTensor>> {
        let [q, k, v, out] = [0, 1, 2, 3].map(|i| &saved.tensors[i]);
        let (cpu, shape) = (cpu(), self.shape(q, k));
        let slope = slope.to_contiguous();
        let [mut dq, mut dk, mut dv] = [q, k, v].map(|x| vec![0.0; values(x).len()]);
        with_scratch(shape.backward_scratch(&cpu), |scratch| {
            let saved = AttentionSaved {
                q: values(q),
                k: values(k),
                v: values(v),
                blocked: self.blocked.as_deref(),
                out: values(out),
                logsumexp: &saved.values,
            };
            let gradients = AttentionGradients { dq: &mut dq, dk: &mut dk, dv: &mut dv };
            shape.backward(&cpu, &saved, values(&slope), gradients, scratch);
        });
        let of_keys = k.layout().shape().clone();
        vec![
            Some(tensor(dq, q.layout().shape().clone())),
            Some(tensor(dk, of_keys.clone())),
            Some(tensor(dv, of_keys)),
        ]
    }
}
