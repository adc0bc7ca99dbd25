//! Outlines of even width.
//!
//! The width is Euclidean: a pixel belongs to the line when the nearest pixel of the other side is near enough. Distances
//! are needed only up to the line's width, so two passes with a short reach find them: along the row, then, from the rows
//! above and below, the least of `across² + down²` (Saito and Toriwaki, 1994).

use super::Rgb;
use super::canvas::{Canvas, blend};
use crate::Mask;

/// The widths of an outline in canvas pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stroke {
    /// The coloured line, inside the mask.
    width: f32,
    /// The dark line around it.
    halo: f32,
}

const HALO: Rgb = [0, 0, 0];
const HALO_OPACITY: f32 = 0.6;

impl Stroke {
    /// Widths that look alike when pictures of different sizes are shown at one size.
    pub fn for_size(longer_side: usize) -> Self {
        let width = (longer_side as f32 / 440.0).clamp(1.8, 14.0);
        Self { width, halo: (width / 2.0).max(0.8) }
    }

    /// The coverage of a pixel whose centre lies `distance` from the nearest pixel centre of the other side; the
    /// border runs half-way between.
    fn coverage(width: f32, distance: f32) -> f32 {
        (width + 1.0 - distance).clamp(0.0, 1.0)
    }
}

pub(super) fn draw(canvas: &mut Canvas, mask: &Mask, scale: usize, stroke: Stroke, color: Rgb) {
    let Some(region) = Region::around(mask, scale, stroke) else {
        return;
    };
    let to_byte = |opacity: f32| (opacity * 255.0).round() as u8;
    let table = |width: f32, opacity: f32| -> Vec<u8> {
        let farthest = region.reach * region.reach;
        (0..=farthest)
            .map(|squared| to_byte(Stroke::coverage(width, f32::from(squared).sqrt()) * opacity))
            .collect()
    };
    let (line, halo) = (table(stroke.width, 1.0), table(stroke.halo, HALO_OPACITY));

    let to_background = region.distances(|inside| !inside);
    let to_foreground = region.distances(|inside| inside);
    for row in 0..region.height {
        let inside = &region.inside[row * region.width..][..region.width];
        let (inward, outward) = (to_background.row(row), to_foreground.row(row));
        let y = region.top + row as i64;
        let Some(y) = usize::try_from(y).ok().filter(|y| *y < canvas.height) else {
            continue;
        };
        for column in 0..region.width {
            let Some(x) =
                usize::try_from(region.left + column as i64).ok().filter(|x| *x < canvas.width)
            else {
                continue;
            };
            let (color, coverage) = if inside[column] {
                (color, line[usize::from(inward[column])])
            } else {
                (HALO, halo[usize::from(outward[column])])
            };
            if coverage > 0 {
                let start = (y * canvas.width + x) * 3;
                blend(&mut canvas.rgb[start..start + 3], color, coverage);
            }
        }
    }
}

/// A mask's surroundings on the canvas, with a margin on all sides, which may lie outside the canvas.
struct Region {
    left: i64,
    top: i64,
    width: usize,
    height: usize,
    inside: Vec<bool>,
    /// The greatest distance that matters, in pixels.
    reach: u16,
}

impl Region {
    fn around(mask: &Mask, scale: usize, stroke: Stroke) -> Option<Self> {
        let bounds = mask.bounding_box()?;
        let reach = (stroke.width.max(stroke.halo) + 1.0).ceil() as usize;
        let width = bounds.width as usize * scale + 2 * reach;
        let height = bounds.height as usize * scale + 2 * reach;
        let mut inside = vec![false; width * height];
        for y in 0..bounds.height as usize {
            let start = (bounds.y as usize + y) * mask.width() as usize + bounds.x as usize;
            let row = &mask.pixels()[start..][..bounds.width as usize];
            for line in 0..scale {
                let start = (y * scale + line + reach) * width + reach;
                for (block, pixel) in
                    inside[start..][..row.len() * scale].chunks_exact_mut(scale).zip(row)
                {
                    block.fill(*pixel != 0);
                }
            }
        }
        Some(Self {
            left: bounds.x as i64 * scale as i64 - reach as i64,
            top: bounds.y as i64 * scale as i64 - reach as i64,
            width,
            height,
            inside,
            reach: reach as u16,
        })
    }

    /// The squared distance of every pixel to the nearest one that is `wanted`, at most `reach²`.
    fn distances(&self, wanted: impl Fn(bool) -> bool) -> Distances {
        let (width, height, reach) = (self.width, self.height, self.reach);
        let mut across = vec![0; width * height];
        for (row, inside) in across.chunks_exact_mut(width).zip(self.inside.chunks_exact(width)) {
            let mut run = reach;
            for (distance, inside) in row.iter_mut().zip(inside) {
                run = if wanted(*inside) { 0 } else { (run + 1).min(reach) };
                *distance = run;
            }
            let mut run = reach;
            for (distance, inside) in row.iter_mut().zip(inside).rev() {
                run = if wanted(*inside) { 0 } else { (run + 1).min(reach) };
                *distance = run.min(*distance);
            }
            row.iter_mut().for_each(|distance| *distance *= *distance);
        }
        let mut squared = vec![reach * reach; width * height];
        for (y, row) in squared.chunks_exact_mut(width).enumerate() {
            let reach = usize::from(reach);
            for near in y.saturating_sub(reach)..(y + reach + 1).min(height) {
                let down = (near.abs_diff(y) * near.abs_diff(y)) as u16;
                let theirs = &across[near * width..][..width];
                for (best, across) in row.iter_mut().zip(theirs) {
                    *best = (*best).min(across + down);
                }
            }
        }
        Distances { width, squared }
    }
}

struct Distances {
    width: usize,
    squared: Vec<u16>,
}

impl Distances {
    fn row(&self, y: usize) -> &[u16] {
        &self.squared[y * self.width..][..self.width]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_equal_a_search_over_all_pixels() {
        let (width, height, reach) = (23usize, 17usize, 5u16);
        let inside: Vec<bool> = (0..width * height).map(|i| (i * i / 7 + i / 5) % 11 < 4).collect();
        let region = Region { left: 0, top: 0, width, height, inside: inside.clone(), reach };
        for wanted in [true, false] {
            let found = region.distances(|inside| inside == wanted);
            for (i, squared) in found.squared.iter().enumerate() {
                let nearest = (0..width * height)
                    .filter(|j| inside[*j] == wanted)
                    .map(|j| {
                        let (dx, dy) =
                            ((i % width).abs_diff(j % width), (i / width).abs_diff(j / width));
                        (dx * dx + dy * dy) as u16
                    })
                    .min()
                    .unwrap();
                assert_eq!(*squared, nearest.min(reach * reach));
            }
        }
    }
}
