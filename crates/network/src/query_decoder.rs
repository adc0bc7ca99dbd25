//! The query decoder: object queries look at the picture, then talk with the words (upstream
//! `modeling/interface/seem_demo.py`).
//!
//! Legend: B batch, Q object queries, T grounding tokens, C width, N = H·W of a level.

use burn::module::{Module, Param};
use burn::nn::{
    Embedding, EmbeddingConfig, Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig,
};
use burn::tensor::{Bool, Device, Tensor};

use crate::attention::{AttentionInput, MultiheadAttention};
use crate::config::{LEVELS, NetworkConfig};
use crate::ops::{bilinear, layer_norm, linear, relu};
use crate::pixel_decoder::{EncodedImage, tokens_of};
use crate::position::sine_encoding;
use crate::probe::Probe;
use crate::text_encoder::LanguageEncoder;

/// The query decoder, and the text encoder that the checkpoint keeps inside it.
#[derive(Module, Debug)]
pub struct QueryDecoder {
    pub(crate) lang_encoder: LanguageEncoder,
    query_feat: Embedding,
    query_embed: Embedding,
    level_embed: Embedding,
    transformer_cross_attention_layers: Vec<CrossAttentionLayer>,
    transformer_self_attention_layers: Vec<SelfAttentionLayer>,
    transformer_ffn_layers: Vec<FeedForwardLayer>,
    decoder_norm: LayerNorm,
    mask_embed: Perceptron,
    /// `[C, projection]`, used as `x @ class_embed`.
    class_embed: Param<Tensor<2>>,
    presence_head: Option<Perceptron>,
}

/// The words of each picture: the token rows of all its prompts, one after the other.
#[derive(Debug, Clone)]
pub struct GroundingTokens {
    /// `[B, T, C]`.
    pub tokens: Tensor<3>,
    /// `[B, T]`, true where a picture has fewer tokens than the batch is wide.
    pub padding: Option<Tensor<2, Bool>>,
}

/// What the object queries say after a layer.
#[derive(Debug, Clone)]
pub struct Heads {
    /// `[B, Q, projection]`: each query in the space of the phrases, not normalised.
    pub class_embed: Tensor<3>,
    /// `[B, Q, S/4, S/4]`: each query's mask, as logits.
    pub masks: Tensor<4>,
    /// `[B, Q]`: how sure each query is that what it speaks for is there, as logits; none where
    /// the network has no such head.
    pub presence: Option<Tensor<2>>,
}

/// Which layers' answers to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The last layer's alone, as inference needs.
    Last,
    /// Every layer's and the one before any layer, as deep supervision needs.
    Every,
}

/// A level of the picture as the cross-attention sees it.
struct Level {
    size: [usize; 2],
    /// `[B, N, C]`, with the level's embedding added.
    source: Tensor<3>,
    /// `[1, N, C]`.
    position: Tensor<3>,
}

impl QueryDecoder {
    pub(crate) fn new(config: &NetworkConfig, device: &Device) -> Self {
        let sizes = &config.query_decoder;
        let width = sizes.hidden_width;
        let embedding = |rows| EmbeddingConfig::new(rows, width).init(device);
        let layers = 0..sizes.layers;
        Self {
            lang_encoder: LanguageEncoder::new(config, device),
            query_feat: embedding(sizes.queries),
            query_embed: embedding(sizes.queries),
            level_embed: embedding(LEVELS),
            transformer_cross_attention_layers: layers
                .clone()
                .map(|_| CrossAttentionLayer::new(config, device))
                .collect(),
            transformer_self_attention_layers: layers
                .clone()
                .map(|_| SelfAttentionLayer::new(config, device))
                .collect(),
            transformer_ffn_layers: layers.map(|_| FeedForwardLayer::new(config, device)).collect(),
            decoder_norm: LayerNormConfig::new(width).init(device),
            mask_embed: Perceptron::new([width, width, config.pixel_decoder.mask_width], device),
            class_embed: Initializer::Normal { mean: 0.0, std: 0.02 }
                .init([width, config.projection_width], device),
            presence_head: config.presence_head.then(|| Perceptron::new([width, width, 1], device)),
        }
    }

