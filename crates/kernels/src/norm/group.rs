//! GroupNorm (Wu and He, "Group Normalization", 2018) and its gradients.

use crate::activation::Activation;
use crate::buffer::check_scratch;
use crate::gemm::RowsMut;
use crate::gemm::layout::SharedRows;
use crate::simd::{Kernel, LANES, Simd};
use crate::threads::Cpu;

mod backward;

use backward::Backward;

/// `y = (x - mean) / sqrt(variance + epsilon) * weight + bias`, where mean and biased variance are those of all pixels of a
/// group of neighbouring channels of an image.
#[derive(Clone, Copy, Debug)]
pub struct GroupNorm<'a> {
    /// How many groups; divides the channels.
    pub groups: usize,
    /// One factor for each channel.
    pub weight: &'a [f32],
    /// One term for each channel.
    pub bias: &'a [f32],
    /// Keeps the root away from zero.
    pub epsilon: f32,
}

/// Where [`GroupNorm::backward`] writes.
#[derive(Debug)]
pub struct GroupNormGradients<'a> {
    /// The gradient of the input, `[batch, channels, pixels]`.
    pub dx: &'a mut [f32],
    /// The gradient of the weight, `[channels]`.
    pub dweight: &'a mut [f32],
    /// The gradient of the bias, `[channels]`.
    pub dbias: &'a mut [f32],
}

/// Rows whose moments are taken together; their number must not depend on the threads.
const TASK: usize = 64;

