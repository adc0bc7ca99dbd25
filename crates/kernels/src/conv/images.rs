//! Convolution of `[batch, channels, height, width]` and its gradients, for training.

use super::patches::{Patches, Turned};
use crate::buffer::check_scratch;
use crate::gemm::matmul::multiply;
use crate::gemm::{Epilogue, RowsMut, Store, matmul, matmul_scratch};
use crate::matrix::Matrix;
use crate::threads::Cpu;

/// A convolution by square kernels with zeros around the image.
///
/// Images are `[batch, channels, height, width]`, weights `[out_channels, in_channels, kernel, kernel]`. The output has
/// `(side + 2 * padding - kernel) / stride + 1` pixels along each side, rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Images.
    pub batch: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// The side of the kernels.
    pub kernel: usize,
    /// From one output pixel to the next, in pixels of the input.
    pub stride: usize,
    /// Zeros on each side of the image.
    pub padding: usize,
}

impl Conv {
    /// Rows and columns of the output.
    ///
    /// # Panics
    /// If the kernel or the stride is zero, or the kernel is larger than the image with its zeros.
    pub fn output_size(&self) -> [usize; 2] {
        assert!(
            self.kernel > 0 && self.stride > 0,
            "a convolution needs a kernel and a stride: {self:?}"
        );
        [self.height, self.width].map(|side| {
            let padded = side + 2 * self.padding;
            assert!(padded >= self.kernel, "the kernel is larger than the image: {self:?}");
            (padded - self.kernel) / self.stride + 1
        })
    }

    fn out_pixels(&self) -> usize {
        self.output_size().iter().product()
    }

    fn taps(&self) -> usize {
        self.in_channels * self.kernel.pow(2)
    }

    fn input_len(&self) -> usize {
        self.in_channels * self.height * self.width
    }

    fn padded_len(&self) -> usize {
        self.in_channels * (self.height + 2 * self.padding) * (self.width + 2 * self.padding)
    }

    #[track_caller]
    fn check(&self, x: usize, weights: usize, y: usize, scratch: (usize, usize)) {
        assert_eq!(x, self.batch * self.input_len(), "the input of {self:?}");
        assert_eq!(weights, self.out_channels * self.taps(), "the weights of {self:?}");
        assert_eq!(y, self.batch * self.out_channels * self.out_pixels(), "the output of {self:?}");
        let (given, needed) = scratch;
        check_scratch(given, needed);
    }

