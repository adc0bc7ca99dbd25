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
            let aside = aside.max(usize::from(fraction > 0.0)).min(groups.len() - 1);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::PictureSource;

    fn sample(set: &str, group: usize) -> Sample {
        Sample {
            picture: PictureSource::File("none.png".into()),
            set: set.into(),
            modality: "CT".into(),
            site: "abdomen".into(),
            part: Part::Training,
            group: group.to_string(),
            targets: Vec::new(),
        }
    }

    #[test]
    fn a_collection_of_one_group_is_learnt_from_and_no_group_is_torn_apart() {
        let alone = Dataset { root: "none".into(), samples: vec![sample("one", 0)] };
        for fraction in [0.0, 0.1, 1.0] {
            let split = Split::new(&alone, fraction, 1);
            assert_eq!((split.training, split.validation), (vec![0], vec![]));
        }
        let samples = (0..12).map(|at| sample("many", at / 3)).collect();
        let many = Dataset { root: "none".into(), samples };
        for (fraction, groups) in [(0.0, 0), (0.01, 1), (0.5, 2), (1.0, 3)] {
            let split = Split::new(&many, fraction, 1);
            assert_eq!(split.validation.len(), 3 * groups, "{fraction}");
            let group = |index: &usize| index / 3;
            let kept: Vec<usize> = split.training.iter().map(group).collect();
            assert!(split.validation.iter().map(group).all(|group| !kept.contains(&group)));
        }
    }
}
