//! What every question needs of a picture, made once.

use std::time::Instant;

use half::bf16;
use medparse_config::LEVELS;
use medparse_kernels::attention::{Attention, KeyValuesMut};
use medparse_kernels::gemm::{Float, Panels, Rows, RowsMut, pack_f32};
use medparse_kernels::resample::Resize;
use medparse_kernels::{Arena, Cpu, Matrix};

use super::QueryDecoder;
use crate::image::{ImageLayout, ImageParts};
use crate::precision::Precision;
use crate::trace::Trace;

impl QueryDecoder {
    /// Where the parts of a picture lie; its mask features may need more room while they are made.
    pub fn layout(&self, least_features: usize) -> ImageLayout {
        ImageLayout {
            features: (self.side.pow(2) * self.mask_width).max(least_features),
            panels: std::array::from_fn(|level| {
                Panels::<f32>::len(self.mask_width, self.pixels(level))
            }),
            seen: (0..self.layers.len())
                .map(|layer| {
                    let cross = self.cross(layer);
                    match self.seen {
                        Precision::F32 => packed_bytes::<f32>(&cross),
                        Precision::Bf16 | Precision::Int8 => packed_bytes::<bf16>(&cross),
                    }
                })
                .collect(),
        }
    }

    /// Bytes that [`QueryDecoder::look`] takes of an arena.
    pub fn look_bytes(&self) -> usize {
        let levels = (0..LEVELS.min(self.layers.len())).map(|level| {
            let pixels = self.pixels(level);
            let cross = &self.layers[level].cross;
            let scratch = cross.key.scratch(pixels).max(cross.value.scratch(pixels));
            3 * Arena::bytes::<f32>(pixels * self.width) + scratch
        });
        let shrunken = (0..LEVELS).map(|level| self.pixels(level) * self.mask_width);
        levels.chain(shrunken.map(Arena::bytes::<f32>)).fold(0, usize::max)
    }

    /// Makes what every question needs of a picture: the keys and values of each layer and the
    /// shrunken mask features. `levels` are the pyramid's, `[N, C]`, coarsest first.
    pub fn look(
        &self,
        cpu: &Cpu,
        levels: [&mut [f32]; LEVELS],
        parts: &mut ImageParts<'_>,
        mut arena: Arena<'_>,
        trace: &mut Trace<'_>,
    ) {
        let start = Instant::now();
        let mut flop = 0;
        for (level, source) in levels.into_iter().enumerate() {
            let pixels = self.pixels(level);
            let term = &self.level_embed[level * self.width..][..self.width];
            add_term(cpu, source, term);
            trace.stage(|| format!("dec.src.{level}"), source);
            let mut arena = arena.rest();
            let [placed, keys, values]: [&mut [f32]; 3] =
                std::array::from_fn(|_| arena.take(pixels * self.width));
            if trace.is_watched() {
                self.positions[level].write(placed);
                trace.stage(|| format!("dec.pos.{level}"), placed);
            }
            self.positions[level].add_to(cpu, source, placed);
            for layer in (level..self.layers.len()).step_by(LEVELS) {
                let cross = &self.layers[layer].cross;
                cross.key.rows(cpu, placed, keys, arena.rest());
                cross.value.rows(cpu, source, values, arena.rest());
                let (problem, made) = (self.cross(layer), [&*keys, &*values]);
                match self.seen {
                    Precision::F32 => pack_seen::<f32>(cpu, &problem, made, &mut parts.seen[layer]),
                    Precision::Bf16 | Precision::Int8 => {
                        pack_seen::<bf16>(cpu, &problem, made, &mut parts.seen[layer]);
                    }
                }
                flop += cross.key.flop(pixels) + cross.value.flop(pixels);
            }
        }
        let format = self.layers.first().map(|layer| layer.cross.key.packed.precision());
        trace.multiplied("keys and values", start, flop, format.unwrap_or_default());
        let start = Instant::now();
        let features = &parts.features[..self.side.pow(2) * self.mask_width];
        let features = Rows::row_major(features, self.side.pow(2), self.mask_width);
        for (level, panels) in parts.panels.iter_mut().enumerate() {
            let (pixels, side) = (self.pixels(level), self.level_side(level));
            let mut arena = arena.rest();
            let shrunken = arena.take::<f32>(pixels * self.mask_width);
            let resize = Resize { from: [self.side; 2], to: [side; 2] };
            let to = RowsMut::row_major(&mut *shrunken, pixels, self.mask_width);
            resize.bilinear_rows(cpu, features, to);
            let matrix = Matrix::row_major(shrunken, pixels, self.mask_width);
            pack_f32(cpu, matrix.transposed(), panels);
        }
        trace.took("shrunken mask features", start, 0);
    }
}

/// Bytes of packed keys and values.
fn packed_bytes<T: Float>(problem: &Attention) -> [usize; 2] {
    [problem.packed_keys::<T>(), problem.packed_values::<T>()].map(|len| len * size_of::<T>())
}

/// Packs keys and values into bytes.
fn pack_seen<T: Float>(
    cpu: &Cpu,
    problem: &Attention,
    made: [&[f32]; 2],
    [keys, values]: &mut [&mut [u8]; 2],
) {
    let packed = KeyValuesMut::<T> {
        keys: bytemuck::cast_slice_mut(keys),
        values: bytemuck::cast_slice_mut(values),
    };
    problem.pack(cpu, made, packed);
}

/// Adds the same term to every row.
fn add_term(cpu: &Cpu, rows: &mut [f32], term: &[f32]) {
    const ROWS: usize = 64;
    cpu.threads().each(rows.chunks_mut(ROWS * term.len()), |rows| {
        for row in rows.chunks_mut(term.len()) {
            row.iter_mut().zip(term).for_each(|(value, term)| *value += term);
        }
    });
}
