//! The pyramid's 3×3 convolutions.

use std::sync::Arc;
use std::time::Instant;

use half::bf16;
use medparse_kernels::conv::{Winograd, WinogradWeights};
use medparse_kernels::gemm::{Float, Rows, RowsMut};
use medparse_kernels::{Activation, Arena, Cpu};

use super::CONVOLUTIONS;
use crate::loader::Loader;
use crate::norm::{EPSILON, Norm};
use crate::precision::Precision;
use crate::stored::{Number, Stored};
use crate::trace::Trace;

/// A convolution, a GroupNorm and a ReLU.
#[derive(Debug)]
pub(super) struct ConvNorm {
    pub conv: Convolution,
    pub norm: Norm,
}

/// A 3×3 convolution after Winograd, in f32, where its error stays at the floor, or in bfloat16: with a quarter of the
/// multiplications, bytes would be no faster.
#[derive(Debug)]
pub(super) struct Convolution {
    pub conv: Winograd,
    pub precision: Precision,
    pub weights: Arc<Stored>,
}

impl ConvNorm {
    pub fn load<E>(
        loader: &mut Loader<'_, E>,
        key: &str,
        width: usize,
        shape: (usize, Precision),
    ) -> Result<Self, E> {
        Ok(Self {
            conv: Convolution::load(loader, key, [width, width], shape)?,
            norm: Norm::load(loader, &format!("{key}.norm"), width, EPSILON)?,
        })
    }

    pub fn bytes(&self, cpu: &Cpu) -> usize {
        let pixels = self.conv.conv.height * self.conv.conv.width;
        let norm = Arena::bytes::<f32>(self.norm.group().rows_scratch(pixels));
        self.conv.bytes(cpu).max(norm)
    }

    pub fn forward(
        &self,
        cpu: &Cpu,
        x: &[f32],
        y: &mut [f32],
        mut arena: Arena<'_>,
        trace: &mut Trace<'_>,
    ) {
        let start = Instant::now();
        self.conv.forward(cpu, x, None, y, arena.rest());
        trace.multiplied(CONVOLUTIONS, start, self.conv.flop(), self.conv.precision);
        let start = Instant::now();
        let norm = self.norm.group();
        let channels = self.conv.conv.out_channels;
        let pixels = y.len() / channels;
        let scratch = arena.take(norm.rows_scratch(pixels));
        let rows = RowsMut::row_major(y, pixels, channels);
        norm.forward_rows(cpu, rows, Activation::Relu, scratch);
        trace.took("pyramid: norms", start, 0);
    }
}

impl Convolution {
    /// `[output, input]` channels.
    pub fn load<E>(
        loader: &mut Loader<'_, E>,
        key: &str,
        [out_channels, in_channels]: [usize; 2],
        (side, precision): (usize, Precision),
    ) -> Result<Self, E> {
        let conv = Winograd { batch: 1, height: side, width: side, in_channels, out_channels };
        let (key, precision) = (format!("{key}.weight"), precision.of_words());
        let weights = match precision {
            Precision::F32 => loader.winograd::<f32>(&key, &conv)?,
            Precision::Bf16 | Precision::Int8 => loader.winograd::<bf16>(&key, &conv)?,
        };
        Ok(Self { conv, precision, weights })
    }

    fn scratch(&self, cpu: &Cpu) -> usize {
        match self.precision {
            Precision::F32 => self.conv.scratch::<f32>(cpu),
            Precision::Bf16 | Precision::Int8 => self.conv.scratch::<bf16>(cpu),
        }
    }

    pub fn bytes(&self, cpu: &Cpu) -> usize {
        Arena::bytes::<f32>(self.scratch(cpu))
    }

    /// What is multiplied and added: 36 products for a tile of 4×4 pixels.
    pub fn flop(&self) -> u64 {
        let Winograd { height, width, in_channels, out_channels, .. } = self.conv;
        let tiles = height.div_ceil(4) * width.div_ceil(4);
        2 * (36 * tiles * in_channels * out_channels) as u64
    }

    pub fn forward(
        &self,
        cpu: &Cpu,
        x: &[f32],
        bias: Option<&[f32]>,
        y: &mut [f32],
        mut arena: Arena<'_>,
    ) {
        match self.precision {
            Precision::F32 => self.run::<f32>(cpu, x, bias, y, arena.take(self.scratch(cpu))),
            Precision::Bf16 | Precision::Int8 => {
                self.run::<bf16>(cpu, x, bias, y, arena.take(self.scratch(cpu)));
            }
        }
    }

    fn run<T: Number + Float>(
        &self,
        cpu: &Cpu,
        x: &[f32],
        bias: Option<&[f32]>,
        y: &mut [f32],
        scratch: &mut [f32],
    ) {
        let Winograd { height, width, in_channels, out_channels, .. } = self.conv;
        let pixels = height * width;
        let packed = self.weights.values::<T>();
        let weights = WinogradWeights { packed, bias, activation: Activation::Identity };
        let (x, y) =
            (Rows::row_major(x, pixels, in_channels), RowsMut::row_major(y, pixels, out_channels));
        self.conv.forward(cpu, x, &weights, y, scratch);
    }
}
