//! The reference's gradients: d(loss)/d(weight) of every trained tensor, by name.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, Result};
use burn::module::Module;
use burn::tensor::activation::{log_softmax, sigmoid};
use burn::tensor::{Device, Gradients, Int, Tensor, TensorData};
use medparse::picture::{RgbView, Size};
use medparse::preprocess::{Normalization, normalize, resize_bicubic};
use medparse::tokenizer::{Tokenizer, Tokens};
use medparse_imaging::Picture;
use medparse_network::{GroundingTokens, Keep, Network, NetworkConfig, Probe};
use medparse_weights::{Checkpoint, FloatType, deterministic};
use safetensors::SafeTensors;
use serde::Deserialize;

use crate::golden::{numbers, read_json};

/// How far a gradient may be off, relative to its length.
pub const RELATIVE: f64 = 1e-3;

/// The length below which a gradient that the reference does not have counts as zero.
///
/// The shortest gradient of the golden run is 0.067 long, so that 1e-5 is rounding.
pub const ABSOLUTE: f64 = 1e-5;

/// CLIP's cap on the similarity's factor, as [`medparse::selection::similarity_scale`] has it.
const LARGEST_SCALE: f32 = 100.0;

/// One tensor's gradient beside the reference's.
#[derive(Debug, Clone)]
pub struct GradientRow {
    /// The checkpoint's key.
    pub key: String,
    /// Length of the reference's gradient; none where the reference has none.
    pub expected: Option<f64>,
    /// Length of the difference over that length, or our length where the reference has none.
    pub error: f64,
}

impl GradientRow {
    /// Whether the gradient is equal within [`RELATIVE`], or zero within [`ABSOLUTE`].
    pub fn passes(&self) -> bool {
        self.error <= if self.expected.is_some() { RELATIVE } else { ABSOLUTE }
    }
}

#[derive(Deserialize)]
struct GradientIndex {
    prompts: Vec<String>,
    matched: Vec<usize>,
    loss: f64,
    gradients: BTreeMap<String, GradientEntry>,
}

#[derive(Deserialize)]
struct GradientEntry {
    stride: usize,
}

/// What came of the golden loss and its gradients.
pub struct GradientReport {
    /// Our loss and the reference's.
    pub loss: [f64; 2],
    /// Every trained tensor.
    pub rows: Vec<GradientRow>,
}

/// Differentiates the golden loss through the network of `checkpoint`.
///
/// # Errors
/// When a file is absent or does not fit.
pub fn run(
    folder: &Path,
    config: &NetworkConfig,
    checkpoint: &Checkpoint,
    picture: &Picture,
) -> Result<GradientReport> {
    let index: GradientIndex = read_json(&folder.join("gradients.json"))?;
    let path = folder.join("gradients.safetensors");
    let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let golden = SafeTensors::deserialize(&bytes)?;

    let device = Device::flex().autodiff();
    let network = Network::load(config, checkpoint, &device)?;
    let loss = golden_loss(&network, config, picture, &index);
    let ours = gradients_by_key(network, &mut loss.backward())?;
    let mut rows = Vec::new();
    for (key, values) in ours {
        let row = match index.gradients.get(&key) {
            Some(entry) => {
                let expected = numbers(&golden, &key)?;
                let kept: Vec<f64> =
                    values.iter().step_by(entry.stride).map(|&value| value.into()).collect();
                anyhow::ensure!(kept.len() == expected.len(), "{key} has another size");
                let difference = length(kept.iter().zip(&expected).map(|(a, b)| a - b));
                let expected = length(expected.iter().copied());
                GradientRow { key, expected: Some(expected), error: difference / expected }
            }
            None => {
                let error = length(values.iter().map(|&value| value.into()));
                GradientRow { key, expected: None, error }
            }
        };
        rows.push(row);
    }
    let missing = index.gradients.keys().filter(|key| rows.iter().all(|row| row.key != **key));
    let missing: Vec<_> = missing.collect();
    anyhow::ensure!(missing.is_empty(), "no gradient of ours for {missing:?}");
    Ok(GradientReport { loss: [loss.into_scalar::<f32>().into(), index.loss], rows })
}

