//! Training and validation, with no patient on both sides.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;

use super::{Dataset, Part, Sample};
use crate::random::{Purpose, place_of, stream};

/// Indices into a dataset's samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// What is learnt from.
    pub training: Vec<usize>,
    /// What progress is measured on.
    pub validation: Vec<usize>,
}

/// A choice of a dataset's pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// All.
    All,
    /// Those that are learnt from.
    Training,
    /// Those of the training part that progress is measured on.
    Validation,
    /// Those of the test part.
    Test,
}

impl Split {
    /// Sets `fraction` of the groups of every collection aside for validation, at least one where
    /// a collection has two or more; test pictures are in neither part.
    ///
    /// The same seed and collection give the same split, whatever other collections there are.
    pub fn new(dataset: &Dataset, fraction: f64, seed: u64) -> Self {
        let mut sets: BTreeMap<&str, BTreeMap<&str, Vec<usize>>> = BTreeMap::new();
        let learnt_from = |(_, sample): &(usize, &Sample)| sample.part == Part::Training;
        for (index, sample) in dataset.samples.iter().enumerate().filter(learnt_from) {
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

    /// The pictures of a choice, in the dataset's order.
    pub fn pictures(&self, dataset: &Dataset, choice: Choice) -> Vec<usize> {
        let all = 0..dataset.samples.len();
        match choice {
            Choice::All => all.collect(),
            Choice::Training => self.training.clone(),
            Choice::Validation => self.validation.clone(),
            Choice::Test => {
                all.filter(|&index| dataset.samples[index].part == Part::Test).collect()
            }
        }
    }
}
