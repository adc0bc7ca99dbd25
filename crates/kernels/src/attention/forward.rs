//! Attention forward, over blocks of keys.

use std::ops::Range;

use super::Attention;
use super::softmax::{block_and_find_greatest, exponentials};
use crate::buffer::check_scratch;
use crate::gemm::layout::SharedRows;
use crate::gemm::{Epilogue, Float, Panels, Rows, RowsMut, Store};
use crate::matrix::Matrix;
use crate::simd::{Kernel, LANES, Simd};
use crate::threads::Cpu;

/// Keys and values that [`Attention::pack`] wrote, to be asked many times. In bfloat16, queries and weights are
/// rounded to it too; sums and softmax are in f32 always.
#[derive(Clone, Copy, Debug)]
pub struct KeyValues<'a, T = f32> {
    /// `[batch, heads]` of [`Panels`], depth `head_dim`, a column for each key.
    pub keys: &'a [T],
    /// `[batch, heads]` of [`Panels`], as deep as there are keys, a column for each of `head_dim`.
    pub values: &'a [T],
}

/// Where [`Attention::pack`] writes.
#[derive(Debug)]
pub struct KeyValuesMut<'a, T = f32> {
    /// As [`KeyValues::keys`], with [`Attention::packed_keys`] values.
    pub keys: &'a mut [T],
    /// As [`KeyValues::values`], with [`Attention::packed_values`] values.
    pub values: &'a mut [T],
}

/// Where attention writes.
#[derive(Debug)]
pub struct AttentionOutput<'a> {
    /// `[batch, queries, heads * head_dim]`.
    pub out: &'a mut [f32],
    /// `[batch, heads, queries]`: the logarithm of the sum of `e^(scale * q k)` over the open keys, for
    /// [`Attention::backward`]; minus infinity where there are none.
    pub logsumexp: Option<&'a mut [f32]>,
}

/// Keys whose products are held at a time.
const BLOCK: usize = 512;

/// Keys whose part of the output is summed on its own, so that threads can share a head; it must not depend on them.
const SEGMENT: usize = 4096;

/// Queries that are answered together.
const TILE: usize = 112;

/// Values of a row of products: not a power of two, so that rows do not compete for the same sets of the cache.
const PITCH: usize = BLOCK + LANES;

impl Attention {
    /// Values that packed keys take.
    pub fn packed_keys<T: Float>(&self) -> usize {
        self.batch * self.heads * Panels::<T>::len(self.head_dim, self.keys)
    }

    /// Values that packed values take.
    pub fn packed_values<T: Float>(&self) -> usize {
        self.batch * self.heads * Panels::<T>::len(self.keys, self.head_dim)
    }

    /// Packs keys and values for [`Attention::forward_packed`].
    ///
    /// # Panics
    /// If a length does not fit the shape.
    pub fn pack<T: Float>(&self, cpu: &Cpu, [k, v]: [&[f32]; 2], packed: KeyValuesMut<'_, T>) {
        self.check_keys("k", k.len());
        self.check_keys("v", v.len());
        assert_eq!(packed.keys.len(), self.packed_keys::<T>(), "the packed keys of {self:?}");
        assert_eq!(packed.values.len(), self.packed_values::<T>(), "the packed values of {self:?}");
        if k.is_empty() {
            return;
        }
        let alone = Cpu::single(cpu.isa());
        let keys = packed.keys.chunks_mut(Panels::<T>::len(self.head_dim, self.keys));
        let values = packed.values.chunks_mut(Panels::<T>::len(self.keys, self.head_dim));
        cpu.threads().each(keys.zip(values).enumerate(), |(index, (keys, values))| {
            let start = self.start(index, self.keys);
            let strides = [self.width(), 1];
            let [k, v] =
                [k, v].map(|x| Matrix::strided(&x[start..], self.keys, self.head_dim, strides));
            T::pack(&alone, k.transposed(), keys);
            T::pack(&alone, v, values);
        });
    }

    /// Values of scratch space that [`Attention::forward_packed`] takes.
    pub fn packed_scratch<T: Float>(&self, cpu: &Cpu) -> usize {
        self.parts() * self.part_len() + cpu.threads().count() * self.share::<T>()
    }

