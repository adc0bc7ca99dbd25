//! The keys of the reference's YAML, spelt as there.

use crate::sizes::{
    BackboneConfig, ConfigError, NetworkConfig, PUBLISHED_IMAGE_SIZE, PixelDecoderConfig,
    QueryDecoderConfig, TextEncoderConfig, unsupported,
};
use serde::Deserialize;

/// Tokens of the CLIP vocabulary, the only one the reference knows.
const CLIP_VOCABULARY: usize = 49408;

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) struct Root {
    input: Input,
    model: Model,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct Input {
    pixel_mean: [f32; 3],
    pixel_std: [f32; 3],
    #[serde(default = "published_image_size")]
    image_size: usize,
}

fn published_image_size() -> usize {
    PUBLISHED_IMAGE_SIZE
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct Model {
    backbone: Backbone,
    encoder: Encoder,
    decoder: Decoder,
    text: Text,
    dim_proj: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct Backbone {
    name: String,
    focal: Focal,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct Focal {
    embed_dim: usize,
    depths: Vec<usize>,
    focal_levels: Vec<usize>,
    focal_windows: Vec<usize>,
    mlp_ratio: f64,
    patch_size: usize,
    scaling_modulator: bool,
    use_conv_embed: bool,
    use_layerscale: bool,
    use_postln: bool,
    use_postln_in_modulation: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct Encoder {
    name: String,
    convs_dim: usize,
    mask_dim: usize,
    transformer_enc_layers: usize,
    norm: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct Decoder {
    hidden_dim: usize,
    nheads: usize,
    dim_feedforward: usize,
    dec_layers: usize,
    num_object_queries: usize,
    pre_norm: bool,
    enforce_input_proj: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct Text {
    arch: String,
    name: String,
    tokenizer: String,
    width: usize,
    heads: usize,
    layers: usize,
    context_length: usize,
}

impl Root {
    pub(crate) fn into_config(self) -> Result<NetworkConfig, ConfigError> {
        let Model { backbone, encoder, decoder, text, dim_proj } = self.model;
        let focal = backbone.focal;
        for (key, expected, found) in [
            ("MODEL.BACKBONE.NAME", "focal", &backbone.name),
            ("MODEL.ENCODER.NAME", "transformer_encoder_fpn", &encoder.name),
            ("MODEL.ENCODER.NORM", "GN", &encoder.norm),
            ("MODEL.TEXT.ARCH", "vlpencoder", &text.arch),
            ("MODEL.TEXT.NAME", "transformer", &text.name),
            ("MODEL.TEXT.TOKENIZER", "clip", &text.tokenizer),
        ] {
            if found != expected {
                return Err(unsupported(key, expected, found));
            }
        }
        for (key, expected, found) in [
            ("MODEL.BACKBONE.FOCAL.SCALING_MODULATOR", true, focal.scaling_modulator),
            ("MODEL.BACKBONE.FOCAL.USE_CONV_EMBED", true, focal.use_conv_embed),
            ("MODEL.BACKBONE.FOCAL.USE_LAYERSCALE", true, focal.use_layerscale),
            ("MODEL.BACKBONE.FOCAL.USE_POSTLN", true, focal.use_postln),
            (
                "MODEL.BACKBONE.FOCAL.USE_POSTLN_IN_MODULATION",
                false,
                focal.use_postln_in_modulation,
            ),
            ("MODEL.DECODER.PRE_NORM", false, decoder.pre_norm),
            ("MODEL.DECODER.ENFORCE_INPUT_PROJ", false, decoder.enforce_input_proj),
        ] {
            if found != expected {
                return Err(unsupported(key, expected, found));
            }
        }
        Ok(NetworkConfig {
            image_size: self.input.image_size,
            pixel_mean: self.input.pixel_mean,
            pixel_std: self.input.pixel_std,
            backbone: BackboneConfig {
                embed_dim: focal.embed_dim,
                depths: focal.depths,
                focal_levels: focal.focal_levels,
                focal_windows: focal.focal_windows,
                mlp_ratio: focal.mlp_ratio,
                patch_size: focal.patch_size,
            },
            pixel_decoder: PixelDecoderConfig {
                conv_width: encoder.convs_dim,
                mask_width: encoder.mask_dim,
                encoder_layers: encoder.transformer_enc_layers,
                heads: decoder.nheads,
                feed_forward_width: decoder.dim_feedforward,
            },
            query_decoder: QueryDecoderConfig {
                hidden_width: decoder.hidden_dim,
                heads: decoder.nheads,
                feed_forward_width: decoder.dim_feedforward,
                // The reference's `DEC_LAYERS: 10` runs 9 layers and 10 heads.
                layers: decoder.dec_layers.saturating_sub(1),
                queries: decoder.num_object_queries,
            },
            text_encoder: TextEncoderConfig {
                width: text.width,
                heads: text.heads,
                layers: text.layers,
                context_length: text.context_length,
                vocabulary: CLIP_VOCABULARY,
            },
            projection_width: dim_proj,
            presence_head: false,
        })
    }
}