impl GroupNorm<'_> {
    fn channels(&self) -> usize {
        self.weight.len()
    }

    #[track_caller]
    fn check(&self) {
        let channels = self.channels();
        assert_eq!(self.bias.len(), channels, "one bias for each weight");
        assert!(
            self.groups > 0 && channels.is_multiple_of(self.groups),
            "{} groups do not divide {channels} channels",
            self.groups
        );
    }

    /// Values of scratch space that [`GroupNorm::forward_rows`] takes for an image of so many pixels.
    pub fn rows_scratch(&self, pixels: usize) -> usize {
        2 * self.channels() * (pixels.div_ceil(TASK) + 1)
    }

    /// `x = activation(norm(x))` of one image, `[pixels, channels]`.
    ///
    /// # Panics
    /// If the groups do not divide the channels, the shapes differ, or `scratch` has fewer values than
    /// [`GroupNorm::rows_scratch`] says.
    pub fn forward_rows(
        &self,
        cpu: &Cpu,
        x: RowsMut<'_, f32>,
        activation: Activation,
        scratch: &mut [f32],
    ) {
        self.check();
        let (rows, channels) = (x.rows(), x.columns());
        assert_eq!(channels, self.channels(), "one weight for each channel");
        let needed = self.rows_scratch(rows);
        check_scratch(scratch.len(), needed);
        if rows == 0 || channels == 0 {
            return;
        }
        let x = x.shared();
        let (affine, partial) = scratch[..needed].split_at_mut(2 * channels);
        let tasks = (0..rows).step_by(TASK).zip(partial.chunks_mut(2 * channels));
        cpu.threads().each(tasks, |(first, moments)| {
            let count = TASK.min(rows - first);
            cpu.isa().run(RowMoments { x, channels, first, count, moments });
        });
        self.affine(rows, partial, affine);
        let affine = &*affine;
        cpu.threads().each((0..rows).step_by(TASK), |first| {
            let count = TASK.min(rows - first);
            cpu.isa().run(Affine { x, channels, first, count, affine, activation });
        });
    }

    /// From the moments of all tasks, the factor and the term of each channel, `[2][channels]`.
    fn affine(&self, rows: usize, partial: &[f32], affine: &mut [f32]) {
        let channels = self.channels();
        let size = channels / self.groups;
        let (factors, terms) = affine.split_at_mut(channels);
        for group in 0..self.groups {
            let range = group * size..(group + 1) * size;
            let mut all = Moments::default();
            for (task, moments) in partial.chunks(2 * channels).enumerate() {
                let count = TASK.min(rows - task * TASK) as f64;
                for channel in range.clone() {
                    let mean = f64::from(moments[channel]) / count;
                    all.add(Moments {
                        count,
                        mean,
                        squares: f64::from(moments[channels + channel]),
                    });
                }
            }
            let inverse = 1.0 / (all.squares / all.count + f64::from(self.epsilon)).sqrt();
            for channel in range {
                let factor = inverse * f64::from(self.weight[channel]);
                factors[channel] = factor as f32;
                terms[channel] = (f64::from(self.bias[channel]) - all.mean * factor) as f32;
            }
        }
    }

    /// `y = norm(x)` of `[batch, channels, pixels]`, saving the mean and the inverse deviation of each group of each
    /// image, `[batch, groups, 2]`, for [`GroupNorm::backward`].
    ///
    /// # Panics
    /// If the groups do not divide the channels or the shapes differ.
    pub fn forward_saving(&self, cpu: &Cpu, x: &[f32], y: &mut [f32], saved: &mut [f32]) {
        let slab = self.slab(&[x.len(), y.len()], saved.len());
        if slab == 0 {
            return;
        }
        let tasks = x.chunks(slab).zip(y.chunks_mut(slab)).zip(saved.chunks_mut(2)).enumerate();
        cpu.threads().each(tasks, |(index, ((x, y), saved))| {
            let (weight, bias) =
                (self.of_group(self.weight, index), self.of_group(self.bias, index));
            cpu.isa().run(Saving { weight, bias, epsilon: self.epsilon, x, y, saved });
        });
    }

    /// Values of scratch space that [`GroupNorm::backward`] takes for so many images.
    pub fn backward_scratch(&self, batch: usize) -> usize {
        2 * batch * self.channels()
    }

    /// The gradients, from the input, the output's gradient (`[batch, channels, pixels]` both) and what
    /// [`GroupNorm::forward_saving`] saved.
    ///
    /// # Panics
    /// If the groups do not divide the channels, the shapes differ, or `scratch` has fewer values than
    /// [`GroupNorm::backward_scratch`] says.
    pub fn backward(
        &self,
        cpu: &Cpu,
        [x, dy]: [&[f32]; 2],
        saved: &[f32],
        gradients: GroupNormGradients<'_>,
        scratch: &mut [f32],
    ) {
        let GroupNormGradients { dx, dweight, dbias } = gradients;
        let slab = self.slab(&[x.len(), dy.len(), dx.len()], saved.len());
        let channels = self.channels();
        assert!(
            [dweight.len(), dbias.len()] == [channels; 2],
            "the gradients of weight and bias must be [{channels}]"
        );
        let needed = self.backward_scratch(saved.len() / 2 / self.groups);
        check_scratch(scratch.len(), needed);
        dweight.fill(0.0);
        dbias.fill(0.0);
        if slab == 0 {
            return;
        }
        let size = channels / self.groups;
        let partial = &mut scratch[..needed];
        let inputs = x.chunks(slab).zip(dy.chunks(slab)).zip(saved.as_chunks::<2>().0);
        let tasks = inputs.zip(dx.chunks_mut(slab)).zip(partial.chunks_mut(2 * size)).enumerate();
        cpu.threads().each(tasks, |(index, ((((x, dy), &saved), dx), sums))| {
            let weight = self.of_group(self.weight, index);
            cpu.isa().run(Backward { weight, x, dy, saved, dx, sums });
        });
        for (index, sums) in partial.chunks(2 * size).enumerate() {
            let first = index % self.groups * size;
            for (channel, [of_weight, of_bias]) in sums.as_chunks::<2>().0.iter().enumerate() {
                dweight[first + channel] += of_weight;
                dbias[first + channel] += of_bias;
            }
        }
    }

    /// Checks the lengths, and answers how many values a group of an image has.
    #[track_caller]
    fn slab(&self, lens: &[usize], saved: usize) -> usize {
        self.check();
        assert!(
            saved.is_multiple_of(2 * self.groups),
            "mean and inverse deviation for each group of each image"
        );
        let slabs = saved / 2;
        let slab = lens[0].checked_div(slabs).unwrap_or(0);
        let size = self.channels() / self.groups;
        let whole = slab * slabs == lens[0] && (size == 0 || slab.is_multiple_of(size));
        assert!(
            whole && lens.iter().all(|len| *len == lens[0]),
            "all must be [batch, channels, pixels], not {lens:?}"
        );
        slab
    }

    /// The channels of a group, counted over all images.
    fn of_group<'b>(&self, values: &'b [f32], index: usize) -> &'b [f32] {
        let size = self.channels() / self.groups;
        &values[index % self.groups * size..][..size]
    }
}

/// Count, mean and sum of squared differences to it, which add up by Chan, Golub and LeVeque's rule.
#[derive(Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, other: Moments) {
        let count = self.count + other.count;
        let difference = other.mean - self.mean;
        self.mean += difference * other.count / count;
        self.squares += other.squares + difference * difference * self.count * other.count / count;
        self.count = count;
    }
}

/// The sums of some rows and their squared differences to their mean, for each channel: `[2][channels]`.
struct RowMoments<'a> {
    x: SharedRows<f32>,
    channels: usize,
    first: usize,
    count: usize,
    moments: &'a mut [f32],
}