    /// The answers of the object queries, those asked for by `keep`, in layer order.
    pub(crate) fn forward(
        &self,
        image: &EncodedImage,
        words: GroundingTokens,
        keep: Keep,
        probe: &mut Probe,
    ) -> Vec<Heads> {
        let levels = self.levels(image, probe);
        let [batch, token_count, _] = words.tokens.dims();
        let queries = self.query_feat.weight.val().dims()[0];
        let batched = |embedding: &Embedding| {
            embedding.weight.val().unsqueeze::<3>().repeat_dim(0, batch) // [B, Q, C]
        };
        let query_position = batched(&self.query_embed);
        // The tokens' position is their own first value, and no gradient flows through it.
        let position = Tensor::cat(vec![query_position.clone(), words.tokens.clone().detach()], 1);
        probe.stage(|| "dec.self_query_pos".into(), &position);
        let blocked = words.padding.map(|padding| blocked_columns(padding, queries));

        let mut objects = batched(&self.query_feat); // [B, Q, C]
        let mut tokens = words.tokens; // [B, T, C]
        let mut heads = self.heads(objects.clone(), image, 0, probe);
        let mut kept = Vec::new();
        let layers = self.transformer_cross_attention_layers.len();
        for layer in 0..layers {
            let level = &levels[layer % LEVELS];
            let cross_mask = closed_positions(heads.masks.clone(), level.size);
            let cross_mask = probe.cross_mask(layer, cross_mask);
            if keep == Keep::Every {
                kept.push(heads);
            }
            let cross = &self.transformer_cross_attention_layers[layer];
            objects = cross.forward(objects, query_position.clone(), level, cross_mask);
            probe.stage(|| format!("dec.layers.{layer}.cross_out"), &objects);

            let both = Tensor::cat(vec![objects, tokens], 1); // [B, Q + T, C]
            let talk = &self.transformer_self_attention_layers[layer];
            let both = talk.forward(both, position.clone(), blocked.clone());
            probe.stage(|| format!("dec.layers.{layer}.self_out"), &both);
            let both = self.transformer_ffn_layers[layer].forward(both);
            probe.stage(|| format!("dec.layers.{layer}.ffn_out"), &both);

            objects = both.clone().narrow(1, 0, queries);
            tokens = both.narrow(1, queries, token_count);
            heads = self.heads(objects.clone(), image, layer + 1, probe);
        }
        kept.push(heads);
        kept
    }

    /// The three levels with their embeddings and positions; they depend on the picture alone.
    fn levels(&self, image: &EncodedImage, probe: &mut Probe) -> [Level; LEVELS] {
        std::array::from_fn(|index| {
            let map = &image.levels[index];
            let [_, channels, height, width] = map.dims();
            let embedding = self.level_embed.weight.val().narrow(0, index, 1); // [1, C]
            let source = tokens_of(map.clone()) + embedding.unsqueeze();
            let position = tokens_of(sine_encoding(channels, height, width, &map.device()));
            probe.stage(|| format!("dec.src.{index}"), &source);
            probe.stage(|| format!("dec.pos.{index}"), &position);
            Level { size: [height, width], source, position }
        })
    }

    fn heads(
        &self,
        objects: Tensor<3>,
        image: &EncodedImage,
        index: usize,
        probe: &mut Probe,
    ) -> Heads {
        let objects = layer_norm(&self.decoder_norm, objects);
        let class_embed = objects.clone().matmul(self.class_embed.val().unsqueeze());
        let presence = self.presence_head.as_ref();
        let presence = presence.map(|head| head.forward(objects.clone()).squeeze_dim::<2>(2));
        let mask_embed = self.mask_embed.forward(objects); // [B, Q, mask width]
        let [batch, channels, height, width] = image.mask_features.dims();
        let features = image.mask_features.clone().reshape([batch, channels, height * width]);
        let queries = mask_embed.dims()[1];
        let masks = mask_embed.clone().matmul(features).reshape([batch, queries, height, width]);
        probe.stage(|| format!("dec.heads.{index}.class_embed"), &class_embed);
        probe.stage(|| format!("dec.heads.{index}.mask_embed"), &mask_embed);
        probe.stage(|| format!("dec.heads.{index}.pred_masks"), &masks);
        Heads { class_embed, masks, presence }
    }
}

