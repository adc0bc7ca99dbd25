//! Whether a phrase asks for what a model was made for, by its card.

use crate::card::{KnownTarget, ModelCard};
use crate::modalities::IMAGE_TYPES;

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
}
