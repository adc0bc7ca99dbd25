//! How sure a mean is: the percentile bootstrap over groups.
//!
//! Pictures of one patient are no independent draws, so that whole groups are drawn (Efron and
//! Tibshirani, "An introduction to the bootstrap", 1993; for clusters: Field and Welsh, 2007).

use rand::RngExt;
use serde::Serialize;

use crate::random::{Purpose, stream};

/// The share of resamples that lie within an interval.
const LEVEL: f64 = 0.95;

/// A number and the interval that 95 % of the resamples fall in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The number itself, of all that was seen.
    pub mean: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// How resamples are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bootstrap {
    /// How many.
    pub resamples: usize,
    /// What the draws follow from.
    pub seed: u64,
}

impl Bootstrap {
    /// `statistic` of everything and of resamples; it is given how often each of `groups` groups
    /// counts, and answers none where it is not defined.
    pub fn estimate(
        self,
        groups: usize,
        statistic: impl Fn(&[u32]) -> Option<f64>,
    ) -> Option<Estimate> {
        let mean = statistic(&vec![1; groups])?;
        let mut random = stream(self.seed, Purpose::Bootstrap, &[groups as u64]);
        let mut counts = vec![0u32; groups];
        let draws = (0..self.resamples).filter_map(|_| {
            counts.fill(0);
            for _ in 0..groups {
                counts[random.random_range(0..groups)] += 1;
            }
            statistic(&counts)
        });
        let mut found: Vec<f64> = draws.collect();
        if found.is_empty() {
            return Some(Estimate { mean, low: mean, high: mean });
        }
        found.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| found[(share * (found.len() - 1) as f64).round() as usize];
        let tail = (1.0 - LEVEL) / 2.0;
        Some(Estimate { mean, low: at(tail), high: at(1.0 - tail) })
    }

    /// The mean of values that each belong to a group.
    pub fn mean(self, values: impl IntoIterator<Item = (usize, f64)>) -> Option<Estimate> {
        let mut sums: std::collections::BTreeMap<usize, (f64, f64)> = Default::default();
        for (group, value) in values {
            let (sum, count) = sums.entry(group).or_default();
            *sum += value;
            *count += 1.0;
        }
        let sums: Vec<(f64, f64)> = sums.into_values().collect();
        self.estimate(sums.len(), |counts| {
            let pairs = sums.iter().zip(counts);
            let (sum, count) = pairs.fold((0.0, 0.0), |(sum, count), ((s, n), &times)| {
                (sum + s * f64::from(times), count + n * f64::from(times))
            });
            (count > 0.0).then(|| sum / count)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOTSTRAP: Bootstrap = Bootstrap { resamples: 2000, seed: 1 };

    #[test]
    fn an_interval_is_as_wide_as_theory_says() {
        // Of 400 independent values 0 and 1 the mean's deviation is 0.025.
        let values = (0..400).map(|at| (at, f64::from(at % 2 == 0)));
        let found = BOOTSTRAP.mean(values).unwrap();
        assert_eq!(found.mean, 0.5);
        assert!((found.low - (0.5 - 1.96 * 0.025)).abs() < 0.01, "{found:?}");
        assert!((found.high - (0.5 + 1.96 * 0.025)).abs() < 0.01, "{found:?}");
    }

    #[test]
    fn pictures_of_one_group_are_no_more_evidence_than_one() {
        let alone = BOOTSTRAP.mean((0..20).map(|at| (at, f64::from(at % 2 == 0)))).unwrap();
        let tenfold = (0..200).map(|at| (at / 10, f64::from(at / 10 % 2 == 0)));
        assert_eq!(BOOTSTRAP.mean(tenfold).unwrap(), alone);
        assert_eq!(BOOTSTRAP.mean([]), None);
        let one = BOOTSTRAP.mean([(0, 0.25)]).unwrap();
        assert_eq!((one.mean, one.low, one.high), (0.25, 0.25, 0.25));
    }
}
