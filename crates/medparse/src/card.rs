//! What a model says of itself, kept with its weights.

use medparse_network::NetworkConfig;
use serde::{Deserialize, Serialize};

use crate::modalities::IMAGE_TYPES;
use crate::preprocess::Fit;

/// The metadata key of a safetensors file that holds a [`NetworkConfig`] as JSON.
pub const NETWORK_KEY: &str = "medparse.network";

/// The metadata key of a safetensors file that holds a [`ModelCard`] as JSON.
pub const CARD_KEY: &str = "medparse.card";

/// What a model says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// A short name, as in `medparse-small`.
    pub name: String,
    /// One or two sentences for people.
    #[serde(default)]
    pub summary: String,
    /// Where the weights come from.
    #[serde(default)]
    pub weights: Provenance,
    /// How the model was shown pictures that are not square.
    #[serde(default)]
    pub fit: Fit,
    /// What the model was trained to find; empty where it does not say.
    #[serde(default)]
    pub targets: Vec<KnownTarget>,
    /// How its presence head speaks, where it has one that was measured.
    #[serde(default)]
    pub presence: Option<PresenceCalibration>,
}

/// How the logit of a presence head becomes a probability: the logistic function of
/// `scale * logit + offset`, both fitted to pictures the model had not seen (Platt, "Probabilistic
/// outputs for support vector machines", 1999).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PresenceCalibration {
    /// Above 1 where the head is too timid, below 1 where it is too sure.
    pub scale: f64,
    /// Above 0 where the head says too often that nothing is there.
    pub offset: f64,
}

impl Default for PresenceCalibration {
    /// The head's own word.
    fn default() -> Self {
        Self { scale: 1.0, offset: 0.0 }
    }
}

impl PresenceCalibration {
    /// The probability that a logit stands for, 0..=1.
    pub fn probability(self, logit: f32) -> f64 {
        1.0 / (1.0 + (-(self.scale * f64::from(logit) + self.offset)).exp())
    }
}

/// Where a model's weights come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// From training.
    #[default]
    Trained,
    /// Drawn at random, to be trained: its masks mean nothing.
    Untrained,
    /// From a rule, for tests: its masks mean nothing.
    Deterministic,
}

/// Something a model was trained to find.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownTarget {
    /// What, as in `polyp`.
    pub target: String,
    /// In which kind of picture, as in `endoscopy`.
    pub modality: String,
    /// Other names that the model was taught for it, as in `colorectal polyp`.
    #[serde(default)]
    pub also: Vec<String>,
    /// Where in the body, as in `colon`.
    #[serde(default)]
    pub site: String,
    /// Mean Dice on pictures the model had not seen, 0..=1, where it was measured.
    #[serde(default)]
    pub dice: Option<f64>,
}

impl ModelCard {
    /// The card of a file that carries none.
    pub fn unknown(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            summary: String::new(),
            weights: Provenance::Trained,
            fit: Fit::Stretch,
            targets: Vec::new(),
            presence: None,
        }
    }
}

/// Why a phrase asks for something that a model was not made for, or may.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutsideScope {
    /// It names none of the model's targets.
    #[error(
        "names nothing that the model was trained to find{}",
        near.as_ref().map_or(String::new(), |near| format!("; did you mean {near:?}?"))
    )]
    Target {
        /// The target that the phrase nearly names.
        near: Option<String>,
    },
    /// It speaks of a kind of picture that the model never saw.
    #[error("speaks of {0}, a kind of picture that the model was not trained on")]
    Modality(&'static str),
    /// It names what the model was trained to find in other kinds of pictures only.
    #[error(
        "names what the model was trained to find in {0} only, and this is another kind of picture"
    )]
    Elsewhere(String),
    /// The model does not say what it was trained to find, and the phrase nearly names something that BiomedParse knows.
    #[error("may be misspelt: did you mean {0:?}?")]
    Misspelt(String),
}

