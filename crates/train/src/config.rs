//! What a training run is told, as YAML.

mod network;
mod read;

use std::collections::BTreeMap;
use std::path::PathBuf;

use medparse::ModelSource;
use medparse::device::Processor;
use serde::{Deserialize, Serialize};

pub use network::NetworkChoice;
pub use read::{Overrides, TrainConfigError};

/// A training run.
///
/// The defaults are those of fine-tuning on the hosted service: batch size 2, learning rate
/// 2e-5, weight decay 0.01, 10 epochs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// The dataset's folder.
    #[serde(default)]
    pub data: PathBuf,
    /// The folder for checkpoints, the log and pictures of predictions.
    #[serde(default)]
    pub output: PathBuf,
    /// The name that the model's card gives; that of the output folder where absent.
    #[serde(default)]
    pub name: Option<String>,
    /// What the model's card says of it, in a sentence or two.
    #[serde(default)]
    pub summary: Option<String>,
    /// What computes.
    #[serde(default, with = "processor")]
    pub device: Processor,
    /// The weights to start from; fresh ones where absent.
    #[serde(default, with = "source")]
    pub from: Option<ModelSource>,
    /// The network's sizes, for fresh weights.
    #[serde(default)]
    pub network: NetworkChoice,
    /// Side of the network's square in pixels; that of the network where absent.
    #[serde(default)]
    pub image_size: Option<usize>,
    /// Whether there is a head that tells whether an object is there at all; as in the sizes or the
    /// weights to start from where absent.
    #[serde(default)]
    pub presence_head: Option<bool>,
    /// What every random draw follows from.
    #[serde(default = "defaults::seed")]
    pub seed: u64,
    /// Pictures a step.
    #[serde(default = "defaults::batch_size")]
    pub batch_size: usize,
    /// Batches whose gradients are averaged before a step.
    #[serde(default = "defaults::accumulate")]
    pub accumulate: usize,
    /// Passes over the dataset.
    #[serde(default = "defaults::epochs")]
    pub epochs: f64,
    /// The optimiser and its schedule.
    #[serde(flatten)]
    pub optimizer: OptimizerConfig,
    /// Keys that stay as they are, by their beginnings.
    #[serde(default)]
    pub freeze: Vec<String>,
    /// The losses.
    #[serde(default)]
    pub loss: LossConfig,
    /// What is asked of each picture.
    #[serde(default)]
    pub prompts: PromptConfig,
    /// Changes to pictures.
    #[serde(default)]
    pub augmentation: AugmentConfig,
    /// What is known of each collection, by name.
    #[serde(default)]
    pub sets: BTreeMap<String, SetConfig>,
    /// When to measure and to save.
    #[serde(default)]
    pub checks: CheckConfig,
}

/// AdamW with warm-up and a cosine to (nearly) nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OptimizerConfig {
    /// The highest learning rate.
    #[serde(default = "defaults::learning_rate")]
    pub learning_rate: f64,
    /// How fast weights decay towards zero, in units of the learning rate.
    #[serde(default = "defaults::weight_decay")]
    pub weight_decay: f64,
    /// Steps over which the learning rate rises.
    #[serde(default)]
    pub warmup_steps: u64,
    /// The last step's learning rate, as a share of the highest.
    #[serde(default = "defaults::final_share")]
    pub final_learning_rate: f64,
    /// The longest gradient that is followed in full, over all weights.
    #[serde(default = "defaults::clip")]
    pub gradient_clip: f64,
    /// How slowly the average of the weights follows them; 0 for no average.
    #[serde(default)]
    pub average_decay: f64,
    /// Factors on the learning rate, by the beginning of the key; the longest one counts.
    #[serde(default)]
    pub learning_rate_factors: BTreeMap<String, f64>,
}

/// How the terms of the loss are weighed, and where masks are compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossConfig {
    /// Weight of the binary cross-entropy of masks.
    pub mask: f64,
    /// Weight of the Dice loss of masks.
    pub dice: f64,
    /// Weight of the cross-entropy of each phrase over the queries.
    pub similarity: f64,
    /// Weight of the cross-entropy over the categories.
    pub category: f64,
    /// Weight of the binary cross-entropy of presence.
    pub presence: f64,
    /// How much cheaper, at first, a query of its own is for each target; falls to nothing by the
    /// middle of the run. Where absent 5 for fresh weights, and 0 for given ones, whose queries have
    /// parted.
    pub spread: Option<f64>,
    /// Points at which a mask is compared.
    pub points: usize,
    /// Candidates drawn for each point that is chosen for its uncertainty.
    pub oversampling: f64,
    /// Share of points that are chosen for their uncertainty.
    pub importance: f64,
}

