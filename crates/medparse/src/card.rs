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
    fn calibration_is_a_logistic_function() {
        assert_eq!(PresenceCalibration::default().probability(0.0), 0.5);
        let bolder = PresenceCalibration { scale: 2.0, offset: -1.0 };
        assert!((bolder.probability(1.0) - 1.0 / (1.0 + (-1.0f64).exp())).abs() < 1e-12);
    }

    #[test]
    fn a_card_may_leave_out_what_it_does_not_know() {
        let old = r#"{"name": "a", "targets": [{"target": "b", "modality": "c"}]}"#;
        let card: ModelCard = serde_json::from_str(old).unwrap();
        assert_eq!((card.presence, card.targets[0].also.len()), (None, 0));
    }
}