/// Words that name a kind of picture.
const MODALITY_WORDS: [&str; 12] = [
    "CT",
    "MRI",
    "X-Ray",
    "ultrasound",
    "endoscopy",
    "dermoscopy",
    "fundus",
    "OCT",
    "pathology",
    "microscopy",
    "PET",
    "mammography",
];

impl ModelCard {
    /// Why a phrase lies outside what the model was trained to find; none where it does not. Of a
    /// model that does not say what it was trained to find, only what looks misspelt is told.
    ///
    /// A phrase lies within where it names a target, by any of the names that the model was taught,
    /// and no kind of picture that the model never saw.
    pub fn outside(&self, phrase: &str) -> Option<OutsideScope> {
        let phrase = phrase.to_lowercase();
        let words: Vec<&str> = phrase
            .split(|c: char| !c.is_alphanumeric() && c != '-')
            .filter(|word| !word.is_empty())
            .collect();
        if self.targets.is_empty() {
            let known = || IMAGE_TYPES.iter().flat_map(|kind| kind.targets).copied();
            let is_named = known().any(|name| phrase.contains(&name.to_lowercase()));
            let near = if is_named { None } else { nearly_named(&words, known()) };
            return near.map(OutsideScope::Misspelt);
        }
        let saw = |word: &str| {
            self.targets.iter().any(|known| known.modality.to_lowercase().contains(word))
        };
        let strange = MODALITY_WORDS.into_iter().find(|name| {
            let name = name.to_lowercase();
            words.contains(&name.as_str()) && !saw(&name)
        });
        if let Some(strange) = strange {
            return Some(OutsideScope::Modality(strange));
        }
        if self.targets.iter().any(|known| known.is_named_in(&phrase)) {
            return None;
        }
        let names =
            self.targets.iter().flat_map(|known| [&known.target].into_iter().chain(&known.also));
        Some(OutsideScope::Target { near: nearly_named(&words, names.map(String::as_str)) })
    }

    /// Whether a phrase asks for what the model was trained to find in other kinds of pictures than this one, told by
    /// DICOM's code of the modality (PS3.3 C.7.3.1.1.1), such as `CT`; none where the code does not tell the kind.
    pub fn elsewhere(&self, phrase: &str, code: &str) -> Option<OutsideScope> {
        let beginnings = kinds_of(code)?;
        let fits = |known: &KnownTarget| {
            let modality = known.modality.to_lowercase();
            let mut words = modality.split_whitespace();
            words.any(|word| beginnings.iter().any(|beginning| word.starts_with(beginning)))
        };
        let phrase = phrase.to_lowercase();
        let mut others: Vec<&str> = Vec::new();
        for known in self.targets.iter().filter(|known| known.is_named_in(&phrase)) {
            if fits(known) {
                return None;
            }
            if !others.contains(&known.modality.as_str()) {
                others.push(&known.modality);
            }
        }
        (!others.is_empty()).then(|| OutsideScope::Elsewhere(others.join(", ")))
    }
}

/// How the words begin that name the kinds of pictures of one of DICOM's modalities.
fn kinds_of(code: &str) -> Option<&'static [&'static str]> {
    Some(match code {
        "CT" => &["ct"],
        "MR" => &["mr"],
        "US" | "IVUS" => &["ultrasound"],
        "CR" | "DX" | "RG" | "RF" | "IO" | "PX" => &["x-ray"],
        "MG" => &["mammograph", "x-ray"],
        "PT" => &["pet"],
        "ES" => &["endoscop"],
        "OP" => &["fundus"],
        "OPT" => &["oct"],
        "SM" | "GM" => &["patholog", "microscop"],
        _ => return None,
    })
}

impl KnownTarget {
    /// Whether a phrase in small letters names it, by any of its names.
    fn is_named_in(&self, phrase: &str) -> bool {
        let mut names = std::iter::once(&self.target).chain(&self.also);
        names.any(|name| phrase.contains(&name.to_lowercase()))
    }
}

