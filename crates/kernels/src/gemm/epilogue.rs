//! What happens to a product before it is stored, while it is still in the cache.

use std::ops::Range;

use super::dot::Dot;
use super::layout::{PANEL, Rows};
use super::output::{Output, Target};
use crate::activation::Activation;
use crate::simd::{LANES, Simd};

mod lanes;

use lanes::Lanes;

/// What becomes of the product `A B`, of `[rows, columns]`, in this order:
///
/// ```text
/// x  =  A B  (+ what the output holds)  (+ row_bias[row])
///        (+ gate[row] * context[column])  (+ bias[column])
/// x  =  activation(x)
/// out = x  (* multiply[row, column])
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// Whether the product replaces what the output holds or is added to it; only an f32 output can be added to.
    pub store: Store,
    /// One value per column.
    pub bias: Option<&'a [f32]>,
    /// One value per row, as for a convolution whose rows are channels.
    pub row_bias: Option<&'a [f32]>,
    /// A product of a column and a row vector; focal modulation's global context enters here, since
    /// `h(a + gate g) = h(a) + gate (W_h g)` for a linear `h`.
    pub context: Option<Context<'a>>,
    /// A function of each value.
    pub activation: Activation,
    /// A factor for each value, of the output's shape.
    pub multiply: Option<Rows<'a, f32>>,
}

/// Whether a product replaces what the output holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Store {
    /// It replaces it.
    #[default]
    Replace,
    /// It is added to it.
    Add,
}

/// A matrix of rank one.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Row `r` has the gate `gates[r * gate_stride]`.
    pub gates: &'a [f32],
    /// From one row's gate to the next.
    pub gate_stride: usize,
    /// One value per column.
    pub values: &'a [f32],
}

/// Scales that make int8 sums into values.
#[derive(Clone, Copy)]
pub(crate) struct Dequantize<'a> {
    pub rows: &'a [f32],
    pub columns: &'a [f32],
}

/// A checked epilogue with its output, shared by all threads.
pub(crate) struct Finish<'a> {
    epilogue: &'a Epilogue<'a>,
    dequantize: Option<Dequantize<'a>>,
    target: Target,
    columns: usize,
}

impl<'a> Finish<'a> {
    /// # Panics
    /// If a part of the epilogue or the output does not have the product's shape.
    #[track_caller]
    pub fn new(
        epilogue: &'a Epilogue<'a>,
        dequantize: Option<Dequantize<'a>>,
        output: Output<'_>,
        rows: usize,
        columns: usize,
    ) -> Self {
        let per_column = |name: &str, values: Option<&[f32]>| {
            assert!(
                values.is_none_or(|v| v.len() == columns),
                "{name} must have one value for each of {columns} columns"
            );
        };
        per_column("the bias", epilogue.bias);
        per_column("the context", epilogue.context.map(|context| context.values));
        let row_bias = epilogue.row_bias.is_none_or(|values| values.len() == rows);
        assert!(row_bias, "the row bias must have one value for each of {rows} rows");
        if let Some(Context { gates, gate_stride, .. }) = epilogue.context {
            assert!(
                rows == 0 || (rows - 1) * gate_stride < gates.len(),
                "the context must have a gate for each of {rows} rows"
            );
        }
        let shape = |name: &str, got: (usize, usize)| {
            assert_eq!(got, (rows, columns), "{name} must have the shape of the product");
        };
        if let Some(factor) = &epilogue.multiply {
            shape("the factor", (factor.rows(), factor.columns()));
        }
        if let Some(Dequantize { rows: by_row, columns: by_column }) = dequantize {
            assert_eq!(
                (by_row.len(), by_column.len()),
                (rows, columns),
                "the scales must have the shape of the product"
            );
        }
        shape("the output", output.shape());
        assert!(
            matches!(output, Output::F32(_)) || epilogue.store == Store::Replace,
            "a bfloat16 output can only be replaced"
        );
        Self { epilogue, dequantize, target: output.shared(), columns }
    }

    /// Fetches the part of the output that a tile will write, while the tile is being computed: a store to memory that is
    /// not in the cache would hold up the loads after it.
    ///
    /// # Safety
    /// The rows lie in the output.
    #[inline(always)]
    pub unsafe fn fetch<D: Dot>(&self, dot: D, rows: Range<usize>, panel: usize) {
        let s = dot.simd();
        for row in rows {
            for column in [panel * PANEL, panel * PANEL + LANES] {
                if column < self.columns {
                    // SAFETY: the row and column lie in the output.
                    unsafe {
                        match self.target {
                            Target::F32(out) => s.prefetch_write(out.at(row, column)),
                            Target::Bf16(out) => s.prefetch_write(out.at(row, column)),
                        }
                    }
                }
            }
        }
    }

