//! What training asks of a picture: what is there, and what is not.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};

use crate::config::{PromptConfig, SetConfig};
use crate::dataset::{Dataset, Sample};
use crate::ontology::{FOREIGN, category, is_abnormal, synonyms};
use crate::random::Random;

/// A question to a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The words.
    pub phrase: String,
    /// Which of the sample's targets is meant; none for something absent.
    pub target: Option<usize>,
    /// The class of the bank that the target belongs to, where known.
    pub category: Option<usize>,
    /// The place of what is asked for in the dataset's vocabulary; none for what it doesn't mark.
    pub word: Option<usize>,
}

/// A target as it can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    pub target: String,
    pub site: String,
    pub modality: String,
}

/// How much a phrase says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wording {
    /// Any, the bare name included.
    Free,
    /// Target, site and modality: needed where the bare name could be true of the picture.
    Full,
}

/// Everything that can be asked of the pictures of a dataset.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    /// What each collection marks.
    by_set: BTreeMap<String, BTreeSet<Named>>,
    /// The collections that mark all that they mark at all, in every picture.
    exhaustive: BTreeSet<String>,
    /// The names of all that is marked anywhere, in order.
    words: Vec<String>,
}

impl Vocabulary {
    /// Collects what is marked in `dataset`.
    pub fn new(dataset: &Dataset, sets: &BTreeMap<String, SetConfig>) -> Self {
        let mut by_set: BTreeMap<String, BTreeSet<Named>> = BTreeMap::new();
        for sample in &dataset.samples {
            let known = by_set.entry(sample.set.clone()).or_default();
            known.extend(sample.targets.iter().map(|target| named(sample, &target.name)));
        }
        let exhaustive = sets.iter().filter(|(_, config)| config.exhaustive);
        let words: BTreeSet<&String> =
            by_set.values().flatten().map(|named| &named.target).collect();
        let words = words.into_iter().cloned().collect();
        let exhaustive = exhaustive.map(|(name, _)| name.clone()).collect();
        Self { by_set, exhaustive, words }
    }

    /// The place of a target's name among all that are marked anywhere.
    pub(crate) fn word(&self, target: &str) -> Option<usize> {
        self.words.binary_search_by(|word| word.as_str().cmp(target)).ok()
    }

    /// Draws the prompts for one view of a picture; `visible` lists the targets that can be seen
    /// in it, those that a crop has cut away are absent.
    pub(crate) fn draw(
        &self,
        sample: &Sample,
        visible: &[usize],
        config: &PromptConfig,
        random: &mut Random,
    ) -> Vec<Prompt> {
        let count = random.random_range(1..=config.at_most.max(1));
        let mut present: Vec<usize> = visible.to_vec();
        present.shuffle(random);
        let mut prompts = Vec::new();
        for _ in 0..count {
            let absent = random.random_bool(config.absent_share);
            let prompt = match present.pop() {
                Some(target) if !absent => Some(self.present(sample, target, random)),
                _ => self.absent(sample, config, random),
            };
            prompts.extend(prompt);
        }
        if prompts.is_empty()
            && let Some(target) = visible.first()
        {
            prompts.push(self.present(sample, *target, random));
        }
        prompts.shuffle(random);
        prompts.dedup_by(|a, b| a.phrase == b.phrase);
        prompts
    }

    fn present(&self, sample: &Sample, target: usize, random: &mut Random) -> Prompt {
        let name = named(sample, &sample.targets[target].name);
        Prompt {
            category: category(&name.target),
            phrase: worded(&name, Wording::Free, random),
            target: Some(target),
            word: self.word(&name.target),
        }
    }

    fn absent(
        &self,
        sample: &Sample,
        config: &PromptConfig,
        random: &mut Random,
    ) -> Option<Prompt> {
        let same_set = self.missing_in(sample);
        let share = if same_set.is_empty() { 0.0 } else { config.hard_share };
        let (name, wording) = if random.random_bool(share) {
            (same_set.choose(random)?.clone(), Wording::Free)
        } else {
            // Half of the questions are about what the model is to know: a name must be looked
            // for, not taken for an answer.
            let (known, foreign): (Vec<_>, Vec<_>) = self
                .elsewhere(sample)
                .into_iter()
                .partition(|(name, _)| self.word(&name.target).is_some());
            let (first, second) =
                if random.random_bool(0.5) { (known, foreign) } else { (foreign, known) };
            first.choose(random).or_else(|| second.choose(random))?.clone()
        };
        let phrase = worded(&name, wording, random);
        Some(Prompt { phrase, target: None, category: None, word: self.word(&name.target) })
    }

    /// What the picture's own collection marks elsewhere but not here, where it marks all.
    fn missing_in(&self, sample: &Sample) -> Vec<Named> {
        if !self.exhaustive.contains(&sample.set) {
            return Vec::new();
        }
        let known = self.by_set.get(&sample.set).into_iter().flatten();
        known.filter(|name| !has_target(sample, &name.target)).cloned().collect()
    }

    /// What other collections mark, and what is known from other modalities, in a wording that
    /// is surely untrue of this picture.
    fn elsewhere(&self, sample: &Sample) -> Vec<(Named, Wording)> {
        let own: BTreeSet<&str> = self
            .by_set
            .get(&sample.set)
            .into_iter()
            .flatten()
            .map(|name| name.target.as_str())
            .collect();
        let own_categories: Vec<Option<usize>> = own.iter().map(|name| category(name)).collect();
        let others = self.by_set.values().flatten().cloned();
        let mut found = Vec::new();
        for name in others.chain(foreign()) {
            let same_place = name.site == sample.site && name.modality == sample.modality;
            if same_place || own.contains(name.target.as_str()) {
                continue;
            }
            let other_modality = name.modality != sample.modality;
            let told_apart =
                own_categories.iter().all(|own| tells_apart(*own, category(&name.target)));
            let wording = if other_modality && told_apart { Wording::Free } else { Wording::Full };
            found.push((name, wording));
        }
        found
    }
}

/// What is known from pictures in general.
pub(crate) fn foreign() -> impl Iterator<Item = Named> {
    FOREIGN.iter().map(|[target, site, modality]| Named {
        target: (*target).into(),
        site: (*site).into(),
        modality: (*modality).into(),
    })
}

/// Whether a thing of category `other` can't be mistaken for one of category `own`.
pub(crate) fn tells_apart(own: Option<usize>, other: Option<usize>) -> bool {
    match (own, other) {
        (Some(own), Some(other)) => own != other && !(is_abnormal(own) && is_abnormal(other)),
        _ => false,
    }
}

pub(crate) fn has_target(sample: &Sample, name: &str) -> bool {
    sample.targets.iter().any(|target| target.name == name)
}

pub(crate) fn named(sample: &Sample, target: &str) -> Named {
    Named { target: target.into(), site: sample.site.clone(), modality: sample.modality.clone() }
}

/// One of the ways to ask for `name`.
fn worded(name: &Named, wording: Wording, random: &mut Random) -> String {
    let mut other = |name: &str, share: f64| {
        let names = synonyms(name);
        let own = names[0].to_owned();
        if random.random_bool(share) {
            (*names.choose(random).unwrap_or(&names[0])).into()
        } else {
            own
        }
    };
    let (target, modality, site) =
        (other(&name.target, 0.4), other(&name.modality, 0.3), other(&name.site, 0.0));
    let form = match wording {
        Wording::Full => 0,
        Wording::Free => random.random_range(0..10),
    };
    match form {
        0..=4 => format!("{target} in {site} {modality}"),
        5..=7 => target,
        8 => format!("{target} in {site}"),
        _ => format!("{target} in {modality}"),
    }
}
