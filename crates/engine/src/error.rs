//! Why the engine can't take a checkpoint.

use medparse_config::{LoadError, Mismatch};
use medparse_weights::WeightsError;

use crate::precision::Precision;

/// Why an engine can't be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The checkpoint does not fit the configuration, or can't be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Packed weights do not fit the configuration.
    #[error("{path} does not hold the packed weights of its configuration: {report}")]
    Packed {
        /// The file.
        path: String,
        /// What does not fit, key by key.
        report: Mismatch,
    },
    /// Packed weights are stored in another precision than the one asked for.
    #[error("{path} holds weights packed for {found}; they can't be computed in {wanted}")]
    OtherPrecision {
        /// The file.
        path: String,
        /// The precision asked for.
        wanted: Precision,
        /// What the file says of its precision.
        found: String,
    },
    /// Packed weights are of a precision this version does not know.
    #[error("{path} holds weights packed for {found:?}; expected f32, bf16 or int8")]
    UnknownPrecision {
        /// The file.
        path: String,
        /// What the file says of its precision.
        found: String,
    },
    /// Packed weights are laid out in a way this version does not know.
    #[error("{path} holds weights packed as {found:?}; this version reads {expected:?}")]
    OtherLayout {
        /// The file.
        path: String,
        /// The layout this version writes.
        expected: &'static str,
        /// The layout found.
        found: String,
    },
}

impl From<WeightsError> for EngineError {
    fn from(error: WeightsError) -> Self {
        Self::Load(LoadError::Weights(error))
    }
}
