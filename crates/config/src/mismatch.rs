//! Whether a checkpoint fits a configuration, key by key.

use std::collections::HashSet;
use std::fmt::Write as _;

use medparse_weights::{Checkpoint, WeightsError};

use crate::sizes::NetworkConfig;
use crate::tensors::{CLASS_BANK_KEY, expected_tensors, is_unused};

/// Why a checkpoint does not fill a network.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file itself can't be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Keys are missing, unknown or of another shape.
    #[error("{path} does not fit the model's configuration: {report}")]
    Mismatch {
        /// The checkpoint.
        path: String,
        /// What does not fit, key by key.
        report: Mismatch,
    },
}

/// The keys of a checkpoint that do not fit a configuration.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Keys that the network reads and the checkpoint lacks.
    pub missing: Vec<String>,
    /// Keys whose shape is another: key, expected, found.
    pub misshapen: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// Keys that neither the network nor the published format knows.
    pub unknown: Vec<String>,
}

impl Mismatch {
    /// Compares the names and shapes of `checkpoint` with what `config` needs; reads no weight.
    pub fn between(config: &NetworkConfig, checkpoint: &Checkpoint) -> Self {
        let mut mismatch = Self::default();
        let mut known = HashSet::new();
        for tensor in expected_tensors(config) {
            match checkpoint.get(&tensor.key) {
                None => mismatch.missing.push(tensor.key.clone()),
                Some(entry) if entry.shape() != tensor.shape => {
                    let found = entry.shape().to_vec();
                    mismatch.misshapen.push((tensor.key.clone(), tensor.shape, found));
                }
                Some(_) => {}
            }
            known.insert(tensor.key);
        }
        known.insert(CLASS_BANK_KEY.into());
        let unknown = checkpoint.names().filter(|name| !known.contains(*name) && !is_unused(name));
        mismatch.unknown = unknown.map(String::from).collect();
        mismatch
    }

    /// Whether everything fits.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.misshapen.is_empty() && self.unknown.is_empty()
    }
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        /// Keys named of each kind; a wrong configuration breaks hundreds at once.
        const NAMED: usize = 5;
        let mut parts = Vec::new();
        let mut list = |count: usize, what: &str, named: Vec<String>| {
            if count > 0 {
                let mut part = format!("{count} {what}: {}", named.join(", "));
                if count > named.len() {
                    let _ = write!(part, " and {} more", count - named.len());
                }
                parts.push(part);
            }
        };
        let quoted = |key: &String| format!("`{key}`");
        let missing = self.missing.iter().take(NAMED).map(quoted).collect();
        list(self.missing.len(), "missing", missing);
        let misshapen = self.misshapen.iter().take(NAMED).map(|(key, expected, found)| {
            format!("`{key}` (expected shape {expected:?}, found {found:?})")
        });
        list(self.misshapen.len(), "of another shape", misshapen.collect());
        let unknown = self.unknown.iter().take(NAMED).map(quoted).collect();
        list(self.unknown.len(), "unknown", unknown);
        f.write_str(&parts.join("; "))
    }
}