/// Where a query may not look, `[B, Q, N]`: the positions at which its shrunken mask is closed;
/// a query whose mask is closed everywhere may look everywhere.
fn closed_positions(masks: Tensor<4>, size: [usize; 2]) -> Tensor<3, Bool> {
    // A hard threshold has no gradient, so the graph need not be kept. σ(x) < ½ ⇔ x < 0.
    let closed = bilinear(masks.detach(), size).lower_elem(0.0);
    let closed: Tensor<3, Bool> = closed.flatten(2, 3);
    let shape = closed.dims();
    let everywhere = closed.clone().all_dim(2).expand(shape);
    closed.bool_and(everywhere.bool_not())
}

/// `[B, 1, Q + T]`: the padding tokens nobody may look at.
fn blocked_columns(padding: Tensor<2, Bool>, queries: usize) -> Tensor<3, Bool> {
    let [batch, tokens] = padding.dims();
    let objects = Tensor::<2>::zeros([batch, queries], &padding.device()).greater_elem(0.5);
    Tensor::cat(vec![objects, padding], 1).reshape([batch, 1, queries + tokens])
}

/// Object queries look at one level of the picture.
#[derive(Module, Debug)]
pub struct CrossAttentionLayer {
    multihead_attn: MultiheadAttention,
    norm: LayerNorm,
}

impl CrossAttentionLayer {
    fn new(config: &NetworkConfig, device: &Device) -> Self {
        let sizes = &config.query_decoder;
        Self {
            multihead_attn: MultiheadAttention::new(sizes.hidden_width, sizes.heads, device),
            norm: LayerNormConfig::new(sizes.hidden_width).init(device),
        }
    }

    fn forward(
        &self,
        objects: Tensor<3>,
        position: Tensor<3>,
        level: &Level,
        blocked: Tensor<3, Bool>,
    ) -> Tensor<3> {
        let seen = self.multihead_attn.forward(AttentionInput {
            query: objects.clone() + position,
            key: level.source.clone() + level.position.clone(),
            value: level.source.clone(),
            blocked: Some(blocked),
        });
        layer_norm(&self.norm, objects + seen)
    }
}

/// Object queries and grounding tokens look at each other; nobody looks at padding.
#[derive(Module, Debug)]
pub struct SelfAttentionLayer {
    self_attn: MultiheadAttention,
    norm: LayerNorm,
}

impl SelfAttentionLayer {
    fn new(config: &NetworkConfig, device: &Device) -> Self {
        let sizes = &config.query_decoder;
        Self {
            self_attn: MultiheadAttention::new(sizes.hidden_width, sizes.heads, device),
            norm: LayerNormConfig::new(sizes.hidden_width).init(device),
        }
    }

    fn forward(
        &self,
        x: Tensor<3>,
        position: Tensor<3>,
        blocked: Option<Tensor<3, Bool>>,
    ) -> Tensor<3> {
        let placed = x.clone() + position;
        let heard = self.self_attn.forward(AttentionInput {
            query: placed.clone(),
            key: placed,
            value: x.clone(),
            blocked,
        });
        layer_norm(&self.norm, x + heard)
    }
}

/// The feed-forward network of queries and tokens alike.
#[derive(Module, Debug)]
pub struct FeedForwardLayer {
    linear1: Linear,
    linear2: Linear,
    norm: LayerNorm,
}

impl FeedForwardLayer {
    fn new(config: &NetworkConfig, device: &Device) -> Self {
        let sizes = &config.query_decoder;
        let (width, hidden) = (sizes.hidden_width, sizes.feed_forward_width);
        Self {
            linear1: LinearConfig::new(width, hidden).init(device),
            linear2: LinearConfig::new(hidden, width).init(device),
            norm: LayerNormConfig::new(width).init(device),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let mixed = linear(&self.linear2, relu(linear(&self.linear1, x.clone())));
        layer_norm(&self.norm, x + mixed)
    }
}

/// Three linear maps with ReLU between them, from a query to its mask's coefficients or to its
/// presence.
#[derive(Module, Debug)]
pub struct Perceptron {
    layers: Vec<Linear>,
}

impl Perceptron {
    /// `outputs` are the widths after each map; all but the last are also the width before.
    fn new(outputs: [usize; 3], device: &Device) -> Self {
        let width = outputs[0];
        Self {
            layers: outputs
                .map(|output| LinearConfig::new(width, output).init(device))
                .into_iter()
                .collect(),
        }
    }

    fn forward(&self, mut x: Tensor<3>) -> Tensor<3> {
        let last = self.layers.len() - 1;
        for layer in &self.layers[..last] {
            x = relu(linear(layer, x));
        }
        linear(&self.layers[last], x)
    }
}