impl Kernel for RowMoments<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, channels, first, count, moments } = self;
        let (sums, squares) = moments.split_at_mut(channels);
        let share = s.splat(1.0 / count as f32);
        for start in (0..channels).step_by(LANES) {
            let end = channels.min(start + LANES);
            let mut sum = s.zero();
            // SAFETY: the rows and columns lie in the matrix, which nobody writes meanwhile.
            unsafe {
                for row in first..first + count {
                    sum = s.add(
                        sum,
                        s.load_part(std::slice::from_raw_parts(x.at(row, start), end - start), 0.0),
                    );
                }
                let mean = s.mul(sum, share);
                let mut square = s.zero();
                for row in first..first + count {
                    let x =
                        s.load_part(std::slice::from_raw_parts(x.at(row, start), end - start), 0.0);
                    let difference = s.sub(x, mean);
                    square = s.mul_add(difference, difference, square);
                }
                s.store_part(&mut sums[start..end], sum);
                s.store_part(&mut squares[start..end], square);
            }
        }
    }
}

/// `x = activation(factor * x + term)` for some rows.
struct Affine<'a> {
    x: SharedRows<f32>,
    channels: usize,
    first: usize,
    count: usize,
    /// `[2][channels]`.
    affine: &'a [f32],
    activation: Activation,
}

impl Kernel for Affine<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, channels, first, count, affine, activation } = self;
        let (factors, terms) = affine.split_at(channels);
        for row in first..first + count {
            for start in (0..channels).step_by(LANES) {
                let end = channels.min(start + LANES);
                // SAFETY: the row and columns lie in the matrix, and this task alone has this row.
                let lanes =
                    unsafe { std::slice::from_raw_parts_mut(x.at(row, start), end - start) };
                let y = s.mul_add(
                    s.load_part(lanes, 0.0),
                    s.load_part(&factors[start..], 0.0),
                    s.load_part(&terms[start..], 0.0),
                );
                s.store_part(lanes, activation.apply(s, y));
            }
        }
    }
}

/// Values whose lanes are summed in f32 before they are added to a sum in f64.
const EXACT: usize = 4096;

/// One group of one image, `[channels of the group, pixels]`.
struct Saving<'a> {
    weight: &'a [f32],
    bias: &'a [f32],
    epsilon: f32,
    x: &'a [f32],
    y: &'a mut [f32],
    saved: &'a mut [f32],
}