    /// Finishes the sums of a tile, `[rows.len()][32]`.
    ///
    /// # Safety
    /// The rows and the panel lie in the output, no other thread touches that part of it, and the sums were written.
    #[inline(always)]
    pub unsafe fn tile<D: Dot>(&self, dot: D, sums: *const u32, rows: Range<usize>, panel: usize) {
        for half in 0..PANEL / LANES {
            let column = panel * PANEL + half * LANES;
            let count = LANES.min(self.columns.saturating_sub(column));
            if count > 0 {
                // SAFETY: the columns lie in the output; the rest is passed on.
                unsafe {
                    let lanes = Lanes {
                        dot,
                        sums: sums.add(half * LANES),
                        rows: rows.clone(),
                        column,
                        count,
                    };
                    self.lanes(&lanes);
                }
            }
        }
    }

    /// Chooses the loop. What nearly every product has, a bias, an activation and whole vectors, runs in loops where the
    /// activation and the kind of output are constants.
    ///
    /// # Safety
    /// As for [`Finish::tile`].
    #[inline(always)]
    unsafe fn lanes<D: Dot>(&self, lanes: &Lanes<D>) {
        let Epilogue { store, bias: _, row_bias, context, activation, multiply } = self.epilogue;
        let rare =
            *store == Store::Add || row_bias.is_some() || context.is_some() || multiply.is_some();
        // SAFETY: passed on.
        unsafe {
            match activation {
                _ if rare || lanes.count < LANES => self.general(lanes),
                Activation::Identity => self.plain(lanes, Activation::Identity),
                Activation::Relu => self.plain(lanes, Activation::Relu),
                Activation::Gelu => self.plain(lanes, Activation::Gelu),
                Activation::QuickGelu => self.plain(lanes, Activation::QuickGelu),
            }
        }
    }

    /// Whole vectors with a bias and an activation.
    ///
    /// # Safety
    /// As for [`Finish::tile`].
    #[inline(always)]
    unsafe fn plain<D: Dot>(&self, lanes: &Lanes<D>, activation: Activation) {
        let s = lanes.dot.simd();
        let bias = lanes.of_columns(self.epilogue.bias);
        let scales = lanes.scales(self.dequantize);
        let first = lanes.rows.start;
        // SAFETY: the rows and sixteen columns lie in the output and the sums.
        unsafe {
            match self.target {
                Target::F32(out) => {
                    let (mut to, step) = (out.at(first, lanes.column), out.row_stride());
                    for row in 0..lanes.rows.len() {
                        s.store_ptr(to, activation.apply(s, s.add(lanes.value(row, scales), bias)));
                        to = to.wrapping_add(step);
                    }
                }
                Target::Bf16(out) => {
                    let (mut to, step) = (out.at(first, lanes.column), out.row_stride());
                    for row in 0..lanes.rows.len() {
                        s.store_bf16_ptr(
                            to.cast(),
                            activation.apply(s, s.add(lanes.value(row, scales), bias)),
                        );
                        to = to.wrapping_add(step);
                    }
                }
            }
        }
    }

    /// Everything that an epilogue can hold.
    ///
    /// # Safety
    /// As for [`Finish::tile`].
    #[inline(always)]
    unsafe fn general<D: Dot>(&self, lanes: &Lanes<D>) {
        let s = lanes.dot.simd();
        let &Epilogue { store, bias, row_bias, context, activation, ref multiply } = self.epilogue;
        let bias = lanes.of_columns(bias);
        let values = lanes.of_columns(context.map(|context| context.values));
        let scales = lanes.scales(self.dequantize);
        for (tile_row, row) in lanes.rows.clone().enumerate() {
            // SAFETY: `Finish::new` checked that all operands have the output's shape.
            unsafe {
                let mut x = lanes.value(tile_row, scales);
                if let (Store::Add, Target::F32(out)) = (store, self.target) {
                    x = s.add(x, s.load_first(out.at(row, lanes.column), lanes.count, 0.0));
                }
                if let Some(bias) = row_bias {
                    x = s.add(x, s.splat(*bias.get_unchecked(row)));
                }
                if let Some(context) = context {
                    let gate = *context.gates.get_unchecked(row * context.gate_stride);
                    x = s.mul_add(s.splat(gate), values, x);
                }
                x = activation.apply(s, s.add(x, bias));
                if let Some(multiply) = multiply {
                    x = s.mul(x, lanes.of_matrix(multiply, row));
                }
                self.target.write(s, row, lanes.column, lanes.count, x);
            }
        }
    }
}
