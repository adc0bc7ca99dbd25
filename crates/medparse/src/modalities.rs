//! Kinds of pictures, and what to look for in each: BiomedParse's, and those of a model's own card.
//!
//! Names and order of the former are those of BiomedParse's `BIOMED_OBJECTS`.

use crate::card::ModelCard;

/// A kind of picture that BiomedParse was trained on, and what it knows in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageType {
    /// Modality and site, such as "CT-Abdomen".
    pub name: &'static str,
    /// The targets, as prompts.
    pub targets: &'static [&'static str],
}

/// A kind of picture, and what is looked for in it when nothing is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Such as "CT-Abdomen" or "MRI-brain".
    pub name: String,
    /// The targets, as prompts.
    pub targets: Vec<String>,
}

impl Kind {
    /// Every kind that can be asked for: those that the model was trained on by its own card, by modality and by modality
    /// and site, then BiomedParse's.
    pub fn all(card: &ModelCard) -> Vec<Self> {
        let mut kinds: Vec<Self> = Vec::new();
        let mut add = |name: &str, target: &str| {
            let kind = match kinds.iter_mut().find(|kind| kind.is_called(name)) {
                Some(kind) => kind,
                None => kinds.push_mut(Self { name: name.to_owned(), targets: Vec::new() }),
            };
            if !kind.targets.iter().any(|known| known == target) {
                kind.targets.push(target.to_owned());
            }
        };
        for known in &card.targets {
            add(&known.modality, &known.target);
        }
        for known in card.targets.iter().filter(|known| !known.site.is_empty()) {
            add(&format!("{}-{}", known.modality, known.site), &known.target);
        }
        for known in IMAGE_TYPES {
            if !kinds.iter().any(|kind| kind.is_called(known.name)) {
                let targets = known.targets.iter().map(|target| (*target).to_owned()).collect();
                kinds.push(Self { name: known.name.to_owned(), targets });
            }
        }
        kinds
    }

    /// The kind of that name, capitals, blanks and hyphens aside.
    pub fn named(name: &str, card: &ModelCard) -> Option<Self> {
        Self::all(card).into_iter().find(|kind| kind.is_called(name))
    }

    fn is_called(&self, name: &str) -> bool {
        same_name(&self.name, name)
    }
}

/// Whether two names have the same letters and digits, large or small, whatever stands between them.
pub(crate) fn same_name(one: &str, other: &str) -> bool {
    let plain = |name: &str| {
        let letters = name.chars().filter(|c| c.is_alphanumeric());
        letters.flat_map(char::to_lowercase).collect::<String>()
    };
    plain(one) == plain(other)
}

/// BiomedParse's kinds of pictures, with their targets.
pub const IMAGE_TYPES: [ImageType; 14] = [
    ImageType {
        name: "CT-Abdomen",
        targets: &[
            "postcava",
            "aorta",
            "right kidney",
            "left kidney",
            "duodenum",
            "pancreas",
            "liver",
            "spleen",
            "stomach",
            "gallbladder",
            "left adrenal gland",
            "right adrenal gland",
            "esophagus",
        ],
    },
    ImageType { name: "CT-Chest", targets: &["nodule", "COVID-19 infection", "tumor"] },
    ImageType { name: "CT-Liver", targets: &["vessel", "tumor"] },
    ImageType {
        name: "MRI-Abdomen",
        targets: &[
            "aorta",
            "postcava",
            "right kidney",
            "duodenum",
            "left kidney",
            "liver",
            "pancreas",
            "gallbladder",
            "stomach",
            "spleen",
            "left adrenal gland",
            "right adrenal gland",
            "esophagus",
        ],
    },
    ImageType {
        name: "MRI-Cardiac",
        targets: &["left heart ventricle", "myocardium", "right heart ventricle"],
    },
    ImageType { name: "MRI-FLAIR-Brain", targets: &["edema", "tumor core"] },
    ImageType { name: "MRI-T1-Gd-Brain", targets: &["enhancing tumor", "non-enhancing tumor"] },
    ImageType {
        name: "Pathology",
        targets: &[
            "connective tissue cells",
            "inflammatory cells",
            "neoplastic cells",
            "epithelial cells",
        ],
    },
    ImageType { name: "X-Ray-Chest", targets: &["left lung", "right lung"] },
    ImageType {
        name: "Ultrasound-Cardiac",
        targets: &["left heart atrium", "left heart ventricle"],
    },
    ImageType { name: "Endoscopy", targets: &["neoplastic polyp", "non-neoplastic polyp"] },
    ImageType { name: "Fundus", targets: &["optic cup", "optic disc"] },
    ImageType { name: "Dermoscopy", targets: &["lesion"] },
    ImageType { name: "OCT", targets: &["edema"] },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::KnownTarget;

    #[test]
    fn a_models_own_kinds_come_first() {
        let known = |target: &str, modality: &str, site: &str| KnownTarget {
            target: target.into(),
            modality: modality.into(),
            also: Vec::new(),
            site: site.into(),
            dice: None,
        };
        let card = ModelCard {
            targets: vec![
                known("nuclei", "pathology", "breast"),
                known("nuclei", "pathology", "cell"),
                known("hippocampus", "MRI", "brain"),
                known("aorta", "MRI", "heart"),
            ],
            ..ModelCard::unknown("a")
        };
        let targets = |name: &str| Kind::named(name, &card).map(|kind| kind.targets);
        assert_eq!(targets("mri").unwrap(), ["hippocampus", "aorta"]);
        assert_eq!(targets("MRI Brain").unwrap(), ["hippocampus"]);
        assert_eq!(targets("Pathology").unwrap(), ["nuclei"], "not BiomedParse's");
        assert_eq!(targets("ct-liver").unwrap(), ["vessel", "tumor"]);
        assert_eq!(targets("PET"), None);
        assert_eq!(Kind::all(&ModelCard::unknown("b")).len(), IMAGE_TYPES.len());
    }
}