/// What is asked of each picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PromptConfig {
    /// Prompts of a picture, at most.
    pub at_most: usize,
    /// Share of prompts that ask for something that is not there.
    pub absent_share: f64,
    /// Share of those that the picture's own collection marks in other pictures, where it has such.
    pub hard_share: f64,
}

/// Changes to pictures; each number is the reach of a random draw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// Least and greatest zoom.
    pub scale: [f32; 2],
    /// Greatest ratio of the zooms of the two axes.
    pub aspect: f32,
    /// Greatest shift, as a share of the side.
    pub shift: f32,
    /// Greatest turn in degrees, for collections that are not turned freely.
    pub rotation: f32,
    /// Strength of changes of light and colour; 0 for none, 1 as between two scanners.
    pub colour: f32,
    /// Greatest deviation of the blur, in pixels.
    pub blur: f32,
    /// Greatest deviation of the noise, in gray levels.
    pub noise: f32,
}

/// What is known of a collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SetConfig {
    /// How often a picture is shown, 1 for once an epoch.
    pub weight: f64,
    /// How its pictures may be turned.
    pub orientation: Orientation,
    /// Whether everything that the collection marks at all is marked in every picture, so that
    /// what is not marked is not there.
    pub exhaustive: bool,
}

/// How pictures may be turned without becoming untrue.
///
/// A picture with a sided target ("left lung") is never mirrored, whatever its collection allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Orientation {
    /// By any angle, and mirrored: a microscope's field, a patch of skin.
    Any,
    /// Mirrored, and turned a little.
    Mirror,
    /// Turned a little.
    #[default]
    Upright,
}

/// When to measure and to save.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckConfig {
    /// Share of the groups of each collection that is set aside for validation.
    pub validation_fraction: f64,
    /// Validation pictures of each collection that are looked at, at most.
    pub validation_pictures: usize,
    /// Steps between evaluations.
    pub evaluate_every: u64,
    /// Steps between checkpoints.
    pub save_every: u64,
    /// Memory for decoded pictures, in MiB.
    pub cache_megabytes: usize,
}

impl Default for LossConfig {
    /// Points as in Mask2Former (Cheng et al. 2022) and PointRend (Kirillov et al. 2020).
    fn default() -> Self {
        Self {
            mask: 5.0,
            dice: 5.0,
            similarity: 2.0,
            category: 1.0,
            presence: 1.0,
            spread: None,
            points: 12_544,
            oversampling: 3.0,
            importance: 0.75,
        }
    }
}

impl Default for PromptConfig {
    fn default() -> Self {
        Self { at_most: 3, absent_share: 0.25, hard_share: 0.5 }
    }
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self {
            scale: [0.8, 1.4],
            aspect: 1.2,
            shift: 0.06,
            rotation: 15.0,
            colour: 1.0,
            blur: 1.2,
            noise: 10.0,
        }
    }
}

impl AugmentConfig {
    /// No change at all.
    pub fn none() -> Self {
        Self {
            scale: [1.0; 2],
            aspect: 1.0,
            shift: 0.0,
            rotation: 0.0,
            colour: 0.0,
            blur: 0.0,
            noise: 0.0,
        }
    }
}

impl Default for SetConfig {
    fn default() -> Self {
        Self { weight: 1.0, orientation: Orientation::Upright, exhaustive: false }
    }
}

impl Default for CheckConfig {
    fn default() -> Self {
        Self {
            validation_fraction: 0.1,
            validation_pictures: 50,
            evaluate_every: 1000,
            save_every: 250,
            cache_megabytes: 4096,
        }
    }
}

mod defaults {
    pub fn seed() -> u64 {
        1
    }
    pub fn batch_size() -> usize {
        2
    }
    pub fn accumulate() -> usize {
        1
    }
    pub fn epochs() -> f64 {
        10.0
    }
    pub fn learning_rate() -> f64 {
        2e-5
    }
    pub fn weight_decay() -> f64 {
        0.01
    }
    pub fn final_share() -> f64 {
        0.01
    }
    pub fn clip() -> f64 {
        1.0
    }
}

/// A processor by its name.
mod processor {
    use medparse::device::Processor;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(processor: &Processor, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(processor)
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Processor, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// A model by its name, where there is one.
mod source {
    use medparse::ModelSource;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(from: &Option<ModelSource>, to: S) -> Result<S::Ok, S::Error> {
        match from {
            Some(source) => to.collect_str(source),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Option<ModelSource>, D::Error> {
        let name = Option::<String>::deserialize(from)?;
        name.map(|name| name.parse().map_err(D::Error::custom)).transpose()
    }
}

impl Default for TrainConfig {
    /// The hosted service's fine-tuning; data and output are to be named.
    fn default() -> Self {
        serde_json::from_str("{}").expect("every key has a default")
    }
}
