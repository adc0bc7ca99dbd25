//! What a training run is told, as YAML.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use medparse_network::NetworkConfig;
use medparse_network::config::{
    BackboneConfig, PixelDecoderConfig, QueryDecoderConfig, TextEncoderConfig,
};
use serde::{Deserialize, Serialize};

/// A training run.
///
/// The defaults are those of fine-tuning on the hosted service: batch size 2, learning rate
/// 2e-5, weight decay 0.01, 10 epochs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// The dataset's folder.
    pub data: PathBuf,
    /// The folder for checkpoints, the log and pictures of predictions.
    pub output: PathBuf,
    /// The weights to start from; fresh ones where absent.
    #[serde(default)]
    pub from: Option<PathBuf>,
    /// The network's sizes, for fresh weights.
    #[serde(default)]
    pub network: NetworkChoice,
    /// Side of the network's square in pixels; that of the network where absent.
    #[serde(default)]
    pub image_size: Option<usize>,
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

/// Which network to begin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum NetworkChoice {
    /// The published network's sizes.
    #[default]
    BiomedparseV1,
    /// The sizes of the model that comes with medparse.
    Small,
    /// Any other.
    Sizes(Box<NetworkConfig>),
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

impl NetworkChoice {
    /// The sizes meant.
    pub fn config(&self) -> NetworkConfig {
        match self {
            Self::BiomedparseV1 => NetworkConfig::biomedparse_v1(),
            Self::Small => small(),
            Self::Sizes(config) => (**config).clone(),
        }
    }
}

/// The sizes of medparse-small: 8 M values besides the token table, made for 256 pixels.
pub fn small() -> NetworkConfig {
    NetworkConfig {
        image_size: 256,
        pixel_mean: [123.675, 116.28, 103.53],
        pixel_std: [58.395, 57.12, 57.375],
        backbone: BackboneConfig {
            embed_dim: 40,
            depths: vec![2, 2, 6, 2],
            focal_levels: vec![3, 3, 3, 2],
            focal_windows: vec![3; 4],
            mlp_ratio: 4.0,
            patch_size: 4,
        },
        pixel_decoder: PixelDecoderConfig {
            conv_width: 128,
            mask_width: 64,
            encoder_layers: 2,
            heads: 8,
            feed_forward_width: 512,
        },
        query_decoder: QueryDecoderConfig {
            hidden_width: 128,
            heads: 8,
            feed_forward_width: 512,
            layers: 6,
            queries: 24,
        },
        text_encoder: TextEncoderConfig {
            width: 64,
            heads: 4,
            layers: 4,
            context_length: 77,
            vocabulary: 49_408,
        },
        projection_width: 128,
        presence_head: true,
    }
}

/// Why a run can't begin as it was described.
#[derive(Debug, thiserror::Error)]
pub enum TrainConfigError {
    /// The file can't be read.
    #[error("can't read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is not such a YAML.
    #[error("{path} does not describe a training run: {source}")]
    Yaml {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: Box<serde_saphyr::Error>,
    },
    /// A key has a value that can't work.
    #[error("{key} is {found}; expected {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// What it may hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
}

impl TrainConfig {
    /// Reads a YAML file; relative paths in it are relative to the current folder.
    ///
    /// # Errors
    /// When the file can't be read, is no such YAML, or holds a value that can't work.
    pub fn read(path: &Path) -> Result<Self, TrainConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| TrainConfigError::Read { path: path.to_owned(), source })?;
        let config: Self = serde_saphyr::from_str(&text).map_err(|source| {
            TrainConfigError::Yaml { path: path.to_owned(), source: Box::new(source) }
        })?;
        config.check()?;
        Ok(config)
    }

    /// Checks that every value can work.
    ///
    /// # Errors
    /// Names the first key whose value can't.
    pub fn check(&self) -> Result<(), TrainConfigError> {
        let share = |key, value: f64| {
            let expected = "a number from 0 to 1";
            let wrong = TrainConfigError::Value { key, expected, found: value.to_string() };
            if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(wrong) }
        };
        let positive = |key, value: f64| {
            let expected = "a number above 0";
            let wrong = TrainConfigError::Value { key, expected, found: value.to_string() };
            if value > 0.0 && value.is_finite() { Ok(()) } else { Err(wrong) }
        };
        positive("batch_size", self.batch_size as f64)?;
        positive("accumulate", self.accumulate as f64)?;
        positive("epochs", self.epochs)?;
        positive("learning_rate", self.optimizer.learning_rate)?;
        positive("gradient_clip", self.optimizer.gradient_clip)?;
        positive("loss.points", self.loss.points as f64)?;
        positive("loss.oversampling", self.loss.oversampling)?;
        positive("augmentation.scale", self.augmentation.scale[0].into())?;
        positive("augmentation.aspect", self.augmentation.aspect.into())?;
        positive("checks.evaluate_every", self.checks.evaluate_every as f64)?;
        positive("checks.save_every", self.checks.save_every as f64)?;
        share("loss.importance", self.loss.importance)?;
        share("prompts.absent_share", self.prompts.absent_share)?;
        share("prompts.hard_share", self.prompts.hard_share)?;
        share("average_decay", self.optimizer.average_decay)?;
        share("checks.validation_fraction", self.checks.validation_fraction)?;
        if self.augmentation.scale[0] > self.augmentation.scale[1] {
            return Err(TrainConfigError::Value {
                key: "augmentation.scale",
                expected: "the least zoom before the greatest",
                found: format!("{:?}", self.augmentation.scale),
            });
        }
        Ok(())
    }
}
