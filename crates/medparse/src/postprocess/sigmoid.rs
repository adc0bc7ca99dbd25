//! The logistic function, in plain operations that vectorise and give the same bits on every CPU.

/// Replaces each logit by its probability `1 / (1 + exp(-x))`.
///
/// Within 2.5 units in the last place (rounding of the exponential, the sum and the quotient);
/// never below 1e-38; NaN stays NaN.
#[inline(always)]
pub(super) fn apply(logits: &mut [f32]) {
    for value in logits {
        *value = sigmoid(*value);
    }
}

/// `exp(-|x|)` is at most 1, so neither form of the quotient loses digits: `1 / (1 + e)` for
/// positive `x`, and `e / (1 + e)`, the same thing mirrored, for negative.
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    let e = exp_of_negative(-x.abs());
    let numerator = if x < 0.0 { e } else { 1.0 };
    numerator / (1.0 + e)
}

/// `exp(x)` for `x` up to 0.
///
/// `x = n ln 2 + r` with whole `n` and `|r| <= ln 2 / 2`, so `exp(x) = 2^n exp(r)`, the latter by
/// its Taylor polynomial of degree 7, whose remainder is below a tenth of a unit in the last place.
#[inline(always)]
fn exp_of_negative(x: f32) -> f32 {
    /// Below this the result would no longer be a normal number.
    const LEAST: f32 = -87.0;
    /// Adding it leaves a whole number in the low bits of the sum.
    const ROUNDER: f32 = 12_582_912.0; // 1.5 * 2^23
    /// ln 2 in two parts (Cody and Waite); products with the first, which has few bits, are exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const EXPONENT_OF_ONE: u32 = 127 << 23;

    let x = if x < LEAST { LEAST } else { x };
    let rounded = x * std::f32::consts::LOG2_E + ROUNDER;
    let n = rounded - ROUNDER;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let mut polynomial = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        polynomial = polynomial * r + coefficient;
    }
    let power_of_two = f32::from_bits((rounded.to_bits() << 23).wrapping_add(EXPONENT_OF_ONE));
    polynomial * power_of_two
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(x: f32) -> f64 {
        1.0 / (1.0 + (-f64::from(x)).exp())
    }

    #[test]
    fn every_logit_is_right_to_the_last_bits() {
        let mut worst = 0.0_f64;
        for step in -860_000..=860_000 {
            let x = step as f32 * 1e-4;
            let expected = exact(x);
            let nearest = expected as f32;
            let unit = f64::from(nearest.next_up() - nearest);
            worst = worst.max((f64::from(sigmoid(x)) - expected).abs() / unit);
        }
        assert!(worst <= 2.5, "{worst} units in the last place");
    }

    #[test]
    fn extremes_saturate() {
        assert_eq!(sigmoid(0.0), 0.5);
        assert_eq!(sigmoid(-0.0), 0.5);
        assert_eq!(sigmoid(f32::INFINITY), 1.0);
        assert_eq!(sigmoid(1e30), 1.0);
        assert!((0.0..1e-37).contains(&sigmoid(-1e30)));
        assert!((0.0..1e-37).contains(&sigmoid(f32::NEG_INFINITY)));
        assert!(sigmoid(f32::NAN).is_nan());
        assert!(sigmoid(f32::MIN_POSITIVE) >= 0.5);
    }
}
