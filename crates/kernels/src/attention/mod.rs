//! Attention of several heads (Vaswani et al., "Attention Is All You Need", 2017), masked, without ever holding all
//! weights (Dao et al., "FlashAttention", 2022), and its gradients.

mod backward;
mod forward;
mod softmax;

pub use backward::{AttentionGradients, AttentionSaved};
pub use forward::{AttentionOutput, KeyValues, KeyValuesMut};

/// `out = softmax(scale * q k^T) v` for each head, where blocked pairs of query and key take no part.
///
/// Queries and outputs are `[batch, queries, heads * head_dim]`, keys and values `[batch, keys, heads * head_dim]`. A
/// mask is `[batch, queries, keys]`, the same for all heads; true means blocked. A query whose keys are all blocked gets
/// zeros: opening such rows, where a model asks for it, is the caller's part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// Independent problems.
    pub batch: usize,
    /// Heads, which share the mask.
    pub heads: usize,
    /// Queries of each problem.
    pub queries: usize,
    /// Keys of each problem.
    pub keys: usize,
    /// Values of each query, key and value in a head.
    pub head_dim: usize,
    /// The factor of the products, usually `1 / sqrt(head_dim)`.
    pub scale: f32,
}

impl Attention {
    /// Values of a token: all heads.
    fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    #[track_caller]
    fn check_queries(&self, name: &str, len: usize) {
        assert_eq!(
            len,
            self.batch * self.queries * self.width(),
            "{name} must be [batch, queries, width] of {self:?}"
        );
    }

    #[track_caller]
    fn check_keys(&self, name: &str, len: usize) {
        assert_eq!(
            len,
            self.batch * self.keys * self.width(),
            "{name} must be [batch, keys, width] of {self:?}"
        );
    }

    #[track_caller]
    fn check_mask(&self, blocked: Option<&[bool]>) {
        let len = self.batch * self.queries * self.keys;
        let fits = blocked.is_none_or(|blocked| blocked.len() == len);
        assert!(fits, "the mask must be [batch, queries, keys] of {self:?}");
    }