    /// Attention over packed keys and values.
    ///
    /// # Panics
    /// If a length does not fit the shape, or `scratch` has fewer values than [`Attention::packed_scratch`] says.
    pub fn forward_packed<T: Float>(
        &self,
        cpu: &Cpu,
        q: &[f32],
        (packed, blocked): (KeyValues<'_, T>, Option<&[bool]>),
        output: AttentionOutput<'_>,
        scratch: &mut [f32],
    ) {
        let AttentionOutput { out, logsumexp } = output;
        self.check_queries("q", q.len());
        self.check_queries("out", out.len());
        self.check_mask(blocked);
        assert_eq!(packed.keys.len(), self.packed_keys::<T>(), "the packed keys of {self:?}");
        assert_eq!(packed.values.len(), self.packed_values::<T>(), "the packed values of {self:?}");
        let rows = self.batch * self.heads * self.queries;
        assert!(
            logsumexp.as_ref().is_none_or(|saved| saved.len() == rows),
            "one sum for each query of each head"
        );
        check_scratch(scratch.len(), self.packed_scratch::<T>(cpu));
        if q.is_empty() {
            return;
        }
        if self.keys == 0 {
            out.fill(0.0);
            return logsumexp.into_iter().for_each(|saved| saved.fill(f32::NEG_INFINITY));
        }
        let (parts, workers) = scratch.split_at_mut(self.parts() * self.part_len());
        let tasks = parts.chunks_mut(self.part_len()).enumerate();
        cpu.threads().each_with_scratch(
            workers,
            self.share::<T>(),
            tasks,
            |scratch, (index, part)| {
                self.part(cpu, q, (packed, blocked), (index, part), scratch);
            },
        );
        let out = RowsMut::row_major(out, self.batch * self.queries, self.width()).shared();
        let saved = logsumexp.map(|saved| RowsMut::row_major(saved, rows, 1).shared());
        let tasks = parts.chunks(self.part_len() * self.segments()).enumerate();
        cpu.threads().each(tasks, |(index, parts)| {
            cpu.isa().run(Combine { shape: self, index, parts, out, saved });
        });
    }

    /// Values of scratch space that [`Attention::forward`] takes.
    pub fn forward_scratch(&self, cpu: &Cpu) -> usize {
        self.packed_keys::<f32>() + self.packed_values::<f32>() + self.packed_scratch::<f32>(cpu)
    }

    /// Attention, packing keys and values on the way.
    ///
    /// # Panics
    /// If a length does not fit the shape, or `scratch` has fewer values than [`Attention::forward_scratch`] says.
    pub fn forward(
        &self,
        cpu: &Cpu,
        [q, k, v]: [&[f32]; 3],
        blocked: Option<&[bool]>,
        output: AttentionOutput<'_>,
        scratch: &mut [f32],
    ) {
        check_scratch(scratch.len(), self.forward_scratch(cpu));
        let (keys, scratch) = scratch.split_at_mut(self.packed_keys::<f32>());
        let (values, scratch) = scratch.split_at_mut(self.packed_values::<f32>());
        self.pack(cpu, [k, v], KeyValuesMut { keys: &mut *keys, values: &mut *values });
        self.forward_packed(cpu, q, (KeyValues { keys, values }, blocked), output, scratch);
    }

    fn segments(&self) -> usize {
        self.keys.div_ceil(SEGMENT)
    }

    fn tiles(&self) -> usize {
        self.queries.div_ceil(TILE)
    }

    /// Parts that are computed on their own: `[batch, heads, tiles, segments]`.
    fn parts(&self) -> usize {
        self.batch * self.heads * self.tiles() * self.segments()
    }

    fn tile_queries(&self) -> usize {
        self.queries.min(TILE)
    }

    /// Values of a part: for each query the unnormalised output, the greatest product and the sum.
    fn part_len(&self) -> usize {
        self.tile_queries() * (self.head_dim + 2)
    }

    /// Values of scratch space of one thread: scaled queries and a block of products, and either in another format.
    fn share<T: Float>(&self) -> usize {
        let rows = self.tile_queries();
        rows * (self.head_dim + PITCH)
            + T::rows_scratch(rows, self.head_dim)
            + T::rows_scratch(rows, BLOCK)
    }

    /// The queries of a tile.
    fn tile(&self, tile: usize) -> Range<usize> {
        tile * TILE..self.queries.min((tile + 1) * TILE)
    }

    /// One segment of keys for one tile of queries of one head.
    fn part<T: Float>(
        &self,
        cpu: &Cpu,
        q: &[f32],
        (packed, blocked): (KeyValues<'_, T>, Option<&[bool]>),
        (index, part): (usize, &mut [f32]),
        scratch: &mut [f32],
    ) {
        let alone = Cpu::single(cpu.isa());
        let (segment, tile) = (index % self.segments(), index / self.segments() % self.tiles());
        let head = index / self.segments() / self.tiles();
        let queries = self.tile(tile);
        let dim = self.head_dim;
        let (scaled, scratch) = scratch.split_at_mut(self.tile_queries() * dim);
        let (products, scratch) = scratch.split_at_mut(self.tile_queries() * PITCH);
        let (narrow, scratch) = scratch.split_at_mut(T::rows_scratch(self.tile_queries(), dim));
        let start = self.start(head, self.queries);
        for (query, scaled) in queries.clone().zip(scaled.chunks_exact_mut(dim)) {
            let q = &q[start + query * self.width()..][..dim];
            scaled.iter_mut().zip(q).for_each(|(scaled, q)| *scaled = q * self.scale);
        }
        let scaled = T::rows(&alone, Rows::row_major(scaled, queries.len(), dim), narrow);
        let (keys_len, values_len) =
            (Panels::<T>::len(dim, self.keys), Panels::<T>::len(self.keys, dim));
        let keys = Panels::new(&packed.keys[head * keys_len..][..keys_len], dim, self.keys);
        let values = Panels::new(&packed.values[head * values_len..][..values_len], self.keys, dim);
        let (outs, sums) = part.split_at_mut(self.tile_queries() * dim);
        let (greatest, sums) = sums.split_at_mut(self.tile_queries());
        outs.fill(0.0);
        greatest.fill(f32::NEG_INFINITY);
        sums.fill(0.0);
        let end = self.keys.min((segment + 1) * SEGMENT);
        for first in (segment * SEGMENT..end).step_by(BLOCK) {
            let block = first..end.min(first + BLOCK);
            let into = RowsMut::pitched(products, queries.len(), block.len(), PITCH);
            T::product(
                &alone,
                scaled,
                keys.slice_columns(block.clone()),
                &Epilogue::default(),
                into.into(),
            );
            let problem = head / self.heads * self.queries + queries.start;
            let blocked = blocked.map(|blocked| &blocked[problem * self.keys + block.start..]);
            cpu.isa().run(Online {
                products,
                block: block.len(),
                blocked: blocked.map(|blocked| (blocked, self.keys)),
                outs: &mut outs[..queries.len() * dim],
                dim,
                greatest,
                sums,
            });
            let weights = Rows::pitched(products, queries.len(), block.len(), PITCH);
            let weights = T::rows(&alone, weights, scratch);
            let epilogue = Epilogue { store: Store::Add, ..Default::default() };
            let into = RowsMut::row_major(outs, queries.len(), dim);
            T::product(&alone, weights, values.slice_depth(block), &epilogue, into.into());
        }
    }
}

/// Makes a block of products into weights relative to the greatest product so far, and what was summed before too.
struct Online<'a> {
    /// `[queries]` rows of [`PITCH`] values.
    products: &'a mut [f32],
    /// Keys of the block.
    block: usize,
    /// The mask from the block's first key on, and the distance between its rows.
    blocked: Option<(&'a [bool], usize)>,
    /// `[queries, dim]`.
    outs: &'a mut [f32],
    dim: usize,
    greatest: &'a mut [f32],
    sums: &'a mut [f32],
}

impl Kernel for Online<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { products, block, blocked, outs, dim, greatest, sums } = self;
        let state = greatest.iter_mut().zip(sums).zip(outs.chunks_exact_mut(dim));
        for (query, ((greatest, sum), out)) in state.enumerate() {
            let row = &mut products[query * PITCH..][..block];
            let blocked = blocked.map(|(blocked, stride)| &blocked[query * stride..][..block]);
            let before = *greatest;
            *greatest = before.max(block_and_find_greatest(s, row, blocked));
            let of_block = exponentials(s, row, *greatest);
            if before == *greatest || *sum == 0.0 {
                *sum += of_block;
            } else {
                let shrink = (before - *greatest).exp();
                *sum = *sum * shrink + of_block;
                let shrink = s.splat(shrink);
                for lanes in out.chunks_mut(LANES) {
                    let shrunk = s.mul(s.load_part(lanes, 0.0), shrink);
                    s.store_part(lanes, shrunk);
                }
            }
        }
    }
}

