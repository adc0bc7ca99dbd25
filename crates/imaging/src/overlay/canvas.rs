//! An RGB surface to draw on.

use super::Rgb;
use crate::{Mask, Picture};

pub(super) struct Canvas {
    pub width: usize,
    pub height: usize,
    /// `[height, width, 3]`.
    pub rgb: Vec<u8>,
}

impl Canvas {
    pub fn plain(width: usize, height: usize, color: Rgb) -> Self {
        Self { width, height, rgb: color.repeat(width * height) }
    }

    /// The picture with every pixel a square of `scale` × `scale`.
    pub fn enlarge(picture: &Picture, scale: usize) -> Self {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        if scale == 1 {
            return Self { width, height, rgb: picture.pixels().to_vec() };
        }
        let mut rgb = Vec::with_capacity(picture.pixels().len() * scale * scale);
        for row in picture.pixels().chunks_exact(width * 3) {
            let wide: Vec<u8> = row.chunks_exact(3).flat_map(|pixel| pixel.repeat(scale)).collect();
            (0..scale).for_each(|_| rgb.extend_from_slice(&wide));
        }
        Self { width: width * scale, height: height * scale, rgb }
    }

    /// Copies another surface onto this one, its first pixel at column `left` of the first row.
    pub fn paste(&mut self, other: &Self, left: usize) {
        let rows = self.rgb.chunks_exact_mut(self.width * 3);
        for (row, theirs) in rows.zip(other.rgb.chunks_exact(other.width * 3)) {
            row[left * 3..][..theirs.len()].copy_from_slice(theirs);
        }
    }

    /// Lays a colour over the pixels of a mask.
    pub fn fill(&mut self, mask: &Mask, scale: usize, color: Rgb, opacity: f32) {
        let coverage = (opacity.clamp(0.0, 1.0) * 255.0).round() as u8;
        let Some(bounds) = mask.bounding_box() else {
            return;
        };
        let columns = bounds.x as usize..(bounds.x + bounds.width) as usize;
        for y in bounds.y as usize..(bounds.y + bounds.height) as usize {
            let row = &mask.pixels()[y * mask.width() as usize..][columns.clone()];
            for line in y * scale..(y + 1) * scale {
                let start = (line * self.width + columns.start * scale) * 3;
                let pixels = &mut self.rgb[start..][..row.len() * scale * 3];
                for (block, foreground) in pixels.chunks_exact_mut(scale * 3).zip(row) {
                    if *foreground != 0 {
                        block.chunks_exact_mut(3).for_each(|pixel| blend(pixel, color, coverage));
                    }
                }
            }
        }
    }

    /// Lays a colour over one pixel, `coverage` of 255; outside the surface nothing happens.
    pub fn dab(&mut self, x: i64, y: i64, color: Rgb, coverage: u8) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else {
            return;
        };
        if x < self.width && y < self.height {
            let start = (y * self.width + x) * 3;
            blend(&mut self.rgb[start..start + 3], color, coverage);
        }
    }
}

/// Mixes a colour into a pixel, `coverage` of 255.
pub(super) fn blend(pixel: &mut [u8], color: Rgb, coverage: u8) {
    let (new, old) = (u32::from(coverage), 255 - u32::from(coverage));
    for (channel, value) in pixel.iter_mut().zip(color) {
        *channel = ((u32::from(*channel) * old + u32::from(value) * new + 127) / 255) as u8;
    }
}
