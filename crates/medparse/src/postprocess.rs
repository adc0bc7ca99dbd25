//! From mask logits back to the picture: resize, probability, mask, measurements.

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

/// What a mask covers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// Pixels in the mask, at least 1.
    pub area: usize,
    /// The smallest box around them.
    pub bounds: PixelBox,
    /// The mean of their probabilities, above [`MASK_THRESHOLD`].
    pub mean_probability: f64,
}

/// A box of whole pixels; the picture's first pixel is column 0 of row 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PixelBox {
    /// First column.
    pub left: usize,
    /// First row.
    pub top: usize,
    /// Columns, at least 1.
    pub width: usize,
    /// Rows, at least 1.
    pub height: usize,
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

    /// Takes probabilities that were computed elsewhere.
    pub fn from_probabilities(probabilities: &MapView) -> Self {
        Self { size: probabilities.size(), values: probabilities.values().to_vec() }
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

    /// Whether each pixel is in the mask: its probability is above [`MASK_THRESHOLD`]. NaN is
    /// outside.
    pub fn mask(&self) -> Vec<bool> {
        self.values.iter().map(|&probability| probability > MASK_THRESHOLD).collect()
    }

    /// Measures the mask, or `None` where it is empty.
    pub fn region(&self) -> Option<Region> {
        let rows: Vec<RowMeasure> =
            self.values.par_chunks(self.size.width).map(RowMeasure::of).collect();
        let covered = || rows.iter().filter(|row| row.area > 0);
        let top = rows.iter().position(|row| row.area > 0)?;
        let bottom = rows.iter().rposition(|row| row.area > 0)?;
        let left = covered().map(|row| row.first).min()?;
        let right = covered().map(|row| row.last).max()?;
        let area: usize = rows.iter().map(|row| row.area).sum();
        // Row by row in order, so that the sum does not depend on the number of threads.
        let total: f64 = rows.iter().map(|row| row.sum).sum();
        Some(Region {
            area,
            bounds: PixelBox { left, top, width: right - left + 1, height: bottom - top + 1 },
            mean_probability: total / area as f64,
        })
    }
}

/// One row of a mask.
struct RowMeasure {
    area: usize,
    /// The first and last column in the mask; meaningless where `area` is 0.
    first: usize,
    last: usize,
    sum: f64,
}

impl RowMeasure {
    fn of(row: &[f32]) -> Self {
        let mut measure = Self { area: 0, first: usize::MAX, last: 0, sum: 0.0 };
        for (x, &probability) in row.iter().enumerate() {
            if probability > MASK_THRESHOLD {
                measure.area += 1;
                measure.first = measure.first.min(x);
                measure.last = x;
                measure.sum += f64::from(probability);
            }
        }
        measure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(width: usize, values: &[f32]) -> ProbabilityMap {
        let size = Size { width, height: values.len() / width };
        ProbabilityMap::from_probabilities(&MapView::new(size, values).unwrap())
    }

    #[test]
    fn a_region_is_measured() {
        let probabilities =
            map(4, &[0.5, 0.1, 0.2, f32::NAN, 0.0, 0.0, 0.75, 0.5, 0.0, 1.0, 0.0, 0.0]);
        let region = probabilities.region().unwrap();
        assert_eq!(region.area, 2);
        assert_eq!(region.bounds, PixelBox { left: 1, top: 1, width: 2, height: 2 });
        assert_eq!(region.mean_probability, 0.875);
        assert_eq!(probabilities.mask().iter().filter(|inside| **inside).count(), 2);
    }

    #[test]
    fn an_empty_mask_has_no_region() {
        assert_eq!(map(2, &[0.5, 0.0]).region(), None);
    }
}
