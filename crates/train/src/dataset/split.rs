//! Training and validation, with no patient on both sides.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;

use super::Dataset;
use crate::random::{Purpose, place_of, stream};

/// Indices into a dataset's samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// What is learnt from.
    pub training: Vec<usize>,
    /// What progress is measured on.
    pub validation: Vec<usize>,
}

impl Split {
    /// Sets `fraction` of the groups of every collection aside for validation, at least one where
    /// a collection has two or more.
    ///
    /// The same seed and collection give the same split, whatever other collections there are.
    pub fn new(dataset: &Dataset, fraction: f64, seed: u64) -> Self {
        let mut sets: BTreeMap<&str, BTreeMap<&str, Vec<usize>>> = BTreeMap::new();
        for (index, sample) in dataset.samples.iter().enumerate() {
            let groups = sets.entry(&sample.set).or_default();
            groups.entry(&sample.group).or_default().push(index);
        }
        let mut split = Self { training: Vec::new(), validation: Vec::new() };
        for (set, groups) in sets {
            let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
            groups.shuffle(&mut stream(seed, Purpose::Split, &[place_of(set)]));
            let aside = (groups.len() as f64 * fraction).round() as usize;
            let aside = aside.clamp(usize::from(fraction > 0.0), groups.len().max(1) - 1);
            let training = groups.split_off(aside);
            split.validation.extend(groups.into_iter().flatten());
            split.training.extend(training.into_iter().flatten());
        }
        split.training.sort_unstable();
        split.validation.sort_unstable();
        split
    }
}
