//! Kinds of pictures that BiomedParse was trained on: what to look for in each, and CT windows.
//!
//! Names and order are those of BiomedParse's `BIOMED_OBJECTS` and
//! `inference_utils/processing_utils.py`.

use crate::card::ModelCard;

/// A kind of picture and what the model knows in it.
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

/// A window on a CT's Hounsfield units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CtWindow {
    /// What it shows.
    pub site: &'static str,
    /// What becomes black, in HU.
    pub lower: i32,
    /// What becomes white, in HU.
    pub upper: i32,
}

/// The kind of picture of that name, or `None`.
pub fn image_type(name: &str) -> Option<&'static ImageType> {
    IMAGE_TYPES.iter().find(|image_type| image_type.name == name)
}

/// The window for that site, or `None`.
pub fn ct_window(site: &str) -> Option<&'static CtWindow> {
    CT_WINDOWS.iter().find(|window| window.site == site)
}

/// Windows by site.
pub const CT_WINDOWS: [CtWindow; 6] = [
    CtWindow { site: "abdomen", lower: -150, upper: 250 },
    CtWindow { site: "lung", lower: -1000, upper: 1000 },
    CtWindow { site: "pelvis", lower: -55, upper: 200 },
    CtWindow { site: "liver", lower: -25, upper: 230 },
    CtWindow { site: "colon", lower: -68, upper: 187 },
    CtWindow { site: "pancreas", lower: -100, upper: 200 },
];

/// Every kind of picture, with its targets.
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
