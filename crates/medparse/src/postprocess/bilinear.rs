//! Bilinear resize of a map of logits, as PyTorch computes it on a CPU.

use rayon::prelude::*;

use crate::picture::Size;
use crate::preprocess::Placement;

/// Where the values between two cells of an axis come from.
#[derive(Clone, Copy, Debug)]
struct Tap {
    /// The cell before.
    near: usize,
    /// The cell after; the same at the end of the axis.
    far: usize,
    /// The share of the cell before.
    near_weight: f32,
    /// The share of the cell after.
    far_weight: f32,
}

/// A resize of a map to the canvas that a picture lies on, computed only where the picture is.
pub(super) struct Bilinear {
    map_width: usize,
    columns: Vec<Tap>,
    rows: Vec<Tap>,
}

impl Bilinear {
    pub(super) fn new(map: Size, placement: &Placement) -> Self {
        let (picture, canvas) = (placement.picture(), placement.canvas());
        Self {
            map_width: map.width,
            columns: taps(map.width, canvas.width, placement.left(), picture.width),
            rows: taps(map.height, canvas.height, placement.top(), picture.height),
        }
    }

    /// Every row of the map at the picture's width.
    pub(super) fn stretch_rows(&self, map: &[f32]) -> Vec<f32> {
        let width = self.columns.len();
        let mut stretched = vec![0.0; map.len() / self.map_width * width];
        stretched.par_chunks_mut(width).zip(map.par_chunks(self.map_width)).for_each(
            |(stretched, row)| {
                for (value, tap) in stretched.iter_mut().zip(&self.columns) {
                    *value = row[tap.near] * tap.near_weight + row[tap.far] * tap.far_weight;
                }
            },
        );
        stretched
    }

    /// Row `y` of the picture out of the stretched rows of the map.
    #[inline(always)]
    pub(super) fn blend_row(&self, stretched: &[f32], y: usize, row: &mut [f32]) {
        let width = self.columns.len();
        let tap = self.rows[y];
        let near = &stretched[tap.near * width..][..width];
        let far = &stretched[tap.far * width..][..width];
        for ((value, near), far) in row.iter_mut().zip(near).zip(far) {
            *value = near * tap.near_weight + far * tap.far_weight;
        }
    }
}

/// The taps of pixels `first..first + count` of an axis of `target` pixels over `source` cells.
///
/// In PyTorch's order of operations in `f32` (`aten/src/ATen/native/UpSample.h`,
/// `area_pixel_compute_source_index`): pixel centres correspond, and places before the first one
/// count as it.
fn taps(source: usize, target: usize, first: usize, count: usize) -> Vec<Tap> {
    let scale = source as f32 / target as f32;
    (first..first + count)
        .map(|index| {
            let place = (scale * (index as f32 + 0.5) - 0.5).max(0.0);
            let near = (place as usize).min(source - 1);
            let far_weight = (place - near as f32).clamp(0.0, 1.0);
            Tap { near, far: (near + 1).min(source - 1), near_weight: 1.0 - far_weight, far_weight }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::Fit;

    fn resize(map: Size, values: &[f32], placement: &Placement) -> Vec<f32> {
        let resize = Bilinear::new(map, placement);
        let stretched = resize.stretch_rows(values);
        let size = placement.picture();
        let mut resized = vec![0.0; size.width * size.height];
        for (y, row) in resized.chunks_exact_mut(size.width).enumerate() {
            resize.blend_row(&stretched, y, row);
        }
        resized
    }

    #[test]
    fn centres_correspond_and_borders_repeat() {
        let picture = Placement::new(Fit::Stretch, Size { width: 4, height: 1 });
        let map = Size { width: 2, height: 1 };
        assert_eq!(resize(map, &[0.0, 4.0], &picture), [0.0, 1.0, 3.0, 4.0]);
    }

    #[test]
    fn padding_is_cut_off_exactly() {
        let map = Size::square(5);
        let values: Vec<f32> = (0..25).map(|i| (i * i % 17) as f32 - 8.0).collect();
        for picture in [
            Size { width: 9, height: 4 },
            Size { width: 3, height: 12 },
            Size { width: 1, height: 1 },
        ] {
            let padded = Placement::new(Fit::Pad, picture);
            let canvas = padded.canvas();
            let whole = resize(map, &values, &Placement::new(Fit::Stretch, canvas));
            let expected: Vec<f32> = (padded.top()..padded.top() + picture.height)
                .flat_map(|y| &whole[y * canvas.width + padded.left()..][..picture.width])
                .copied()
                .collect();
            assert_eq!(resize(map, &values, &padded), expected, "{picture}");
        }
    }
}
