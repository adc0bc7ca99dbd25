//! Elementary functions on vectors.

use super::Simd;

/// `e^x`, with results below the least normal number flushed to zero (so `e^-inf` is 0).
///
/// Relative error at most 1.2e-7 (one unit in the last place) where the result is a normal number. The
/// argument is split as `x = n ln 2 + r`, with ln 2 in two parts so that `r` is exact (Cody and Waite,
/// "Software Manual for the Elementary Functions", 1980), then a polynomial on |r| <= ln 2 / 2.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F32) -> S::F32 {
    const LEAST: f32 = -87.336_54; // ln of the least normal number
    const MOST: f32 = 89.0; // beyond the ln of the greatest number
    // A NaN passes through: `min` and `max` answer their second operand then.
    let clamped = s.min(s.splat(MOST), s.max(s.splat(LEAST), x));
    let n = s.round(s.mul(clamped, s.splat(std::f32::consts::LOG2_E)));
    let r = s.neg_mul_add(n, s.splat(0.693_359_4), clamped);
    let r = s.neg_mul_add(n, s.splat(-2.121_944_4e-4), r);
    let mut p = s.splat(EXP[0]);
    for c in &EXP[1..] {
        p = s.mul_add(p, r, s.splat(*c));
    }
    let e = s.add(s.mul_add(s.mul(r, r), p, r), s.splat(1.0));
    s.select(s.less_than(x, s.splat(LEAST)), s.zero(), s.scale(e, n))
}

/// Minimax coefficients of `(e^r - 1 - r) / r^2`, highest power first; relative error of `e^r` 3.1e-9.
const EXP: [f32; 5] = [1.381_446_6e-3, 8.368_781e-3, 4.166_839_3e-2, 1.666_652e-1, 0.499_999_94];

/// `Phi(x) - 1/2`, where Phi is the normal distribution function: `erf(x / sqrt 2) / 2`.
///
/// Absolute error at most 1.8e-7, exactly one half beyond |x| = 5.7. A rational function of x^2 of degree 5 over
/// 5, fitted here by weighted least squares (error 5.5e-9 before rounding) on |x| <= 5.4, beyond which it exceeds
/// one half and is clamped.
#[inline(always)]
pub(crate) fn centered_normal_cdf<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let u = s.min(s.splat(49.0), s.mul(x, x));
    let mut p = s.splat(CDF_NUMERATOR[0]);
    for c in &CDF_NUMERATOR[1..] {
        p = s.mul_add(p, u, s.splat(*c));
    }
    let mut q = s.splat(CDF_DENOMINATOR[0]);
    for c in &CDF_DENOMINATOR[1..] {
        q = s.mul_add(q, u, s.splat(*c));
    }
    let y = s.mul(x, s.div(p, q));
    s.min(s.splat(0.5), s.max(s.splat(-0.5), y))
}

const CDF_NUMERATOR: [f32; 6] =
    [2.338_672_4e-8, 6.360_026_4e-6, 1.643_221_6e-4, 4.650_854e-3, 3.337_227e-2, 0.398_942_23];
const CDF_DENOMINATOR: [f32; 6] =
    [1.216_591_2e-6, 7.240_035_5e-5, 1.858_984_1e-3, 2.837_871_2e-2, 0.250_317_96, 1.0];

/// GELU in its exact form, `x Phi(x)` (Hendrycks and Gimpel, 2016); absolute error at most 2.2e-7 |x|.
#[inline(always)]
pub(crate) fn gelu<S: Simd>(s: S, x: S::F32) -> S::F32 {
    s.mul_add(x, centered_normal_cdf(s, x), s.mul(x, s.splat(0.5)))
}

/// The derivative of [`gelu`], `Phi(x) + x phi(x)`; absolute error at most 4e-7.
#[inline(always)]
pub(crate) fn gelu_derivative<S: Simd>(s: S, x: S::F32) -> S::F32 {
    const DENSITY_AT_ZERO: f32 = 0.398_942_3; // 1 / sqrt(2 pi)
    let density = s.mul(exp(s, s.mul(s.mul(x, x), s.splat(-0.5))), s.splat(DENSITY_AT_ZERO));
    // Beyond |x| = 16 the density is zero in f32, and so must be its product with an infinite x.
    let bounded = s.min(s.splat(16.0), s.max(s.splat(-16.0), x));
    s.add(s.mul_add(bounded, density, centered_normal_cdf(s, x)), s.splat(0.5))
}

