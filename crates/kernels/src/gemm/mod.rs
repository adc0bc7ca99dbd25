//! Matrix products: rows (activations) by panels of columns (weights, packed once), with what follows fused in.
//!
//! The method is that of Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008): a tile of
//! sums stays in registers (14 rows by 32 columns with AVX-512, 6 by 16 with AVX2) while the depth passes; a part of a
//! panel stays in the cache while all tiles of a strip of rows pass; and each finished strip of 32 columns goes
//! through the [`Epilogue`] while it is still in the first level of cache.
//!
//! Every sum is taken in one order that depends neither on the number of threads nor on how the rows were split.

mod bf16;
pub(crate) mod dot;
mod epilogue;
mod float;
mod int8;
pub(crate) mod layout;
mod linear;
pub(crate) mod matmul;
pub(crate) mod output;
pub(crate) mod pack;
mod rows;
pub(crate) mod run;
#[cfg(test)]
mod tests;
mod tile;

use std::ops::Range;

use ::half::bf16 as Bf16;

pub use epilogue::{Context, Epilogue, Store};
pub use float::Float;
pub use layout::{Element, Panels, Rows, RowsMut, plane_rows};
pub use linear::Weights;
pub(crate) use linear::{linear, linear_scratch};
pub use matmul::{matmul, matmul_scratch};
pub use output::Output;
pub use pack::{QuantizedPanels, pack_bf16, pack_f32, pack_int8};
pub use rows::{QuantizedRows, narrow_rows, quantize_rows};

use crate::threads::Cpu;
use dot::{Dot, DotKernel};
use epilogue::{Dequantize, Finish};
use layout::PANEL;
use run::{run_bf16, run_f32, run_int8};
use tile::{PanelWords, RowWords, STRIP, strip};

/// `rows [m, k]` by `panels [k, n]` in f32.
///
/// # Panics
/// If the shapes of the rows, panels, epilogue and output do not fit together.
pub fn gemm_f32(
    cpu: &Cpu,
    rows: Rows<'_, f32>,
    panels: Panels<'_, f32>,
    epilogue: &Epilogue<'_>,
    output: Output<'_>,
) {
    let finish = Finish::new(epilogue, None, output, rows.rows(), panels.columns());
    run_f32(cpu.isa(), Product::new(cpu, rows, panels, &finish));
}

/// `rows [m, k]` by `panels [k, n]` in bfloat16, summed in f32.
///
/// # Panics
/// As [`gemm_f32`]; the rows must have an even number of columns (zeros fill up).
pub fn gemm_bf16(
    cpu: &Cpu,
    rows: Rows<'_, Bf16>,
    panels: Panels<'_, Bf16>,
    epilogue: &Epilogue<'_>,
    output: Output<'_>,
) {
    let finish = Finish::new(epilogue, None, output, rows.rows(), panels.columns());
    run_bf16(cpu.isa(), Product::new(cpu, rows, panels, &finish));
}

/// `rows [m, k]` by `panels [k, n]` in bytes with a scale for each row and column, summed exactly in 32 bits.
///
/// # Panics
/// As [`gemm_f32`]; the rows must have a multiple of four columns, as [`quantize_rows`] fills them up.
pub fn gemm_int8(
    cpu: &Cpu,
    rows: QuantizedRows<'_>,
    panels: QuantizedPanels<'_>,
    epilogue: &Epilogue<'_>,
    output: Output<'_>,
) {
    let scales = Dequantize { rows: rows.scales, columns: panels.scales };
    let finish =
        Finish::new(epilogue, Some(scales), output, rows.bytes.rows(), panels.panels.columns());
    let mut product = Product::new(cpu, rows.bytes, panels.panels, &finish);
    product.b.offsets = Some(panels.offsets.as_ptr().cast());
    run_int8(cpu.isa(), product);
}

/// A product, cut into tasks.
struct Product<'a> {
    cpu: &'a Cpu,
    a: RowWords,
    b: PanelWords,
    rows: usize,
    panels: usize,
    bytes_of_panel: usize,
    finish: &'a Finish<'a>,
}

impl<'a> Product<'a> {
    #[track_caller]
    fn new<A: Element, B: Element>(
        cpu: &'a Cpu,
        rows: Rows<'_, A>,
        panels: Panels<'_, B>,
        finish: &'a Finish<'a>,
    ) -> Self {
        let depth = panels.depth().next_multiple_of(B::PER_WORD);
        assert_eq!(rows.columns(), depth, "the rows must be as long as the panels are deep");
        let strides = rows.strides();
        let count = panels.columns().div_ceil(PANEL);
        Self {
            cpu,
            a: RowWords {
                start: rows.as_ptr().cast(),
                row: strides.row * size_of::<A>(),
                line: strides.line * size_of::<A>(),
            },
            b: panels.words_view(),
            rows: rows.rows(),
            panels: count,
            bytes_of_panel: panels.bytes_of_panel(),
            finish,
        }
    }
}

impl DotKernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, dot: D) {
        // A group of panels stays in the cache while the strips of rows pass.
        const GROUP_BYTES: usize = 1 << 20;
        let strip_rows = STRIP / D::TILE.0 * D::TILE.0;
        let strips = self.rows.div_ceil(strip_rows);
        let in_cache = (GROUP_BYTES / self.bytes_of_panel.max(1)).max(4);
        // Few rows: narrower groups, so that every thread has work.
        let threads = self.cpu.threads().count();
        let for_threads = (self.panels * strips).div_ceil(4 * threads).max(1);
        let group = if threads > 1 { in_cache.min(for_threads) } else { in_cache };
        let groups = self.panels.div_ceil(group);
        let product = &self;
        self.cpu.threads().each(0..groups * strips, |task| {
            let (group_index, strip_index) = (task / strips, task % strips);
            let rows = strip_index * strip_rows..self.rows.min((strip_index + 1) * strip_rows);
            let panels = group_index * group..self.panels.min((group_index + 1) * group);
            dot.run(Task { product, rows, panels });
        });
    }
}

/// One strip of rows by a group of panels.
struct Task<'a> {
    product: &'a Product<'a>,
    rows: Range<usize>,
    panels: Range<usize>,
}

impl DotKernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, dot: D) {
        let Product { a, b, finish, .. } = *self.product;
        // SAFETY: the views of the operands were checked against their slices, `Finish` against the output; tasks differ
        // in rows or panels.
        unsafe { strip(dot, a, b, self.rows, self.panels, finish) }
    }
}
