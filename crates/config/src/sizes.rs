//! The sizes of a network of the BiomedParse family, and whether they fit each other.

use serde::{Deserialize, Serialize};

/// Side of the square picture that the published model was trained on, in pixels.
pub(crate) const PUBLISHED_IMAGE_SIZE: usize = 1024;

/// Tokens of the CLIP vocabulary, the only one the reference knows.
pub(crate) const CLIP_VOCABULARY: usize = 49408;

/// Everything that fixes the shapes of the network's weights and the scale of its input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkConfig {
    /// Side of the square picture the network sees, in pixels; a multiple of 32.
    pub image_size: usize,
    /// Mean of each channel (R, G, B), in gray levels 0..=255.
    pub pixel_mean: [f32; 3],
    /// Standard deviation of each channel (R, G, B), in gray levels.
    pub pixel_std: [f32; 3],
    /// The FocalNet backbone.
    pub backbone: BackboneConfig,
    /// The pixel decoder.
    pub pixel_decoder: PixelDecoderConfig,
    /// The query decoder.
    pub query_decoder: QueryDecoderConfig,
    /// The text encoder.
    pub text_encoder: TextEncoderConfig,
    /// Width of the space in which queries and phrases are compared.
    pub projection_width: usize,
    /// Whether each query also says how likely what it was asked for is there at all; the
    /// published network has no such head.
    #[serde(default)]
    pub presence_head: bool,
}

/// Sizes of the FocalNet backbone (Yang et al., "Focal Modulation Networks", 2022).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackboneConfig {
    /// Channels of the first stage; each later stage doubles them.
    pub embed_dim: usize,
    /// Blocks in each stage.
    pub depths: Vec<usize>,
    /// Levels of depthwise context in each stage, at most eight.
    pub focal_levels: Vec<usize>,
    /// Side of the first level's depthwise kernel in each stage; each level adds 2.
    pub focal_windows: Vec<usize>,
    /// Hidden width of a block's perceptron, in units of its channels.
    pub mlp_ratio: f64,
    /// Stride of the first convolution, in pixels.
    pub patch_size: usize,
}

impl BackboneConfig {
    /// Channels of stage `stage` (0-based).
    pub fn stage_width(&self, stage: usize) -> usize {
        self.embed_dim << stage
    }

    /// Hidden width of the perceptrons of stage `stage` (0-based).
    pub fn hidden_width(&self, stage: usize) -> usize {
        (self.stage_width(stage) as f64 * self.mlp_ratio) as usize
    }
}

/// Sizes of the pixel decoder: a DETR encoder on the coarsest map, then a feature pyramid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PixelDecoderConfig {
    /// Channels of every map of the pyramid.
    pub conv_width: usize,
    /// Channels of the mask features.
    pub mask_width: usize,
    /// Layers of the DETR encoder.
    pub encoder_layers: usize,
    /// Attention heads of the DETR encoder.
    pub heads: usize,
    /// Hidden width of the DETR encoder's feed-forward network.
    pub feed_forward_width: usize,
}

/// Sizes of the query decoder (SEEM's, with object queries and grounding tokens).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueryDecoderConfig {
    /// Width of queries and tokens.
    pub hidden_width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Hidden width of the feed-forward network.
    pub feed_forward_width: usize,
    /// Decoder layers that run (the YAML's `DEC_LAYERS` counts one more).
    pub layers: usize,
    /// Object queries.
    pub queries: usize,
}

/// Sizes of the CLIP-style text encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextEncoderConfig {
    /// Width of a token.
    pub width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Transformer blocks.
    pub layers: usize,
    /// Longest sentence, in tokens, start and end included.
    pub context_length: usize,
    /// Tokens in the vocabulary, which is CLIP's.
    pub vocabulary: usize,
}

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The text is not YAML, or a key is missing or of the wrong type.
    #[error("the model's configuration can't be read: {0}")]
    Yaml(#[from] serde_saphyr::Error),
    /// A key has a value that this network does not compute.
    #[error("the model's configuration has {key} = {found}; expected {expected}")]
    Unsupported {
        /// The key, as a path through the YAML.
        key: &'static str,
        /// What the key may hold.
        expected: String,
        /// What it holds.
        found: String,
    },
}

