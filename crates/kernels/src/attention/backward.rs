//! Attention backward, over blocks of keys.

use super::Attention;
use crate::buffer::check_scratch;
use crate::gemm::layout::SharedRows;
use crate::gemm::{Epilogue, RowsMut, Store, matmul, matmul_scratch};
use crate::matrix::Matrix;
use crate::simd::{Kernel, LANES, Simd, math};
use crate::threads::Cpu;

/// Where [`Attention::backward`] writes.
#[derive(Debug)]
pub struct AttentionGradients<'a> {
    /// The gradient of the queries, `[batch, queries, heads * head_dim]`.
    pub dq: &'a mut [f32],
    /// The gradient of the keys, `[batch, keys, heads * head_dim]`.
    pub dk: &'a mut [f32],
    /// The gradient of the values, `[batch, keys, heads * head_dim]`.
    pub dv: &'a mut [f32],
}

/// What [`Attention::backward`] starts from.
#[derive(Clone, Copy, Debug)]
pub struct AttentionSaved<'a> {
    /// The queries of the forward pass, `[batch, queries, heads * head_dim]`.
    pub q: &'a [f32],
    /// Its keys, `[batch, keys, heads * head_dim]`.
    pub k: &'a [f32],
    /// Its values, `[batch, keys, heads * head_dim]`.
    pub v: &'a [f32],
    /// Its mask, `[batch, queries, keys]`.
    pub blocked: Option<&'a [bool]>,
    /// Its output, `[batch, queries, heads * head_dim]`.
    pub out: &'a [f32],
    /// Its [`AttentionOutput::logsumexp`](super::AttentionOutput::logsumexp).
    pub logsumexp: &'a [f32],
}

/// Keys whose weights are held at a time.
const BLOCK: usize = 512;

impl Attention {
    /// Values of scratch space that [`Attention::backward`] takes.
    pub fn backward_scratch(&self, cpu: &Cpu) -> usize {
        cpu.threads().count() * self.backward_share(&Cpu::single(cpu.isa()))
    }

    /// Two blocks of weights, a sum for each query, and what the products take.
    fn backward_share(&self, alone: &Cpu) -> usize {
        let block = self.keys.min(BLOCK);
        let deepest = self.head_dim.max(self.queries).max(block);
        let widest = block.max(self.head_dim);
        2 * self.queries * block + self.queries + matmul_scratch(alone, deepest, widest)
    }

    /// The gradients of queries, keys and values from that of the output.
    ///
    /// # Panics
    /// If a length does not fit the shape, or `scratch` has fewer values than [`Attention::backward_scratch`] says.
    pub fn backward(
        &self,
        cpu: &Cpu,
        saved: &AttentionSaved<'_>,
        dout: &[f32],
        gradients: AttentionGradients<'_>,
        scratch: &mut [f32],
    ) {
        let AttentionGradients { dq, dk, dv } = gradients;
        for (name, len) in
            [("q", saved.q.len()), ("out", saved.out.len()), ("dout", dout.len()), ("dq", dq.len())]
        {
            self.check_queries(name, len);
        }
        for (name, len) in
            [("k", saved.k.len()), ("v", saved.v.len()), ("dk", dk.len()), ("dv", dv.len())]
        {
            self.check_keys(name, len);
        }
        self.check_mask(saved.blocked);
        let rows = self.batch * self.heads * self.queries;
        assert_eq!(saved.logsumexp.len(), rows, "one sum for each query of each head");
        check_scratch(scratch.len(), self.backward_scratch(cpu));
        if self.queries == 0 || self.keys == 0 {
            [dq, dk, dv].into_iter().for_each(|gradient| gradient.fill(0.0));
            return;
        }
        let width = self.width();
        let alone = Cpu::single(cpu.isa());
        let [dq, dk, dv] =
            [(dq, self.queries), (dk, self.keys), (dv, self.keys)].map(|(gradient, tokens)| {
                RowsMut::row_major(gradient, self.batch * tokens, width).shared()
            });
        let share = self.backward_share(&alone);
        cpu.threads().each_with_scratch(
            scratch,
            share,
            0..self.batch * self.heads,
            |scratch, head| {
                let head = Head { shape: self, saved, dout, head };
                // SAFETY: the columns of this head of this problem belong to this task alone.
                unsafe { head.run(&alone, [dq, dk, dv], scratch) };
            },
        );
    }
}

/// One head of one problem.
struct Head<'a> {
    shape: &'a Attention,
    saved: &'a AttentionSaved<'a>,
    dout: &'a [f32],
    head: usize,
}

