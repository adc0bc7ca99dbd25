//! Linear maps of the last axis.

use burn::backend::flex::FlexTensor;
use burn::nn::Linear;
use burn::tensor::{Tensor, module};
use medparse_kernels::Matrix;
use medparse_kernels::gemm::{Epilogue, Rows, RowsMut, matmul, matmul_scratch};
use medparse_kernels::rows::{sum_rows, sum_rows_scratch};

use super::kernels::{
    Operation, Saved, apply, cpu, input, serves, sizes, tensor, values, with_scratch,
};

/// A layer, `x W + b`.
pub(crate) fn linear<const D: usize>(layer: &Linear, x: Tensor<D>) -> Tensor<D> {
    linear_of(x, layer.weight.val(), layer.bias.as_ref().map(|bias| bias.val()))
}

/// `x W + b` of the last axis, with a weight of `[inputs, outputs]`.
pub(crate) fn linear_of<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    if !serves(&x) {
        return module::linear(x, weight, bias);
    }
    let mut inputs = vec![input(x), input(weight)];
    inputs.extend(bias.map(input));
    apply(LinearMap, inputs)
}

#[derive(Debug)]
struct LinearMap;

/// A tensor of two axes as a matrix, whatever its strides.
fn matrix(x: &FlexTensor) -> Matrix<'_> {
    let ([rows, columns], layout) = (sizes(x), x.layout());
    let strides = [0, 1].map(|axis| layout.strides()[axis].unsigned_abs());
    Matrix::strided(&x.storage::<f32>()[layout.start_offset()..], rows, columns, strides)
}

/// A tensor of two axes that [`matrix`] can read.
fn readable(x: &FlexTensor) -> FlexTensor {
    if x.layout().has_positive_strides() { x.clone() } else { x.to_contiguous() }
}

/// `a b`, with a bias for each column.
pub(super) fn product(a: Matrix<'_>, b: Matrix<'_>, bias: Option<&[f32]>) -> Vec<f32> {
    let (cpu, mut out) = (cpu(), vec![0.0; a.rows() * b.columns()]);
    with_scratch(matmul_scratch(&cpu, b.rows(), b.columns()), |scratch| {
        let epilogue = Epilogue { bias, ..Default::default() };
        let into = RowsMut::row_major(&mut out, a.rows(), b.columns());
        matmul(&cpu, a, b, &epilogue, into, scratch);
    });
    out
}

impl Operation for LinearMap {
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Saved) {
        let (x, weight) = (inputs[0].to_contiguous(), readable(&inputs[1]));
        let bias = inputs.get(2).map(FlexTensor::to_contiguous);
        let [from, to] = sizes(&weight);
        let rows = values(&x).len() / from.max(1);
        let bias = bias.as_ref().map(values);
        let y = product(Matrix::row_major(values(&x), rows, from), matrix(&weight), bias);
        let mut shape = x.layout().shape().clone();
        let last = shape.num_dims() - 1;
        shape[last] = to;
        (tensor(y, shape), Saved::tensors([x, weight]))
    }

    fn backward(
        &self,
        saved: &Saved,
        slope: FlexTensor,
        wanted: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let (x, weight) = (&saved.tensors[0], &saved.tensors[1]);
        let [from, to] = sizes(weight);
        let dy = slope.to_contiguous();
        let rows = values(&dy).len() / to.max(1);
        let dy_rows = Matrix::row_major(values(&dy), rows, to);
        let dx = wanted[0].then(|| {
            let dx = product(dy_rows, matrix(weight).transposed(), None);
            tensor(dx, x.layout().shape().clone())
        });
        let dweight = wanted[1].then(|| {
            let x = Matrix::row_major(values(x), rows, from).transposed();
            tensor(product(x, dy_rows, None), [from, to])
        });
        let dbias = wanted.get(2).is_some_and(|wanted| *wanted).then(|| column_sums(&dy, rows, to));
        vec![dx, dweight, dbias]
    }
}

/// The sums of the columns of a contiguous tensor, as the gradient of a bias is.
pub(super) fn column_sums(x: &FlexTensor, rows: usize, columns: usize) -> FlexTensor {
    let mut sums = vec![0.0; columns];
    with_scratch(sum_rows_scratch(columns), |scratch| {
        sum_rows(&cpu(), Rows::row_major(values(x), rows, columns), &mut sums, scratch);
    });
    tensor(sums, [columns])
}