pub(crate) fn unsupported(
    key: &'static str,
    expected: impl ToString,
    found: impl ToString,
) -> ConfigError {
    ConfigError::Unsupported { key, expected: expected.to_string(), found: found.to_string() }
}

impl NetworkConfig {
    /// The configuration of the published `biomedparse_v1.pt`.
    pub fn biomedparse_v1() -> Self {
        Self {
            image_size: PUBLISHED_IMAGE_SIZE,
            pixel_mean: [123.675, 116.28, 103.53],
            pixel_std: [58.395, 57.12, 57.375],
            backbone: BackboneConfig {
                embed_dim: 192,
                depths: vec![2, 2, 18, 2],
                focal_levels: vec![4; 4],
                focal_windows: vec![3; 4],
                mlp_ratio: 4.0,
                patch_size: 4,
            },
            pixel_decoder: PixelDecoderConfig {
                conv_width: 512,
                mask_width: 512,
                encoder_layers: 6,
                heads: 8,
                feed_forward_width: 2048,
            },
            query_decoder: QueryDecoderConfig {
                hidden_width: 512,
                heads: 8,
                feed_forward_width: 2048,
                layers: 9,
                queries: 101,
            },
            text_encoder: TextEncoderConfig {
                width: 512,
                heads: 8,
                layers: 12,
                context_length: 77,
                vocabulary: CLIP_VOCABULARY,
            },
            projection_width: 512,
            presence_head: false,
        }
    }

