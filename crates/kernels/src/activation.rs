//! Activations: functions of each value.

use crate::simd::{Kernel, LANES, Simd, math};
use crate::threads::Cpu;

/// A function applied to each value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// The value itself.
    #[default]
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// GELU in its exact form, `x Phi(x)` with the normal distribution function Phi (Hendrycks and Gimpel, 2016);
    /// absolute error at most 2.2e-7 |x|.
    Gelu,
    /// `x sigmoid(1.702 x)`, as in CLIP; relative error at most 5e-7.
    QuickGelu,
}

const QUICK: f32 = 1.702;

impl Activation {
    #[inline(always)]
    pub(crate) fn apply<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        match self {
            Activation::Identity => x,
            // A NaN passes through: `max` answers its second operand then.
            Activation::Relu => s.max(s.zero(), x),
            Activation::Gelu => math::gelu(s, x),
            Activation::QuickGelu => s.mul(x, math::sigmoid(s, s.mul(x, s.splat(QUICK)))),
        }
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        match self {
            Activation::Identity => s.splat(1.0),
            Activation::Relu => s.select(s.less_than(s.zero(), x), s.splat(1.0), s.zero()),
            Activation::Gelu => math::gelu_derivative(s, x),
            Activation::QuickGelu => {
                // With g = sigmoid(q x): g + q x g (1 - g).
                let scaled = s.mul(x, s.splat(QUICK));
                let gate = math::sigmoid(s, scaled);
                s.mul_add(s.mul(scaled, gate), s.sub(s.splat(1.0), gate), gate)
            }
        }
    }

    /// `y = f(x)`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn forward(self, cpu: &Cpu, x: &[f32], y: &mut [f32]) {
        assert_eq!(x.len(), y.len(), "x and y must have one length");
        cpu.threads().each(x.chunks(TASK).zip(y.chunks_mut(TASK)), |(x, y)| {
            y.copy_from_slice(x);
            cpu.isa().run(Forward { activation: self, values: y });
        });
    }

    /// `dx = f'(x) dy`, the gradient of the input.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn backward(self, cpu: &Cpu, x: &[f32], dy: &[f32], dx: &mut [f32]) {
        assert!(x.len() == dy.len() && x.len() == dx.len(), "x, dy and dx must have one length");
        let parts = x.chunks(TASK).zip(dy.chunks(TASK)).zip(dx.chunks_mut(TASK));
        cpu.threads()
            .each(parts, |((x, dy), dx)| cpu.isa().run(Backward { activation: self, x, dy, dx }));
    }
}

/// Values in a task: 16 kB, which stay in the first level of cache.
const TASK: usize = 4096;

struct Forward<'a> {
    activation: Activation,
    values: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (whole, rest) = self.values.as_chunks_mut::<LANES>();
        for lanes in whole {
            s.store(lanes, self.activation.apply(s, s.load(lanes)));
        }
        s.store_part(rest, self.activation.apply(s, s.load_part(rest, 0.0)));
    }
}

struct Backward<'a> {
    activation: Activation,
    x: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (x, x_rest) = self.x.as_chunks::<LANES>();
        let (dy, dy_rest) = self.dy.as_chunks::<LANES>();
        let (dx, dx_rest) = self.dx.as_chunks_mut::<LANES>();
        for ((x, dy), dx) in x.iter().zip(dy).zip(dx) {
            s.store(dx, s.mul(self.activation.derivative(s, s.load(x)), s.load(dy)));
        }
        let slope = self.activation.derivative(s, s.load_part(x_rest, 0.0));
        s.store_part(dx_rest, s.mul(slope, s.load_part(dy_rest, 0.0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, assert_close, gelu, machines};

    const ALL: [Activation; 4] =
        [Activation::Identity, Activation::Relu, Activation::Gelu, Activation::QuickGelu];

    fn reference(activation: Activation, x: f64) -> f64 {
        match activation {
            Activation::Identity => x,
            Activation::Relu => x.max(0.0),
            Activation::Gelu => gelu(x),
            Activation::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
        }
    }

    #[test]
    fn values_and_slopes_agree_with_f64_at_odd_sizes() {
        let mut random = Random::new(5);
        for len in [0, 1, 15, 16, 17, 1000, TASK + 3] {
            let x: Vec<f32> = (0..len).map(|_| random.uniform(-7.0, 7.0)).collect();
            let dy = random.vec(len);
            for cpu in machines() {
                for activation in ALL {
                    let what = format!("{activation:?} of {len} values on {cpu:?}");
                    let want: Vec<f64> =
                        x.iter().map(|&x| reference(activation, f64::from(x))).collect();
                    let mut y = vec![0.0; len];
                    activation.forward(&cpu, &x, &mut y);
                    assert_close(&y, &want, 1.6e-6, &what);

                    // Central differences of the f64 function: their own error is below 1e-9 here.
                    let slope = |x: f64| {
                        (reference(activation, x + 1e-5) - reference(activation, x - 1e-5)) / 2e-5
                    };
                    let want: Vec<f64> = x
                        .iter()
                        .zip(&dy)
                        .map(|(&x, &dy)| slope(f64::from(x)) * f64::from(dy))
                        .collect();
                    let mut dx = vec![0.0; len];
                    activation.backward(&cpu, &x, &dy, &mut dx);
                    assert_close(&dx, &want, 2e-6, &what);
                }
            }
        }
    }
}
