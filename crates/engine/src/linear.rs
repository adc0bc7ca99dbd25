//! Linear maps whose weights are packed, and the rows they read.

use std::ops::Range;
use std::sync::Arc;

use half::bf16;
use medparse_kernels::gemm::{
    Epilogue, Output, Panels, QuantizedPanels, QuantizedRows, Rows, RowsMut, Store, Weights,
    gemm_bf16, gemm_f32, gemm_int8, narrow_rows, plane_rows, quantize_rows,
};
use medparse_kernels::{Arena, Cpu};

use crate::precision::Precision;
use crate::stored::{Stored, Vector};

/// Values in a line of a plane, for each format.
const LINE_F32: usize = 16;
const LINE_BF16: usize = 32;
const LINE_INT8: usize = 64;

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

/// Rows in the format of the weights they are to be multiplied by.
#[derive(Clone, Copy)]
pub(crate) enum Input<'a> {
    F32(Rows<'a, f32>),
    Bf16(Rows<'a, bf16>),
    Int8(QuantizedRows<'a>),
}

/// Room for such rows.
pub(crate) struct Room<'a> {
    precision: Precision,
    /// Rows of a plane.
    capacity: usize,
    values: &'a mut [f32],
    narrow: &'a mut [bf16],
    bytes: &'a mut [u8],
    scales: &'a mut [f32],
}

impl<'a> Room<'a> {
    /// What [`Room::new`] takes of an arena.
    pub fn bytes(precision: Precision, rows: usize, columns: usize) -> usize {
        let planes = |line: usize| columns.div_ceil(line) * rows * line;
        match precision {
            Precision::F32 => Arena::bytes::<f32>(planes(LINE_F32)),
            Precision::Bf16 => Arena::bytes::<bf16>(planes(LINE_BF16)),
            Precision::Int8 => {
                Arena::bytes::<f32>(planes(LINE_F32))
                    + Arena::bytes::<u8>(planes(LINE_INT8))
                    + Arena::bytes::<f32>(rows)
            }
        }
    }

    /// Room for so many rows and columns.
    pub fn new(arena: &mut Arena<'a>, precision: Precision, rows: usize, columns: usize) -> Self {
        let planes = |line: usize| columns.div_ceil(line) * rows * line;
        let count = |wanted: bool, len: usize| if wanted { len } else { 0 };
        let int8 = precision == Precision::Int8;
        Self {
            precision,
            capacity: rows,
            values: arena.take(count(precision != Precision::Bf16, planes(LINE_F32))),
            narrow: arena.take(count(precision == Precision::Bf16, planes(LINE_BF16))),
            bytes: arena.take(count(int8, planes(LINE_INT8))),
            scales: arena.take(count(int8, rows)),
        }
    }

    /// Rows that are there already, in the room's format.
    pub fn hold<'s>(&'s mut self, cpu: &Cpu, rows: Rows<'s, f32>) -> Input<'s> {
        let (count, columns) = (rows.rows(), rows.columns());
        match self.precision {
            Precision::F32 => Input::F32(rows),
            Precision::Bf16 => {
                let columns = columns.next_multiple_of(2);
                let to = RowsMut::planes(&mut *self.narrow, count, columns, self.capacity);
                narrow_rows(cpu, rows, to);
                Input::Bf16(Rows::planes(self.narrow, count, columns, self.capacity))
            }
            Precision::Int8 => self.quantized(cpu, Some(rows), [count, columns]),
        }
    }

    /// Rows that `write` makes, a product of the shape `[rows, columns]`.
    pub fn fill<'s>(
        &'s mut self,
        cpu: &Cpu,
        [count, columns]: [usize; 2],
        write: impl FnOnce(Output<'_>),
    ) -> Input<'s> {
        if self.precision == Precision::Bf16 {
            if columns % 2 == 1 {
                // What fills the last word up must be zero.
                self.narrow.fill(bf16::ZERO);
            }
            write(RowsMut::planes(&mut *self.narrow, count, columns, self.capacity).into());
            let columns = columns.next_multiple_of(2);
            return Input::Bf16(Rows::planes(self.narrow, count, columns, self.capacity));
        }
        write(RowsMut::planes(&mut *self.values, count, columns, self.capacity).into());
        match self.precision {
            Precision::Int8 => self.quantized(cpu, None, [count, columns]),
            _ => Input::F32(Rows::planes(self.values, count, columns, self.capacity)),
        }
    }

    /// Bytes of other rows, or of those in `values`.
    fn quantized<'s>(
        &'s mut self,
        cpu: &Cpu,
        rows: Option<Rows<'_, f32>>,
        [count, columns]: [usize; 2],
    ) -> Input<'s> {
        let Self { capacity, values, bytes, scales, .. } = self;
        let rows = match rows {
            Some(rows) => rows,
            None => Rows::planes(values, count, columns, *capacity),
        };
        let columns = columns.next_multiple_of(4);
        let scales = &mut scales[..count];
        quantize_rows(cpu, rows, RowsMut::planes(bytes, count, columns, *capacity), scales);
        let bytes = Rows::planes(bytes, count, columns, *capacity);
        Input::Int8(QuantizedRows::new(bytes, scales))
    }
}

