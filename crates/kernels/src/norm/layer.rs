//! LayerNorm (Ba, Kiros and Hinton, "Layer Normalization", 2016) of the rows of a matrix, and its gradients.

use crate::buffer::check_scratch;
use crate::gemm::output::Target;
use crate::gemm::{Output, Rows, RowsMut};
use crate::simd::Simd;
use crate::threads::Cpu;

mod backward;
mod forward;

use backward::Backward;
use forward::{Forward, Job, Update};

/// `y = (x - mean) / sqrt(variance + epsilon) * weight + bias` over the columns of each row; the variance is the biased
/// one, computed from the differences to the mean.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm<'a> {
    /// One factor for each column.
    pub weight: &'a [f32],
    /// One term for each column.
    pub bias: &'a [f32],
    /// Keeps the root away from zero.
    pub epsilon: f32,
}

/// Where [`LayerNorm::backward`] writes.
#[derive(Debug)]
pub struct LayerNormGradients<'a> {
    /// The gradient of the input, `[rows, columns]`.
    pub dx: &'a mut [f32],
    /// The gradient of the weight, `[columns]`.
    pub dweight: &'a mut [f32],
    /// The gradient of the bias, `[columns]`.
    pub dbias: &'a mut [f32],
}

/// Rows in a task.
const TASK: usize = 64;

/// The most parts that the gradients of weight and bias are summed in. Their number must not depend on the threads.
const PARTS: usize = 64;

impl LayerNorm<'_> {
    /// `y = norm(x)`, as f32 or bfloat16, in any layout.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn forward(&self, cpu: &Cpu, x: Rows<'_, f32>, y: Output<'_>) {
        self.check(x, y.shape());
        self.run(cpu, &Job::new(x, y.shared()));
    }

    /// `x = norm(x)`.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn forward_in_place(&self, cpu: &Cpu, mut x: RowsMut<'_, f32>) {
        let shape = (x.rows(), x.columns());
        self.check(x.as_rows(), shape);
        let target = Target::F32(x.reborrow().shared());
        self.run(cpu, &Job::new(x.as_rows(), target));
    }

    /// `x = x + scale * norm(y)`, the end of a branch with layer scale.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn add_scaled(&self, cpu: &Cpu, y: Rows<'_, f32>, scale: &[f32], x: RowsMut<'_, f32>) {
        let shape = (x.rows(), x.columns());
        self.check(y, shape);
        assert_eq!(scale.len(), shape.1, "one factor for each column");
        let target = Target::F32(x.shared());
        self.run(cpu, &Job { update: Update::Add { scale }, ..Job::new(y, target) });
    }

    /// `y = norm(x)` of `[rows, columns]`, saving the mean and the inverse deviation of each row, `[rows, 2]`, for
    /// [`LayerNorm::backward`].
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn forward_saving(&self, cpu: &Cpu, x: &[f32], y: &mut [f32], saved: &mut [f32]) {
        let columns = self.weight.len();
        let rows = saved.len() / 2;
        let (x, y) = (Rows::row_major(x, rows, columns), RowsMut::row_major(y, rows, columns));
        self.check(x, (rows, columns));
        let saved = RowsMut::row_major(saved, rows, 2).shared();
        let job = Job { saved: Some(saved), ..Job::new(x, Target::F32(y.shared())) };
        self.run(cpu, &job);
    }

    /// `x = x + norm(y)`, both `[rows, columns]`, saving what [`LayerNorm::backward`] needs to know of `y`.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn add_saving(&self, cpu: &Cpu, y: &[f32], x: &mut [f32], saved: &mut [f32]) {
        let columns = self.weight.len();
        let rows = saved.len() / 2;
        let (y, x) = (Rows::row_major(y, rows, columns), RowsMut::row_major(x, rows, columns));
        self.check(y, (rows, columns));
        let saved = RowsMut::row_major(saved, rows, 2).shared();
        let job = Job::new(y, Target::F32(x.shared()));
        self.run(cpu, &Job { update: Update::AddPlain, saved: Some(saved), ..job });
    }

    /// Values of scratch space that [`LayerNorm::backward`] takes.
    pub fn backward_scratch(&self) -> usize {
        2 * PARTS * self.weight.len()
    }

    /// The gradients, from the input, the output's gradient (`[rows, columns]` both) and what
    /// [`LayerNorm::forward_saving`] saved.
    ///
    /// # Panics
    /// If the shapes differ, or `scratch` has fewer values than [`LayerNorm::backward_scratch`] says.
    pub fn backward(
        &self,
        cpu: &Cpu,
        [x, dy]: [&[f32]; 2],
        saved: &[f32],
        gradients: LayerNormGradients<'_>,
        scratch: &mut [f32],
    ) {
        let LayerNormGradients { dx, dweight, dbias } = gradients;
        let columns = self.weight.len();
        let rows = saved.len() / 2;
        assert!(
            [x.len(), dy.len(), dx.len()] == [rows * columns; 3],
            "x, dy and dx must be [{rows}, {columns}]"
        );
        assert!(
            [dweight.len(), dbias.len()] == [columns; 2],
            "the gradients of weight and bias must be [{columns}]"
        );
        check_scratch(scratch.len(), self.backward_scratch());
        dweight.fill(0.0);
        dbias.fill(0.0);
        if x.is_empty() {
            return;
        }
        let part = rows.div_ceil(PARTS);
        let parts = rows.div_ceil(part);
        let partial = &mut scratch[..parts * 2 * columns];
        let inputs =
            x.chunks(part * columns).zip(dy.chunks(part * columns)).zip(saved.chunks(part * 2));
        let tasks = inputs.zip(dx.chunks_mut(part * columns)).zip(partial.chunks_mut(2 * columns));
        cpu.threads().each(tasks, |((((x, dy), saved), dx), sums)| {
            cpu.isa().run(Backward { weight: self.weight, x, dy, saved, dx, sums });
        });
        for sums in partial.chunks(2 * columns) {
            let (of_weight, of_bias) = sums.split_at(columns);
            dweight.iter_mut().zip(of_weight).for_each(|(sum, part)| *sum += part);
            dbias.iter_mut().zip(of_bias).for_each(|(sum, part)| *sum += part);
        }
    }

    #[track_caller]
    fn check(&self, x: Rows<'_, f32>, output: (usize, usize)) {
        assert_eq!((x.rows(), x.columns()), output, "input and output must have one shape");
        let columns = [self.weight.len(), self.bias.len()];
        assert_eq!(columns, [x.columns(); 2], "one weight and one bias for each column");
    }

    fn run(&self, cpu: &Cpu, job: &Job<'_>) {
        cpu.threads().each((0..job.rows).step_by(TASK), |first| {
            let rows = first..job.rows.min(first + TASK);
            cpu.isa().run(Forward { norm: self, job, rows });
        });
    }
}

