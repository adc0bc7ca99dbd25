//! Depthwise convolution of `[batch, channels, height, width]` and its gradients, for training.
//!
//! The rows of sixteen channels are turned into pixels of sixteen channels as they are needed, so that the loops of
//! inference serve training too.

use std::ops::Range;

use super::row::{ConvolvedRow, Order, Ring, RowGradient, STEP, pack_filters};
use crate::buffer::check_scratch;
use crate::simd::{Kernel, LANES, Simd};
use crate::threads::Cpu;

/// A depthwise convolution with stride 1 and zeros around the image, so that the output has the size of the input.
///
/// Images are `[batch, channels, height, width]`, weights `[channels, 1, kernel, kernel]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depthwise {
    /// Images.
    pub batch: usize,
    /// Channels, each with a filter of its own.
    pub channels: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// The side of the square filters, an odd number.
    pub kernel: usize,
}

impl Depthwise {
    /// Values of scratch space that each of the methods takes.
    pub fn scratch(&self, cpu: &Cpu) -> usize {
        let partial_gradients =
            self.batch * self.channels.next_multiple_of(LANES) * self.kernel.pow(2);
        partial_gradients + cpu.threads().count() * self.share()
    }

    /// `y = conv(x)`.
    ///
    /// # Panics
    /// If the side of the filters is even, a length does not fit the shape, or `scratch` has fewer values than
    /// [`Depthwise::scratch`] says.
    pub fn forward(
        &self,
        cpu: &Cpu,
        x: &[f32],
        weights: &[f32],
        y: &mut [f32],
        scratch: &mut [f32],
    ) {
        self.filter(cpu, x, weights, y, (scratch, Order::Forward));
    }

    /// The gradient of the input: the convolution of `dy` by the filters turned around.
    ///
    /// # Panics
    /// As [`Depthwise::forward`].
    pub fn backward_input(
        &self,
        cpu: &Cpu,
        dy: &[f32],
        weights: &[f32],
        dx: &mut [f32],
        scratch: &mut [f32],
    ) {
        self.filter(cpu, dy, weights, dx, (scratch, Order::Turned));
    }

    /// The gradient of the weights.
    ///
    /// # Panics
    /// As [`Depthwise::forward`].
    pub fn backward_weights(
        &self,
        cpu: &Cpu,
        x: &[f32],
        dy: &[f32],
        dweights: &mut [f32],
        scratch: &mut [f32],
    ) {
        self.check([x.len(), dy.len()], dweights.len(), scratch.len(), cpu);
        let (pixels, taps) = (self.height * self.width, self.kernel.pow(2));
        if x.is_empty() {
            return dweights.fill(0.0);
        }
        let blocks = self.channels.div_ceil(LANES);
        let (partial, workers) = scratch.split_at_mut(self.batch * blocks * LANES * taps);
        let images = x.chunks(self.channels * pixels).zip(dy.chunks(self.channels * pixels));
        let channels =
            images.flat_map(|(x, dy)| x.chunks(LANES * pixels).zip(dy.chunks(LANES * pixels)));
        let tasks = channels.zip(partial.chunks_mut(LANES * taps));
        cpu.threads().each_with_scratch(
            workers,
            self.share(),
            tasks,
            |scratch, ((x, dy), gradient)| {
                cpu.isa().run(Gradient { shape: self, x, dy, gradient, scratch });
            },
        );
        // The sums over the images, in their order.
        for (index, sum) in dweights.iter_mut().enumerate() {
            let (channel, tap) = (index / taps, index % taps);
            let of_image = |image: usize| {
                partial[((image * blocks + channel / LANES) * taps + tap) * LANES + channel % LANES]
            };
            *sum = (0..self.batch).map(of_image).sum();
        }
    }

    fn filter(
        &self,
        cpu: &Cpu,
        x: &[f32],
        weights: &[f32],
        y: &mut [f32],
        (scratch, order): (&mut [f32], Order),
    ) {
        self.check([x.len(), y.len()], weights.len(), scratch.len(), cpu);
        let (pixels, taps) = (self.height * self.width, self.kernel.pow(2));
        if x.is_empty() {
            return;
        }
        let images = x.chunks(self.channels * pixels).zip(y.chunks_mut(self.channels * pixels));
        let tasks = images.flat_map(|(x, y)| {
            x.chunks(LANES * pixels)
                .zip(y.chunks_mut(LANES * pixels))
                .zip(weights.chunks(LANES * taps))
        });
        cpu.threads().each_with_scratch(
            scratch,
            self.share(),
            tasks,
            |scratch, ((x, y), weights)| {
                cpu.isa().run(Filter { shape: self, x, weights, order, y, scratch });
            },
        );
    }

