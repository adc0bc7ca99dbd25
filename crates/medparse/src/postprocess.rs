//! From mask logits back to the picture's own pixels, as probabilities.

mod bilinear;
mod sigmoid;

use rayon::prelude::*;

use crate::picture::{MapView, Size};
use crate::preprocess::Placement;
use crate::simd::vectorized;
use bilinear::Bilinear;

/// A pixel belongs to a mask where its probability is above this.
pub const MASK_THRESHOLD: f32 = 0.5;

/// How likely each pixel of a picture belongs to what a prompt names, 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbabilityMap {
    size: Size,
    values: Vec<f32>,
}

impl ProbabilityMap {
    /// Brings a map of mask logits to the picture's own pixels and turns them into probabilities.
    ///
    /// The logits are resized first (bilinear, no smoothing, as PyTorch's `interpolate` with
    /// `align_corners=False`), then put through the logistic function; padding that [`Placement`]
    /// added is cut off. Of a picture stretched to the network's square this is
    /// `interactive_infer_image` of the reference.
    pub fn from_logits(logits: &MapView, placement: &Placement) -> Self {
        let size = placement.picture();
        let resize = Bilinear::new(logits.size(), placement);
        let rows = resize.stretch_rows(logits.values());
        let mut values = vec![0.0; size.width * size.height];
        values.par_chunks_mut(size.width).enumerate().for_each(|(y, row)| {
            vectorized(
                #[inline(always)]
                || {
                    resize.blend_row(&rows, y, row);
                    sigmoid::apply(row);
                },
            );
        });
        Self { size, values }
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The probabilities, rows from the top, `height * width` of them.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The probabilities as an owned list.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// The mean of the probabilities strictly above `threshold`, or `None` where there is none.
    ///
    /// Summed in f64, row by row, so that it does not depend on the number of threads.
    pub fn mean_above(&self, threshold: f32) -> Option<f64> {
        let above = self.values.iter().filter(|&&probability| probability > threshold);
        let (sum, count) = above.fold((0.0, 0u64), |(sum, count), &probability| {
            (sum + f64::from(probability), count + 1)
        });
        (count > 0).then(|| sum / count as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_counts_what_is_strictly_above() {
        let values = vec![0.5, 0.1, f32::NAN, 0.75, 0.5, 1.0];
        let map = ProbabilityMap { size: Size { width: 3, height: 2 }, values };
        assert_eq!(map.mean_above(0.5), Some(0.875));
        assert_eq!(map.mean_above(1.0), None);
    }
}
