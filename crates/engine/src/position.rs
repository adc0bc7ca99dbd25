//! The sine position encoding of DETR, with its quirks.

use std::f32::consts::TAU;

use medparse_kernels::Cpu;

/// The encodings of rows and of columns, from which that of a pixel is put together: the first
/// half of the channels encodes the row, the second half the column.
///
/// Row `r` of `H` stands at `(r + 1) / (H + 1e-6) · 2π`; channel `i` of a half is the sine
/// (even `i`) or cosine (odd `i`) of that, divided by `10000^(2⌊i/2⌋ / (channels/2))`; all in
/// f32, as the reference computes it.
#[derive(Debug)]
pub(crate) struct Position {
    size: [usize; 2],
    half: usize,
    /// `[height, half]`.
    rows: Vec<f32>,
    /// `[width, half]`.
    columns: Vec<f32>,
}

impl Position {
    /// Of a map of `[height, width]` pixels.
    pub fn new(channels: usize, size: [usize; 2]) -> Self {
        let half = channels / 2;
        let [rows, columns] = size.map(|length| axis_encoding(half, length));
        Self { size, half, rows, columns }
    }

    /// The encoding itself, `[N, channels]`.
    pub fn write(&self, to: &mut [f32]) {
        let pixels = self
            .rows
            .chunks(self.half)
            .flat_map(|row| self.columns.chunks(self.half).map(move |column| [row, column]));
        for (to, [row, column]) in to.chunks_mut(2 * self.half).zip(pixels) {
            to[..self.half].copy_from_slice(row);
            to[self.half..].copy_from_slice(column);
        }
    }

    /// `to = x + position` of pixels with channels, row-major.
    pub fn add_to(&self, cpu: &Cpu, x: &[f32], to: &mut [f32]) {
        let width = self.size[1];
        let channels = 2 * self.half;
        let lines = x.chunks(width * channels).zip(to.chunks_mut(width * channels));
        cpu.threads().each(lines.zip(self.rows.chunks(self.half)), |((x, to), row)| {
            let pixels = x.chunks(channels).zip(to.chunks_mut(channels));
            for ((x, to), column) in pixels.zip(self.columns.chunks(self.half)) {
                let halves = x.chunks(self.half).zip(to.chunks_mut(self.half));
                for ((x, to), place) in halves.zip([row, column]) {
                    to.iter_mut().zip(x).zip(place).for_each(|((to, x), place)| *to = x + place);
                }
            }
        });
    }
}

/// `[length, channels]` of one axis.
fn axis_encoding(channels: usize, length: usize) -> Vec<f32> {
    let mut values = Vec::with_capacity(channels * length);
    for position in 0..length {
        for channel in 0..channels {
            let exponent = (2 * (channel / 2)) as f32 / channels as f32;
            let divisor = 10000f32.powf(exponent);
            let angle = (position + 1) as f32 / (length as f32 + 1e-6) * TAU / divisor;
            values.push(if channel % 2 == 0 { angle.sin() } else { angle.cos() });
        }
    }
    values
}