    #[track_caller]
    fn check(&self, images: [usize; 2], weights: usize, scratch: usize, cpu: &Cpu) {
        assert!(self.kernel % 2 == 1, "the filters have an even side, {}", self.kernel);
        let len = self.batch * self.channels * self.height * self.width;
        assert_eq!(images, [len; 2], "the images of {self:?}");
        assert_eq!(weights, self.channels * self.kernel.pow(2), "the weights of {self:?}");
        check_scratch(scratch, self.scratch(cpu));
    }

    /// Values of a kept row: zeros on either side and a whole step more.
    fn pitch(&self) -> usize {
        (self.width + 2 * (self.kernel / 2) + STEP) * LANES
    }

    /// Values of scratch space of one thread: the kept rows, one row more, and packed weights.
    fn share(&self) -> usize {
        (self.kernel + 1) * self.pitch() + self.kernel.pow(2) * LANES
    }

    /// Cuts one thread's scratch space, cleared, into the kept rows, a row and weights.
    #[inline(always)]
    fn cut<'a>(&self, scratch: &'a mut [f32]) -> (Ring, &'a mut [f32], &'a mut [f32]) {
        let (ring, rest) = scratch[..self.share()].split_at_mut(self.kernel * self.pitch());
        let (row, weights) = rest.split_at_mut(self.pitch());
        ring.fill(0.0);
        row.fill(0.0);
        let ring = Ring {
            start: ring.as_mut_ptr(),
            kept: self.kernel,
            pitch: self.pitch(),
            pad: self.kernel / 2,
        };
        (ring, row, weights)
    }
}

/// Up to sixteen channels of an image, filtered.
struct Filter<'a> {
    shape: &'a Depthwise,
    x: &'a [f32],
    weights: &'a [f32],
    order: Order,
    y: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl Kernel for Filter<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { shape, x, weights, order, y: out, scratch } = self;
        let &Depthwise { height, width, kernel, .. } = shape;
        let radius = kernel / 2;
        let (ring, row, packed) = shape.cut(scratch);
        pack_filters(weights, order, packed);
        let sums = row.as_mut_ptr();
        for step in 0..height + radius {
            if step < height {
                // SAFETY: the ring's row has room for `width` pixels.
                unsafe {
                    to_pixels(
                        s,
                        x,
                        height * width,
                        step * width..(step + 1) * width,
                        ring.row(step),
                    )
                };
            }
            let Some(y) = step.checked_sub(radius) else { continue };
            let convolved = ConvolvedRow {
                from: ring,
                weights: packed.as_ptr(),
                radius,
                y,
                height,
                width,
                to: sums,
            };
            // SAFETY: the ring holds the rows around `y` that are in the image; `sums` has room for a row.
            unsafe {
                convolved.run(s);
                from_pixels(s, sums, out, height * width, y * width..(y + 1) * width);
            }
        }
    }
}

/// The gradient of the weights of up to sixteen channels from one image.
struct Gradient<'a> {
    shape: &'a Depthwise,
    x: &'a [f32],
    dy: &'a [f32],
    /// `[taps][16]`.
    gradient: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl Kernel for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { shape, x, dy, gradient, scratch } = self;
        let &Depthwise { height, width, kernel, .. } = shape;
        let radius = kernel / 2;
        let (ring, row, _) = shape.cut(scratch);
        let dy_row = row.as_mut_ptr();
        gradient.fill(0.0);
        for step in 0..height + radius {
            if step < height {
                // SAFETY: the ring's row has room for `width` pixels.
                unsafe {
                    to_pixels(
                        s,
                        x,
                        height * width,
                        step * width..(step + 1) * width,
                        ring.row(step),
                    )
                };
            }
            let Some(y) = step.checked_sub(radius) else { continue };
            // SAFETY: the row has room for `width` pixels.
            unsafe { to_pixels(s, dy, height * width, y * width..(y + 1) * width, dy_row) };
            for ky in radius.saturating_sub(y)..kernel.min(height + radius - y) {
                let image = ring.row(y + ky - radius);
                let gradient = gradient[ky * kernel * LANES..][..kernel * LANES].as_mut_ptr();
                // SAFETY: both rows have zeros around them as far as the kernel reaches.
                unsafe { RowGradient { image, dy: dy_row, radius, width, gradient }.run(s) };
            }
        }
    }
}