/// `1 / (1 + e^-x)`; relative error at most 4e-7.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let e = exp(s, s.sub(s.zero(), x));
    s.div(s.splat(1.0), s.add(s.splat(1.0), e))
}

#[cfg(test)]
mod tests {
    use super::super::{Kernel, LANES, Simd};
    use super::*;
    use crate::isa::Isa;
    use crate::testing::{Random, erf};

    struct Apply<'a>(Function, &'a mut [f32]);

    #[derive(Clone, Copy, Debug)]
    enum Function {
        Exp,
        Gelu,
        GeluDerivative,
        Sigmoid,
    }

    impl Kernel for Apply<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            for lanes in self.1.as_chunks_mut::<LANES>().0 {
                let x = s.load(lanes);
                let y = match self.0 {
                    Function::Exp => exp(s, x),
                    Function::Gelu => gelu(s, x),
                    Function::GeluDerivative => gelu_derivative(s, x),
                    Function::Sigmoid => sigmoid(s, x),
                };
                s.store(lanes, y);
            }
        }
    }

    fn reference(function: Function, x: f64) -> f64 {
        let cdf = 0.5 * (1.0 + erf(x / std::f64::consts::SQRT_2));
        match function {
            Function::Exp => x.exp(),
            Function::Gelu => x * cdf,
            Function::GeluDerivative => {
                cdf + x * (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt()
            }
            Function::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        }
    }

    #[test]
    fn errors_stay_within_the_stated_bounds() {
        let mut random = Random::new(11);
        let mut inputs: Vec<f32> = (0..400_000).map(|i| -100.0 + i as f32 * 5e-4).collect();
        inputs.extend((0..200_000).map(|_| random.uniform(-6.0, 6.0)));
        for isa in Isa::available() {
            for function in
                [Function::Exp, Function::Gelu, Function::GeluDerivative, Function::Sigmoid]
            {
                let mut outputs = inputs.clone();
                isa.run(Apply(function, &mut outputs));
                for (&x, &y) in inputs.iter().zip(&outputs) {
                    let want = reference(function, f64::from(x));
                    let error = (f64::from(y) - want).abs();
                    let bound = match function {
                        // Flushed to zero below the normal numbers; infinite above the greatest.
                        Function::Exp if want > f64::from(f32::MAX) => continue,
                        Function::Exp => 1.2e-7 * want + f64::from(f32::MIN_POSITIVE),
                        Function::Gelu => 2.2e-7 * f64::from(x).abs(),
                        Function::GeluDerivative => 4e-7,
                        Function::Sigmoid => 4e-7 * want + f64::from(f32::MIN_POSITIVE),
                    };
                    assert!(
                        error <= bound,
                        "{function:?} on {isa:?} at {x}: {y}, expected {want}, error {error:e}"
                    );
                }
            }
        }
    }

    #[test]
    fn limits_are_exact() {
        let cases = [
            (Function::Exp, f32::NEG_INFINITY, 0.0),
            (Function::Exp, -1e30, 0.0),
            (Function::Exp, 0.0, 1.0),
            (Function::Exp, 89.0, f32::INFINITY),
            (Function::Exp, f32::INFINITY, f32::INFINITY),
            (Function::Gelu, -1e30, 0.0),
            (Function::Gelu, 1e30, 1e30),
            (Function::Gelu, -8.0, 0.0),
            (Function::Gelu, 8.0, 8.0),
            (Function::GeluDerivative, 1e30, 1.0),
            (Function::GeluDerivative, -1e30, 0.0),
            (Function::Sigmoid, -1e30, 0.0),
            (Function::Sigmoid, 1e30, 1.0),
        ];
        for isa in Isa::available() {
            for (function, x, want) in cases {
                let mut lanes = [x; LANES];
                isa.run(Apply(function, &mut lanes));
                assert_eq!(lanes[3], want, "{function:?} on {isa:?} at {x}");
                let mut lanes = [f32::NAN; LANES];
                isa.run(Apply(function, &mut lanes));
                assert!(lanes[3].is_nan(), "{function:?} on {isa:?} must keep NaN");
            }
        }
    }
}
