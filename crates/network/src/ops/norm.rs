//! Normalisation over the last axis, and over groups of channels.

use std::sync::Arc;

use burn::backend::flex::FlexTensor;
use burn::nn::{GroupNorm, LayerNorm};
use burn::tensor::Tensor;
use medparse_kernels::norm;

use super::kernels::{
    Operation, Saved, apply, cpu, input, serves, sizes, tensor, values, with_scratch,
};

/// What keeps the root away from zero, where nothing else is said: burn's and torch's default.
const EPSILON: f64 = 1e-5;

/// Normalises the last axis; `norm` has the default epsilon.
pub(crate) fn layer_norm<const D: usize>(norm: &LayerNorm, x: Tensor<D>) -> Tensor<D> {
    layer_norm_with(norm, EPSILON, x)
}

/// Normalises the last axis; `norm` has this epsilon, which it keeps to itself.
pub(crate) fn layer_norm_with<const D: usize>(
    norm: &LayerNorm,
    epsilon: f64,
    x: Tensor<D>,
) -> Tensor<D> {
    match &norm.beta {
        Some(bias) if serves(&x) => apply(
            OverChannels { epsilon: epsilon as f32 },
            vec![input(x), input(norm.gamma.val()), input(bias.val())],
        ),
        _ => norm.forward(x),
    }
}

/// `x + scale * norm(y)`, how a branch with layer scale ends; `norm` has the default epsilon.
pub(crate) fn add_layer_norm<const D: usize>(
    norm: &LayerNorm,
    x: Tensor<D>,
    y: Tensor<D>,
    scale: Tensor<1>,
) -> Tensor<D> {
    match &norm.beta {
        // The scale is multiplied into weight and bias, each of one value for each channel.
        Some(bias) if serves(&x) => apply(
            AddOverChannels { epsilon: EPSILON as f32 },
            vec![
                input(x),
                input(y),
                input(norm.gamma.val() * scale.clone()),
                input(bias.val() * scale),
            ],
        ),
        _ => x + norm.forward(y) * scale.unsqueeze(),
    }
}

/// Normalises groups of channels of `[B, C, H, W]`.
pub(crate) fn group_norm(norm: &GroupNorm, x: Tensor<4>) -> Tensor<4> {
    match (&norm.gamma, &norm.beta) {
        (Some(weight), Some(bias)) if serves(&x) => apply(
            OverGroups { groups: norm.num_groups, epsilon: norm.epsilon as f32 },
            vec![input(x), input(weight.val()), input(bias.val())],
        ),
        _ => norm.forward(x),
    }
}

/// Of x, weight and bias.
#[derive(Debug)]
struct OverChannels {
    epsilon: f32,
}

/// The kernel's view of contiguous parameters.
fn channel_norm<'a>(
    weight: &'a FlexTensor,
    bias: &'a FlexTensor,
    epsilon: f32,
) -> norm::LayerNorm<'a> {
    norm::LayerNorm { weight: values(weight), bias: values(bias), epsilon }
}

/// The gradients of what was normalised, of the weight and of the bias.
fn channel_norm_gradients(
    saved: &Saved,
    (x, weight): (&FlexTensor, &FlexTensor),
    dy: &FlexTensor,
    epsilon: f32,
) -> [FlexTensor; 3] {
    let columns = values(weight).len();
    let (mut dx, mut dweight, mut dbias) =
        (vec![0.0; values(x).len()], vec![0.0; columns], vec![0.0; columns]);
    // The gradients do not depend on the bias.
    let norm = channel_norm(weight, weight, epsilon);
    let gradients =
        norm::LayerNormGradients { dx: &mut dx, dweight: &mut dweight, dbias: &mut dbias };
    with_scratch(norm.backward_scratch(), |scratch| {
        norm.backward(&cpu(), [values(x), values(dy)], &saved.values, gradients, scratch);
    });
    let shape = x.layout().shape().clone();
    [tensor(dx, shape), tensor(dweight, [columns]), tensor(dbias, [columns])]
}

