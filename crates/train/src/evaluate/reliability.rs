//! Whether probabilities mean what they say, and how to make them.

use medparse::PresenceCalibration;
use serde::Serialize;

/// Bins of equal width.
const BINS: usize = 10;

/// Probabilities beside what came true.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reliability {
    /// The expected calibration error: the mean distance of a bin's two numbers, weighted by its
    /// count (Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning", 2015).
    pub ece: f64,
    /// How many probabilities there were.
    pub n: u64,
    /// From 0 to 1; empty bins are left out.
    pub bins: Vec<Bin>,
}

/// The probabilities within a tenth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    /// The lower end.
    pub from: f64,
    /// The upper end.
    pub to: f64,
    /// How many.
    pub n: u64,
    /// Their mean.
    pub predicted: f64,
    /// The share that came true.
    pub observed: f64,
}

/// Counts probabilities as they come.
#[derive(Debug, Clone, Default)]
pub struct ReliabilityCounter {
    /// Count, sum of probabilities, count of what came true.
    bins: [(u64, f64, u64); BINS],
}

impl ReliabilityCounter {
    /// Counts one probability, 0..=1.
    pub fn add(&mut self, probability: f64, came_true: bool) {
        let (count, sum, truths) =
            &mut self.bins[((probability * BINS as f64) as usize).min(BINS - 1)];
        *count += 1;
        *sum += probability;
        *truths += u64::from(came_true);
    }

    /// What was counted; none where nothing was.
    pub fn finish(&self) -> Option<Reliability> {
        let n: u64 = self.bins.iter().map(|(count, ..)| count).sum();
        let width = 1.0 / BINS as f64;
        let bins: Vec<Bin> = self
            .bins
            .iter()
            .enumerate()
            .filter(|(_, (count, ..))| *count > 0)
            .map(|(at, &(count, sum, truths))| Bin {
                from: at as f64 * width,
                to: (at + 1) as f64 * width,
                n: count,
                predicted: sum / count as f64,
                observed: truths as f64 / count as f64,
            })
            .collect();
        let gap = |bin: &Bin| bin.n as f64 * (bin.predicted - bin.observed).abs();
        let ece = bins.iter().map(gap).sum::<f64>() / n as f64;
        (n > 0).then_some(Reliability { ece, n, bins })
    }
}

/// Fits the two numbers that make presence logits probabilities: the likeliest ones for targets
/// drawn in a little from 0 and 1 (Platt 1999; Newton's method as Lin, Lin and Weng 2007 advise).
///
/// None where all were there, or none.
pub fn fit_presence(logits: &[(f64, bool)]) -> Option<PresenceCalibration> {
    let present = logits.iter().filter(|(_, is_present)| *is_present).count() as f64;
    let absent = logits.len() as f64 - present;
    if present == 0.0 || absent == 0.0 {
        return None;
    }
    let aims = [1.0 / (absent + 2.0), (present + 1.0) / (present + 2.0)];
    Some(likeliest(
        logits.iter().map(|&(logit, is_present)| (logit, aims[usize::from(is_present)])),
    ))
}

fn likeliest(pairs: impl Iterator<Item = (f64, f64)> + Clone) -> PresenceCalibration {
    let loss = |scale: f64, offset: f64| -> f64 {
        let terms = pairs.clone().map(|(logit, aim)| {
            let value = scale * logit + offset;
            value.max(0.0) - value * aim + (-value.abs()).exp().ln_1p()
        });
        terms.sum()
    };
    let (mut scale, mut offset) = (1.0, 0.0);
    for _ in 0..100 {
        let (mut slope, mut curve) = ([0.0; 2], [1e-9, 0.0, 1e-9]);
        for (logit, aim) in pairs.clone() {
            let probability = 1.0 / (1.0 + (-(scale * logit + offset)).exp());
            let (miss, weight) = (probability - aim, probability * (1.0 - probability));
            slope = [slope[0] + miss * logit, slope[1] + miss];
            curve =
                [curve[0] + weight * logit * logit, curve[1] + weight * logit, curve[2] + weight];
        }
        if slope.iter().all(|slope| slope.abs() < 1e-10) {
            break;
        }
        let determinant = curve[0] * curve[2] - curve[1] * curve[1];
        let step = [
            (curve[2] * slope[0] - curve[1] * slope[1]) / determinant,
            (curve[0] * slope[1] - curve[1] * slope[0]) / determinant,
        ];
        let before = loss(scale, offset);
        let mut share = 1.0;
        while share > 1e-10 && loss(scale - share * step[0], offset - share * step[1]) > before {
            share *= 0.5;
        }
        (scale, offset) = (scale - share * step[0], offset - share * step[1]);
    }
    PresenceCalibration { scale, offset }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mut counter = ReliabilityCounter::default();
        for (probability, came_true) in [(0.1, false), (0.15, true), (0.92, true), (1.0, true)] {
            counter.add(probability, came_true);
        }
        let found = counter.finish().unwrap();
        assert_eq!((found.bins.len(), found.n), (2, 4));
        assert_eq!((found.bins[0].predicted, found.bins[0].observed), (0.125, 0.5));
        assert!((found.ece - (0.5 * 0.375 + 0.5 * 0.04)).abs() < 1e-12, "{found:?}");
        assert_eq!(ReliabilityCounter::default().finish(), None);
    }

    /// Constants of scikit-learn 1.9.1's `LogisticRegression` without regularisation.
    #[test]
    fn the_likeliest_numbers_are_those_of_logistic_regression() {
        let logits = [3.0, 2.5, 0.1, -0.5, 1.5, 4.0, -2.0, -1.0, 0.5, -3.0, 1.0, -0.2];
        let truths = [1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0];
        let found = likeliest(logits.into_iter().zip(truths));
        assert!((found.scale - 1.55057308).abs() < 1e-5, "{found:?}");
        assert!((found.offset - -0.6512769).abs() < 1e-5, "{found:?}");
    }

    #[test]
    fn a_timid_head_is_made_bolder_and_perfect_ones_stay_finite() {
        // True odds are the square of those the head claims.
        let at = |logit: f64, present: usize| (0..100).map(move |one| (logit, one < present));
        let logits: Vec<_> = at(1.0, 88).chain(at(-1.0, 12)).collect();
        let found = fit_presence(&logits).unwrap();
        assert!((found.scale - 2.0).abs() < 0.1 && found.offset.abs() < 1e-6, "{found:?}");
        let perfect = fit_presence(&[(5.0, true), (-5.0, false)]).unwrap();
        assert!(perfect.scale.is_finite() && perfect.probability(5.0) > 0.5);
        assert_eq!(fit_presence(&[(1.0, true)]), None);
    }
}
