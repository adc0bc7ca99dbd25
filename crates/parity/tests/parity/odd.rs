//! The engine against the network where no size is a round one.

use std::convert::Infallible;

use burn::tensor::{Device, Int, Tensor, TensorData};
use medparse_engine::{Engine, EngineOptions, Isa, Trace};
use medparse_network::config::{BackboneConfig, PixelDecoderConfig, QueryDecoderConfig};
use medparse_network::{GroundingTokens, Keep, Network, NetworkConfig, Probe};
use medparse_weights::deterministic;

const SENTENCE: [u32; 5] = [49406, 5, 77, 1234, 49407];

fn configs() -> [NetworkConfig; 2] {
    let published = NetworkConfig::biomedparse_v1();
    let mut text_encoder = published.text_encoder.clone();
    (text_encoder.width, text_encoder.heads, text_encoder.layers) = (15, 3, 2);
    let small = NetworkConfig {
        image_size: 96,
        backbone: BackboneConfig {
            embed_dim: 9,
            depths: vec![1, 2, 1, 1],
            focal_levels: vec![2, 3, 1, 4],
            focal_windows: vec![3, 5, 1, 3],
            mlp_ratio: 2.5,
            patch_size: 4,
        },
        pixel_decoder: PixelDecoderConfig {
            conv_width: 32,
            mask_width: 47,
            encoder_layers: 1,
            heads: 4,
            feed_forward_width: 37,
        },
        query_decoder: QueryDecoderConfig {
            hidden_width: 32,
            heads: 2,
            feed_forward_width: 19,
            layers: 5,
            queries: 7,
        },
        text_encoder,
        projection_width: 32,
        presence_head: true,
        ..published
    };
    let mut other = small.clone();
    other.image_size = 160;
    (other.backbone.embed_dim, other.pixel_decoder.mask_width) = (17, 20);
    (other.query_decoder.layers, other.query_decoder.queries) = (2, 113);
    other.presence_head = false;
    [small, other]
}

/// Embeddings, presence and masks.
type Answer = [Vec<f32>; 3];

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().unwrap()
}

fn of_network(config: &NetworkConfig, planes: &[f32]) -> Answer {
    let device = Device::flex();
    let filled = Network::filled(config, &device, |key, shape| {
        Ok::<_, Infallible>(deterministic::values(key, shape))
    });
    let Ok(network) = filled;
    let side = config.image_size;
    let image = TensorData::new(planes.to_vec(), [1, 3, side, side]);
    let image = network.encode_image(Tensor::from_data(image, &device), &mut Probe::none());
    let ids = SENTENCE.map(i64::from).to_vec();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [1, SENTENCE.len()]), &device);
    let text = network.encode_text(ids, &[SENTENCE.len()], &mut Probe::none());
    let words = GroundingTokens { tokens: text.tokens, padding: None };
    let heads = network.decode(&image, words, Keep::Last, &mut Probe::none()).pop().unwrap();
    let presence = heads.presence.map(values).unwrap_or_default();
    [values(heads.class_embed), presence, values(heads.masks)]
}

fn of_engine(config: &NetworkConfig, planes: &[f32], isa: Isa) -> Answer {
    let options = EngineOptions { isa, ..EngineOptions::default() };
    let filled = Engine::filled(config, &options, |key, shape| {
        Ok::<_, Infallible>(deterministic::values(key, shape))
    });
    let Ok(engine) = filled;
    let image = engine.encode_image(planes, &mut Trace::none());
    let text = engine.encode_text(&[&SENTENCE], &mut Trace::none());
    let decoded = engine.decode(&image, &text.tokens, &mut Trace::none());
    let all: Vec<usize> = (0..config.query_decoder.queries).collect();
    let masks = engine.masks(&image, &decoded, &all);
    [decoded.class_embed, decoded.presence.unwrap_or_default(), masks]
}

#[test]
fn the_engine_answers_what_the_network_answers() {
    for config in configs() {
        config.check().unwrap();
        let count = 3 * config.image_size.pow(2);
        let planes: Vec<f32> = (0..count).map(|i| (i as f32 * 0.37).sin()).collect();
        let expected = of_network(&config, &planes);
        for isa in Isa::available() {
            let ours = of_engine(&config, &planes, isa);
            for ((ours, expected), what) in
                ours.iter().zip(&expected).zip(["words", "presence", "masks"])
            {
                assert_eq!(ours.len(), expected.len(), "{what} on {isa}");
                let largest = expected.iter().fold(0f32, |most, value| most.max(value.abs()));
                let pairs = ours.iter().zip(expected);
                let off = pairs.map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
                // Rounding alone; a wrong term anywhere is off by parts of ten.
                assert!(off <= 1e-4 * largest, "{what} on {isa}: {off} of {largest}");
            }
        }
    }
}
