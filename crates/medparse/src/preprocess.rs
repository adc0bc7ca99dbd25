//! From a picture to the network's input: resize to a square, normalise, planes.

mod fit;
mod pillow;
mod taps;

pub use fit::{Fit, Placement};
pub use pillow::{resize_bicubic, resize_placed};

use rayon::prelude::*;

use crate::picture::{RgbView, Size};

/// Mean and standard deviation of each channel (red, green, blue), on the scale of bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalization {
    /// Subtracted from the bytes.
    pub mean: [f32; 3],
    /// What the difference is divided by.
    pub std: [f32; 3],
}

impl Default for Normalization {
    /// ImageNet's values, which BiomedParse uses (`configs/biomedparse_inference.yaml`).
    fn default() -> Self {
        Self { mean: [123.675, 116.280, 103.530], std: [58.395, 57.120, 57.375] }
    }
}

/// What the network is given for a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InputConfig {
    /// Side of the network's square input in pixels, at least 1.
    pub side: usize,
    /// How the picture becomes a square.
    pub fit: Fit,
    /// How bytes become numbers.
    pub normalization: Normalization,
}

/// A picture as the network takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkInput {
    /// Normalised values, `[3, side, side]`: the red plane, the green one, the blue one.
    pub values: Vec<f32>,
    /// Side of the square in pixels.
    pub side: usize,
    /// Where the picture lies on the square, to bring the answer back to the picture's own pixels.
    pub placement: Placement,
}

/// Resizes and normalises a picture.
///
/// ```
/// use medparse::picture::{RgbView, Size};
/// use medparse::preprocess::{Fit, InputConfig, Normalization, preprocess};
///
/// let pixels = [128; 4 * 2 * 3];
/// let picture = RgbView::new(Size { width: 4, height: 2 }, &pixels)?;
/// let config = InputConfig { side: 32, fit: Fit::Stretch, normalization: Normalization::default() };
/// assert_eq!(preprocess(&picture, &config).values.len(), 3 * 32 * 32);
/// # Ok::<(), medparse::picture::ShapeError>(())
/// ```
pub fn preprocess(picture: &RgbView, config: &InputConfig) -> NetworkInput {
    let placement = Placement::new(config.fit, picture.size());
    let resized = resize_placed(picture, &placement, Size::square(config.side));
    NetworkInput {
        values: normalize(&resized, &config.normalization),
        side: config.side,
        placement,
    }
}

/// Bytes of RGB pixels as planes of `(byte - mean) / std`, `[3, pixels]`.
pub fn normalize(pixels: &[u8], normalization: &Normalization) -> Vec<f32> {
    const PIXELS_PER_TASK: usize = 1 << 14;
    let area = pixels.len() / 3;
    // A byte has 256 values: dividing each once is as exact as dividing every pixel.
    let [red, green, blue] = [0, 1, 2].map(|channel| {
        std::array::from_fn::<f32, 256, _>(|byte| {
            (byte as f32 - normalization.mean[channel]) / normalization.std[channel]
        })
    });
    let mut values = vec![0.0; 3 * area];
    let (reds, others) = values.split_at_mut(area);
    let (greens, blues) = others.split_at_mut(area);
    reds.par_chunks_mut(PIXELS_PER_TASK)
        .zip(greens.par_chunks_mut(PIXELS_PER_TASK))
        .zip(blues.par_chunks_mut(PIXELS_PER_TASK))
        .zip(pixels.par_chunks(3 * PIXELS_PER_TASK))
        .for_each(|(((reds, greens), blues), pixels)| {
            let planes = reds.iter_mut().zip(greens).zip(blues);
            for (((r, g), b), pixel) in planes.zip(pixels.chunks_exact(3)) {
                *r = red[usize::from(pixel[0])];
                *g = green[usize::from(pixel[1])];
                *b = blue[usize::from(pixel[2])];
            }
        });
    values
}
