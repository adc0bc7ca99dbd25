//! The numbers of an evaluation, as `medparse evaluate --json` prints them.

use medparse::Interaction;
use serde::Serialize;

use super::interval::Estimate;
use super::ranking::Auroc;
use super::reliability::Reliability;

/// Everything that was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The model's name.
    pub model: String,
    /// Pictures that were asked, slices of volumes counted one by one.
    pub pictures: usize,
    /// Whether the phrases of a picture saw each other.
    pub interaction: Interaction,
    /// A pixel was in a mask where its probability was greater.
    pub threshold: f32,
    /// A mask was empty where the object was less probable to be there; null where that was not
    /// asked.
    pub presence_threshold: Option<f32>,
    /// Resamples of whole groups (patients, volumes) behind each 95 % interval.
    pub resamples: usize,
    /// The mean of the targets' Dice, of those within the model's scope where it names one.
    pub mean_dice: Option<f64>,
    /// Each target in each modality.
    pub targets: Vec<TargetReport>,
    /// The targets that several modalities show, over all of them; `modality` is null.
    pub across_modalities: Vec<TargetReport>,
    /// Whether an answer follows the words; null where no picture marks two different things.
    pub words: Option<WordsReport>,
    /// How well presence is told; over the model's scope where it names one.
    pub presence: PresenceReport,
    /// The reliability of the pixels' probabilities, where things are present.
    pub pixels: Option<Reliability>,
}

/// What was measured of a target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TargetReport {
    /// Its name.
    pub target: String,
    /// The modality; null where all count together.
    pub modality: Option<String>,
    /// Parts of the body.
    pub sites: Vec<String>,
    /// Whether the model was trained to find it; null where the model does not say.
    pub in_scope: Option<bool>,
    /// Pictures that show it.
    pub n: usize,
    /// Patients or volumes among them.
    pub groups: usize,
    /// Dice's coefficient.
    pub dice: Estimate,
    /// Dice of whole volumes, of those pictures that are slices: over all slices that were asked, those
    /// included that do not show the target and were given a mask.
    pub volume_dice: Option<Estimate>,
    /// Jaccard's index.
    pub iou: Estimate,
    /// The 95th percentile Hausdorff distance; null where no answer marked anything.
    pub hd95: Option<Distance>,
    /// The average symmetric surface distance.
    pub assd: Option<Distance>,
    /// Answers that marked nothing; they have Dice 0 and no distance.
    pub empty: usize,
    /// Dice of the trivial baseline, the mean training mask; null where training has no such target.
    pub baseline_dice: Option<Estimate>,
    /// Answers with the right category; null where the target's category is not known.
    pub category: Option<Rate>,
    /// Present against absent, in pictures of the same modality; null where none lacks it.
    pub presence: Option<Auroc>,
}

/// A distance, and how many pictures have one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Distance {
    /// The mean and its interval.
    #[serde(flatten)]
    pub estimate: Estimate,
    /// Pictures.
    pub n: usize,
    /// Of the numbers.
    pub unit: Unit,
}

/// What distances are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// Millimetres, where every picture's spacing is known.
    #[serde(rename = "mm")]
    Millimetres,
    /// Pixels of the pictures as they are.
    #[serde(rename = "px")]
    Pixels,
}

/// A share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// 0..=1.
    pub share: f64,
    /// Of how many.
    pub n: usize,
}

/// What happens to masks when prompts are swapped, over pairs of different things in one picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct WordsReport {
    /// Pairs.
    pub n: usize,
    /// Dice with what was asked for.
    pub right_dice: Estimate,
    /// Dice with the other thing.
    pub wrong_dice: Estimate,
    /// Share of pairs whose masks fit their own words better than each other's.
    pub follows_words: f64,
}

/// What tells present from absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PresenceScore {
    /// The presence head's probability.
    Head,
    /// The mean probability of the mask's pixels, 0 where it is empty: the model has no such head.
    MaskProbability,
}

/// How well presence is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PresenceReport {
    /// What it is told by.
    pub score: PresenceScore,
    /// Against absent things that the same modality can show, each modality by itself.
    pub same_modality: Option<Auroc>,
    /// Against things from other modalities.
    pub other_modality: Option<Auroc>,
    /// Each modality.
    pub modalities: Vec<ModalityReport>,
    /// Absent things of the same modality that were given a mask.
    pub false_masks_same_modality: Option<Rate>,
    /// Things from other modalities that were.
    pub false_masks_other_modality: Option<Rate>,
    /// Of the head's probability, over what is present and what is absent in the same modality.
    pub reliability: Option<Reliability>,
}

/// How well presence is told in one modality.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModalityReport {
    /// The modality.
    pub modality: String,
    /// Against absent things that it can show.
    pub same_modality: Option<Auroc>,
    /// Against things from other modalities.
    pub other_modality: Option<Auroc>,
}
