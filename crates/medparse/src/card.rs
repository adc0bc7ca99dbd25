//! What a model says of itself, kept with its weights.

use medparse_network::NetworkConfig;
use serde::{Deserialize, Serialize};

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
        }
    }
}

/// A network's sizes and the model's card, as one file carries them.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// The sizes.
    pub network: NetworkConfig,
    /// The card.
    pub card: ModelCard,
}
