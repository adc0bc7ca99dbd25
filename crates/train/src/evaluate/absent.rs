//! What is surely not in a picture.
//!
//! A collection that marks a target in several pictures is taken to mark it wherever it is, so
//! that a picture without the mark does not show it. What other collections mark is absent where
//! it belongs to another region of the body and can't be mistaken for anything the picture's own
//! collection marks.

use std::collections::{BTreeMap, BTreeSet};

use rand::seq::SliceRandom;

use crate::dataset::{Dataset, Sample};
use crate::ontology::category;
use crate::prompts::{Named, foreign, has_target, named, tells_apart};
use crate::random::Random;

/// Pictures of a collection that must show a target before its absence from another one means
/// anything.
const EVIDENCE: usize = 3;

/// How many absent things are asked for in each picture, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbsentCounts {
    /// Things that pictures of this modality can show: hard to tell.
    pub same_modality: usize,
    /// Things from other modalities: easy to tell.
    pub other_modality: usize,
}

/// The kind of an absent thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    SameModality,
    OtherModality,
}

/// Everything that can be asked for in vain.
pub(super) struct Absent {
    /// What each collection marks, and in how many pictures.
    by_set: BTreeMap<String, BTreeMap<Named, usize>>,
    /// Collections whose silence says nothing.
    partial: BTreeSet<String>,
}

impl Absent {
    pub fn new(dataset: &Dataset, partial: &BTreeSet<String>) -> Self {
        let mut by_set: BTreeMap<String, BTreeMap<Named, usize>> = BTreeMap::new();
        for sample in &dataset.samples {
            let known = by_set.entry(sample.set.clone()).or_default();
            for target in &sample.targets {
                *known.entry(named(sample, &target.name)).or_default() += 1;
            }
        }
        Self { by_set, partial: partial.clone() }
    }

    /// Draws absent things of both kinds, those of the picture's own collection first.
    pub fn draw(
        &self,
        sample: &Sample,
        counts: AbsentCounts,
        random: &mut Random,
    ) -> Vec<(Kind, Named)> {
        let mut own = self.missing_in(sample);
        own.shuffle(random);
        let [mut same, mut other] = self.elsewhere(sample);
        same.shuffle(random);
        other.shuffle(random);
        let same = own.into_iter().chain(same).take(counts.same_modality);
        let other = other.into_iter().take(counts.other_modality);
        same.map(|name| (Kind::SameModality, name))
            .chain(other.map(|name| (Kind::OtherModality, name)))
            .collect()
    }

    /// What the picture's own collection marks elsewhere but not here.
    fn missing_in(&self, sample: &Sample) -> Vec<Named> {
        if self.partial.contains(&sample.set) {
            return Vec::new();
        }
        let is_missing = |(name, count): &(&Named, &usize)| {
            **count >= EVIDENCE
                && name.modality == sample.modality
                && name.site == sample.site
                && !has_target(sample, &name.target)
        };
        let known = self.by_set.get(&sample.set).into_iter().flatten();
        known.filter(is_missing).map(|(name, _)| name.clone()).collect()
    }

    /// What belongs to other pictures: of the same modality, and of others.
    fn elsewhere(&self, sample: &Sample) -> [Vec<Named>; 2] {
        let own: BTreeSet<&str> = self
            .by_set
            .get(&sample.set)
            .into_iter()
            .flat_map(BTreeMap::keys)
            .map(|name| name.target.as_str())
            .collect();
        let own_categories: Vec<_> = own.iter().map(|name| category(name)).collect();
        let known: BTreeSet<Named> =
            self.by_set.values().flat_map(BTreeMap::keys).cloned().chain(foreign()).collect();
        let is_absent = |name: &Named| {
            let told_apart =
                own_categories.iter().all(|own| tells_apart(*own, category(&name.target)));
            told_apart && !own.contains(name.target.as_str())
        };
        let (same, other): (Vec<Named>, Vec<Named>) =
            known.into_iter().filter(is_absent).partition(|name| name.modality == sample.modality);
        let is_elsewhere = |name: &Named| {
            region(&name.site, &name.modality) != region(&sample.site, &sample.modality)
        };
        [same.into_iter().filter(is_elsewhere).collect(), other]
    }
}

/// The part of the body that a picture of `site` shows: scans of the trunk show neighbouring
/// organs, too.
fn region<'a>(site: &'a str, modality: &str) -> &'a str {
    let is_scan = ["CT", "MRI", "X-Ray"].iter().any(|scan| modality.starts_with(scan));
    match site {
        "abdomen" | "bladder" | "chest" | "colon" | "heart" | "kidney" | "liver"
        | "lumbar spine" | "lung" | "pancreas" | "pelvis" | "prostate" | "spine"
            if is_scan =>
        {
            "trunk"
        }
        _ => site,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{MaskSource, Part, PictureSource, Target};
    use crate::random::{Purpose, stream};

    fn sample([set, site, modality]: [&str; 3], targets: &[&str]) -> Sample {
        let target = |name: &&str| Target {
            name: (*name).into(),
            mask: MaskSource::File("none.png".into()),
        };
        Sample {
            picture: PictureSource::File("none.png".into()),
            set: set.into(),
            modality: modality.into(),
            site: site.into(),
            part: Part::Training,
            group: String::new(),
            targets: targets.iter().map(target).collect(),
        }
    }

    #[test]
    fn only_what_is_surely_absent_is_asked_for() {
        let heart = ["hearts", "heart", "MRI"];
        let brain = ["brains", "brain", "MRI"];
        let mut samples = vec![sample(heart, &["left heart atrium"]), sample(heart, &[])];
        samples.extend((0..3).map(|_| sample(heart, &["left heart ventricle"])));
        samples.extend((0..3).map(|_| sample(brain, &["hippocampus"])));
        let dataset = Dataset { root: "none".into(), samples };
        let counts = AbsentCounts { same_modality: 100, other_modality: 100 };
        let mut random = stream(1, Purpose::Absent, &[]);
        let absent = Absent::new(&dataset, &BTreeSet::new());
        let drawn = absent.draw(&dataset.samples[0], counts, &mut random);
        let names = |kind: Kind| -> BTreeSet<&str> {
            let of_kind = drawn.iter().filter(|(found, _)| *found == kind);
            of_kind.map(|(_, name)| name.target.as_str()).collect()
        };
        let same = names(Kind::SameModality);
        assert!(same.contains("left heart ventricle") && same.contains("hippocampus"), "{same:?}");
        // The atrium is there; the liver may be in view, and an aorta goes with a heart.
        assert!(!same.contains("left heart atrium") && !same.contains("liver"), "{same:?}");
        let other = names(Kind::OtherModality);
        assert!(
            other.contains("optic disc") && !other.contains("left heart ventricle"),
            "{other:?}"
        );
        // One picture with an atrium is too little to conclude from.
        let drawn = absent.draw(&dataset.samples[1], counts, &mut random);
        assert!(drawn.iter().all(|(_, name)| name.target != "left heart atrium"));
        let silent = Absent::new(&dataset, &BTreeSet::from(["hearts".to_owned()]));
        let drawn = silent.draw(&dataset.samples[0], counts, &mut random);
        assert!(drawn.iter().all(|(_, name)| name.target != "left heart ventricle"));
    }
}
