//! What the tests of this crate share.

use crate::Cpu;
use crate::isa::Isa;

/// A small generator of random numbers (xorshift64*), the same on every machine.
pub(crate) struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn uniform(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * ((self.bits() >> 40) as f32 / (1u64 << 24) as f32)
    }

    /// Values in -1..1.
    pub fn vec(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.uniform(-1.0, 1.0)).collect()
    }
}

/// The error function in f64: its Maclaurin series below 3, its continued fraction above.
pub(crate) fn erf(x: f64) -> f64 {
    let a = x.abs();
    let value = if a < 3.0 {
        let (mut term, mut sum) = (a, a);
        for n in 1..100 {
            term *= -a * a / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    } else {
        let tail = (1..60).rev().fold(a, |t, n| a + 0.5 * f64::from(n) / t);
        1.0 - (-a * a).exp() / (tail * std::f64::consts::PI.sqrt())
    };
    value.copysign(x)
}

/// GELU in its exact form, in f64.
pub(crate) fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2))
}

/// Every instruction set of this machine, alone and on three threads.
pub(crate) fn machines() -> Vec<Cpu> {
    let three = crate::Threads::new(3);
    Isa::available()
        .into_iter()
        .flat_map(|isa| [Cpu::single(isa), Cpu::new(isa, three.clone())])
        .collect()
}

/// Asserts that every element lies within `bound` of the f64 reference.
#[track_caller]
pub(crate) fn assert_close(got: &[f32], want: &[f64], bound: f64, what: impl std::fmt::Display) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let close = (f64::from(g) - w).abs() <= bound;
        assert!(
            close,
            "{what}: element {i} is {g}, expected {w} (difference {:e}, bound {bound:e})",
            f64::from(g) - w
        );
    }
}
