//! How well a score tells what is there from what is not.

use std::collections::BTreeMap;

use serde::Serialize;

use super::interval::Bootstrap;

/// A score of something whose presence is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// Only pairs of one stratum are compared.
    pub stratum: usize,
    /// What is drawn together in a bootstrap.
    pub group: usize,
    /// The higher, the likelier present.
    pub score: f64,
    /// Whether it is there.
    pub is_present: bool,
}

/// The area under the receiver operating characteristic: how often a present thing is ranked above
/// an absent one, ties counting half (Hanley and McNeil, 1982).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Auroc {
    /// 0..=1; ½ is chance.
    pub auroc: f64,
    /// The lower end of its interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// Present things.
    pub present: usize,
    /// Absent ones.
    pub absent: usize,
}

impl Auroc {
    /// Compares the present with the absent of each stratum; none where no stratum has both.
    pub fn of(scored: &[Scored], bootstrap: Bootstrap) -> Option<Self> {
        let mut places = BTreeMap::new();
        for one in scored {
            let next = places.len();
            places.entry(one.group).or_insert(next);
        }
        let mut sorted: Vec<Scored> = scored.to_vec();
        sorted.sort_unstable_by(|a, b| a.stratum.cmp(&b.stratum).then(a.score.total_cmp(&b.score)));
        let group_of: Vec<usize> = sorted.iter().map(|one| places[&one.group]).collect();
        let estimate = bootstrap.estimate(places.len(), |counts| {
            let weights = group_of.iter().map(|&group| f64::from(counts[group]));
            share_ordered(&sorted, weights)
        })?;
        let present = scored.iter().filter(|one| one.is_present).count();
        Some(Self {
            auroc: estimate.mean,
            low: estimate.low,
            high: estimate.high,
            present,
            absent: scored.len() - present,
        })
    }
}

/// The share of pairs (present, absent) of one stratum in which the present one scores higher.
fn share_ordered(sorted: &[Scored], weights: impl Iterator<Item = f64>) -> Option<f64> {
    let weighted: Vec<(Scored, f64)> = sorted.iter().copied().zip(weights).collect();
    let (mut ordered, mut pairs) = (0.0, 0.0);
    for stratum in weighted.chunk_by(|a, b| a.0.stratum == b.0.stratum) {
        let (mut present, mut absent) = (0.0, 0.0);
        for tied in stratum.chunk_by(|a, b| a.0.score == b.0.score) {
            let weight = |is_present: bool| -> f64 {
                let these = tied.iter().filter(|(one, _)| one.is_present == is_present);
                these.map(|(_, weight)| weight).sum()
            };
            let (these_present, these_absent) = (weight(true), weight(false));
            ordered += these_present * (absent + 0.5 * these_absent);
            present += these_present;
            absent += these_absent;
        }
        pairs += present * absent;
    }
    (pairs > 0.0).then(|| ordered / pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOTSTRAP: Bootstrap = Bootstrap { resamples: 200, seed: 1 };

    fn scored(stratum: usize, present: &[f64], absent: &[f64]) -> Vec<Scored> {
        let of = |score, is_present, group| Scored { stratum, group, score, is_present };
        let first = present.iter().enumerate().map(|(at, &score)| of(score, true, at));
        let second = absent.iter().enumerate().map(|(at, &score)| of(score, false, 100 + at));
        first.chain(second).collect()
    }

    /// The constant is scikit-learn 1.9.1's `roc_auc_score`.
    #[test]
    fn equals_scikit_learn_with_ties() {
        let all = scored(0, &[0.9, 0.8, 0.8, 0.3, 0.55], &[0.8, 0.1, 0.3, 0.3, 0.2, 0.6]);
        let found = Auroc::of(&all, BOOTSTRAP).unwrap();
        assert!((found.auroc - 0.8).abs() < 1e-12, "{found:?}");
        assert_eq!((found.present, found.absent), (5, 6));
        assert!(found.low < 0.8 && found.high > 0.8);
    }

    #[test]
    fn strata_are_not_compared_with_each_other() {
        let mut all = scored(0, &[0.9], &[0.8]);
        all.extend(scored(1, &[0.3], &[0.2]));
        assert_eq!(Auroc::of(&all, BOOTSTRAP).unwrap().auroc, 1.0);
        all.iter_mut().for_each(|one| one.stratum = 0);
        assert_eq!(Auroc::of(&all, BOOTSTRAP).unwrap().auroc, 0.75);
        assert_eq!(Auroc::of(&scored(0, &[0.9], &[]), BOOTSTRAP), None);
    }
}
