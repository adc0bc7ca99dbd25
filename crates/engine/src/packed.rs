//! Weights as the kernels read them, in a file: loading is a memory map.
//!
//! The layout is the same on every machine. A packed file's metadata names the layout and the
//! precision; its tensors are the engine's own, under the checkpoint's keys with a suffix.

use std::collections::BTreeMap;

use medparse_weights::{Checkpoint, TensorSource};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::precision::Precision;

/// The metadata that says how weights are packed; a file without it is no packed one.
pub(crate) const LAYOUT_KEY: &str = "medparse.packed";

/// The layout that this version writes and reads: panels of 32 columns, depthwise filters in
/// blocks of 16 channels, 3×3 convolutions at the points 0, ±5/8, ±3/2 and infinity, in f32 or
/// bfloat16.
pub(crate) const LAYOUT: &str = "panels-32 blocks-16 winograd-4-5/8-3/2-as-words";

/// The metadata that says in which precision.
pub(crate) const PRECISION_KEY: &str = "medparse.precision";

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
