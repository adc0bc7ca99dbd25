//! The context of focal modulation in training, with its gradients.
//!
//! A task is sixteen channels of an image: the whole chain of convolutions runs on them while they are in the second
//! level of cache. Only what each convolution answers is kept for the way back; its GELU is computed anew there.

mod passes;
mod place;

use self::passes::{Backward, Forward};
use self::place::Place;
use super::row::STEP;
use crate::buffer::check_scratch;
use crate::gemm::{Rows, RowsMut};
use crate::simd::LANES;
use crate::threads::Cpu;

/// The context of focal modulation (Yang et al., "Focal Modulation Networks", 2022) of a batch, from a projection
/// `[batch * height * width, 2 * channels + levels + 1]` whose columns are the query, the input of the chain and the gates.
///
/// ```text
/// c[0] = GELU(conv[0](input)),  c[l] = GELU(conv[l](c[l - 1]))
/// context = (sum over l of gate[l] * c[l]  +  gate[levels] * GELU(mean over the pixels of the last c)) / (levels + 1)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FocalChain<'a> {
    /// Images.
    pub batch: usize,
    /// Channels of the context.
    pub channels: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// The sides of the square filters, odd numbers, from the first convolution to the last; at least one.
    pub kernels: &'a [usize],
}

/// Where [`FocalChain::backward`] writes.
#[derive(Debug)]
pub struct FocalChainGradients<'a> {
    /// Of the projection; the columns of the query are left as they are.
    pub projection: RowsMut<'a, f32>,
    /// Of the weights of each level, one after the other, each `[channels, 1, kernel, kernel]`.
    pub weights: &'a mut [f32],
}

