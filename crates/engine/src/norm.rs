//! Norms with their weights.

use medparse_kernels::Cpu;
use medparse_kernels::gemm::{Output, Rows, RowsMut};
use medparse_kernels::norm::{GroupNorm, LayerNorm};

use crate::loader::Loader;
use crate::stored::Vector;

/// The epsilon of vision and decoder; the text encoder's is another.
pub(crate) const EPSILON: f32 = 1e-5;

/// The groups of every GroupNorm.
const GROUPS: usize = 32;

/// The factors and terms of a norm.
#[derive(Debug)]
pub(crate) struct Norm {
    weight: Vector,
    bias: Vector,
    epsilon: f32,
}

impl Norm {
    pub fn load<E>(
        loader: &mut Loader<'_, E>,
        key: &str,
        width: usize,
        epsilon: f32,
    ) -> Result<Self, E> {
        Ok(Self {
            weight: loader.vector(&format!("{key}.weight"), &[width])?,
            bias: loader.vector(&format!("{key}.bias"), &[width])?,
            epsilon,
        })
    }

    /// Over the channels of each row.
    pub fn layer(&self) -> LayerNorm<'_> {
        LayerNorm { weight: &self.weight, bias: &self.bias, epsilon: self.epsilon }
    }

    /// Over groups of channels of all rows.
    pub fn group(&self) -> GroupNorm<'_> {
        let (weight, bias) = (&*self.weight, &*self.bias);
        GroupNorm { groups: GROUPS, weight, bias, epsilon: self.epsilon }
    }

    /// `to = norm(x)` of rows side by side.
    pub fn rows(&self, cpu: &Cpu, x: &[f32], to: &mut [f32]) {
        let width = self.weight.len();
        let to = Output::F32(RowsMut::row_major(to, x.len() / width, width));
        self.layer().forward(cpu, Rows::row_major(x, x.len() / width, width), to);
    }

    /// `x = norm(x)` of rows side by side.
    pub fn in_place(&self, cpu: &Cpu, x: &mut [f32]) {
        let width = self.weight.len();
        let rows = x.len() / width;
        self.layer().forward_in_place(cpu, RowsMut::row_major(x, rows, width));
    }
}
