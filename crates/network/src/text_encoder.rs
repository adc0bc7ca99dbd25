//! The CLIP-style text encoder (upstream `modeling/language/LangEncoder/transformer.py`).
//!
//! Legend: n sentences, T positions, W the encoder's width, C the projection's width.

use burn::module::{Module, Param};
use burn::nn::{
    Embedding, EmbeddingConfig, Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig,
};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

use crate::attention::{AttentionInput, MultiheadAttention};
use crate::config::{NetworkConfig, TextEncoderConfig};
use crate::ops::{layer_norm_with, linear, quick_gelu};
use crate::probe::Probe;

/// Differs from the vision side's 1e-5.
const NORM_EPSILON: f64 = 1e-12;

/// The natural logarithm of CLIP's initial temperature 1 / 0.07.
const INITIAL_LOGIT_SCALE: f64 = 2.659_260_036_932_778;

/// The text encoder with its projection into the space of the queries.
#[derive(Module, Debug)]
pub struct LanguageEncoder {
    lang_encoder: TextTransformer,
    /// `[W, C]`, used as `x @ lang_proj`.
    lang_proj: Param<Tensor<2>>,
    /// `[1]`; a scalar in the checkpoint.
    logit_scale: Param<Tensor<1>>,
}

/// The answer of the text encoder, projected and not normalised.
#[derive(Debug, Clone)]
pub struct EncodedText {
    /// `[n, T, C]`, one row per position.
    pub tokens: Tensor<3>,
    /// `[n, C]`, the row of each sentence's end token.
    pub sentences: Tensor<2>,
}

impl LanguageEncoder {
    pub(crate) fn new(config: &NetworkConfig, device: &Device) -> Self {
        let width = config.text_encoder.width;
        Self {
            lang_encoder: TextTransformer::new(&config.text_encoder, device),
            lang_proj: Initializer::Normal { mean: 0.0, std: 0.02 }
                .init([width, config.projection_width], device),
            logit_scale: Initializer::Constant { value: INITIAL_LOGIT_SCALE }.init([1], device),
        }
    }

    /// `[1]`, before the exponential.
    pub(crate) fn logit_scale(&self) -> Tensor<1> {
        self.logit_scale.val()
    }

    /// Encodes sentences of `[n, T]` token ids, of which `lengths` are read (start and end
    /// included).
    ///
    /// Attention is causal, so what stands behind the end token never matters.
    pub(crate) fn forward(
        &self,
        ids: Tensor<2, Int>,
        lengths: &[usize],
        probe: &mut Probe,
    ) -> EncodedText {
        let hidden = self.lang_encoder.forward(ids, probe); // [n, T, W]
        let projection = self.lang_proj.val();
        let width = projection.dims()[1];
        let [sentences, positions, _] = hidden.dims();
        let tokens = hidden.matmul(projection.unsqueeze()); // [n, T, C]
        probe.stage(|| "text.token_emb".into(), &tokens);
        let ends: Vec<i64> = lengths
            .iter()
            .enumerate()
            .map(|(sentence, &length)| (sentence * positions + length - 1) as i64)
            .collect();
        let ends =
            Tensor::<1, Int>::from_data(TensorData::new(ends, [sentences]), &tokens.device());
        let sentences = tokens.clone().reshape([sentences * positions, width]).select(0, ends);
        probe.stage(|| "text.class_emb".into(), &sentences);
        EncodedText { tokens, sentences }
    }
}

/// Token and position embeddings, and a stack of causal pre-norm blocks.
#[derive(Module, Debug)]
pub struct TextTransformer {
    token_embedding: Embedding,
    positional_embedding: Param<Tensor<2>>,
    resblocks: Vec<ResidualBlock>,
    ln_final: LayerNorm,
}

impl TextTransformer {
    fn new(config: &TextEncoderConfig, device: &Device) -> Self {
        let width = config.width;
        let small = Initializer::Normal { mean: 0.0, std: 0.02 };
        Self {
            token_embedding: EmbeddingConfig::new(config.vocabulary, width)
                .with_initializer(small.clone())
                .init(device),
            positional_embedding: small.init([config.context_length, width], device),
            resblocks: (0..config.layers).map(|_| ResidualBlock::new(config, device)).collect(),
            ln_final: LayerNormConfig::new(width).with_epsilon(NORM_EPSILON).init(device),
        }
    }

    /// `[n, T]` → `[n, T, W]`.
    fn forward(&self, ids: Tensor<2, Int>, probe: &mut Probe) -> Tensor<3> {
        let positions = ids.dims()[1];
        let embedded = self.token_embedding.forward(ids);
        probe.stage(|| "text.token_embedding_rows".into(), &embedded);
        let place = self.positional_embedding.val().narrow(0, 0, positions);
        let mut x = embedded + place.unsqueeze();
        // True above the diagonal: a token does not see those behind it.
        let blocked = Tensor::<2, Bool>::tril_mask([positions, positions], 0, &x.device());
        for (index, block) in self.resblocks.iter().enumerate() {
            x = block.forward(x, blocked.clone().unsqueeze());
            probe.stage(|| format!("text.resblocks.{index}"), &x);
        }
        let x = layer_norm_with(&self.ln_final, NORM_EPSILON, x);
        probe.stage(|| "text.ln_final".into(), &x);
        x
    }
}

/// A pre-norm transformer block.
#[derive(Module, Debug)]
pub struct ResidualBlock {
    attn: MultiheadAttention,
    ln_1: LayerNorm,
    mlp: TextMlp,
    ln_2: LayerNorm,
}

impl ResidualBlock {
    fn new(config: &TextEncoderConfig, device: &Device) -> Self {
        let width = config.width;
        let norm = || LayerNormConfig::new(width).with_epsilon(NORM_EPSILON).init(device);
        Self {
            attn: MultiheadAttention::new(width, config.heads, device),
            ln_1: norm(),
            mlp: TextMlp {
                c_fc: LinearConfig::new(width, 4 * width).init(device),
                c_proj: LinearConfig::new(4 * width, width).init(device),
            },
            ln_2: norm(),
        }
    }

    fn forward(&self, x: Tensor<3>, blocked: Tensor<3, Bool>) -> Tensor<3> {
        let y = layer_norm_with(&self.ln_1, NORM_EPSILON, x.clone());
        let attended = self.attn.forward(AttentionInput {
            query: y.clone(),
            key: y.clone(),
            value: y,
            blocked: Some(blocked),
        });
        let x = x + attended;
        let y = self.mlp.forward(layer_norm_with(&self.ln_2, NORM_EPSILON, x.clone()));
        x + y
    }
}

/// Two linear maps with QuickGELU, `v · σ(1.702 v)`, between them.
#[derive(Module, Debug)]
pub struct TextMlp {
    c_fc: Linear,
    c_proj: Linear,
}

impl TextMlp {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        linear(&self.c_proj, quick_gelu(linear(&self.c_fc, x)))
    }
}
