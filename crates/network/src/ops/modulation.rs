//! Focal modulation (Yang et al., "Focal Modulation Networks", 2022): a query modulated by gated
//! contexts of growing reach.
//!
//! Legend: L focal levels.

use std::sync::Arc;

use burn::backend::flex::FlexTensor;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, module};
use medparse_kernels::depthwise::{FocalChain, FocalChainGradients};
use medparse_kernels::gemm::{Epilogue, Rows, RowsMut, matmul, matmul_scratch};
use medparse_kernels::rows::multiply_rows;
use medparse_kernels::{Cpu, Matrix};

use super::convolution::{Window, convolution};
use super::gelu;
use super::kernels::{
    Operation, Saved, apply, cpu, input, serves, sizes, tensor, values, with_scratch,
};
use super::linear::{column_sums, product};

/// What modulates.
#[derive(Debug)]
pub(crate) struct Modulation {
    /// The depthwise filters of each level, `[C, 1, k, k]`, at least one.
    pub filters: Vec<Tensor<4>>,
    /// `[C, C, 1, 1]`.
    pub weight: Tensor<4>,
    /// `[C]`.
    pub bias: Option<Tensor<1>>,
}

/// `query * (W context + b)`, `[B, H, W, C]`, from a projection `[B, H, W, 2C + L + 1]` of query,
/// context and gates.
pub(crate) fn modulate(projection: Tensor<4>, by: Modulation) -> Tensor<4> {
    let Some(bias) = by.bias.clone().filter(|_| serves(&projection)) else {
        return composed(projection, by);
    };
    let kernels = by.filters.iter().map(|filter| filter.dims()[2]).collect();
    let filters = by.filters.into_iter().map(|filter| filter.flatten(0, 3));
    let filters: Tensor<1> = Tensor::cat(filters.collect(), 0);
    apply(
        Modulates { kernels },
        vec![input(projection), input(filters), input(by.weight), input(bias)],
    )
}

/// The definition, in burn's own operations.
fn composed(projection: Tensor<4>, by: Modulation) -> Tensor<4> {
    let (channels, levels) = (by.weight.dims()[0], by.filters.len());
    let projection = projection.permute([0, 3, 1, 2]); // [B, 2C + L + 1, H, W]
    let query = projection.clone().narrow(1, 0, channels);
    let mut context = projection.clone().narrow(1, channels, channels);
    let gates = projection.narrow(1, 2 * channels, levels + 1);
    let gate = |level| gates.clone().narrow(1, level, 1); // [B, 1, H, W]
    let mut sum: Option<Tensor<4>> = None;
    for (level, filter) in by.filters.into_iter().enumerate() {
        // Each level looks at the previous level's output, so the reach adds up.
        let padding = [filter.dims()[2] / 2; 2];
        let options = ConvOptions::new([1, 1], padding, [1, 1], channels);
        context = gelu(module::conv2d(context, filter, None, options));
        let gated = context.clone() * gate(level);
        sum = Some(match sum {
            Some(sum) => sum + gated,
            None => gated,
        });
    }
    let everywhere = gelu(context.mean_dim(3).mean_dim(2)) * gate(levels);
    let sum = match sum {
        Some(sum) => sum + everywhere,
        None => everywhere,
    };
    let window = Window::same(&by.weight);
    let modulator = convolution(sum / (levels + 1) as f64, by.weight, by.bias, window);
    (query * modulator).permute([0, 2, 3, 1])
}

/// Of the projection, all filters one after the other, the weight and the bias.
#[derive(Debug)]
struct Modulates {
    kernels: Vec<usize>,
}

/// A projection with the sizes of its chain.
struct Problem<'a> {
    chain: FocalChain<'a>,
    /// B H W.
    rows: usize,
    projection: &'a [f32],
    weight: &'a [f32],
}

impl<'a> Problem<'a> {
    fn new(kernels: &'a [usize], projection: &'a FlexTensor, weight: &'a FlexTensor) -> Self {
        let ([batch, height, width, _], [channels, ..]) =
            (sizes::<4>(projection), sizes::<4>(weight));
        Self {
            chain: FocalChain { batch, channels, height, width, kernels },
            rows: batch * height * width,
            projection: values(projection),
            weight: values(weight),
        }
    }