/// Turns a part of up to sixteen planes of `pixels` values into pixels of sixteen channels; missing channels are zero.
///
/// # Safety
/// `to` has room for the pixels of the range.
#[inline(always)]
unsafe fn to_pixels<S: Simd>(
    s: S,
    planes: &[f32],
    pixels: usize,
    range: Range<usize>,
    to: *mut f32,
) {
    for start in range.clone().step_by(LANES) {
        let count = LANES.min(range.end - start);
        let mut channels = [s.zero(); LANES];
        for (plane, channel) in planes.chunks(pixels).zip(&mut channels) {
            *channel = s.load_part(&plane[start..start + count], 0.0);
        }
        for (i, x) in s.transpose(channels).into_iter().enumerate() {
            if i < count {
                // SAFETY: the pixel lies in the range.
                unsafe { s.store_ptr(to.add((start - range.start + i) * LANES), x) };
            }
        }
    }
}

/// The reverse of [`to_pixels`]: writes as many channels as there are planes.
///
/// # Safety
/// `from` holds the pixels of the range.
#[inline(always)]
unsafe fn from_pixels<S: Simd>(
    s: S,
    from: *const f32,
    planes: &mut [f32],
    pixels: usize,
    range: Range<usize>,
) {
    for start in range.clone().step_by(LANES) {
        let count = LANES.min(range.end - start);
        let mut values = [s.zero(); LANES];
        for (i, value) in values.iter_mut().enumerate().take(count) {
            // SAFETY: the pixel lies in the range.
            *value = unsafe { s.load_ptr(from.add((start - range.start + i) * LANES)) };
        }
        for (plane, x) in planes.chunks_mut(pixels).zip(s.transpose(values)) {
            s.store_part(&mut plane[start..start + count], x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, assert_close, machines};

    /// All terms of the convolution: `f(index of y, index of x, index of the weight)`.
    fn terms(shape: &Depthwise, mut f: impl FnMut(usize, usize, usize)) {
        let &Depthwise { batch, channels, height, width, kernel } = shape;
        let (radius, taps) = (kernel / 2, kernel * kernel);
        for plane in 0..batch * channels {
            for (i, tap) in (0..height * width).flat_map(|i| (0..taps).map(move |tap| (i, tap))) {
                let (y, x) = (i / width + tap / kernel, i % width + tap % kernel);
                if (radius..height + radius).contains(&y) && (radius..width + radius).contains(&x) {
                    let from = plane * height * width + (y - radius) * width + x - radius;
                    f(plane * height * width + i, from, plane % channels * taps + tap);
                }
            }
        }
    }

    #[test]
    fn values_and_gradients_agree_with_f64_at_odd_sizes() {
        let shapes = [
            [1, 1, 1, 1, 3],
            [2, 3, 4, 5, 3],
            [1, 17, 7, 33, 5],
            [2, 33, 12, 16, 7],
            [1, 16, 20, 9, 9],
            [1, 2, 3, 40, 11],
            [3, 20, 5, 18, 1],
            [0, 4, 2, 2, 3],
        ];
        let mut random = Random::new(41);
        for [batch, channels, height, width, kernel] in shapes {
            let shape = Depthwise { batch, channels, height, width, kernel };
            let len = batch * channels * height * width;
            let (x, dy, weights) =
                (random.vec(len), random.vec(len), random.vec(channels * kernel * kernel));
            let (mut y, mut dx, mut dw) =
                (vec![0.0; len], vec![0.0; len], vec![0.0; weights.len()]);
            terms(&shape, |to, from, tap| {
                y[to] += f64::from(x[from]) * f64::from(weights[tap]);
                dx[from] += f64::from(dy[to]) * f64::from(weights[tap]);
                dw[tap] += f64::from(dy[to]) * f64::from(x[from]);
            });
            for pair in machines().chunks(2) {
                let answers = [&pair[0], &pair[1]].map(|cpu| {
                    let what = format!("{shape:?} on {cpu:?}");
                    let mut scratch = vec![f32::NAN; shape.scratch(cpu)];
                    let mut got = vec![f32::NAN; len];
                    shape.forward(cpu, &x, &weights, &mut got, &mut scratch);
                    assert_close(&got, &y, 1e-5, format!("y of {what}"));
                    let mut got_dx = vec![f32::NAN; len];
                    shape.backward_input(cpu, &dy, &weights, &mut got_dx, &mut scratch);
                    assert_close(&got_dx, &dx, 1e-5, format!("dx of {what}"));
                    let mut got_dw = vec![f32::NAN; dw.len()];
                    shape.backward_weights(cpu, &x, &dy, &mut got_dw, &mut scratch);
                    assert_close(&got_dw, &dw, 2e-5, format!("dw of {what}"));
                    [got, got_dx, got_dw]
                });
                assert_eq!(answers[0], answers[1], "one and several threads");
            }
        }
    }
}