impl Kernel for Saving<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { weight, bias, epsilon, x, y, saved } = self;
        let mut sum = 0f64;
        for values in x.chunks(EXACT) {
            let mut lanes = s.zero();
            for start in (0..values.len()).step_by(LANES) {
                lanes = s.add(lanes, s.load_part(&values[start..], 0.0));
            }
            sum += f64::from(s.sum(lanes));
        }
        let mean = (sum / x.len() as f64) as f32;
        let center = s.splat(mean);
        let mut squares = 0f64;
        for values in x.chunks(EXACT) {
            let mut lanes = s.zero();
            for start in (0..values.len()).step_by(LANES) {
                let difference = s.sub(s.load_part(&values[start..], mean), center);
                lanes = s.mul_add(difference, difference, lanes);
            }
            squares += f64::from(s.sum(lanes));
        }
        let inverse = (1.0 / (squares / x.len() as f64 + f64::from(epsilon)).sqrt()) as f32;
        saved.copy_from_slice(&[mean, inverse]);
        let pixels = x.len() / weight.len();
        for (channel, (x, y)) in x.chunks_exact(pixels).zip(y.chunks_exact_mut(pixels)).enumerate()
        {
            let (factor, term) = (s.splat(inverse * weight[channel]), s.splat(bias[channel]));
            for (start, y) in (0..pixels).step_by(LANES).zip(y.chunks_mut(LANES)) {
                s.store_part(
                    y,
                    s.mul_add(s.sub(s.load_part(&x[start..], 0.0), center), factor, term),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::plane_rows;
    use crate::testing::{Random, assert_close, machines};

    /// Normal values and inverse deviation of a group in f64.
    fn normal(x: &[f64], epsilon: f32) -> (Vec<f64>, f64) {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let inverse = 1.0 / (variance + f64::from(epsilon)).sqrt();
        (x.iter().map(|x| (x - mean) * inverse).collect(), inverse)
    }

    /// `[batch, channels, pixels]`, groups.
    const SHAPES: [([usize; 3], usize); 6] = [
        ([1, 1, 1], 1),
        ([2, 6, 5], 3),
        ([1, 32, 130], 32),
        ([3, 40, 33], 8),
        ([1, 64, 200], 4),
        ([0, 4, 3], 2),
    ];

    #[test]
    fn values_and_gradients_agree_with_f64() {
        let mut random = Random::new(61);
        for ([batch, channels, pixels], groups) in SHAPES {
            let len = batch * channels * pixels;
            let x: Vec<f32> = (0..len).map(|_| random.uniform(4.0, 6.0)).collect();
            let (dy, weight, bias) = (random.vec(len), random.vec(channels), random.vec(channels));
            let norm = GroupNorm { groups, weight: &weight, bias: &bias, epsilon: 1e-5 };
            let slab = (channels / groups * pixels).max(1);
            let (mut want, mut want_dx, mut steepest) = (Vec::new(), Vec::new(), 1f64);
            let (mut want_dweight, mut want_dbias) = (vec![0.0; channels], vec![0.0; channels]);
            for (index, (x, dy)) in x.chunks(slab).zip(dy.chunks(slab)).enumerate() {
                let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
                let (n, inverse) = normal(&wide, 1e-5);
                let channel = |i: usize| index % groups * (channels / groups) + i / pixels;
                let g: Vec<f64> = dy
                    .iter()
                    .enumerate()
                    .map(|(i, &dy)| f64::from(dy) * f64::from(weight[channel(i)]))
                    .collect();
                let mean = g.iter().sum::<f64>() / slab as f64;
                let with_normal = g.iter().zip(&n).map(|(g, n)| g * n).sum::<f64>() / slab as f64;
                want_dx
                    .extend(g.iter().zip(&n).map(|(g, n)| inverse * (g - mean - n * with_normal)));
                steepest = steepest.max(inverse);
                for (i, n) in n.iter().enumerate() {
                    want.push(n * f64::from(weight[channel(i)]) + f64::from(bias[channel(i)]));
                    want_dweight[channel(i)] += f64::from(dy[i]) * n;
                    want_dbias[channel(i)] += f64::from(dy[i]);
                }
            }
            for pair in machines().chunks(2) {
                let answers = [&pair[0], &pair[1]].map(|cpu| {
                    let what = format!("{batch}x{channels}x{pixels}, {groups} groups on {cpu:?}");
                    let (mut y, mut saved) =
                        (vec![f32::NAN; len], vec![f32::NAN; batch * groups * 2]);
                    norm.forward_saving(cpu, &x, &mut y, &mut saved);
                    assert_close(&y, &want, 1e-5, format!("y, {what}"));
                    let mut dx = vec![f32::NAN; len];
                    let (mut dweight, mut dbias) =
                        (vec![f32::NAN; channels], vec![f32::NAN; channels]);
                    let gradients = GroupNormGradients {
                        dx: &mut dx,
                        dweight: &mut dweight,
                        dbias: &mut dbias,
                    };
                    let mut scratch = vec![f32::NAN; norm.backward_scratch(batch)];
                    norm.backward(cpu, [&x, &dy], &saved, gradients, &mut scratch);
                    assert_close(&dx, &want_dx, 1e-5 * steepest, format!("dx, {what}"));
                    assert_close(&dweight, &want_dweight, 1e-4, format!("dweight, {what}"));
                    assert_close(&dbias, &want_dbias, 1e-4, format!("dbias, {what}"));
                    [y, dx, dweight, dbias]
                });
                assert_eq!(answers[0], answers[1], "one and several threads");
            }
        }
    }

    #[test]
    fn rows_agree_with_images() {
        let mut random = Random::new(62);
        for ([batch, channels, pixels], groups) in SHAPES {
            if batch == 0 {
                continue;
            }
            let x: Vec<f32> = (0..channels * pixels).map(|_| random.uniform(4.0, 6.0)).collect();
            let (weight, bias) = (random.vec(channels), random.vec(channels));
            let norm = GroupNorm { groups, weight: &weight, bias: &bias, epsilon: 1e-5 };
            for pair in machines().chunks(2) {
                let (mut want, mut saved) = (vec![f32::NAN; x.len()], vec![f32::NAN; groups * 2]);
                norm.forward_saving(&pair[0], &x, &mut want, &mut saved);
                let want: Vec<f64> = want.into_iter().map(|x| f64::from(x.max(0.0))).collect();
                let answers = [&pair[0], &pair[1]].map(|cpu| {
                    let distance = plane_rows(pixels);
                    let mut planes = vec![f32::NAN; channels.div_ceil(16) * distance * 16];
                    let at =
                        |i: usize| (i / pixels / 16 * distance + i % pixels) * 16 + i / pixels % 16;
                    x.iter().enumerate().for_each(|(i, &x)| planes[at(i)] = x);
                    let mut scratch = vec![f32::NAN; norm.rows_scratch(pixels)];
                    let rows = RowsMut::planes(&mut planes, pixels, channels, distance);
                    norm.forward_rows(cpu, rows, Activation::Relu, &mut scratch);
                    let got: Vec<f32> = (0..x.len()).map(|i| planes[at(i)]).collect();
                    assert_close(
                        &got,
                        &want,
                        1e-5,
                        format!("{channels}x{pixels}, {groups} groups on {cpu:?}"),
                    );
                    got
                });
                assert_eq!(answers[0], answers[1], "one and several threads");
            }
        }
    }
}
