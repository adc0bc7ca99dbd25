//! The formats of floats that a product can be computed in, for kernels that are written once for all of them.

use half::bf16;

use super::epilogue::Epilogue;
use super::layout::{Element, Panels, Rows, RowsMut};
use super::output::Output;
use super::pack::{pack_bf16, pack_f32};
use super::rows::narrow_rows;
use super::{gemm_bf16, gemm_f32};
use crate::matrix::Matrix;
use crate::threads::Cpu;

/// f32 or bfloat16: a format of panels and of the rows that they are multiplied by.
pub trait Float: Element {
    /// The nearest value, ties to even.
    fn nearest(x: f32) -> Self;

    /// Packs `[depth, columns]` as panels.
    ///
    /// # Panics
    /// If `panels` does not have [`Panels::len`] values.
    fn pack(cpu: &Cpu, matrix: Matrix<'_>, panels: &mut [Self]);

    /// Values of scratch space that [`Float::rows`] takes.
    fn rows_scratch(rows: usize, columns: usize) -> usize;

    /// Rows in this format; zeros fill the last word.
    ///
    /// # Panics
    /// If `scratch` has fewer values than [`Float::rows_scratch`] says.
    fn rows<'a>(cpu: &Cpu, rows: Rows<'a, f32>, scratch: &'a mut [f32]) -> Rows<'a, Self>;

    /// `rows [m, k]` by `panels [k, n]`, summed in f32.
    ///
    /// # Panics
    /// As [`gemm_f32`] and [`gemm_bf16`].
    fn product(
        cpu: &Cpu,
        rows: Rows<'_, Self>,
        panels: Panels<'_, Self>,
        epilogue: &Epilogue<'_>,
        output: Output<'_>,
    );
}

impl Float for f32 {
    fn nearest(x: f32) -> f32 {
        x
    }

    fn pack(cpu: &Cpu, matrix: Matrix<'_>, panels: &mut [f32]) {
        pack_f32(cpu, matrix, panels);
    }

    fn rows_scratch(_: usize, _: usize) -> usize {
        0
    }

    fn rows<'a>(_: &Cpu, rows: Rows<'a, f32>, _: &'a mut [f32]) -> Rows<'a, f32> {
        rows
    }

    fn product(
        cpu: &Cpu,
        rows: Rows<'_, f32>,
        panels: Panels<'_, f32>,
        epilogue: &Epilogue<'_>,
        output: Output<'_>,
    ) {
        gemm_f32(cpu, rows, panels, epilogue, output);
    }
}

/// From one narrow row to the next: whole lines, and one more, since rows whose length is a multiple of a page, as widths
/// often are, compete for the same few sets of the cache.
fn pitch(columns: usize) -> usize {
    columns.next_multiple_of(bf16::PER_LINE) + bf16::PER_LINE
}

impl Float for bf16 {
    fn nearest(x: f32) -> bf16 {
        bf16::from_f32(x)
    }

    fn pack(cpu: &Cpu, matrix: Matrix<'_>, panels: &mut [bf16]) {
        pack_bf16(cpu, matrix, panels);
    }

    fn rows_scratch(rows: usize, columns: usize) -> usize {
        rows * pitch(columns) / 2
    }

    fn rows<'a>(cpu: &Cpu, rows: Rows<'a, f32>, scratch: &'a mut [f32]) -> Rows<'a, bf16> {
        let (count, columns) = (rows.rows(), rows.columns().next_multiple_of(bf16::PER_WORD));
        let pitch = pitch(rows.columns());
        let narrow: &mut [bf16] = bytemuck::cast_slice_mut(scratch);
        narrow_rows(cpu, rows, RowsMut::pitched(narrow, count, columns, pitch));
        Rows::pitched(narrow, count, columns, pitch)
    }

    fn product(
        cpu: &Cpu,
        rows: Rows<'_, bf16>,
        panels: Panels<'_, bf16>,
        epilogue: &Epilogue<'_>,
        output: Output<'_>,
    ) {
        gemm_bf16(cpu, rows, panels, epilogue, output);
    }
}
