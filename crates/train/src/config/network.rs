//! The sizes of the network that a run begins with.

use medparse_network::NetworkConfig;
use medparse_network::config::{
    BackboneConfig, PixelDecoderConfig, QueryDecoderConfig, TextEncoderConfig,
};
use serde::{Deserialize, Serialize};

/// Which network to begin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum NetworkChoice {
    /// The published network's sizes.
    #[default]
    BiomedparseV1,
    /// The sizes of the model that comes with medparse.
    Small,
    /// Any other.
    Sizes(Box<NetworkConfig>),
}

impl NetworkChoice {
    /// The sizes meant.
    pub fn config(&self) -> NetworkConfig {
        match self {
            Self::BiomedparseV1 => NetworkConfig::biomedparse_v1(),
            Self::Small => small(),
            Self::Sizes(config) => (**config).clone(),
        }
    }
}

/// The sizes of medparse-small: 8 M values besides the token table, made for 256 pixels.
fn small() -> NetworkConfig {
    NetworkConfig {
        image_size: 256,
        pixel_mean: [123.675, 116.28, 103.53],
        pixel_std: [58.395, 57.12, 57.375],
        backbone: BackboneConfig {
            embed_dim: 40,
            depths: vec![2, 2, 6, 2],
            focal_levels: vec![3, 3, 3, 2],
            focal_windows: vec![3; 4],
            mlp_ratio: 4.0,
            patch_size: 4,
        },
        pixel_decoder: PixelDecoderConfig {
            conv_width: 128,
            mask_width: 64,
            encoder_layers: 2,
            heads: 8,
            feed_forward_width: 512,
        },
        query_decoder: QueryDecoderConfig {
            hidden_width: 128,
            heads: 8,
            feed_forward_width: 512,
            layers: 6,
            queries: 24,
        },
        text_encoder: TextEncoderConfig {
            width: 64,
            heads: 4,
            layers: 4,
            context_length: 77,
            vocabulary: 49_408,
        },
        projection_width: 128,
        presence_head: true,
    }
}
