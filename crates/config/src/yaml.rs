//! The YAML that the reference trains and serves with (microsoft/BiomedParse,
//! `configs/biomedparse_inference.yaml`), its keys spelt as there.
//!
//! Keys beyond these are ignored. What is not computed here (pre-norm, several text encoders, …) is
//! refused by name rather than computed wrongly.

use serde::Deserialize;

use crate::sizes::{
    BackboneConfig, CLIP_VOCABULARY, ConfigError, NetworkConfig, PUBLISHED_IMAGE_SIZE,
    PixelDecoderConfig, QueryDecoderConfig, TextEncoderConfig, unsupported,
};

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct Root {
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

impl NetworkConfig {
    /// Reads the reference's YAML.
    ///
    /// The reference fixes the size of the picture in code; here it is the key
    /// `INPUT.IMAGE_SIZE`, 1024 where absent.
    ///
    /// # Errors
    /// When the text is not such a YAML, or asks for what this network does not compute.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        let yaml: Root = serde_saphyr::from_str(text)?;
        let config = yaml.into_config()?;
        config.check()?;
        Ok(config)
    }
}

impl Root {
    fn into_config(self) -> Result<NetworkConfig, ConfigError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: &str = include_str!("../../../testdata/tiny/tiny_config.yaml");

    #[test]
    fn reads_the_tiny_configuration() {
        let config = NetworkConfig::from_yaml(TINY).unwrap();
        assert_eq!(config.backbone.depths, [1, 1, 2, 1]);
        assert_eq!(config.backbone.stage_width(3), 64);
        assert_eq!(config.query_decoder.layers, 4, "DEC_LAYERS: 5 runs four layers");
        assert_eq!(config.image_size, 1024, "the reference's YAML names no size");
    }

    #[test]
    fn refuses_what_it_does_not_compute() {
        struct Case {
            from: &'static str,
            to: &'static str,
            message: &'static str,
        }
        let cases = [
            Case {
                from: "PRE_NORM: false",
                to: "PRE_NORM: true",
                message: "MODEL.DECODER.PRE_NORM = true; expected false",
            },
            Case {
                from: "NAME: focal",
                to: "NAME: davit",
                message: "MODEL.BACKBONE.NAME = davit; expected focal",
            },
            Case {
                from: "NHEADS: 4",
                to: "NHEADS: 5",
                message: "MODEL.DECODER.NHEADS = 5; expected a divisor of the width 64",
            },
            Case {
                from: "DEC_LAYERS: 5",
                to: "DEC_LAYERS: 1",
                message: "MODEL.DECODER.DEC_LAYERS = 1; expected 2 to 1025",
            },
        ];
        for Case { from, to, message } in cases {
            let error = NetworkConfig::from_yaml(&TINY.replace(from, to)).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        }
    }

    #[test]
    fn a_broken_yaml_is_a_sentence() {
        let error = NetworkConfig::from_yaml("MODEL: [1, 2").unwrap_err();
        assert!(error.to_string().starts_with("the model's configuration can't be read"));
    }
}
