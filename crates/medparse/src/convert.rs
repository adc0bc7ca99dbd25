//! Model files from model files, and from nothing.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use medparse_network::CLASS_BANK_KEY;
use medparse_network::{Network, NetworkConfig, expected_tensors};
use medparse_weights::{
    Checkpoint, FloatType, Progress, TensorSource, WeightsError, deterministic, write_safetensors,
    write_torch,
};

use crate::bank::ClassBank;
use crate::card::{CARD_KEY, Description, ModelCard, NETWORK_KEY, Provenance};
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

/// The tensors of a network whose weights follow from their names, equal on every machine.
pub fn deterministic_tensors(config: &NetworkConfig, unused: Unused) -> Vec<TensorSource<'static>> {
    let mut tensors: Vec<(String, Vec<usize>)> =
        expected_tensors(config).into_iter().map(|tensor| (tensor.key, tensor.shape)).collect();
    if unused == Unused::Included {
        tensors.extend(unused_tensors(config));
    }
    let source = |(key, shape): (String, Vec<usize>)| {
        let (name, dims) = (key.clone(), shape.clone());
        let values = move || -> Result<Vec<f32>, WeightsError> {
            // The class weights of the training loss: ones, outside the rule.
            let ones = name == "criterion.empty_weight";
            Ok(if ones { vec![1.0; dims[0]] } else { deterministic::values(&name, &dims) })
        };
        TensorSource::lazy(key, shape, FloatType::F32, values)
    };
    tensors.into_iter().map(source).collect()
}

/// The tensors of a network with fresh weights, as training starts from.
pub fn fresh_tensors(config: &NetworkConfig, seed: u64) -> Vec<TensorSource<'static>> {
    let device = Device::flex();
    device.seed(seed);
    Network::new(config, &device).tensor_sources(FloatType::F32)
}

/// The card of a model that was made rather than trained.
pub fn made_card(name: &str, weights: Provenance) -> ModelCard {
    ModelCard { weights, ..ModelCard::unknown(name) }
}

/// Whether to write the weights that the published checkpoint carries and nobody reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unused {
    /// Leave them out.
    LeftOut,
    /// Write them too, so that the file has the published one's keys and size.
    Included,
}

/// The tensors of the published checkpoint that text prompting never reads: a BiomedBERT base
/// model, and what spatial prompts and training use.
fn unused_tensors(config: &NetworkConfig) -> Vec<(String, Vec<usize>)> {
    const WIDTH: usize = 768;
    const HIDDEN: usize = 3072;
    const VOCABULARY: usize = 30522;
    const POSITIONS: usize = 512;
    let bert = "sem_seg_head.predictor.lang_encoder.biomed_encoder";
    let predictor = "sem_seg_head.predictor";
    let mut tensors = vec![("dilation_kernel".to_owned(), vec![1, 1, 3, 3])];
    let mut add = |key: String, shape: Vec<usize>| tensors.push((key, shape));
    for (name, rows) in [
        ("word_embeddings", VOCABULARY),
        ("position_embeddings", POSITIONS),
        ("token_type_embeddings", 2),
    ] {
        add(format!("{bert}.embeddings.{name}.weight"), vec![rows, WIDTH]);
    }
    let mut norm = |name: String| {
        add(format!("{bert}.{name}.weight"), vec![WIDTH]);
        add(format!("{bert}.{name}.bias"), vec![WIDTH]);
    };
    norm("embeddings.LayerNorm".into());
    for layer in 0..12 {
        norm(format!("encoder.layer.{layer}.attention.output.LayerNorm"));
        norm(format!("encoder.layer.{layer}.output.LayerNorm"));
    }
    let mut linear = |name: String, output: usize, input: usize| {
        add(format!("{bert}.{name}.weight"), vec![output, input]);
        add(format!("{bert}.{name}.bias"), vec![output]);
    };
    for layer in 0..12 {
        for part in ["self.query", "self.key", "self.value", "output.dense"] {
            linear(format!("encoder.layer.{layer}.attention.{part}"), WIDTH, WIDTH);
        }
        linear(format!("encoder.layer.{layer}.intermediate.dense"), HIDDEN, WIDTH);
        linear(format!("encoder.layer.{layer}.output.dense"), WIDTH, HIDDEN);
    }
    linear("pooler.dense".into(), WIDTH, WIDTH);
    let hidden = config.query_decoder.hidden_width;
    for level in 0..3 {
        add(format!("{predictor}.mask_sptial_embed.{level}"), vec![hidden, hidden]);
    }
    for (name, rows) in [("pn_indicator", 2), ("spatial_embed", 32), ("spatial_featured", 32)] {
        add(format!("{predictor}.{name}.weight"), vec![rows, hidden]);
    }
    add("criterion.empty_weight".into(), vec![crate::classes::CLASS_COUNT]);
    tensors
}

#[cfg(test)]
mod tests {
    use super::*;
    use medparse_network::is_unused;

    #[test]
    fn with_the_unused_the_published_file_is_complete() {
        let config = NetworkConfig::biomedparse_v1();
        let tensors = deterministic_tensors(&config, Unused::Included);
        assert_eq!(tensors.len(), 1132, "1131 keys and the loss's class weights");
        let values: usize =
            tensors.iter().map(|tensor| tensor.shape().iter().product::<usize>()).sum();
        assert_eq!(values, 450_663_426 + 17);
        for (key, _) in unused_tensors(&config) {
            assert!(is_unused(&key), "{key}");
        }
    }
}
