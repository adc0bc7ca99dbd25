//! What can stop a run.

use std::path::PathBuf;

use medparse::ModelError;
use medparse::device::ProcessorError;
use medparse_network::LoadError;
use medparse_weights::WeightsError;

use crate::config::TrainConfigError;
use crate::dataset::DatasetError;
use crate::evaluate::EvaluateError;
use crate::state::StateError;

/// Why a run can't begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The description of the run.
    #[error(transparent)]
    Config(#[from] TrainConfigError),
    /// The network's sizes.
    #[error(transparent)]
    Network(#[from] medparse_network::ConfigError),
    /// What was to compute.
    #[error(transparent)]
    Processor(#[from] ProcessorError),
    /// The dataset or one of its files.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The weights to start from.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The file of the weights to start from.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A checkpoint.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file of the output folder.
    #[error("can't write {path}: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The sizes of the weights to start from, or the finished model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The measuring of the finished model.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// A picture of predictions.
    #[error(transparent)]
    Picture(#[from] medparse_imaging::Error),
    /// A beginning of keys that no weight has.
    #[error("freeze: no weight's key begins with {prefix:?}; expected one such as \"backbone.\"")]
    Freeze {
        /// It.
        prefix: String,
    },
    /// The loss became infinite or no number.
    #[error("the loss of step {step} is {loss}; a lower learning rate or gradient_clip may help")]
    Diverged {
        /// The step.
        step: u64,
        /// Its loss.
        loss: f64,
    },
}
