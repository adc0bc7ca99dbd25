//! Changing the size of maps.

use burn::backend::flex::FlexTensor;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Tensor, module};
use medparse_kernels::resample::Resize;

use super::kernels::{Operation, Saved, apply, cpu, input, serves, tensor, values, with_scratch};

/// `[B, C, H, W]` at another size, each pixel that of its nearest neighbour.
pub(crate) fn nearest(x: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    resize(x, size, Method::Nearest)
}

/// `[B, C, H, W]` at another size, between four neighbours, corners not aligned.
pub(crate) fn bilinear(x: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    resize(x, size, Method::Bilinear)
}

fn resize(x: Tensor<4>, size: [usize; 2], method: Method) -> Tensor<4> {
    if serves(&x) {
        return apply(Resizing { from: x.dims(), to: size, method }, vec![input(x)]);
    }
    let mode = match method {
        Method::Nearest => InterpolateMode::Nearest,
        Method::Bilinear => InterpolateMode::Bilinear,
    };
    let options = InterpolateOptions::new(mode).with_align_corners(false).with_output_size(size);
    module::interpolate(x, options)
}

#[derive(Debug, Clone, Copy)]
enum Method {
    Nearest,
    Bilinear,
}

#[derive(Debug)]
struct Resizing {
    from: [usize; 4],
    to: [usize; 2],
    method: Method,
}

impl Resizing {
    fn kernel(&self) -> Resize {
        Resize { from: [self.from[2], self.from[3]], to: self.to }
    }
}

impl Operation for Resizing {
    fn forward(&self, inputs: &[FlexTensor]) -> (FlexTensor, Saved) {
        let x = inputs[0].to_contiguous();
        let ([batch, channels, ..], [height, width]) = (self.from, self.to);
        let (cpu, resize) = (cpu(), self.kernel());
        let mut y = vec![0.0; batch * channels * height * width];
        match self.method {
            Method::Nearest => resize.nearest_planes(&cpu, values(&x), &mut y),
            Method::Bilinear => with_scratch(resize.planes_scratch(&cpu), |scratch| {
                resize.bilinear_planes(&cpu, values(&x), &mut y, scratch);
            }),
        }
        (tensor(y, [batch, channels, height, width]), Saved::default())
    }

    fn backward(&self, _: &Saved, slope: FlexTensor, _: &[bool]) -> Vec<Option<FlexTensor>> {
        let (dy, resize) = (slope.to_contiguous(), self.kernel());
        let mut dx = vec![0.0; self.from.iter().product()];
        match self.method {
            Method::Nearest => resize.nearest_planes_backward(&cpu(), values(&dy), &mut dx),
            Method::Bilinear => resize.bilinear_planes_backward(&cpu(), values(&dy), &mut dx),
        }
        vec![Some(tensor(dx, self.from))]
    }
}
