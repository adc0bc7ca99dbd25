//! Engines of checkpoint files: as the reference stores them, or packed by an engine before.

use std::collections::HashSet;

use medparse_config::{CLASS_BANK_KEY, LoadError, Mismatch, NetworkConfig};
use medparse_weights::{Checkpoint, WeightsError};

use crate::engine::{Engine, EngineOptions};
use crate::error::EngineError;
use crate::loader::Origin;
use crate::packed::{LAYOUT, LAYOUT_KEY, PRECISION_KEY, is_packed};

impl Engine {
    /// Fills a network of this configuration from a checkpoint, reading no tensor it does not need;
    /// weights that are packed already are mapped.
    ///
    /// # Errors
    /// When a key is missing, misshapen or unknown, when the file can't be read, or when its
    /// weights are packed for another precision.
    pub fn load(
        config: &NetworkConfig,
        checkpoint: &Checkpoint,
        options: &EngineOptions,
    ) -> Result<Self, EngineError> {
        if is_packed(checkpoint) {
            return Self::mapped(config, checkpoint, options);
        }
        let report = Mismatch::between(config, checkpoint);
        if !report.is_empty() {
            let path = checkpoint.path().display().to_string();
            return Err(LoadError::Mismatch { path, report }.into());
        }
        let read = |key: &str, _: &[usize]| checkpoint.require(key)?.read_f32();
        Ok(Self::filled::<WeightsError>(config, options, read)?)
    }

    /// Maps packed weights.
    fn mapped(
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
