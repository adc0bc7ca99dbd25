//! What turns a query into its mask's factors, or into its presence.

use medparse_kernels::gemm::Epilogue;
use medparse_kernels::{Activation, Arena, Cpu};

use crate::linear::Linear;
use crate::loader::Loader;
use crate::precision::Precision;

/// Three linear maps with ReLU between them, from a query to its mask's factors or to its presence.
#[derive(Debug)]
pub(super) struct Perceptron {
    layers: [Linear; 3],
}

impl Perceptron {
    pub fn load<E>(loader: &mut Loader<'_, E>, key: &str, outputs: [usize; 3]) -> Result<Self, E> {
        let mut layer = |index: usize| {
            let shape = [outputs[index], outputs[0]];
            loader.linear(&format!("{key}.layers.{index}"), shape, Precision::F32)
        };
        Ok(Self { layers: [layer(0)?, layer(1)?, layer(2)?] })
    }

    pub fn flop(&self, rows: usize) -> u64 {
        self.layers.iter().map(|layer| layer.flop(rows)).sum()
    }

    pub fn bytes(&self, rows: usize) -> usize {
        let scratch = self.layers.iter().map(|layer| layer.scratch(rows)).fold(0, usize::max);
        2 * Arena::bytes::<f32>(rows * self.layers[0].columns()) + scratch
    }

    pub fn forward(&self, cpu: &Cpu, x: &[f32], y: &mut [f32], mut arena: Arena<'_>) {
        let [first, second, third] = &self.layers;
        let len = y.len() / third.columns() * first.columns();
        let (a, b) = (arena.take::<f32>(len), arena.take::<f32>(len));
        let epilogue = Epilogue { activation: Activation::Relu, ..first.epilogue() };
        first.rows_with(cpu, x, &epilogue, a, arena.rest());
        let epilogue = Epilogue { activation: Activation::Relu, ..second.epilogue() };
        second.rows_with(cpu, a, &epilogue, b, arena.rest());
        third.rows(cpu, b, y, arena);
    }
}
