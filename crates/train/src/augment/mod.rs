//! Pictures as they might also have been taken, with masks that stay true.

mod colour;
mod geometry;

use medparse::preprocess::Normalization;
use rand::RngExt;

use crate::config::{AugmentConfig, Orientation};
use crate::dataset::Prepared;
use crate::random::Random;

/// A view of a picture, ready for the network.
#[derive(Debug, Clone)]
pub struct Augmented {
    /// `[3, side, side]`, normalised.
    pub planes: Vec<f32>,
    /// One for each target, `[side, side]`: how much of each pixel is foreground, 0..=1.
    pub masks: Vec<Vec<f32>>,
}

/// How a picture may be turned, and how large the network sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pose {
    pub orientation: Orientation,
    /// Side of the network's square, in pixels.
    pub side: usize,
}

/// Draws one view of a picture.
pub(crate) fn augment(
    prepared: &Prepared,
    pose: Pose,
    config: &AugmentConfig,
    normalization: &Normalization,
    random: &mut Random,
) -> Augmented {
    let view = geometry::View::draw(prepared, pose, config, random);
    let warped = view.warp(prepared, pose.side);
    let mut planes = warped.planes;
    if config.colour > 0.0 && random.random_bool(0.9) {
        colour::jitter(&mut planes, config.colour, random);
    }
    if config.blur > 0.0 && random.random_bool(0.25) {
        colour::blur(&mut planes, pose.side, random.random_range(0.3..=config.blur.max(0.31)));
    }
    if config.noise > 0.0 && random.random_bool(0.3) {
        colour::noise(&mut planes, random.random_range(0.0..=config.noise), random);
    }
    let area = pose.side * pose.side;
    for (channel, plane) in planes.chunks_exact_mut(area).enumerate() {
        let (mean, std) = (normalization.mean[channel], normalization.std[channel]);
        plane.iter_mut().for_each(|value| *value = (*value - mean) / std);
    }
    Augmented { planes, masks: warped.masks }
}
