//! Model files from models.

use std::collections::BTreeMap;
use std::path::Path;

use medparse_network::{CLASS_BANK_KEY, NetworkConfig, expected_tensors};
use medparse_weights::{
    Checkpoint, FloatType, Progress, TensorSource, WeightsError, write_safetensors, write_torch,
};

use crate::bank::ClassBank;
use crate::card::{CARD_KEY, Description, NETWORK_KEY};
use crate::model::Model;
use crate::runtime::Runtime;

/// The formats a model can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelFormat {
    /// With the configuration, the card and the class bank inside.
    Safetensors,
    /// A PyTorch state dict, as the reference loads it; weights alone.
    Torch,
}

impl ModelFormat {
    /// The format that a file's ending asks for.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "safetensors" => Some(Self::Safetensors),
            "pt" | "pth" => Some(Self::Torch),
            _ => None,
        }
    }
}

/// Writes the weights that a network reads, and with safetensors all that makes it a model.
///
/// Dead weights of the published checkpoint (a quarter of it) are left behind.
///
/// # Errors
/// When a tensor can't be read or the file can't be written; then no file is left.
pub fn write_model(
    target: &Path,
    format: ModelFormat,
    weights: Vec<TensorSource<'_>>,
    model: &Description,
    bank: Option<&ClassBank>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), WeightsError> {
    match format {
        ModelFormat::Torch => write_torch(target, &weights, progress),
        ModelFormat::Safetensors => {
            let mut tensors = weights;
            tensors.extend(bank.map(bank_tensor));
            write_safetensors(target, &tensors, &metadata(model), progress)
        }
    }
}

/// Writes a loaded model with its weights packed for processors, in the precision it computes in:
/// loading such a file is a memory map.
///
/// # Errors
/// When the file can't be written, and then none is left; when something else than the engine
/// computes the model, which has no packed weights.
pub fn write_packed(
    target: &Path,
    model: &Model,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), PackError> {
    let Runtime::Engine(engine) = model.runtime() else { return Err(PackError::NotPacked) };
    let description = Description { network: model.network().clone(), card: model.card().clone() };
    let mut tensors = engine.packed_tensors();
    tensors.push(bank_tensor(model.class_bank()));
    let mut metadata = metadata(&description);
    metadata.extend(engine.packed_metadata());
    Ok(write_safetensors(target, &tensors, &metadata, progress)?)
}

/// Why a model can't be written with packed weights.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// It is not computed by the engine.
    #[error("only a model that is loaded for cpu has packed weights")]
    NotPacked,
    /// The file can't be written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

fn bank_tensor(bank: &ClassBank) -> TensorSource<'_> {
    let rows = bank.rows();
    let shape = [rows.count(), rows.width()];
    TensorSource::values(CLASS_BANK_KEY, shape, FloatType::F32, rows.values())
}

/// The metadata of a model's safetensors file.
pub fn metadata(model: &Description) -> BTreeMap<String, String> {
    let json = |value: serde_json::Result<String>| value.expect("plain structs become JSON");
    BTreeMap::from([
        ("format".to_owned(), "pt".to_owned()),
        (NETWORK_KEY.to_owned(), json(serde_json::to_string(&model.network))),
        (CARD_KEY.to_owned(), json(serde_json::to_string(&model.card))),
    ])
}

/// The tensors of `checkpoint` that a network of this configuration reads, as `float`.
///
/// # Errors
/// When one is missing.
pub fn live_tensors<'a>(
    checkpoint: &'a Checkpoint,
    config: &NetworkConfig,
    float: FloatType,
) -> Result<Vec<TensorSource<'a>>, WeightsError> {
    let tensors = expected_tensors(config).into_iter();
    tensors
        .map(|tensor| Ok(TensorSource::convert(checkpoint.require(&tensor.key)?, float)))
        .collect()
}