    /// Where the values of a head of the first token of a problem begin, for problems of so many tokens.
    fn start(&self, index: usize, tokens: usize) -> usize {
        index / self.heads * tokens * self.width() + index % self.heads * self.head_dim
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;
    use crate::testing::{Random, assert_close, machines};
    use crate::threads::Cpu;

    struct Case {
        shape: Attention,
        masked: bool,
    }

    fn shape([batch, heads, queries, keys, head_dim]: [usize; 5]) -> Attention {
        let scale = 1.0 / (head_dim as f32).sqrt();
        Attention { batch, heads, queries, keys, head_dim, scale }
    }

    struct Tokens {
        q: Vec<f32>,
        k: Vec<f32>,
        v: Vec<f32>,
        dout: Vec<f32>,
        blocked: Vec<bool>,
    }

    impl Tokens {
        fn new(random: &mut Random, shape: &Attention) -> Self {
            let Attention { batch, queries, keys, .. } = *shape;
            let (of_queries, of_keys) =
                (batch * queries * shape.width(), batch * keys * shape.width());
            // The first query of each problem has all its keys blocked, every fourth key of the others is.
            let blocked = (0..batch * queries * keys)
                .map(|i| i / keys.max(1) % queries.max(1) == 0 || i % 4 == 1)
                .collect();
            Self {
                q: random.vec(of_queries).into_iter().map(|q| 5.0 * q).collect(),
                k: random.vec(of_keys),
                v: random.vec(of_keys),
                dout: random.vec(of_queries),
                blocked,
            }
        }
    }

    /// The output and the gradients in f64, by the definition.
    fn reference(shape: &Attention, tokens: &Tokens, masked: bool) -> [Vec<f64>; 4] {
        let &Attention { batch, heads, queries, keys, head_dim, scale } = shape;
        let width = shape.width();
        let wide = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
        let (q, k, v, dout) =
            (wide(&tokens.q), wide(&tokens.k), wide(&tokens.v), wide(&tokens.dout));
        let (mut out, mut dq) = (vec![0.0; q.len()], vec![0.0; q.len()]);
        let (mut dk, mut dv) = (vec![0.0; k.len()], vec![0.0; k.len()]);
        for (problem, head) in
            (0..batch).flat_map(|problem| (0..heads).map(move |head| (problem, head)))
        {
            let of_query = |i: usize| (problem * queries + i) * width + head * head_dim;
            let of_key = |j: usize| (problem * keys + j) * width + head * head_dim;
            for i in 0..queries {
                let open =
                    |j: usize| !masked || !tokens.blocked[(problem * queries + i) * keys + j];
                let product = |j: usize| -> f64 {
                    f64::from(scale)
                        * (0..head_dim).map(|c| q[of_query(i) + c] * k[of_key(j) + c]).sum::<f64>()
                };
                let e: Vec<f64> =
                    (0..keys).map(|j| if open(j) { product(j).exp() } else { 0.0 }).collect();
                let sum: f64 = e.iter().sum();
                let p: Vec<f64> = e.iter().map(|e| if sum > 0.0 { e / sum } else { 0.0 }).collect();
                for c in 0..head_dim {
                    out[of_query(i) + c] = (0..keys).map(|j| p[j] * v[of_key(j) + c]).sum();
                }
                let dp: Vec<f64> = (0..keys)
                    .map(|j| (0..head_dim).map(|c| dout[of_query(i) + c] * v[of_key(j) + c]).sum())
                    .collect();
                let mean: f64 = p.iter().zip(&dp).map(|(p, dp)| p * dp).sum();
                for j in 0..keys {
                    let ds = f64::from(scale) * p[j] * (dp[j] - mean);
                    for c in 0..head_dim {
                        dq[of_query(i) + c] += ds * k[of_key(j) + c];
                        dk[of_key(j) + c] += ds * q[of_query(i) + c];
                        dv[of_key(j) + c] += p[j] * dout[of_query(i) + c];
                    }
                }
            }
        }
        [out, dq, dk, dv]
    }

    fn run(
        shape: &Attention,
        tokens: &Tokens,
        blocked: Option<&[bool]>,
        cpu: &Cpu,
    ) -> [Vec<f32>; 4] {
        let Tokens { q, k, v, dout, .. } = tokens;
        let mut out = vec![f32::NAN; q.len()];
        let mut logsumexp = vec![f32::NAN; shape.batch * shape.heads * shape.queries];
        let mut scratch = vec![f32::NAN; shape.forward_scratch(cpu)];
        let output = AttentionOutput { out: &mut out, logsumexp: Some(&mut logsumexp) };
        shape.forward(cpu, [q, k, v], blocked, output, &mut scratch);
        let (mut dq, mut dk, mut dv) =
            (vec![f32::NAN; q.len()], vec![f32::NAN; k.len()], vec![f32::NAN; v.len()]);
        let gradients = AttentionGradients { dq: &mut dq, dk: &mut dk, dv: &mut dv };
        let saved = AttentionSaved { q, k, v, blocked, out: &out, logsumexp: &logsumexp };
        let mut scratch = vec![f32::NAN; shape.backward_scratch(cpu)];
        shape.backward(cpu, &saved, dout, gradients, &mut scratch);
        [out, dq, dk, dv]
    }

    #[test]
    fn values_and_gradients_agree_with_f64_at_odd_sizes() {
        let cases = [
            Case { shape: shape([1, 1, 1, 1, 1]), masked: false },
            Case { shape: shape([2, 3, 5, 7, 4]), masked: true },
            Case { shape: shape([1, 2, 113, 33, 16]), masked: false },
            Case { shape: shape([2, 2, 101, 530, 24]), masked: true },
            Case { shape: shape([1, 1, 3, 4200, 64]), masked: true },
            Case { shape: shape([1, 2, 130, 1100, 8]), masked: true },
            Case { shape: shape([1, 2, 4, 0, 8]), masked: false },
            Case { shape: shape([1, 2, 0, 4, 8]), masked: true },
        ];
        let mut random = Random::new(81);
        for Case { shape, masked } in cases {
            let tokens = Tokens::new(&mut random, &shape);
            let want = reference(&shape, &tokens, masked);
            let blocked = masked.then_some(&tokens.blocked[..]);
            for pair in machines().chunks(2) {
                let answers = [&pair[0], &pair[1]].map(|cpu| {
                    let got = run(&shape, &tokens, blocked, cpu);
                    for ((got, want), name) in got.iter().zip(&want).zip(["out", "dq", "dk", "dv"])
                    {
                        assert_close(
                            got,
                            want,
                            3e-6,
                            format!("{name} of {shape:?}, masked {masked} on {cpu:?}"),
                        );
                    }
                    got
                });
                assert_eq!(answers[0], answers[1], "one and several threads");
            }
        }
    }

    #[test]
    fn keys_and_values_in_bfloat16_cost_its_rounding_and_no_more() {
        let shapes = [[1, 1, 1, 1, 1], [2, 3, 5, 7, 5], [2, 2, 101, 531, 24], [1, 1, 3, 4201, 64]];
        let mut random = Random::new(82);
        for shape in shapes.map(shape) {
            let tokens = Tokens::new(&mut random, &shape);
            let [want, ..] = reference(&shape, &tokens, true);
            for pair in machines().chunks(2) {
                let answers = [&pair[0], &pair[1]].map(|cpu| {
                    let mut keys = vec![bf16::NAN; shape.packed_keys::<bf16>()];
                    let mut values = vec![bf16::NAN; shape.packed_values::<bf16>()];
                    let packed = KeyValuesMut { keys: &mut keys, values: &mut values };
                    shape.pack(cpu, [&tokens.k, &tokens.v], packed);
                    let packed = KeyValues { keys: &keys, values: &values };
                    let mut out = vec![f32::NAN; tokens.q.len()];
                    let mut scratch = vec![f32::NAN; shape.packed_scratch::<bf16>(cpu)];
                    let output = AttentionOutput { out: &mut out, logsumexp: None };
                    let seen = (packed, Some(&tokens.blocked[..]));
                    shape.forward_packed(cpu, &tokens.q, seen, output, &mut scratch);
                    // Products of five or so with an error of 2^-8 each way move a weight by parts of a hundred.
                    assert_close(&out, &want, 0.02, format!("{shape:?} on {cpu:?}"));
                    out
                });
                assert_eq!(answers[0], answers[1], "one and several threads");
            }
        }
    }
}
