//! Multi-head attention with torch's weight layout, shared by all three transformers.
//!
//! Legend: B problems, Q queries, K keys, C width.

use medparse_kernels::attention::{Attention, AttentionOutput};
use medparse_kernels::{Arena, Cpu, Matrix};

use crate::linear::Linear;
use crate::loader::Loader;
use crate::precision::Precision;

/// `torch.nn.MultiheadAttention`, its stacked projections apart.
#[derive(Debug)]
pub(crate) struct MultiheadAttention {
    pub query: Linear,
    pub key: Linear,
    pub value: Linear,
    pub output: Linear,
    heads: usize,
}

/// Tokens that attend to each other, `[B, Q, C]` of each.
pub(crate) struct SelfAttention<'a> {
    /// Problems of equally many tokens each.
    pub batch: usize,
    /// What queries and keys are made of.
    pub placed: &'a [f32],
    /// What values are made of.
    pub content: &'a [f32],
    /// `[B, Q, Q]`, true where a query may not look.
    pub blocked: Option<&'a [bool]>,
}

/// The formats of the projections before and after.
#[derive(Clone, Copy)]
pub(crate) struct Formats {
    /// Of keys and values.
    pub seen: Precision,
    /// Of queries and outputs.
    pub asked: Precision,
}

impl MultiheadAttention {
    pub fn load<E>(
        loader: &mut Loader<'_, E>,
        key: &str,
        [width, heads]: [usize; 2],
        formats: Formats,
    ) -> Result<Self, E> {
        let (weight, bias) = (format!("{key}.in_proj_weight"), format!("{key}.in_proj_bias"));
        let weights = loader.raw(&weight, &[3 * width, width])?;
        let biases = loader.raw(&bias, &[3 * width])?;
        let mut part = |name: &str, index: usize, precision| {
            let matrix = weights.as_deref().map(|weights| {
                let rows = &weights[index * width * width..][..width * width];
                Matrix::row_major(rows, width, width).transposed()
            });
            let biases = biases.as_deref().map(|biases| &biases[index * width..][..width]);
            Linear {
                packed: loader.panels(
                    &format!("{weight}.{name}"),
                    matrix,
                    [width, width],
                    precision,
                ),
                bias: Some(loader.part_of(&format!("{bias}.{name}"), biases, &[width])),
            }
        };
        let query = part("query", 0, formats.asked);
        let key_part = part("key", 1, formats.seen);
        let value = part("value", 2, formats.seen);
        let output = loader.linear(&format!("{key}.out_proj"), [width, width], formats.asked)?;
        Ok(Self { query, key: key_part, value, output, heads })
    }

    /// Width of a token.
    pub fn width(&self) -> usize {
        self.query.columns()
    }

    /// The problem of so many queries and keys.
    pub fn problem(&self, batch: usize, queries: usize, keys: usize) -> Attention {
        let head_dim = self.width() / self.heads;
        let scale = 1.0 / (head_dim as f32).sqrt();
        Attention { batch, heads: self.heads, queries, keys, head_dim, scale }
    }

    /// Multiplications and additions of so many queries and keys of one problem, keys and values
    /// made already.
    pub fn flop(&self, queries: usize, keys: usize) -> u64 {
        let products = 4 * (queries * keys * self.width()) as u64;
        self.query.flop(queries) + products + self.output.flop(queries)
    }

    /// Bytes that [`MultiheadAttention::attend_to_selves`] takes of an arena.
    pub fn bytes(&self, cpu: &Cpu, batch: usize, tokens: usize) -> usize {
        let rows = batch * tokens;
        let problem = self.problem(batch, tokens, tokens);
        let maps = [&self.query, &self.key, &self.value, &self.output];
        let scratch = maps.into_iter().map(|map| map.scratch(rows));
        let scratch = scratch.fold(Arena::bytes::<f32>(problem.forward_scratch(cpu)), usize::max);
        4 * Arena::bytes::<f32>(rows * self.width()) + scratch
    }

    /// Adds the answers to `x`, `[B, Q, C]`: `x += output(attention)`.
    pub fn attend_to_selves(
        &self,
        cpu: &Cpu,
        tokens: &SelfAttention<'_>,
        x: &mut [f32],
        mut arena: Arena<'_>,
    ) {
        let width = self.width();
        let rows = tokens.placed.len() / width;
        let [q, k, v, mixed]: [&mut [f32]; 4] =
            std::array::from_fn(|_| arena.take::<f32>(rows * width));
        for (map, from, to) in [
            (&self.query, tokens.placed, &mut *q),
            (&self.key, tokens.placed, &mut *k),
            (&self.value, tokens.content, &mut *v),
        ] {
            map.rows(cpu, from, to, arena.rest());
        }
        let each = rows / tokens.batch.max(1);
        let problem = self.problem(tokens.batch, each, each);
        {
            let mut arena = arena.rest();
            let scratch = arena.take(problem.forward_scratch(cpu));
            let output = AttentionOutput { out: &mut *mixed, logsumexp: None };
            problem.forward(cpu, [q, k, v], tokens.blocked, output, scratch);
        }
        self.output.add(cpu, mixed, x, arena);
    }
}
