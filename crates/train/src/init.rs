//! Fresh weights, drawn as the reference draws them; each tensor's follow from the seed and its
//! key alone.

use burn::tensor::Device;
use medparse_network::{Network, NetworkConfig};
use rand::RngExt;

use crate::random::{Purpose, Random, place_of, stream};

/// CLIP's initial temperature is 1 / 0.07.
const INITIAL_LOGIT_SCALE: f32 = 2.659_26;

/// Layer scale of a fresh block.
///
/// The reference begins at 1e-4, for stages that are 18 blocks deep and a training a hundred times
/// as long; from there a short training hardly gets its blocks to speak.
const INITIAL_LAYER_SCALE: f32 = 0.1;

/// A network with fresh weights.
pub fn fresh(config: &NetworkConfig, seed: u64, device: &Device) -> Network {
    let draw = |key: &str, shape: &[usize]| -> Result<Vec<f32>, std::convert::Infallible> {
        Ok(fresh_values(key, shape, seed))
    };
    match Network::filled(config, device, draw) {
        Ok(network) => network,
        Err(never) => match never {},
    }
}

/// One tensor's fresh values.
pub(crate) fn fresh_values(key: &str, shape: &[usize], seed: u64) -> Vec<f32> {
    values(key, shape, &mut stream(seed, Purpose::Weights, &[place_of(key)]))
}

fn values(key: &str, shape: &[usize], random: &mut Random) -> Vec<f32> {
    let count: usize = shape.iter().product();
    let last = key.rsplit('.').next().unwrap_or(key);
    let per_output: usize = shape.iter().skip(1).product();
    match (last, shape.len()) {
        ("logit_scale", _) => vec![INITIAL_LOGIT_SCALE; count],
        ("gamma_1" | "gamma_2", _) => vec![INITIAL_LAYER_SCALE; count],
        ("weight", 1) => vec![1.0; count],
        (_, 1) => vec![0.0; count],
        // torch's embeddings begin normal with deviation 1.
        _ if key.contains("query_feat")
            || key.contains("query_embed")
            || key.contains("level_embed") =>
        {
            normal(count, 1.0, random)
        }
        _ if key.contains("lang_encoder") || last == "class_embed" => normal(count, 0.02, random),
        // Attention and feed-forward layers: Xavier; the in-projection is three matrices.
        ("in_proj_weight", _) => uniform(count, (6.0 / (2 * shape[1]) as f32).sqrt(), random),
        (_, 2) if key.contains("transformer") => {
            uniform(count, (6.0 / (shape[0] + shape[1]) as f32).sqrt(), random)
        }
        (_, 2) if key.starts_with("backbone") => normal(count, 0.02, random),
        // Convolutions of the pixel decoder: Kaiming uniform with a = 1 (detectron2's c2_xavier_fill).
        (_, 4) if key.contains("pixel_decoder") => {
            uniform(count, (3.0 / per_output as f32).sqrt(), random)
        }
        // torch's default for linear maps and convolutions: Kaiming uniform with a = √5.
        _ => uniform(count, 1.0 / (per_output as f32).sqrt(), random),
    }
}

fn uniform(count: usize, reach: f32, random: &mut Random) -> Vec<f32> {
    (0..count).map(|_| random.random_range(-reach..=reach)).collect()
}

/// Box and Muller's transform; cut off at two deviations, as truncated normals are.
fn normal(count: usize, deviation: f32, random: &mut Random) -> Vec<f32> {
    let mut draw = || loop {
        let radius = (-2.0 * (1.0 - random.random::<f32>()).ln()).sqrt();
        let value = radius * (std::f32::consts::TAU * random.random::<f32>()).cos();
        if value.abs() <= 2.0 {
            return value * deviation;
        }
    };
    (0..count).map(|_| draw()).collect()
}
