//! A layer's product in whatever format its weights are packed.

use half::bf16;

use super::epilogue::Epilogue;
use super::layout::{Element, Panels, Rows, RowsMut};
use super::output::Output;
use super::pack::QuantizedPanels;
use super::rows::{QuantizedRows, narrow_rows, quantize_rows};
use super::{gemm_bf16, gemm_f32, gemm_int8};
use crate::buffer::check_scratch;
use crate::threads::Cpu;

/// Packed weights.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a> {
    /// 32-bit floats.
    F32(Panels<'a, f32>),
    /// bfloat16.
    Bf16(Panels<'a, bf16>),
    /// Bytes with a scale for each column.
    Int8(QuantizedPanels<'a>),
}

impl Weights<'_> {
    /// The dimension that is summed over.
    pub fn depth(&self) -> usize {
        match self {
            Weights::F32(panels) => panels.depth(),
            Weights::Bf16(panels) => panels.depth(),
            Weights::Int8(panels) => panels.panels.depth(),
        }
    }

    /// Columns of the product.
    pub fn columns(&self) -> usize {
        match self {
            Weights::F32(panels) => panels.columns(),
            Weights::Bf16(panels) => panels.columns(),
            Weights::Int8(panels) => panels.panels.columns(),
        }
    }
}

/// Values of scratch space that [`linear`] takes for so many rows.
pub(crate) fn linear_scratch(weights: &Weights<'_>, rows: usize) -> usize {
    let planes = |per_line: usize| weights.depth().div_ceil(per_line) * rows * 16;
    match weights {
        Weights::F32(_) => 0,
        Weights::Bf16(_) => planes(<bf16 as Element>::PER_LINE),
        Weights::Int8(_) => planes(<u8 as Element>::PER_LINE) + rows,
    }
}

/// `rows [m, k]` by `weights [k, n]`; the rows are first brought to the format of the weights.
///
/// # Panics
/// If the shapes do not fit together, or `scratch` has fewer values than [`linear_scratch`] says.
pub(crate) fn linear(
    cpu: &Cpu,
    rows: Rows<'_, f32>,
    weights: &Weights<'_>,
    (epilogue, output): (&Epilogue<'_>, Output<'_>),
    scratch: &mut [f32],
) {
    let count = rows.rows();
    assert_eq!(rows.columns(), weights.depth(), "the rows must be as long as the weights are deep");
    let needed = linear_scratch(weights, count);
    check_scratch(scratch.len(), needed);
    match weights {
        Weights::F32(panels) => gemm_f32(cpu, rows, *panels, epilogue, output),
        Weights::Bf16(panels) => {
            let depth = panels.depth().next_multiple_of(bf16::PER_WORD);
            let narrow: &mut [bf16] = bytemuck::cast_slice_mut(&mut scratch[..needed]);
            narrow_rows(cpu, rows, RowsMut::planes(narrow, count, depth, count));
            gemm_bf16(cpu, Rows::planes(narrow, count, depth, count), *panels, epilogue, output);
        }
        Weights::Int8(panels) => {
            let depth = panels.panels.depth().next_multiple_of(u8::PER_WORD);
            let (bytes, scales) = scratch[..needed].split_at_mut(needed - count);
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(bytes);
            quantize_rows(cpu, rows, RowsMut::planes(bytes, count, depth, count), scales);
            let rows = QuantizedRows::new(Rows::planes(bytes, count, depth, count), scales);
            gemm_int8(cpu, rows, *panels, epilogue, output);
        }
    }
}
