//! Flips, turns, scale and crops: one affine map for the picture and its masks.

use rand::RngExt;

use super::Pose;
use crate::config::{AugmentConfig, Orientation};
use crate::dataset::Prepared;
use crate::random::Random;

/// Where each pixel of the network's square looks in a picture.
///
/// The square and the picture both reach from -½ to ½ here, so that the identity stretches the
/// one onto the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct View {
    /// Picture coordinates of the square's unit vectors, to the right and down.
    matrix: [[f32; 2]; 2],
    /// Picture coordinates of the square's centre.
    centre: [f32; 2],
}

/// A view's pixels.
pub(super) struct Warped {
    /// `[3, side, side]`, 0..=255.
    pub planes: Vec<f32>,
    /// `[side, side]` each, 0..=1.
    pub masks: Vec<Vec<f32>>,
}

/// Samples along each axis of an output pixel: without them, shrinking would alias.
const SUPERSAMPLES: usize = 2;

impl View {
    pub(super) fn draw(
        prepared: &Prepared,
        pose: Pose,
        config: &AugmentConfig,
        random: &mut Random,
    ) -> Self {
        let (mirrored, angle): (bool, f32) = match pose.orientation {
            Orientation::Any => (random.random_bool(0.5), random.random_range(-180.0..180.0)),
            Orientation::Mirror => {
                (random.random_bool(0.5), random.random_range(-1.0..=1.0) * config.rotation)
            }
            Orientation::Upright => (false, random.random_range(-1.0..=1.0) * config.rotation),
        };
        // Turning by any angle mixes the axes; quarter turns alone keep the corners in view.
        let angle = if pose.orientation == Orientation::Any && random.random_bool(0.5) {
            (angle / 90.0).round() * 90.0
        } else {
            angle
        };
        let [least, most] = config.scale;
        let zoom = (random.random_range(least.ln()..=most.ln())).exp();
        let aspect = random.random_range(-1.0..=1.0f32) * config.aspect.ln() * 0.5;
        let (stretch_x, stretch_y) = (aspect.exp() / zoom, (-aspect).exp() / zoom);
        let (sin, cos) = angle.to_radians().sin_cos();
        let flip = if mirrored { -1.0 } else { 1.0 };
        // Turning happens among the picture's true proportions, not the stretched ones.
        let ratio = prepared.width as f32 / prepared.height as f32;
        let matrix = [
            [flip * cos * stretch_x, -sin * stretch_y / ratio],
            [flip * sin * stretch_x * ratio, cos * stretch_y],
        ];
        // Zoomed in, the square may lie anywhere within the picture; zoomed out, around it.
        let room = |stretch: f32| (1.0 - stretch).abs() * 0.5 + config.shift;
        let centre = [
            random.random_range(-1.0..=1.0f32) * room(stretch_x),
            random.random_range(-1.0..=1.0f32) * room(stretch_y),
        ];
        Self { matrix, centre }
    }

    /// The pixels seen, bilinear, black beyond the picture.
    pub(super) fn warp(&self, prepared: &Prepared, side: usize) -> Warped {
        let area = side * side;
        let mut planes = vec![0.0f32; 3 * area];
        let mut masks = vec![vec![0.0f32; area]; prepared.masks.len()];
        let (width, height) = (prepared.width as i32, prepared.height as i32);
        let step = 1.0 / (side * SUPERSAMPLES) as f32;
        let share = 1.0 / (SUPERSAMPLES * SUPERSAMPLES) as f32;
        for sub_row in 0..side * SUPERSAMPLES {
            let v = (sub_row as f32 + 0.5) * step - 0.5;
            for sub_column in 0..side * SUPERSAMPLES {
                let u = (sub_column as f32 + 0.5) * step - 0.5;
                let [[xu, xv], [yu, yv]] = self.matrix;
                let x = (self.centre[0] + xu * u + xv * v + 0.5) * width as f32 - 0.5;
                let y = (self.centre[1] + yu * u + yv * v + 0.5) * height as f32 - 0.5;
                if x <= -1.0 || y <= -1.0 || x >= width as f32 || y >= height as f32 {
                    continue;
                }
                let (left, top) = (x.floor() as i32, y.floor() as i32);
                let (right_share, lower_share) = (x - left as f32, y - top as f32);
                let at = (sub_row / SUPERSAMPLES) * side + sub_column / SUPERSAMPLES;
                for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                    let (column, row) = (left + dx, top + dy);
                    if column < 0 || row < 0 || column >= width || row >= height {
                        continue;
                    }
                    let weight_x = if dx == 1 { right_share } else { 1.0 - right_share };
                    let weight_y = if dy == 1 { lower_share } else { 1.0 - lower_share };
                    let weight = weight_x * weight_y * share;
                    let from = (row * width + column) as usize;
                    for channel in 0..3 {
                        planes[channel * area + at] +=
                            weight * f32::from(prepared.rgb[3 * from + channel]);
                    }
                    for (mask, source) in masks.iter_mut().zip(&prepared.masks) {
                        mask[at] += weight / 255.0 * f32::from(source[from]);
                    }
                }
            }
        }
        Warped { planes, masks }
    }
}