/// The name that some of a phrase's words are a slip away from: one letter in four, at most.
fn nearly_named<'a>(words: &[&str], names: impl Iterator<Item = &'a str>) -> Option<String> {
    let distance = |name: &str| {
        let name = name.to_lowercase();
        let slips = name.chars().count() / 4;
        let together = name.split_whitespace().count().max(1);
        let said = words.windows(together).map(|words| words.join(" "));
        let distances = said.map(|said| strsim::damerau_levenshtein(&said, &name));
        distances.min().filter(|distance| *distance <= slips)
    };
    let near = names.filter_map(|name| distance(name).map(|distance| (distance, name)));
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name.to_owned())
}

/// A network's sizes and the model's card, as one file carries them.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// The sizes.
    pub network: NetworkConfig,
    /// The card.
    pub card: ModelCard,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_outside_the_scope_are_told() {
        let target = |target: &str, modality: &str, also: &[&str]| KnownTarget {
            target: target.into(),
            modality: modality.into(),
            also: also.iter().map(|name| (*name).into()).collect(),
            site: String::new(),
            dice: None,
        };
        let card = ModelCard {
            targets: vec![
                target("polyp", "endoscopy", &[]),
                target("nuclei", "fluorescence microscopy", &["nucleus"]),
            ],
            ..ModelCard::unknown("a")
        };
        for (phrase, expected) in [
            ("Polyp in colon endoscopy", None),
            ("polyps", None),
            ("one nucleus, fluorescence microscopy", None),
            ("liver", Some(OutsideScope::Target { near: None })),
            ("pollyp", Some(OutsideScope::Target { near: Some("polyp".into()) })),
            ("the nulcei", Some(OutsideScope::Target { near: Some("nuclei".into()) })),
            ("polyp in abdomen CT", Some(OutsideScope::Modality("CT"))),
            ("polyp in chest x-ray", Some(OutsideScope::Modality("X-Ray"))),
            // A word, not letters.
            ("polyp in rectum", None),
        ] {
            assert_eq!(card.outside(phrase), expected, "{phrase}");
        }
        for (phrase, code, expected) in [
            ("polyp", "ES", None),
            ("polyp", "CT", Some("endoscopy")),
            ("nucleus", "SM", None),
            ("nuclei", "MR", Some("fluorescence microscopy")),
            // Nothing is known of the one, and of the other's kind.
            ("liver", "CT", None),
            ("polyp", "OT", None),
        ] {
            let expected = expected.map(|kind| OutsideScope::Elsewhere(kind.to_owned()));
            assert_eq!(card.elsewhere(phrase, code), expected, "{phrase} {code}");
        }
        let unknown = ModelCard::unknown("a");
        for phrase in ["liver", "livers", "left lung", "anything", "lungs and a heart"] {
            assert_eq!(unknown.outside(phrase), None, "{phrase}");
        }
        for (phrase, near) in [
            ("livre in abdomen CT", "liver"),
            ("optic disk", "optic disc"),
            ("left kideny", "left kidney"),
        ] {
            assert_eq!(unknown.outside(phrase), Some(OutsideScope::Misspelt(near.into())));
        }
        assert_eq!(
            card.outside("pollyp").unwrap().to_string(),
            "names nothing that the model was trained to find; did you mean \"polyp\"?"
        );
    }

    #[test]
    fn calibration_is_a_logistic_function() {
        assert_eq!(PresenceCalibration::default().probability(0.0), 0.5);
        let bolder = PresenceCalibration { scale: 2.0, offset: -1.0 };
        assert!((bolder.probability(1.0) - 1.0 / (1.0 + (-1.0f64).exp())).abs() < 1e-12);
        let old = r#"{"name": "a", "targets": [{"target": "b", "modality": "c"}]}"#;
        let card: ModelCard = serde_json::from_str(old).unwrap();
        assert_eq!((card.presence, card.targets[0].also.len()), (None, 0));
    }
}
