//! Weights from nothing: fresh ones to be trained, and test weights that follow from a rule.

use burn::tensor::Device;
use medparse_network::{Network, NetworkConfig, expected_tensors};
use medparse_weights::{FloatType, TensorSource, WeightsError, deterministic};

use crate::card::{ModelCard, Provenance};

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

/// The tensors of a network with fresh weights, drawn as burn draws them for each kind of layer; a run of training that
/// starts from nothing draws its own.
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
