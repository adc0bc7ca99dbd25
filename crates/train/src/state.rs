//! Checkpoints: everything a run needs to go on as if it had not been cut off.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use medparse::card::NETWORK_KEY;
use medparse_network::{Network, NetworkConfig};
use medparse_weights::{Checkpoint, FloatType, TensorSource, WeightsError, write_safetensors};

use crate::optimizer::Moments;

/// The metadata key of the step that comes next.
const STEP_KEY: &str = "medparse.train.step";

const MEAN: &str = "optimizer.mean.";
const SQUARE: &str = "optimizer.square.";
const AVERAGE: &str = "optimizer.average.";

/// A run as it stands before a step.
///
/// There is no state of a random generator in it: every draw follows from the seed and the step.
pub struct State {
    /// The weights.
    pub network: Network,
    /// What the optimiser remembers.
    pub moments: HashMap<String, Moments>,
    /// The step that comes next, 0-based.
    pub step: u64,
}

/// Why a checkpoint can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file itself.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The file is no checkpoint of a run, or of another one.
    #[error("{path} is not a checkpoint of this run: {reason}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is missing or different.
        reason: String,
    },
}

impl State {
    /// Writes the run to `path`, atomically.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn save(&self, path: &Path, config: &NetworkConfig) -> Result<(), StateError> {
        let mut sources = self.network.tensor_sources(FloatType::F32);
        let mut keys: Vec<&String> = self.moments.keys().collect();
        keys.sort_unstable();
        for key in keys {
            let moments = &self.moments[key];
            for (prefix, values) in
                [(MEAN, &moments.mean), (SQUARE, &moments.square), (AVERAGE, &moments.average)]
            {
                if !values.is_empty() {
                    let name = format!("{prefix}{key}");
                    let shape = [values.len()];
                    sources.push(TensorSource::values(
                        name,
                        shape,
                        FloatType::F32,
                        values.as_slice(),
                    ));
                }
            }
        }
        let mut metadata = network_metadata(config);
        metadata.insert(STEP_KEY.into(), self.step.to_string());
        write_safetensors(path, &sources, &metadata, &mut |_| {})?;
        Ok(())
    }

    /// Reads the run back from `path`.
    ///
    /// # Errors
    /// When the file can't be read, or belongs to a network of other sizes.
    pub fn load(path: &Path, config: &NetworkConfig, device: &Device) -> Result<Self, StateError> {
        let foreign = |reason: String| StateError::Foreign { path: path.to_owned(), reason };
        let checkpoint = Checkpoint::open(path)?;
        let step = checkpoint.metadata().get(STEP_KEY).and_then(|step| step.parse().ok());
        let step = step.ok_or_else(|| foreign(format!("it has no {STEP_KEY}")))?;
        if checkpoint.metadata().get(NETWORK_KEY) != network_metadata(config).get(NETWORK_KEY) {
            return Err(foreign("its network has other sizes".into()));
        }
        let network = Network::filled(config, device, |key, shape| {
            let entry = checkpoint.require(key)?;
            if entry.shape() != shape {
                return Err(foreign(format!("{key} has shape {:?}, not {shape:?}", entry.shape())));
            }
            Ok(entry.read_f32()?)
        })?;
        type Field = fn(&mut Moments) -> &mut Vec<f32>;
        let mut moments: HashMap<String, Moments> = HashMap::new();
        for entry in checkpoint.entries() {
            let fields: [(&str, Field); 3] = [
                (MEAN, |moments| &mut moments.mean),
                (SQUARE, |moments| &mut moments.square),
                (AVERAGE, |moments| &mut moments.average),
            ];
            for (prefix, field) in fields {
                if let Some(key) = entry.name().strip_prefix(prefix) {
                    *field(moments.entry(key.to_owned()).or_default()) = entry.read_f32()?;
                }
            }
        }
        Ok(Self { network, moments, step })
    }
}

fn network_metadata(config: &NetworkConfig) -> BTreeMap<String, String> {
    let json = serde_json::to_string(config).expect("sizes are numbers and lists of numbers");
    BTreeMap::from([(NETWORK_KEY.to_owned(), json)])
}
