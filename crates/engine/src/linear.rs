//! Linear maps whose weights are packed.

use std::sync::Arc;

use medparse_kernels::gemm::{
    Epilogue, Output, Panels, QuantizedPanels, Rows, RowsMut, Store, Weights, gemm_bf16, gemm_f32,
    gemm_int8, plane_rows,
};
use medparse_kernels::{Arena, Cpu};

use crate::precision::Precision;
use crate::rows::{Input, Room};
use crate::stored::{Stored, Vector};

/// Weights `[depth, columns]` in panels.
#[derive(Debug)]
pub(crate) enum Packed {
    F32 { depth: usize, columns: usize, panels: Arc<Stored> },
    Bf16 { depth: usize, columns: usize, panels: Arc<Stored> },
    Int8 { depth: usize, columns: usize, panels: Arc<Stored>, scales: Vector, offsets: Arc<Stored> },
}

impl Packed {
    /// The panels as the kernels take them.
    pub fn weights(&self) -> Weights<'_> {
        match self {
            Self::F32 { depth, columns, panels } => {
                Weights::F32(Panels::new(panels.values(), *depth, *columns))
            }
            Self::Bf16 { depth, columns, panels } => {
                Weights::Bf16(Panels::new(panels.values(), *depth, *columns))
            }
            Self::Int8 { depth, columns, panels, scales, offsets } => {
                let panels = Panels::new(panels.values(), *depth, *columns);
                Weights::Int8(QuantizedPanels::new(panels, scales, offsets.values()))
            }
        }
    }

    /// The format of the rows that they are multiplied by.
    pub fn precision(&self) -> Precision {
        match self {
            Self::F32 { .. } => Precision::F32,
            Self::Bf16 { .. } => Precision::Bf16,
            Self::Int8 { .. } => Precision::Int8,
        }
    }

    /// `[depth, columns]`.
    pub fn shape(&self) -> [usize; 2] {
        match self {
            Self::F32 { depth, columns, .. }
            | Self::Bf16 { depth, columns, .. }
            | Self::Int8 { depth, columns, .. } => [*depth, *columns],
        }
    }
}

/// A linear map.
#[derive(Debug)]
pub(crate) struct Linear {
    pub packed: Packed,
    pub bias: Option<Vector>,
}

impl Linear {
    /// Width of the output.
    pub fn columns(&self) -> usize {
        self.packed.shape()[1]
    }

    /// Multiplications and additions of so many rows.
    pub fn flop(&self, rows: usize) -> u64 {
        let [depth, columns] = self.packed.shape();
        2 * (rows * depth * columns) as u64
    }

    /// An epilogue with the bias.
    pub fn epilogue(&self) -> Epilogue<'_> {
        Epilogue { bias: self.bias.as_deref(), ..Epilogue::default() }
    }

    /// The product of rows in the right format.
    pub fn product(&self, cpu: &Cpu, x: Input<'_>, epilogue: &Epilogue<'_>, y: Output<'_>) {
        match (x, self.packed.weights()) {
            (Input::F32(x), Weights::F32(panels)) => gemm_f32(cpu, x, panels, epilogue, y),
            (Input::Bf16(x), Weights::Bf16(panels)) => gemm_bf16(cpu, x, panels, epilogue, y),
            (Input::Int8(x), Weights::Int8(panels)) => gemm_int8(cpu, x, panels, epilogue, y),
            _ => unreachable!("a room is made for the format of the weights that read it"),
        }
    }

    /// Bytes that [`Linear::apply`] takes of an arena.
    pub fn scratch(&self, rows: usize) -> usize {
        Room::bytes(self.packed.precision(), plane_rows(rows), self.packed.shape()[0])
    }

    /// `y = epilogue(x W)`, for rows in f32, with all threads.
    pub fn apply(
        &self,
        cpu: &Cpu,
        x: Rows<'_, f32>,
        epilogue: &Epilogue<'_>,
        y: RowsMut<'_, f32>,
        mut arena: Arena<'_>,
    ) {
        let capacity = plane_rows(x.rows());
        let shape = self.packed.shape();
        let mut room = Room::new(&mut arena, self.packed.precision(), capacity, shape[0]);
        self.product(cpu, room.hold(cpu, x), epilogue, y.into());
    }

    /// `y = x W + b` of rows side by side.
    pub fn rows(&self, cpu: &Cpu, x: &[f32], y: &mut [f32], arena: Arena<'_>) {
        self.rows_with(cpu, x, &self.epilogue(), y, arena);
    }

    /// `y += x W + b` of rows side by side.
    pub fn add(&self, cpu: &Cpu, x: &[f32], y: &mut [f32], arena: Arena<'_>) {
        self.rows_with(cpu, x, &Epilogue { store: Store::Add, ..self.epilogue() }, y, arena);
    }

    /// `y = epilogue(x W)` of rows side by side.
    pub fn rows_with(
        &self,
        cpu: &Cpu,
        x: &[f32],
        epilogue: &Epilogue<'_>,
        y: &mut [f32],
        arena: Arena<'_>,
    ) {
        let [depth, columns] = self.packed.shape();
        let rows = x.len() / depth;
        let x = Rows::row_major(x, rows, depth);
        self.apply(cpu, x, epilogue, RowsMut::row_major(y, rows, columns), arena);
    }
}