impl FocalChain<'_> {
    fn pixels(&self) -> usize {
        self.height * self.width
    }

    fn blocks(&self) -> usize {
        self.channels.div_ceil(LANES)
    }

    /// Columns of the projection.
    pub fn projection_width(&self) -> usize {
        2 * self.channels + self.kernels.len() + 1
    }

    /// Values of the weights of all levels, one after the other, each `[channels, 1, kernel, kernel]`.
    pub fn weights_len(&self) -> usize {
        self.channels * self.taps()
    }

    /// Taps of all filters of a channel.
    fn taps(&self) -> usize {
        self.kernels.iter().map(|kernel| kernel * kernel).sum()
    }

    /// Values that [`FocalChain::forward`] saves for [`FocalChain::backward`].
    pub fn saved_len(&self) -> usize {
        self.batch * self.blocks() * self.saved_share()
    }

    /// For sixteen channels of an image: what each convolution answers, and the mean of the last level.
    fn saved_share(&self) -> usize {
        (self.kernels.len() * self.pixels() + 1) * LANES
    }

    fn pad(&self) -> usize {
        self.kernels.iter().max().map_or(0, |kernel| kernel / 2)
    }

    fn pitch(&self) -> usize {
        (self.width + 2 * self.pad() + STEP) * LANES
    }

    /// Values of scratch space of one thread: two images with zeros around, one without, and packed weights.
    fn share(&self) -> usize {
        let taps = self.kernels.iter().max().map_or(0, |kernel| kernel * kernel);
        2 * self.height * self.pitch() + (self.pixels() + taps) * LANES
    }

    /// Values of scratch space that [`FocalChain::forward`] takes.
    pub fn forward_scratch(&self, cpu: &Cpu) -> usize {
        cpu.threads().count() * self.share()
    }

    #[track_caller]
    fn check(&self, projection: (usize, usize), context: usize, weights: usize, saved: usize) {
        assert!(!self.kernels.is_empty(), "a chain has at least one level");
        assert!(self.kernels.iter().all(|kernel| kernel % 2 == 1), "odd filters, not {self:?}");
        let rows = self.batch * self.pixels();
        assert_eq!(projection, (rows, self.projection_width()), "the projection of {self:?}");
        assert_eq!(context, rows * self.channels, "the context of {self:?}");
        assert_eq!(weights, self.weights_len(), "the weights of {self:?}");
        assert_eq!(saved, self.saved_len(), "what {self:?} saves");
    }

    /// Writes the context, `[batch * height * width, channels]`; `weights` are those of all levels, one after the other.
    ///
    /// # Panics
    /// If there is no level, a filter is even, a length does not fit the shape, or `scratch` has fewer values than
    /// [`FocalChain::forward_scratch`] says.
    pub fn forward(
        &self,
        cpu: &Cpu,
        projection: Rows<'_, f32>,
        weights: &[f32],
        (context, saved): (&mut [f32], &mut [f32]),
        scratch: &mut [f32],
    ) {
        let shape = (projection.rows(), projection.columns());
        self.check(shape, context.len(), weights.len(), saved.len());
        check_scratch(scratch.len(), self.forward_scratch(cpu));
        if context.is_empty() {
            return;
        }
        let context = RowsMut::row_major(context, projection.rows(), self.channels).shared();
        let tasks = saved.chunks_mut(self.saved_share()).enumerate();
        cpu.threads().each_with_scratch(scratch, self.share(), tasks, |scratch, (task, saved)| {
            let place = Place { chain: self, task };
            cpu.isa().run(Forward { place, projection, weights, saved, context, scratch });
        });
    }

    /// Values of scratch space that [`FocalChain::backward`] takes.
    pub fn backward_scratch(&self, cpu: &Cpu) -> usize {
        self.batch * self.blocks() * self.partial_share() + cpu.threads().count() * self.share()
    }

    /// For sixteen channels of an image: what they contribute to the gradients of the gates and of the weights.
    fn partial_share(&self) -> usize {
        (self.kernels.len() + 1) * self.pixels() + self.taps() * LANES
    }

    /// The gradients, from the projection, the weights, what [`FocalChain::forward`] saved and the gradient of the context.
    ///
    /// # Panics
    /// As [`FocalChain::forward`], with [`FocalChain::backward_scratch`].
    pub fn backward(
        &self,
        cpu: &Cpu,
        (projection, weights, saved): (Rows<'_, f32>, &[f32], &[f32]),
        dcontext: &[f32],
        gradients: FocalChainGradients<'_>,
        scratch: &mut [f32],
    ) {
        let FocalChainGradients { projection: dprojection, weights: dweights } = gradients;
        let shape = (projection.rows(), projection.columns());
        self.check(shape, dcontext.len(), weights.len(), saved.len());
        let gradients = (dprojection.rows(), dprojection.columns());
        self.check(gradients, dcontext.len(), dweights.len(), saved.len());
        check_scratch(scratch.len(), self.backward_scratch(cpu));
        if dcontext.is_empty() {
            return dweights.fill(0.0);
        }
        let (levels, pixels, blocks) = (self.kernels.len(), self.pixels(), self.blocks());
        let dcontext = Rows::row_major(dcontext, projection.rows(), self.channels);
        let into = dprojection.shared();
        let (partial, workers) = scratch.split_at_mut(self.batch * blocks * self.partial_share());
        let tasks = partial.chunks_mut(self.partial_share()).zip(saved.chunks(self.saved_share()));
        let tasks = tasks.enumerate();
        cpu.threads().each_with_scratch(workers, self.share(), tasks, |scratch, (task, parts)| {
            let place = Place { chain: self, task };
            let (partial, saved) = parts;
            let (gates, of_weights) = partial.split_at_mut((levels + 1) * pixels);
            cpu.isa().run(Backward {
                place,
                projection,
                weights,
                saved,
                dcontext,
                into,
                gates,
                of_weights,
                scratch,
            });
        });
        // The sums over the blocks of channels and over the images, in their order.
        let partial = &*partial;
        let share = self.partial_share();
        cpu.threads().each(partial.chunks(blocks * share).enumerate(), |(image, parts)| {
            for at in 0..(levels + 1) * pixels {
                let sum: f32 = parts.chunks(share).map(|part| part[at]).sum();
                let (row, column) = (image * pixels + at % pixels, 2 * self.channels + at / pixels);
                // SAFETY: the gate lies in the gradient, and this task alone has those of the image.
                unsafe { *into.at(row, column) = sum };
            }
        });
        let mut first = 0;
        for &kernel in self.kernels {
            let taps = kernel * kernel;
            for (index, sum) in
                dweights[first * self.channels..][..taps * self.channels].iter_mut().enumerate()
            {
                let (channel, tap) = (index / taps, first + index % taps);
                let at = (levels + 1) * pixels + tap * LANES + channel % LANES;
                let of_image =
                    |image: usize| partial[(image * blocks + channel / LANES) * share + at];
                *sum = (0..self.batch).map(of_image).sum();
            }
            first += taps;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, assert_close, gelu, machines};

    /// The context in f64, by the definition.
    fn reference(chain: &FocalChain<'_>, projection: &[f64], weights: &[f64]) -> Vec<f64> {
        let &FocalChain { batch, channels, height, width, kernels } = chain;
        let (pixels, across) = (height * width, chain.projection_width());
        let levels = kernels.len();
        let mut context = vec![0.0; batch * pixels * channels];
        for image in 0..batch {
            for channel in 0..channels {
                let row = |pixel: usize| &projection[(image * pixels + pixel) * across..][..across];
                let mut c: Vec<f64> = (0..pixels).map(|p| row(p)[channels + channel]).collect();
                let mut sums = vec![0.0; pixels];
                let mut first = 0;
                for (level, &kernel) in kernels.iter().enumerate() {
                    let filter = &weights[first + channel * kernel * kernel..][..kernel * kernel];
                    first += channels * kernel * kernel;
                    let at = |y: isize, x: isize| {
                        let inside = y >= 0 && x >= 0 && y < height as isize && x < width as isize;
                        if inside { c[y as usize * width + x as usize] } else { 0.0 }
                    };
                    let radius = (kernel / 2) as isize;
                    let next = (0..pixels).map(|pixel| {
                        let (y, x) = ((pixel / width) as isize, (pixel % width) as isize);
                        let terms = filter.iter().enumerate().map(|(tap, w)| {
                            let (ky, kx) = ((tap / kernel) as isize, (tap % kernel) as isize);
                            w * at(y + ky - radius, x + kx - radius)
                        });
                        gelu(terms.sum())
                    });
                    c = next.collect();
                    for (pixel, sum) in sums.iter_mut().enumerate() {
                        *sum += row(pixel)[2 * channels + level] * c[pixel];
                    }
                }
                let everywhere = gelu(c.iter().sum::<f64>() / pixels as f64);
                for (pixel, sum) in sums.iter().enumerate() {
                    let gate = row(pixel)[2 * channels + levels];
                    context[(image * pixels + pixel) * channels + channel] =
                        (sum + gate * everywhere) / (levels + 1) as f64;
                }
            }
        }
        context
    }

    struct Case<'a> {
        chain: FocalChain<'a>,
        projection: Vec<f32>,
        weights: Vec<f32>,
        dcontext: Vec<f32>,
    }

    impl Case<'_> {
        /// The context, the gradient of the projection and that of the weights.
        fn run(&self, cpu: &Cpu) -> [Vec<f32>; 3] {
            let Self { chain, projection, weights, dcontext } = self;
            let (rows, across) = (chain.batch * chain.pixels(), chain.projection_width());
            let rows_of = Rows::row_major(projection, rows, across);
            let mut context = vec![f32::NAN; dcontext.len()];
            let mut saved = vec![f32::NAN; chain.saved_len()];
            let mut scratch = vec![f32::NAN; chain.forward_scratch(cpu)];
            chain.forward(cpu, rows_of, weights, (&mut context, &mut saved), &mut scratch);
            let mut dprojection = vec![0.0; projection.len()];
            let mut dweights = vec![f32::NAN; weights.len()];
            let mut scratch = vec![f32::NAN; chain.backward_scratch(cpu)];
            let gradients = FocalChainGradients {
                projection: RowsMut::row_major(&mut dprojection, rows, across),
                weights: &mut dweights,
            };
            chain.backward(cpu, (rows_of, weights, &saved), dcontext, gradients, &mut scratch);
            [context, dprojection, dweights]
        }
    }

    #[test]
    fn values_agree_with_f64_and_gradients_with_differences_at_odd_sizes() {
        let shapes: [([usize; 4], &[usize]); 6] = [
            ([1, 1, 1, 1], &[3]),
            ([2, 5, 3, 4], &[3, 5]),
            ([1, 17, 9, 19], &[5]),
            ([1, 16, 12, 19], &[7]),
            ([1, 5, 9, 33], &[9, 1]),
            ([1, 16, 18, 7], &[3, 5, 11]),
        ];
        let mut random = Random::new(131);
        for ([batch, channels, height, width], kernels) in shapes {
            let chain = FocalChain { batch, channels, height, width, kernels };
            let rows = batch * height * width;
            let case = Case {
                chain,
                projection: random.vec(rows * chain.projection_width()),
                weights: random.vec(chain.weights_len()),
                dcontext: random.vec(rows * channels),
            };
            let wide = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
            let inputs = [wide(&case.projection), wide(&case.weights)];
            let want = reference(&chain, &inputs[0], &inputs[1]);
            let objective = |inputs: &[Vec<f64>; 2]| {
                let context = reference(&chain, &inputs[0], &inputs[1]);
                context.iter().zip(&case.dcontext).map(|(c, &d)| c * f64::from(d)).sum::<f64>()
            };
            // Central differences in f64, of a sample of the inputs.
            let places: Vec<(usize, usize)> = (0..60)
                .map(|_| {
                    let input = usize::from(random.bits().is_multiple_of(3));
                    (input, random.bits() as usize % inputs[input].len())
                })
                .collect();
            let slopes: Vec<f64> = places
                .iter()
                .map(|&(input, at)| {
                    let moved = |step: f64| {
                        let mut inputs = inputs.clone();
                        inputs[input][at] += step;
                        objective(&inputs)
                    };
                    (moved(1e-4) - moved(-1e-4)) / 2e-4
                })
                .collect();
            for pair in machines().chunks(2) {
                let answers = [&pair[0], &pair[1]].map(|cpu| case.run(cpu));
                let [context, dprojection, dweights] = &answers[0];
                assert_close(context, &want, 1e-4, format!("{chain:?} on {:?}", pair[0]));
                for (&(input, at), slope) in places.iter().zip(&slopes) {
                    let got = f64::from([dprojection, dweights][input][at]);
                    let close = (got - slope).abs() <= 2e-4 * (1.0 + slope.abs());
                    assert!(close, "input {input}, {at} of {chain:?}: {got}, expected {slope}");
                }
                assert_eq!(answers[0], answers[1], "one and several threads");
            }
        }
    }
}
