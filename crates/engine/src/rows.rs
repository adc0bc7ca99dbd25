//! Rows in the formats that products read, and the memory for them.

use std::ops::Range;

use half::bf16;
use medparse_kernels::gemm::{
    Element, Output, QuantizedRows, Rows, RowsMut, narrow_rows, plane_rows, quantize_rows,
};
use medparse_kernels::{Arena, Cpu};

use crate::precision::Precision;

/// Values of planes of so many rows and columns.
fn planes_len<T: Element>(rows: usize, columns: usize) -> usize {
    columns.next_multiple_of(T::PER_LINE) * rows
}

/// Bytes that such planes take of an arena.
fn planes_bytes<T: Element>(rows: usize, columns: usize) -> usize {
    Arena::bytes::<T>(planes_len::<T>(rows, columns))
}

/// From one row of f32 values to the next: whole lines, and one more, since rows whose length is a
/// multiple of a page, as widths often are, compete for the same few sets of the cache.
pub(crate) fn pitch(columns: usize) -> usize {
    columns.next_multiple_of(f32::PER_LINE) + f32::PER_LINE
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
        match precision {
            Precision::F32 => planes_bytes::<f32>(rows, columns),
            Precision::Bf16 => planes_bytes::<bf16>(rows, columns),
            Precision::Int8 => {
                planes_bytes::<f32>(rows, columns)
                    + planes_bytes::<u8>(rows, columns)
                    + Arena::bytes::<f32>(rows)
            }
        }
    }

    /// Room for so many rows and columns.
    pub fn new(arena: &mut Arena<'a>, precision: Precision, rows: usize, columns: usize) -> Self {
        let count = |wanted: bool, len: usize| if wanted { len } else { 0 };
        let (narrow, int8) = (precision == Precision::Bf16, precision == Precision::Int8);
        Self {
            precision,
            capacity: rows,
            values: arena.take(count(!narrow, planes_len::<f32>(rows, columns))),
            narrow: arena.take(count(narrow, planes_len::<bf16>(rows, columns))),
            bytes: arena.take(count(int8, planes_len::<u8>(rows, columns))),
            scales: arena.take(count(int8, rows)),
        }
    }

    /// Rows that are there already, in the room's format.
    pub fn hold<'s>(&'s mut self, cpu: &Cpu, rows: Rows<'s, f32>) -> Input<'s> {
        let (count, columns) = (rows.rows(), rows.columns());
        match self.precision {
            Precision::F32 => Input::F32(rows),
            Precision::Bf16 => {
                let columns = columns.next_multiple_of(bf16::PER_WORD);
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
            if !columns.is_multiple_of(bf16::PER_WORD) {
                // What fills the last word up must be zero.
                self.narrow.fill(bf16::ZERO);
            }
            write(RowsMut::planes(&mut *self.narrow, count, columns, self.capacity).into());
            let columns = columns.next_multiple_of(bf16::PER_WORD);
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
        let columns = columns.next_multiple_of(u8::PER_WORD);
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
        match precision {
            Precision::Bf16 => planes_bytes::<bf16>(plane_rows(rows), columns),
            Precision::F32 | Precision::Int8 => planes_bytes::<f32>(plane_rows(rows), columns),
        }
    }

    /// Planes for a product in `precision`: bfloat16 if that is what it reads, f32 if not.
    pub fn new(arena: &mut Arena<'a>, precision: Precision, shape: [usize; 2]) -> Self {
        let [rows, columns] = shape;
        let distance = plane_rows(rows);
        let is_narrow = precision == Precision::Bf16;
        let wide = arena.take(if is_narrow { 0 } else { planes_len::<f32>(distance, columns) });
        let narrow: &mut [bf16] =
            arena.take(if is_narrow { planes_len::<bf16>(distance, columns) } else { 0 });
        if !columns.is_multiple_of(bf16::PER_WORD) {
            // What fills the last word up must be zero.
            narrow.fill(bf16::ZERO);
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
            let columns = columns.next_multiple_of(bf16::PER_WORD);
            let rows = Rows::planes(self.narrow, rows, columns, distance);
            Input::Bf16(rows.slice_rows(range))
        }
    }
}
