//! The perceptrons of the transformers.

use medparse_kernels::gemm::Epilogue;
use medparse_kernels::{Activation, Arena, Cpu};

use crate::linear::Linear;
use crate::loader::Loader;
use crate::precision::Precision;

/// Two linear maps with an activation between them.
#[derive(Debug)]
pub(crate) struct FeedForward {
    first: Linear,
    second: Linear,
    activation: Activation,
}

/// The keys of the two maps, their widths, and what stands between them.
pub(crate) struct FeedForwardShape<'a> {
    pub keys: [&'a str; 2],
    pub width: usize,
    pub hidden: usize,
    pub activation: Activation,
}

impl FeedForward {
    pub fn load<E>(
        loader: &mut Loader<'_, E>,
        shape: &FeedForwardShape<'_>,
        precision: Precision,
    ) -> Result<Self, E> {
        let FeedForwardShape { keys: [first, second], width, hidden, activation } = *shape;
        Ok(Self {
            first: loader.linear(first, [hidden, width], precision)?,
            second: loader.linear(second, [width, hidden], precision)?,
            activation,
        })
    }

    /// Multiplications and additions of so many rows.
    pub fn flop(&self, rows: usize) -> u64 {
        self.first.flop(rows) + self.second.flop(rows)
    }

    /// Bytes that [`FeedForward::add`] takes of an arena.
    pub fn bytes(&self, rows: usize) -> usize {
        let scratch = self.first.scratch(rows).max(self.second.scratch(rows));
        Arena::bytes::<f32>(rows * self.first.columns()) + scratch
    }

    /// `y += second(activation(first(x)))`.
    pub fn add(&self, cpu: &Cpu, x: &[f32], y: &mut [f32], mut arena: Arena<'_>) {
        let rows = y.len() / self.second.columns();
        let hidden = arena.take::<f32>(rows * self.first.columns());
        let epilogue = Epilogue { activation: self.activation, ..self.first.epilogue() };
        self.first.rows_with(cpu, x, &epilogue, hidden, arena.rest());
        self.second.add(cpu, hidden, y, arena);
    }
}