/// Adds up the parts of a tile of queries of a head.
struct Combine<'a> {
    shape: &'a Attention,
    /// Of `[batch, heads, tiles]`.
    index: usize,
    /// All segments.
    parts: &'a [f32],
    out: SharedRows<f32>,
    saved: Option<SharedRows<f32>>,
}

impl Kernel for Combine<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { shape, index, parts, out, saved } = self;
        let (count, dim) = (shape.tile_queries(), shape.head_dim);
        let head = index / shape.tiles();
        for (row, query) in shape.tile(index % shape.tiles()).enumerate() {
            let segments = parts.chunks_exact(shape.part_len());
            let greatest_of = |part: &[f32]| part[count * dim + row];
            let greatest = segments.clone().map(greatest_of).fold(f32::NEG_INFINITY, f32::max);
            let factor = |part: &[f32]| {
                if greatest_of(part) == f32::NEG_INFINITY {
                    0.0
                } else {
                    (greatest_of(part) - greatest).exp()
                }
            };
            let sum: f32 =
                segments.clone().map(|part| factor(part) * part[count * (dim + 1) + row]).sum();
            let share = if sum > 0.0 { 1.0 / sum } else { 0.0 };
            for start in (0..dim).step_by(LANES) {
                let end = dim.min(start + LANES);
                let mut total = s.zero();
                for part in segments.clone() {
                    let values = s.load_part(&part[row * dim + start..row * dim + end], 0.0);
                    total = s.mul_add(values, s.splat(factor(part)), total);
                }
                let (token, column) =
                    (head / shape.heads * shape.queries + query, head % shape.heads * dim + start);
                // SAFETY: the token and these columns of its head lie in the output; no other task has them.
                let to =
                    unsafe { std::slice::from_raw_parts_mut(out.at(token, column), end - start) };
                s.store_part(to, s.mul(total, s.splat(share)));
            }
            if let Some(saved) = saved {
                // SAFETY: this query of this head has one saved value; no other task has it.
                unsafe { *saved.at(head * shape.queries + query, 0) = greatest + sum.ln() };
            }
        }
    }
}