    /// Checks that the sizes fit each other.
    ///
    /// # Errors
    /// Names the first key whose value can't work.
    pub fn check(&self) -> Result<(), ConfigError> {
        let backbone = &self.backbone;
        if self.image_size == 0 || !self.image_size.is_multiple_of(32) || self.image_size > 8192 {
            return Err(unsupported(
                "INPUT.IMAGE_SIZE",
                "a multiple of 32, at most 8192",
                self.image_size,
            ));
        }
        if !self.pixel_mean.iter().all(|mean| mean.is_finite()) {
            return Err(unsupported(
                "INPUT.PIXEL_MEAN",
                "three finite numbers",
                format!("{:?}", self.pixel_mean),
            ));
        }
        if !self.pixel_std.iter().all(|deviation| deviation.is_finite() && *deviation > 0.0) {
            return Err(unsupported(
                "INPUT.PIXEL_STD",
                "three numbers above 0",
                format!("{:?}", self.pixel_std),
            ));
        }
        for (key, values, most) in [
            ("MODEL.BACKBONE.FOCAL.DEPTHS", &backbone.depths, 1024),
            // As many as the kernel of the context keeps apart.
            ("MODEL.BACKBONE.FOCAL.FOCAL_LEVELS", &backbone.focal_levels, 8),
            ("MODEL.BACKBONE.FOCAL.FOCAL_WINDOWS", &backbone.focal_windows, 1024),
        ] {
            if values.len() != 4 || values.iter().any(|&value| value == 0 || value > most) {
                let expected = format!("four numbers from 1 to {most}");
                return Err(unsupported(key, expected, format!("{values:?}")));
            }
        }
        if backbone.focal_windows.iter().any(|window| window % 2 == 0) {
            let found = format!("{:?}", backbone.focal_windows);
            return Err(unsupported("MODEL.BACKBONE.FOCAL.FOCAL_WINDOWS", "odd numbers", found));
        }
        if backbone.patch_size != 4 {
            return Err(unsupported("MODEL.BACKBONE.FOCAL.PATCH_SIZE", 4, backbone.patch_size));
        }
        let (pixels, queries, text) =
            (&self.pixel_decoder, &self.query_decoder, &self.text_encoder);
        for (key, value) in [
            ("MODEL.BACKBONE.FOCAL.EMBED_DIM", backbone.embed_dim),
            ("MODEL.ENCODER.CONVS_DIM", pixels.conv_width),
            ("MODEL.ENCODER.MASK_DIM", pixels.mask_width),
            ("MODEL.ENCODER.TRANSFORMER_ENC_LAYERS", pixels.encoder_layers),
            ("MODEL.DECODER.DIM_FEEDFORWARD", pixels.feed_forward_width),
            ("MODEL.DECODER.DIM_FEEDFORWARD", queries.feed_forward_width),
            ("MODEL.DECODER.HIDDEN_DIM", queries.hidden_width),
            ("MODEL.DECODER.NUM_OBJECT_QUERIES", queries.queries),
            ("MODEL.TEXT.WIDTH", text.width),
            ("MODEL.TEXT.LAYERS", text.layers),
            ("MODEL.DIM_PROJ", self.projection_width),
        ] {
            if value == 0 || value > 1 << 16 {
                return Err(unsupported(key, "a number from 1 to 65536", value));
            }
        }
        let ratio = backbone.mlp_ratio;
        if backbone.hidden_width(0) == 0 || ratio > 64.0 {
            let expected = format!("a number from 1/{} to 64", backbone.embed_dim);
            return Err(unsupported("MODEL.BACKBONE.FOCAL.MLP_RATIO", expected, ratio));
        }
        if queries.layers == 0 || queries.layers > 1024 {
            return Err(unsupported("MODEL.DECODER.DEC_LAYERS", "2 to 1025", queries.layers + 1));
        }
        if !(2..=4096).contains(&text.context_length) {
            let found = text.context_length;
            return Err(unsupported("MODEL.TEXT.CONTEXT_LENGTH", "2 to 4096", found));
        }
        if text.vocabulary != CLIP_VOCABULARY {
            let expected = format!("clip, with {CLIP_VOCABULARY} tokens");
            let found = format!("one with {} tokens", text.vocabulary);
            return Err(unsupported("MODEL.TEXT.TOKENIZER", expected, found));
        }
        for (key, width, heads) in [
            ("MODEL.DECODER.NHEADS", pixels.conv_width, pixels.heads),
            ("MODEL.DECODER.NHEADS", queries.hidden_width, queries.heads),
            ("MODEL.TEXT.HEADS", text.width, text.heads),
        ] {
            if heads == 0 || width % heads != 0 {
                return Err(unsupported(key, format!("a divisor of the width {width}"), heads));
            }
        }
        if pixels.conv_width % 32 != 0 {
            let expected = "a multiple of 32, the groups of its GroupNorm";
            return Err(unsupported("MODEL.ENCODER.CONVS_DIM", expected, pixels.conv_width));
        }
        if pixels.conv_width != queries.hidden_width {
            let expected = format!("MODEL.DECODER.HIDDEN_DIM ({})", queries.hidden_width);
            return Err(unsupported("MODEL.ENCODER.CONVS_DIM", expected, pixels.conv_width));
        }
        if self.projection_width != queries.hidden_width {
            // Grounding tokens live in the projection's space and attend with the queries.
            let expected = format!("MODEL.DECODER.HIDDEN_DIM ({})", queries.hidden_width);
            return Err(unsupported("MODEL.DIM_PROJ", expected, self.projection_width));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_configuration_is_sound() {
        NetworkConfig::biomedparse_v1().check().unwrap();
    }

    /// Sizes may come from a stranger's file: what would be allocated or looked up by them is bounded.
    #[test]
    fn sizes_beyond_reason_are_refused_by_name() {
        type Change = fn(&mut NetworkConfig);
        let cases: [(&str, Change); 6] = [
            ("INPUT.PIXEL_MEAN", |config| config.pixel_mean[1] = f32::NAN),
            ("INPUT.PIXEL_STD", |config| config.pixel_std[2] = f32::INFINITY),
            ("MODEL.BACKBONE.FOCAL.MLP_RATIO", |config| config.backbone.mlp_ratio = 1e30),
            ("MODEL.BACKBONE.FOCAL.MLP_RATIO", |config| config.backbone.mlp_ratio = f64::NAN),
            ("MODEL.DECODER.DIM_FEEDFORWARD", |config| config.pixel_decoder.feed_forward_width = 0),
            ("MODEL.TEXT.TOKENIZER", |config| config.text_encoder.vocabulary = 100),
        ];
        for (key, change) in cases {
            let mut config = NetworkConfig::biomedparse_v1();
            change(&mut config);
            let sentence = config.check().unwrap_err().to_string();
            assert!(sentence.contains(&format!("has {key} = ")), "{sentence}");
        }
    }

    #[test]
    fn refuses_more_levels_of_context_than_are_computed() {
        let mut config = NetworkConfig::biomedparse_v1();
        config.backbone.focal_levels[2] = 9;
        let error = config.check().unwrap_err().to_string();
        let expected = "FOCAL_LEVELS = [4, 4, 9, 4]; expected four numbers from 1 to 8";
        assert!(error.contains(expected), "{error}");
    }
}
