//! Convolutions over all channels.

use burn::backend::flex::FlexTensor;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, module};
use medparse_kernels::conv::Conv;

use super::kernels::{
    Operation, Saved, apply, cpu, input, serves, sizes, tensor, values, with_scratch,
};

/// How a kernel moves over a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub stride: usize,
    /// Zeros on each side.
    pub padding: usize,
}

impl Window {
    /// Stride 1 and zeros such that the map keeps its size.
    pub fn same(weight: &Tensor<4>) -> Self {
        Self { stride: 1, padding: weight.dims()[2] / 2 }
    }
}

/// A convolution of `[B, C, H, W]` with `[C', C, k, k]`.
pub(crate) fn convolution(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    window: Window,
) -> Tensor<4> {
    if !serves(&x) {
        let Window { stride, padding } = window;
        let options = ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1);
        return module::conv2d(x, weight, bias, options);
    }
    let mut inputs = vec![input(x), input(weight)];
    inputs.extend(bias.map(input));
    apply(window, inputs)
}

impl Window {
    fn shape(self, x: &FlexTensor, weight: &FlexTensor) -> Conv {
        let ([batch, in_channels, height, width], [out_channels, _, kernel, _]) =
            (sizes(x), sizes(weight));
        let Self { stride, padding } = self;
        Conv { batch, in_channels, out_channels, height, width, kernel, stride, padding }
    }
}

/// Of x, the weight and, if there is one, the bias.
impl Operation for Window {
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Saved) {
        let [x, weight] = [0, 1].map(|i| inputs[i].to_contiguous());
        let bias = inputs.get(2).map(FlexTensor::to_contiguous);
        let (cpu, conv) = (cpu(), self.shape(&x, &weight));
        let [height, width] = conv.output_size();
        let mut y = vec![0.0; conv.batch * conv.out_channels * height * width];
        with_scratch(conv.forward_scratch(&cpu), |scratch| {
            let parameters = (values(&weight), bias.as_ref().map(values));
            conv.forward(&cpu, values(&x), parameters, &mut y, scratch);
        });
        let y = tensor(y, [conv.batch, conv.out_channels, height, width]);
        (y, Saved::tensors([x, weight]))
    }

    fn backward(
        &self,
        saved: &Saved,
        slope: FlexTensor,
        wanted: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let (x, weight) = (&saved.tensors[0], &saved.tensors[1]);
        let (cpu, conv) = (cpu(), self.shape(x, weight));
        let dy = slope.to_contiguous();
        let dx = wanted[0].then(|| {
            let mut dx = vec![0.0; values(x).len()];
            with_scratch(conv.backward_input_scratch(&cpu), |scratch| {
                conv.backward_input(&cpu, values(&dy), values(weight), &mut dx, scratch);
            });
            tensor(dx, x.layout().shape().clone())
        });
        let dweight = wanted[1].then(|| {
            let mut dweight = vec![0.0; values(weight).len()];
            with_scratch(conv.backward_weights_scratch(&cpu), |scratch| {
                conv.backward_weights(&cpu, values(x), values(&dy), &mut dweight, scratch);
            });
            tensor(dweight, weight.layout().shape().clone())
        });
        let dbias = wanted.get(2).is_some_and(|wanted| *wanted).then(|| {
            let mut dbias = vec![0.0; conv.out_channels];
            conv.backward_bias(&cpu, values(&dy), &mut dbias);
            tensor(dbias, [conv.out_channels])
        });
        vec![dx, dweight, dbias]
    }
}