fn length(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

/// The loss of `gradients.json`: binary cross-entropy and Dice of the matched queries' masks,
/// and cross-entropy of each phrase over the queries.
fn golden_loss(
    network: &Network,
    config: &NetworkConfig,
    picture: &Picture,
    index: &GradientIndex,
) -> Tensor<1> {
    let device = Device::flex().autodiff();
    let side = config.image_size;
    let view = RgbView::of(picture).expect("a picture has its pixels");
    let normalization = Normalization { mean: config.pixel_mean, std: config.pixel_std };
    let planes = normalize(&resize_bicubic(&view, Size::square(side)), &normalization);
    let image = Tensor::from_data(TensorData::new(planes, [1, 3, side, side]), &device);
    let phrases: Vec<Tokens> =
        index.prompts.iter().map(|prompt| Tokenizer::new().encode(prompt)).collect();
    let encoded = network.encode_image(image, &mut Probe::none());

    let mut tokens = Vec::new();
    let mut sentences = Vec::new();
    for phrase in &phrases {
        let ids: Vec<i64> = phrase.ids().iter().map(|&id| id.into()).collect();
        let count = ids.len();
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [1, count]), &device);
        let text = network.encode_text(ids, &[count], &mut Probe::none());
        tokens.push(text.tokens);
        sentences.push(text.sentences);
    }
    let words = GroundingTokens { tokens: Tensor::cat(tokens, 1), padding: None };
    let mut answers = network.decode(&encoded, words, Keep::Last, &mut Probe::none());
    let heads = answers.pop().expect("the decoder answers at least once");

    let matched = index.matched.iter().map(|&query| query as i64).collect::<Vec<_>>();
    let count = matched.len();
    let matched = Tensor::<1, Int>::from_data(TensorData::new(matched, [count]), &device);
    let [_, _, rows, columns] = heads.masks.dims();
    let logits = heads.masks.select(1, matched.clone()).reshape([count, rows * columns]);
    let target: Vec<f32> = deterministic::unit_values("loss.target", count * rows * columns)
        .map(|unit| if unit > 0.0 { 1.0 } else { 0.0 })
        .collect();
    let target = Tensor::from_data(TensorData::new(target, [count, rows * columns]), &device);

    // max(x, 0) - x t + ln(1 + e^-|x|), the stable form of binary cross-entropy with logits.
    let entropy = logits.clone().clamp_min(0.0) - logits.clone() * target.clone()
        + (-logits.clone().abs()).exp().log1p();
    let open = sigmoid(logits);
    let overlap = (open.clone() * target.clone()).sum_dim(1) * 2.0 + 1.0;
    let dice = (-(overlap / (open.sum_dim(1) + target.sum_dim(1) + 1.0)) + 1.0).mean();

    let queries = heads.class_embed.squeeze_dim::<2>(0);
    let normalized = |x: Tensor<2>| {
        let length = x.clone().square().sum_dim(1).sqrt() + 1e-7;
        x / length
    };
    let scale = network.logit_scale().exp().clamp_max(LARGEST_SCALE);
    let similarity = normalized(Tensor::cat(sentences, 0)).matmul(normalized(queries).transpose())
        * scale.unsqueeze(); // [phrases, queries]
    let chosen = log_softmax(similarity, 1).gather(1, matched.unsqueeze_dim(1));
    entropy.mean() * 5.0 + dice * 5.0 - chosen.mean() * 2.0
}

/// Every trained tensor's gradient in the checkpoint's layout, taken as training takes them; zeros
/// where none flowed.
fn gradients_by_key(
    network: Network,
    gradients: &mut Gradients,
) -> Result<BTreeMap<String, Vec<f32>>> {
    let found = network.take_gradients(gradients).into_iter();
    let mut found: HashMap<String, Vec<f32>> =
        found.map(|gradient| (gradient.key, gradient.values)).collect();
    let gradients = network.valid().updated(|key, values| match found.remove(key) {
        Some(gradient) => values.copy_from_slice(&gradient),
        None => values.fill(0.0),
    });
    let mut by_key = BTreeMap::new();
    for source in gradients.tensor_sources(FloatType::F32) {
        let values = source.read_f32().with_context(|| format!("reading {}", source.name()))?;
        by_key.insert(source.name().to_owned(), values);
    }
    Ok(by_key)
}
