//! Functions of each value.

use burn::backend::flex::FlexTensor;
use burn::tensor::{Tensor, activation};
use medparse_kernels::Activation;

use super::kernels::{Operation, Saved, apply, cpu, input, serves, tensor, values};

/// `x · Φ(x)` with the exact normal distribution (erf).
pub(crate) fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !serves(&x) {
        return activation::gelu(x);
    }
    apply(Activation::Gelu, vec![input(x)])
}

/// `max(x, 0)`.
pub(crate) fn relu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !serves(&x) {
        return activation::relu(x);
    }
    apply(Activation::Relu, vec![input(x)])
}

/// `x · σ(1.702 x)`, as in CLIP.
pub(crate) fn quick_gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !serves(&x) {
        return x.clone() * activation::sigmoid(x * 1.702);
    }
    apply(Activation::QuickGelu, vec![input(x)])
}

impl Operation for Activation {
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Saved) {
        let x = inputs[0].to_contiguous();
        let mut y = vec![0.0; values(&x).len()];
        Activation::forward(*self, &cpu(), values(&x), &mut y);
        (tensor(y, x.layout().shape().clone()), Saved::tensors([x]))
    }

    fn backward(&self, saved: &Saved, slope: FlexTensor, _: &[bool]) -> Vec<Option<FlexTensor>> {
        let (x, dy) = (&saved.tensors[0], slope.to_contiguous());
        let mut dx = vec![0.0; values(x).len()];
        Activation::backward(*self, &cpu(), values(x), values(&dy), &mut dx);
        vec![Some(tensor(dx, x.layout().shape().clone()))]
    }
}