/// A map of pixels with channels in planes, in the format that the next product reads best.
pub(crate) struct Planes<'a> {
    wide: &'a mut [f32],
    narrow: &'a mut [bf16],
    shape: [usize; 2],
}

impl<'a> Planes<'a> {
    /// What [`Planes::new`] takes of an arena.
    pub fn bytes(precision: Precision, [rows, columns]: [usize; 2]) -> usize {
        let planes = |line: usize| columns.div_ceil(line) * plane_rows(rows) * line;
        match precision {
            Precision::Bf16 => Arena::bytes::<bf16>(planes(LINE_BF16)),
            Precision::F32 | Precision::Int8 => Arena::bytes::<f32>(planes(LINE_F32)),
        }
    }

    /// Planes for a product in `precision`: bfloat16 if that is what it reads, f32 if not.
    pub fn new(arena: &mut Arena<'a>, precision: Precision, shape: [usize; 2]) -> Self {
        let [rows, columns] = shape;
        let planes = |line: usize| columns.div_ceil(line) * plane_rows(rows) * line;
        let bf16 = precision == Precision::Bf16;
        let wide = arena.take(if bf16 { 0 } else { planes(LINE_F32) });
        let narrow: &mut [bf16] = arena.take(if bf16 { planes(LINE_BF16) } else { 0 });
        if bf16 && columns % 2 == 1 {
            narrow.fill(half::bf16::ZERO);
        }
        Self { wide, narrow, shape }
    }

    /// Where the map is written.
    pub fn output(&mut self) -> Output<'_> {
        let [rows, columns] = self.shape;
        let distance = plane_rows(rows);
        if self.narrow.is_empty() {
            RowsMut::planes(&mut *self.wide, rows, columns, distance).into()
        } else {
            RowsMut::planes(&mut *self.narrow, rows, columns, distance).into()
        }
    }

    /// An f32 map, to be written.
    pub fn rows_mut(&mut self) -> RowsMut<'_, f32> {
        let [rows, columns] = self.shape;
        RowsMut::planes(&mut *self.wide, rows, columns, plane_rows(rows))
    }

    /// An f32 map.
    pub fn rows(&self) -> Rows<'_, f32> {
        let [rows, columns] = self.shape;
        Rows::planes(self.wide, rows, columns, plane_rows(rows))
    }

    /// Some of its rows, brought to the format of `room` where they are not in it.
    pub fn input<'s>(
        &'s self,
        cpu: &Cpu,
        range: Range<usize>,
        room: &'s mut Room<'_>,
    ) -> Input<'s> {
        let [rows, columns] = self.shape;
        let distance = plane_rows(rows);
        if self.narrow.is_empty() {
            let rows = Rows::planes(self.wide, rows, columns, distance);
            room.hold(cpu, rows.slice_rows(range))
        } else {
            let columns = columns.next_multiple_of(2);
            let rows = Rows::planes(self.narrow, rows, columns, distance);
            Input::Bf16(rows.slice_rows(range))
        }
    }
}