impl Head<'_> {
    /// With the weights `P` and `D = sum of dout * out` over each query's head:
    /// `dv = P^T dout`, `dP = dout v^T`, `dS = scale * P (dP - D)`, `dq = dS k`, `dk = dS^T q`.
    ///
    /// # Safety
    /// No other thread uses this head of the gradients.
    unsafe fn run(&self, cpu: &Cpu, [dq, dk, dv]: [SharedRows<f32>; 3], scratch: &mut [f32]) {
        let &Attention { heads, queries, keys, head_dim, scale, .. } = self.shape;
        let (problem, column) = (self.head / heads, self.head % heads * head_dim);
        let block = keys.min(BLOCK);
        let (weights, rest) = scratch.split_at_mut(queries * block);
        let (slopes, rest) = rest.split_at_mut(queries * block);
        let (sums, scratch) = rest.split_at_mut(queries);
        let of_query = |tokens| self.tokens(tokens, queries, 0..queries);
        let (q, out, dout) =
            (of_query(self.saved.q), of_query(self.saved.out), of_query(self.dout));
        for (query, sum) in sums.iter_mut().enumerate() {
            *sum = (0..head_dim).map(|c| out.at(query, c) * dout.at(query, c)).sum();
        }
        for first in (0..keys).step_by(BLOCK) {
            let range = first..keys.min(first + BLOCK);
            let count = range.len();
            let (k, v) = (
                self.tokens(self.saved.k, keys, range.clone()),
                self.tokens(self.saved.v, keys, range),
            );
            let mut product =
                |a: Matrix<'_>, b: Matrix<'_>, store: Store, out: RowsMut<'_, f32>| {
                    matmul(cpu, a, b, &Epilogue { store, ..Default::default() }, out, scratch);
                };
            product(q, k.transposed(), Store::Replace, RowsMut::row_major(weights, queries, count));
            product(
                dout,
                v.transposed(),
                Store::Replace,
                RowsMut::row_major(slopes, queries, count),
            );
            let blocked =
                self.saved.blocked.map(|blocked| &blocked[problem * queries * keys + first..]);
            cpu.isa().run(Slopes {
                weights: &mut weights[..queries * count],
                slopes: &mut slopes[..queries * count],
                count,
                blocked: blocked.map(|blocked| (blocked, keys)),
                logsumexp: &self.saved.logsumexp[self.head * queries..][..queries],
                sums,
                scale,
            });
            let weights = Matrix::row_major(weights, queries, count);
            let slopes = Matrix::row_major(slopes, queries, count);
            // SAFETY: the caller promises these columns of these tokens.
            let rows = |gradient: SharedRows<f32>, token: usize, count: usize| unsafe {
                gradient.rows(token, count, column, head_dim)
            };
            product(
                weights.transposed(),
                dout,
                Store::Replace,
                rows(dv, problem * keys + first, count),
            );
            product(
                slopes.transposed(),
                q,
                Store::Replace,
                rows(dk, problem * keys + first, count),
            );
            let store = if first == 0 { Store::Replace } else { Store::Add };
            product(slopes, k, store, rows(dq, problem * queries, queries));
        }
    }

    /// Some tokens of this head of a problem of so many.
    fn tokens<'b>(
        &self,
        values: &'b [f32],
        tokens: usize,
        range: std::ops::Range<usize>,
    ) -> Matrix<'b> {
        let width = self.shape.width();
        let start = self.shape.start(self.head, tokens) + range.start * width;
        Matrix::strided(&values[start..], range.len(), self.shape.head_dim, [width, 1])
    }
}

/// Makes products into weights, and the slopes of the weights into those of the products.
struct Slopes<'a> {
    weights: &'a mut [f32],
    slopes: &'a mut [f32],
    count: usize,
    blocked: Option<(&'a [bool], usize)>,
    logsumexp: &'a [f32],
    sums: &'a [f32],
    scale: f32,
}

impl Kernel for Slopes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { weights, slopes, count, blocked, logsumexp, sums, scale } = self;
        let rows = weights.chunks_exact_mut(count).zip(slopes.chunks_exact_mut(count));
        for (query, (weights, slopes)) in rows.enumerate() {
            if logsumexp[query] == f32::NEG_INFINITY {
                weights.fill(0.0);
                slopes.fill(0.0);
                continue;
            }
            let blocked = blocked.map(|(blocked, stride)| &blocked[query * stride..][..count]);
            let (logsumexp, sum, factor) =
                (s.splat(logsumexp[query]), s.splat(sums[query]), s.splat(scale));
            for start in (0..count).step_by(LANES) {
                let end = count.min(start + LANES);
                let product = s.mul(s.load_part(&weights[start..end], 0.0), factor);
                let mut weight = math::exp(s, s.sub(product, logsumexp));
                if let Some(blocked) = blocked {
                    let mut bytes = [0u8; LANES];
                    bytes[..end - start]
                        .copy_from_slice(bytemuck::cast_slice(&blocked[start..end]));
                    weight = s.select(s.mask_from_bytes(&bytes), s.zero(), weight);
                }
                let slope =
                    s.mul(s.mul(weight, factor), s.sub(s.load_part(&slopes[start..end], 0.0), sum));
                s.store_part(&mut weights[start..end], weight);
                s.store_part(&mut slopes[start..end], slope);
            }
        }
    }
}