    /// The patches of a padded image.
    fn patches<'a>(&self, image: &'a [f32]) -> Patches<'a> {
        Patches {
            image,
            channels: self.in_channels,
            height: self.height + 2 * self.padding,
            width: self.width + 2 * self.padding,
            kernel: self.kernel,
            stride: self.stride,
            out_width: self.output_size()[1],
            pixels: self.out_pixels(),
        }
    }

    /// The image with its zeros around it, in `space` unless it needs none.
    fn padded<'a>(&self, cpu: &Cpu, image: &'a [f32], space: &'a mut [f32]) -> &'a [f32] {
        if self.padding == 0 {
            return image;
        }
        let (pad, width) = (self.padding, self.width + 2 * self.padding);
        let plane = (self.height + 2 * pad) * width;
        let planes = space.chunks_mut(plane).zip(image.chunks(self.height * self.width));
        cpu.threads().each(planes, |(to, from)| {
            to.fill(0.0);
            let rows = to[pad * width..].chunks_mut(width).zip(from.chunks(self.width));
            rows.for_each(|(to, from)| to[pad..pad + self.width].copy_from_slice(from));
        });
        space
    }

    /// Values of scratch space that [`Conv::forward`] takes.
    pub fn forward_scratch(&self, cpu: &Cpu) -> usize {
        self.padded_len() + matmul_scratch(cpu, self.taps(), self.out_pixels())
    }

    /// `y = conv(x) + bias`, with one bias for each output channel.
    ///
    /// # Panics
    /// If a length does not fit the shape, or `scratch` has fewer values than [`Conv::forward_scratch`] says.
    pub fn forward(
        &self,
        cpu: &Cpu,
        x: &[f32],
        (weights, bias): (&[f32], Option<&[f32]>),
        y: &mut [f32],
        scratch: &mut [f32],
    ) {
        self.check(x.len(), weights.len(), y.len(), (scratch.len(), self.forward_scratch(cpu)));
        let (channels, pixels) = (self.out_channels, self.out_pixels());
        if y.is_empty() {
            return;
        }
        let (space, scratch) = scratch.split_at_mut(self.padded_len());
        let weights = Matrix::row_major(weights, channels, self.taps());
        let epilogue = Epilogue { row_bias: bias, ..Default::default() };
        for (index, y) in y.chunks_mut(channels * pixels).enumerate() {
            let x = &x[index * self.input_len()..][..self.input_len()];
            let patches = self.patches(self.padded(cpu, x, space));
            multiply(
                cpu,
                weights,
                &patches,
                &epilogue,
                RowsMut::row_major(y, channels, pixels),
                scratch,
            );
        }
    }

    /// Values of scratch space that [`Conv::backward_weights`] takes.
    pub fn backward_weights_scratch(&self, cpu: &Cpu) -> usize {
        self.padded_len() + matmul_scratch(cpu, self.out_pixels(), self.taps())
    }

    /// The gradient of the weights.
    ///
    /// # Panics
    /// If a length does not fit the shape, or `scratch` has fewer values than [`Conv::backward_weights_scratch`] says.
    pub fn backward_weights(
        &self,
        cpu: &Cpu,
        x: &[f32],
        dy: &[f32],
        dweights: &mut [f32],
        scratch: &mut [f32],
    ) {
        let needed = self.backward_weights_scratch(cpu);
        self.check(x.len(), dweights.len(), dy.len(), (scratch.len(), needed));
        let (channels, pixels) = (self.out_channels, self.out_pixels());
        dweights.fill(0.0);
        if dy.is_empty() {
            return;
        }
        let (space, scratch) = scratch.split_at_mut(self.padded_len());
        let epilogue = Epilogue { store: Store::Add, ..Default::default() };
        for (index, dy) in dy.chunks(channels * pixels).enumerate() {
            let x = &x[index * self.input_len()..][..self.input_len()];
            let patches = Turned(self.patches(self.padded(cpu, x, space)));
            let into = RowsMut::row_major(dweights, channels, self.taps());
            multiply(
                cpu,
                Matrix::row_major(dy, channels, pixels),
                &patches,
                &epilogue,
                into,
                scratch,
            );
        }
    }

    /// The gradient of the bias: the sum of `dy` over images and pixels.
    ///
    /// # Panics
    /// If a length does not fit the shape.
    pub fn backward_bias(&self, cpu: &Cpu, dy: &[f32], dbias: &mut [f32]) {
        let (channels, pixels) = (self.out_channels, self.out_pixels());
        assert_eq!(dy.len(), self.batch * channels * pixels, "the output of {self:?}");
        assert_eq!(dbias.len(), channels, "one bias for each channel");
        cpu.threads().each(dbias.iter_mut().enumerate(), |(channel, sum)| {
            let planes = dy.chunks_exact(pixels.max(1)).skip(channel).step_by(channels);
            // Rows of values are summed in f32, the rows in f64.
            let of_rows = planes
                .flat_map(|plane| plane.chunks(256))
                .map(|row| f64::from(row.iter().sum::<f32>()));
            *sum = of_rows.sum::<f64>() as f32;
        });
    }

    /// Channels whose gradient is made at a time.
    fn channel_block(&self) -> usize {
        self.in_channels.min(32)
    }

    /// Values of scratch space that [`Conv::backward_input`] takes.
    pub fn backward_input_scratch(&self, cpu: &Cpu) -> usize {
        let rows = self.channel_block() * self.kernel.pow(2);
        rows * self.out_pixels() + matmul_scratch(cpu, self.out_channels, self.out_pixels())
    }

    /// The gradient of the input: the gradients of all patches, added up where they overlap.
    ///
    /// # Panics
    /// If a length does not fit the shape, or `scratch` has fewer values than [`Conv::backward_input_scratch`] says.
    pub fn backward_input(
        &self,
        cpu: &Cpu,
        dy: &[f32],
        weights: &[f32],
        dx: &mut [f32],
        scratch: &mut [f32],
    ) {
        let needed = self.backward_input_scratch(cpu);
        self.check(dx.len(), weights.len(), dy.len(), (scratch.len(), needed));
        let (channels, pixels, taps) = (self.out_channels, self.out_pixels(), self.kernel.pow(2));
        dx.fill(0.0);
        if dy.is_empty() || dx.is_empty() {
            return;
        }
        let (of_patches, scratch) = scratch.split_at_mut(self.channel_block() * taps * pixels);
        let plane = self.height * self.width;
        for (dx, dy) in dx.chunks_mut(self.input_len()).zip(dy.chunks(channels * pixels)) {
            let dy = Matrix::row_major(dy, channels, pixels);
            for (block, dx) in dx.chunks_mut(self.channel_block() * plane).enumerate() {
                let first = block * self.channel_block() * taps;
                let rows = dx.len() / plane * taps;
                // The weights of these channels, with the output channels as columns.
                let weights = Matrix::strided(&weights[first..], rows, channels, [1, self.taps()]);
                let of_patches = &mut of_patches[..rows * pixels];
                let into = RowsMut::row_major(&mut *of_patches, rows, pixels);
                matmul(cpu, weights, dy, &Epilogue::default(), into, scratch);
                let planes = dx.chunks_mut(plane).zip(of_patches.chunks(taps * pixels));
                cpu.threads().each(planes, |(dx, of_patches)| self.add_patches(of_patches, dx));
            }
        }
    }

    /// Adds the gradients of the patches of one channel, `[kernel, kernel, pixels]`, to that of the channel.
    fn add_patches(&self, of_patches: &[f32], dx: &mut [f32]) {
        let [out_height, out_width] = self.output_size();
        for (tap, of_tap) in of_patches.chunks_exact(out_height * out_width).enumerate() {
            let (ky, kx) = (tap / self.kernel, tap % self.kernel);
            let inside =
                |at: usize, side: usize| at.checked_sub(self.padding).filter(|at| *at < side);
            for (row, of_row) in of_tap.chunks_exact(out_width).enumerate() {
                let Some(y) = inside(row * self.stride + ky, self.height) else { continue };
                let dx = &mut dx[y * self.width..][..self.width];
                // The output pixels of the row whose tap lies in the image.
                let first = self.padding.saturating_sub(kx).div_ceil(self.stride);
                let end = (self.width + self.padding)
                    .saturating_sub(kx)
                    .div_ceil(self.stride)
                    .min(out_width);
                if first < end {
                    let start = first * self.stride + kx - self.padding;
                    let to = dx[start..].iter_mut().step_by(self.stride);
                    to.zip(&of_row[first..end]).for_each(|(to, slope)| *to += slope);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, assert_close, machines};

    /// All terms of the convolution: `f(index of y, index of x, index of the weight)`.
    fn terms(conv: &Conv, mut f: impl FnMut(usize, usize, usize)) {
        let [out_height, out_width] = conv.output_size();
        let kernel = conv.kernel;
        for image in 0..conv.batch {
            for out in 0..conv.out_channels * out_height * out_width {
                let (channel, y, x) =
                    (out / (out_height * out_width), out / out_width % out_height, out % out_width);
                for tap in 0..conv.taps() {
                    let (in_channel, ky, kx) =
                        (tap / (kernel * kernel), tap / kernel % kernel, tap % kernel);
                    let (y, x) = (y * conv.stride + ky, x * conv.stride + kx);
                    let (top, left) = (
                        conv.padding..conv.padding + conv.height,
                        conv.padding..conv.padding + conv.width,
                    );
                    if top.contains(&y) && left.contains(&x) {
                        let row = (image * conv.in_channels + in_channel) * conv.height + y
                            - conv.padding;
                        let from = row * conv.width + x - conv.padding;
                        let to = image * conv.out_channels * out_height * out_width + out;
                        f(to, from, channel * conv.taps() + tap);
                    }
                }
            }
        }
    }

    #[test]
    fn values_and_gradients_agree_with_f64_at_odd_sizes() {
        let conv = |[batch, in_channels, out_channels]: [usize; 3],
                    [height, width]: [usize; 2],
                    kernel,
                    stride,
                    padding| {
            Conv { batch, in_channels, out_channels, height, width, kernel, stride, padding }
        };
        let cases = [
            conv([1, 1, 1], [1, 1], 1, 1, 0),
            conv([2, 5, 7], [9, 6], 1, 1, 0),
            conv([2, 3, 4], [5, 7], 3, 1, 1),
            conv([1, 17, 33], [18, 32], 3, 1, 1),
            conv([1, 6, 5], [8, 21], 3, 2, 1),
            conv([2, 3, 8], [32, 24], 7, 4, 2),
            conv([1, 40, 3], [4, 5], 3, 3, 0),
            conv([1, 2, 2], [3, 3], 5, 1, 3),
            conv([0, 2, 2], [3, 3], 3, 1, 1),
        ];
        // Each product is at most one; the rounding of f32 sums grows with their number.
        let bound = |terms: usize| 4e-7 * terms as f64 + 1e-6;
        let mut random = Random::new(101);
        for conv in cases {
            let out_len = conv.batch * conv.out_channels * conv.out_pixels();
            let (x, dy) = (random.vec(conv.batch * conv.input_len()), random.vec(out_len));
            let (weights, bias) =
                (random.vec(conv.out_channels * conv.taps()), random.vec(conv.out_channels));
            let mut y: Vec<f64> = (0..out_len)
                .map(|i| f64::from(bias[i / conv.out_pixels() % conv.out_channels]))
                .collect();
            let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; weights.len()]);
            terms(&conv, |to, from, tap| {
                y[to] += f64::from(x[from]) * f64::from(weights[tap]);
                dx[from] += f64::from(dy[to]) * f64::from(weights[tap]);
                dw[tap] += f64::from(dy[to]) * f64::from(x[from]);
            });
            let mut db = vec![0.0; bias.len()];
            dy.iter().enumerate().for_each(|(i, &dy)| {
                db[i / conv.out_pixels() % conv.out_channels] += f64::from(dy)
            });
            for pair in machines().chunks(2) {
                let answers = [&pair[0], &pair[1]].map(|cpu| {
                    let what = format!("{conv:?} on {cpu:?}");
                    let mut got = vec![f32::NAN; y.len()];
                    let mut scratch = vec![f32::NAN; conv.forward_scratch(cpu)];
                    conv.forward(cpu, &x, (&weights, Some(&bias)), &mut got, &mut scratch);
                    assert_close(&got, &y, bound(conv.taps()), format!("y of {what}"));
                    let mut got_dx = vec![f32::NAN; x.len()];
                    let mut scratch = vec![f32::NAN; conv.backward_input_scratch(cpu)];
                    conv.backward_input(cpu, &dy, &weights, &mut got_dx, &mut scratch);
                    let terms = conv.out_channels * conv.kernel.pow(2);
                    assert_close(&got_dx, &dx, bound(terms), format!("dx of {what}"));
                    let mut got_dw = vec![f32::NAN; weights.len()];
                    let mut scratch = vec![f32::NAN; conv.backward_weights_scratch(cpu)];
                    conv.backward_weights(cpu, &x, &dy, &mut got_dw, &mut scratch);
                    let terms = conv.batch * conv.out_pixels();
                    assert_close(&got_dw, &dw, bound(terms), format!("dw of {what}"));
                    let mut got_db = vec![f32::NAN; bias.len()];
                    conv.backward_bias(cpu, &dy, &mut got_db);
                    assert_close(&got_db, &db, bound(terms), format!("db of {what}"));
                    [got, got_dx, got_dw, got_db]
                });
                assert_eq!(answers[0], answers[1], "one and several threads");
            }
        }
    }
}