/// `count` values, at most sixteen, from `start` on; the missing lanes are zero.
#[inline(always)]
fn part<S: Simd>(s: S, values: &[f32], start: usize, count: usize) -> S::F32 {
    s.load_part(&values[start..start + count], 0.0)
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;
    use crate::gemm::plane_rows;
    use crate::testing::{Random, assert_close, machines};

    /// Normal values and inverse deviation of a row in f64.
    fn normal(x: &[f32], epsilon: f32) -> (Vec<f64>, f64) {
        let n = x.len() as f64;
        let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
        let inverse = 1.0 / (variance + f64::from(epsilon)).sqrt();
        (x.iter().map(|&x| (f64::from(x) - mean) * inverse).collect(), inverse)
    }

    const SHAPES: [[usize; 2]; 7] =
        [[0, 3], [1, 1], [3, 5], [2, 16], [70, 33], [129, 192], [5, 1536]];

    #[test]
    fn values_agree_with_f64_in_every_layout() {
        let mut random = Random::new(51);
        for [rows, columns] in SHAPES {
            // A mean far from zero, as in a residual stream.
            let x: Vec<f32> = (0..rows * columns).map(|_| random.uniform(7.0, 9.0)).collect();
            let (weight, bias, scale) =
                (random.vec(columns), random.vec(columns), random.vec(columns));
            let old = random.vec(x.len());
            let norm = LayerNorm { weight: &weight, bias: &bias, epsilon: 1e-5 };
            let want: Vec<f64> = x
                .chunks(columns)
                .flat_map(|row| normal(row, 1e-5).0)
                .enumerate()
                .map(|(i, n)| n * f64::from(weight[i % columns]) + f64::from(bias[i % columns]))
                .collect();
            let added: Vec<f64> = want
                .iter()
                .enumerate()
                .map(|(i, y)| f64::from(old[i]) + y * f64::from(scale[i % columns]))
                .collect();
            for cpu in machines() {
                let what = format!("{rows}x{columns} on {cpu:?}");
                let from = Rows::row_major(&x, rows, columns);
                let mut y = vec![f32::NAN; x.len()];
                norm.forward(&cpu, from, RowsMut::row_major(&mut y, rows, columns).into());
                assert_close(&y, &want, 2e-5, &what);

                let mut in_place = x.clone();
                norm.forward_in_place(&cpu, RowsMut::row_major(&mut in_place, rows, columns));
                assert_eq!(y, in_place, "{what}");

                let mut planes = vec![bf16::NAN; columns.div_ceil(32) * plane_rows(rows) * 32];
                norm.forward(
                    &cpu,
                    from,
                    RowsMut::planes(&mut planes, rows, columns, plane_rows(rows)).into(),
                );
                for (i, &wide) in y.iter().enumerate() {
                    let (row, column) = (i / columns, i % columns);
                    let got = planes[(column / 32 * plane_rows(rows) + row) * 32 + column % 32];
                    assert_eq!(got, bf16::from_f32(wide), "{what}");
                }

                let mut sum = old.clone();
                norm.add_scaled(&cpu, from, &scale, RowsMut::row_major(&mut sum, rows, columns));
                assert_close(&sum, &added, 2e-5, &what);
            }
        }
    }

    #[test]
    fn gradients_agree_with_f64_and_do_not_depend_on_the_threads() {
        let mut random = Random::new(52);
        for [rows, columns] in SHAPES {
            let (x, dy) = (random.vec(rows * columns), random.vec(rows * columns));
            let (weight, bias) = (random.vec(columns), random.vec(columns));
            let norm = LayerNorm { weight: &weight, bias: &bias, epsilon: 1e-5 };
            let mut want_dx = Vec::new();
            let (mut want_dweight, mut want_dbias) = (vec![0.0; columns], vec![0.0; columns]);
            let mut steepest = 1f64;
            for (x, dy) in x.chunks(columns).zip(dy.chunks(columns)) {
                let (n, inverse) = normal(x, 1e-5);
                let g: Vec<f64> =
                    dy.iter().zip(&weight).map(|(&dy, &w)| f64::from(dy) * f64::from(w)).collect();
                let mean = g.iter().sum::<f64>() / columns as f64;
                let with_normal =
                    g.iter().zip(&n).map(|(g, n)| g * n).sum::<f64>() / columns as f64;
                want_dx
                    .extend(g.iter().zip(&n).map(|(g, n)| inverse * (g - mean - n * with_normal)));
                steepest = steepest.max(inverse);
                for (c, (&dy, n)) in dy.iter().zip(&n).enumerate() {
                    want_dweight[c] += f64::from(dy) * n;
                    want_dbias[c] += f64::from(dy);
                }
            }
            for pair in machines().chunks(2) {
                let answers = [&pair[0], &pair[1]].map(|cpu| {
                    let what = format!("{rows}x{columns} on {cpu:?}");
                    let (mut y, mut saved) = (vec![f32::NAN; x.len()], vec![f32::NAN; 2 * rows]);
                    norm.forward_saving(cpu, &x, &mut y, &mut saved);
                    let mut plain = vec![f32::NAN; x.len()];
                    let output = RowsMut::row_major(&mut plain, rows, columns);
                    norm.forward(cpu, Rows::row_major(&x, rows, columns), output.into());
                    let plain: Vec<f64> = plain.into_iter().map(f64::from).collect();
                    assert_close(&y, &plain, 2e-6, &what);
                    let (mut sum, mut saved_again) = (dy.clone(), vec![f32::NAN; 2 * rows]);
                    norm.add_saving(cpu, &x, &mut sum, &mut saved_again);
                    let want: Vec<f64> =
                        plain.iter().zip(&dy).map(|(y, &dy)| y + f64::from(dy)).collect();
                    assert_close(&sum, &want, 2e-6, format!("sum, {what}"));
                    assert_eq!(saved, saved_again, "{what}");
                    let mut dx = vec![f32::NAN; x.len()];
                    let (mut dweight, mut dbias) =
                        (vec![f32::NAN; columns], vec![f32::NAN; columns]);
                    let gradients = LayerNormGradients {
                        dx: &mut dx,
                        dweight: &mut dweight,
                        dbias: &mut dbias,
                    };
                    let mut scratch = vec![f32::NAN; norm.backward_scratch()];
                    norm.backward(cpu, [&x, &dy], &saved, gradients, &mut scratch);
                    assert_close(&dx, &want_dx, 4e-6 * steepest, format!("dx, {what}"));
                    assert_close(&dweight, &want_dweight, 2e-5, format!("dweight, {what}"));
                    assert_close(&dbias, &want_dbias, 2e-5, format!("dbias, {what}"));
                    [dx, dweight, dbias]
                });
                assert_eq!(answers[0], answers[1], "one and several threads");
            }
        }
    }
}
