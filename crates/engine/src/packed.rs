//! Weights as the kernels read them, in a file: loading is a memory map.
//!
//! The layout is the same on every machine. A packed file's metadata names the layout and the
//! precision; its tensors are the engine's own, under the checkpoint's keys with a suffix.

use std::collections::{BTreeMap, HashSet};

use medparse_config::{CLASS_BANK_KEY, Mismatch, NetworkConfig};
use medparse_weights::{Checkpoint, TensorSource};

use crate::engine::{Engine, EngineOptions};
use crate::error::EngineError;
use crate::loader::Origin;
use crate::precision::Precision;

/// The metadata that says how weights are packed; a file without it is no packed one.
const LAYOUT_KEY: &str = "medparse.packed";

/// The layout that this version writes and reads: panels of 32 columns, depthwise filters in
/// blocks of 16 channels, 3×3 convolutions at the points 0, ±5/8, ±3/2 and infinity, in f32 or
/// bfloat16.
const LAYOUT: &str = "panels-32 blocks-16 winograd-4-5/8-3/2-as-words";

/// The metadata that says in which precision.
const PRECISION_KEY: &str = "medparse.precision";

impl Engine {
    /// The weights as the kernels read them, to be written.
    pub fn packed_tensors(&self) -> Vec<TensorSource<'_>> {
        let sources = self.stored().iter().map(|stored| {
            let (name, shape) = (stored.name.clone(), stored.shape.clone());
            TensorSource::bytes(name, shape, stored.element_type(), stored.bytes())
        });
        sources.collect()
    }

    /// What the metadata of a file with [`Engine::packed_tensors`] must hold beside the rest.
    pub fn packed_metadata(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            (LAYOUT_KEY.into(), LAYOUT.into()),
            (PRECISION_KEY.into(), self.precision().name().into()),
        ])
    }

    /// Maps packed weights.
    pub(crate) fn mapped(
        config: &NetworkConfig,
        checkpoint: &Checkpoint,
        options: &EngineOptions,
    ) -> Result<Self, EngineError> {
        let path = || checkpoint.path().display().to_string();
        let metadata = |key: &str| checkpoint.metadata().get(key).cloned().unwrap_or_default();
        let (layout, found) = (metadata(LAYOUT_KEY), metadata(PRECISION_KEY));
        if layout != LAYOUT {
            let (path, expected) = (path(), LAYOUT);
            return Err(EngineError::OtherLayout { path, expected, found: layout });
        }
        let wanted = options.precision;
        if found != wanted.name() {
            return Err(EngineError::OtherPrecision { path: path(), wanted, found });
        }
        let (engine, lacks) =
            Self::build(config, options, Origin::<EngineError>::Packed(checkpoint))?;
        if let Some(error) = lacks.unreadable {
            return Err(error.into());
        }
        let known: HashSet<&str> =
            engine.stored().iter().map(|stored| stored.name.as_str()).collect();
        let is_unknown = |name: &&str| !known.contains(name) && *name != CLASS_BANK_KEY;
        let unknown = checkpoint.names().filter(is_unknown).map(String::from).collect();
        let report = Mismatch { unknown, ..lacks.mismatch };
        if !report.is_empty() {
            return Err(EngineError::Packed { path: path(), report });
        }
        Ok(engine)
    }
}

/// The precision that a file's weights are packed for; none where they are not packed.
///
/// # Errors
/// When the file says a precision that this version does not know.
pub fn packed_precision(checkpoint: &Checkpoint) -> Result<Option<Precision>, EngineError> {
    if !is_packed(checkpoint) {
        return Ok(None);
    }
    let found = checkpoint.metadata().get(PRECISION_KEY).cloned().unwrap_or_default();
    found.parse().map(Some).map_err(|_| EngineError::UnknownPrecision {
        path: checkpoint.path().display().to_string(),
        found,
    })
}

/// Whether a file's weights are packed.
pub(crate) fn is_packed(checkpoint: &Checkpoint) -> bool {
    checkpoint.metadata().contains_key(LAYOUT_KEY)
}