impl Operation for OverChannels {
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Saved) {
        let [x, weight, bias] = [0, 1, 2].map(|i| inputs[i].to_contiguous());
        let norm = channel_norm(&weight, &bias, self.epsilon);
        let mut y = vec![0.0; values(&x).len()];
        let mut moments = vec![0.0; y.len() / norm.weight.len() * 2];
        norm.forward_saving(&cpu(), values(&x), &mut y, &mut moments);
        let y = tensor(y, x.layout().shape().clone());
        (y, Saved { tensors: vec![x, weight], values: Arc::new(moments) })
    }

    fn backward(&self, saved: &Saved, slope: FlexTensor, _: &[bool]) -> Vec<Option<FlexTensor>> {
        let inputs = (&saved.tensors[0], &saved.tensors[1]);
        let dy = slope.to_contiguous();
        channel_norm_gradients(saved, inputs, &dy, self.epsilon).map(Some).into()
    }
}

/// Of x, y, weight and bias.
#[derive(Debug)]
struct AddOverChannels {
    epsilon: f32,
}

impl Operation for AddOverChannels {
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Saved) {
        let [x, y, weight, bias] = [0, 1, 2, 3].map(|i| inputs[i].to_contiguous());
        let norm = channel_norm(&weight, &bias, self.epsilon);
        let mut sum = values(&x).to_vec();
        let mut moments = vec![0.0; sum.len() / norm.weight.len() * 2];
        norm.add_saving(&cpu(), values(&y), &mut sum, &mut moments);
        let sum = tensor(sum, x.layout().shape().clone());
        (sum, Saved { tensors: vec![y, weight], values: Arc::new(moments) })
    }

    fn backward(&self, saved: &Saved, slope: FlexTensor, _: &[bool]) -> Vec<Option<FlexTensor>> {
        let inputs = (&saved.tensors[0], &saved.tensors[1]);
        let slope = slope.to_contiguous();
        let [dy, dweight, dbias] = channel_norm_gradients(saved, inputs, &slope, self.epsilon);
        vec![Some(slope), Some(dy), Some(dweight), Some(dbias)]
    }
}

/// Of x, weight and bias.
#[derive(Debug)]
struct OverGroups {
    groups: usize,
    epsilon: f32,
}

impl OverGroups {
    fn norm<'a>(&self, weight: &'a FlexTensor, bias: &'a FlexTensor) -> norm::GroupNorm<'a> {
        let (weight, bias) = (values(weight), values(bias));
        norm::GroupNorm { groups: self.groups, weight, bias, epsilon: self.epsilon }
    }
}

impl Operation for OverGroups {
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Saved) {
        let [x, weight, bias] = [0, 1, 2].map(|i| inputs[i].to_contiguous());
        let [batch, ..] = sizes::<4>(&x);
        let mut y = vec![0.0; values(&x).len()];
        let mut moments = vec![0.0; batch * self.groups * 2];
        self.norm(&weight, &bias).forward_saving(&cpu(), values(&x), &mut y, &mut moments);
        let y = tensor(y, x.layout().shape().clone());
        (y, Saved { tensors: vec![x, weight], values: Arc::new(moments) })
    }

    fn backward(&self, saved: &Saved, slope: FlexTensor, _: &[bool]) -> Vec<Option<FlexTensor>> {
        let (x, weight) = (&saved.tensors[0], &saved.tensors[1]);
        let [batch, channels, ..] = sizes::<4>(x);
        let dy = slope.to_contiguous();
        // The gradients do not depend on the bias.
        let norm = self.norm(weight, weight);
        let (mut dx, mut dweight, mut dbias) =
            (vec![0.0; values(x).len()], vec![0.0; channels], vec![0.0; channels]);
        let gradients =
            norm::GroupNormGradients { dx: &mut dx, dweight: &mut dweight, dbias: &mut dbias };
        with_scratch(norm.backward_scratch(batch), |scratch| {
            norm.backward(&cpu(), [values(x), values(&dy)], &saved.values, gradients, scratch);
        });
        let dx = tensor(dx, x.layout().shape().clone());
        vec![Some(dx), Some(tensor(dweight, [channels])), Some(tensor(dbias, [channels]))]
    }
}