    fn projection(&self) -> Rows<'_, f32> {
        Rows::row_major(self.projection, self.rows, self.chain.projection_width())
    }

    fn query(&self) -> Rows<'_, f32> {
        let Self { chain, rows, projection, .. } = *self;
        Rows::pitched(projection, rows, chain.channels, chain.projection_width())
    }

    /// `(W context + b) * factor`.
    fn modulator_times(
        &self,
        cpu: &Cpu,
        (context, bias): (&[f32], &[f32]),
        factor: Rows<'_, f32>,
        into: RowsMut<'_, f32>,
    ) {
        let channels = self.chain.channels;
        let context = Matrix::row_major(context, self.rows, channels);
        let weight = Matrix::row_major(self.weight, channels, channels).transposed();
        let epilogue = Epilogue { bias: Some(bias), multiply: Some(factor), ..Default::default() };
        with_scratch(matmul_scratch(cpu, channels, channels), |scratch| {
            matmul(cpu, context, weight, &epilogue, into, scratch);
        });
    }
}

impl Operation for Modulates {
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Saved) {
        let [projection, filters, weight, bias] = [0, 1, 2, 3].map(|i| inputs[i].to_contiguous());
        let problem = Problem::new(&self.kernels, &projection, &weight);
        let (cpu, chain) = (cpu(), &problem.chain);
        let mut context = vec![0.0; problem.rows * chain.channels];
        let mut kept = vec![0.0; chain.saved_len()];
        with_scratch(chain.forward_scratch(&cpu), |scratch| {
            let into = (&mut context[..], &mut kept[..]);
            chain.forward(&cpu, problem.projection(), values(&filters), into, scratch);
        });
        let mut y = vec![0.0; context.len()];
        let into = RowsMut::row_major(&mut y, problem.rows, chain.channels);
        problem.modulator_times(&cpu, (&context, values(&bias)), problem.query(), into);
        let shape = [chain.batch, chain.height, chain.width, chain.channels];
        let context = tensor(context, shape);
        let tensors = vec![projection, filters, weight, bias, context];
        (tensor(y, shape), Saved { tensors, values: Arc::new(kept) })
    }

    fn backward(&self, saved: &Saved, slope: FlexTensor, _: &[bool]) -> Vec<Option<FlexTensor>> {
        let [projection, filters, weight, bias, context] =
            [0, 1, 2, 3, 4].map(|i| &saved.tensors[i]);
        let slope = slope.to_contiguous();
        let problem = Problem::new(&self.kernels, projection, weight);
        let (cpu, chain, rows) = (cpu(), &problem.chain, problem.rows);
        let (channels, across) = (chain.channels, chain.projection_width());
        let dy = Rows::row_major(values(&slope), rows, channels);

        let mut dprojection = vec![0.0; values(projection).len()];
        let into = RowsMut::pitched(&mut dprojection, rows, channels, across);
        problem.modulator_times(&cpu, (values(context), values(bias)), dy, into);
        let mut dmodulator = vec![0.0; rows * channels];
        let into = RowsMut::row_major(&mut dmodulator, rows, channels);
        multiply_rows(&cpu, dy, problem.query(), into);

        let of_modulator = Matrix::row_major(&dmodulator, rows, channels);
        let weights = Matrix::row_major(problem.weight, channels, channels);
        let dcontext = product(of_modulator, weights, None);
        let context = Matrix::row_major(values(context), rows, channels);
        let dweight = product(of_modulator.transposed(), context, None);

        let mut dfilters = vec![0.0; values(filters).len()];
        with_scratch(chain.backward_scratch(&cpu), |scratch| {
            let given = (problem.projection(), values(filters), &saved.values[..]);
            let gradients = FocalChainGradients {
                projection: RowsMut::row_major(&mut dprojection, rows, across),
                weights: &mut dfilters,
            };
            chain.backward(&cpu, given, &dcontext, gradients, scratch);
        });
        let dmodulator = tensor(dmodulator, [rows, channels]);
        let filters_len = dfilters.len();
        vec![
            Some(tensor(dprojection, projection.layout().shape().clone())),
            Some(tensor(dfilters, [filters_len])),
            Some(tensor(dweight, weight.layout().shape().clone())),
            Some(column_sums(&dmodulator, rows, channels)),
        ]
    }
}
