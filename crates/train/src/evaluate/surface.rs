//! How far the borders of two masks lie apart.

use medparse_imaging::Mask;

use super::distance::distances_to;

/// Distances between two borders, in the unit of the spacing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SurfaceDistances {
    /// The 95th percentile Hausdorff distance: of each border's distances to the other one the
    /// 95th percentile (linear between ranks), of the two the larger.
    pub hd95: f64,
    /// The average symmetric surface distance: the mean over the pixels of both borders (Heimann et
    /// al., "Comparison and evaluation of methods for liver segmentation from CT datasets", 2009).
    pub assd: f64,
}

impl SurfaceDistances {
    /// Compares two masks of one size; none where either is empty.
    ///
    /// A border pixel is one of the mask with at least one of its four neighbours outside the mask
    /// or the picture. `spacing` holds the steps along a row and down a column.
    pub fn between(first: &Mask, second: &Mask, spacing: [f64; 2]) -> Option<Self> {
        let width = first.width() as usize;
        let borders = [border(first), border(second)];
        let to = |of: usize, other: usize| {
            let distances = distances_to(&borders[other], width, spacing);
            let pairs = borders[of].iter().zip(distances);
            let mut there: Vec<f64> = pairs.filter(|(on, _)| **on).map(|(_, far)| far).collect();
            there.sort_unstable_by(f64::total_cmp);
            there
        };
        if first.is_empty() || second.is_empty() || first.dimensions() != second.dimensions() {
            return None;
        }
        let (there, back) = (to(0, 1), to(1, 0));
        let sum: f64 = there.iter().chain(&back).sum();
        Some(Self {
            hd95: percentile(&there, 0.95).max(percentile(&back, 0.95)),
            assd: sum / (there.len() + back.len()) as f64,
        })
    }
}

fn border(mask: &Mask) -> Vec<bool> {
    let (width, height) = (mask.width() as usize, mask.height() as usize);
    let pixels = mask.pixels();
    let inside = |x: usize, y: usize| pixels[y * width + x] != 0;
    let is_border = |at: usize| {
        let (x, y) = (at % width, at / width);
        let is_enclosed = x > 0
            && y > 0
            && x + 1 < width
            && y + 1 < height
            && inside(x - 1, y)
            && inside(x + 1, y)
            && inside(x, y - 1)
            && inside(x, y + 1);
        pixels[at] != 0 && !is_enclosed
    };
    (0..pixels.len()).map(is_border).collect()
}

/// The value at `share` of the way through sorted values, linear between ranks as NumPy does.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let position = share * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * position.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rectangle(x: std::ops::Range<u32>, y: std::ops::Range<u32>) -> Mask {
        let pixel = |at: u32| u8::from(x.contains(&(at % 12)) && y.contains(&(at / 12)));
        Mask::from_pixels(12, 10, (0..120).map(pixel).collect()).unwrap()
    }

    #[test]
    fn by_hand() {
        // Two columns, three pixels apart, of the same rows.
        let (a, b) = (rectangle(2..3, 3..8), rectangle(5..6, 3..8));
        let found = SurfaceDistances::between(&a, &b, [1.0, 1.0]).unwrap();
        assert_eq!((found.hd95, found.assd), (3.0, 3.0));
        let in_mm = SurfaceDistances::between(&a, &b, [0.5, 9.0]).unwrap();
        assert_eq!((in_mm.hd95, in_mm.assd), (1.5, 1.5));
        let same = SurfaceDistances::between(&a, &a, [1.0, 1.0]).unwrap();
        assert_eq!((same.hd95, same.assd), (0.0, 0.0));
        assert_eq!(SurfaceDistances::between(&a, &rectangle(0..0, 0..0), [1.0, 1.0]), None);
    }

    /// Pixels strictly inside an ellipse with this centre and these half axes.
    fn ellipse([cx, cy, a, b]: [i64; 4]) -> Mask {
        let inside = |at: i64| {
            let (x, y) = (at % 40 - cx, at / 40 - cy);
            u8::from(b * b * x * x + a * a * y * y < a * a * b * b)
        };
        Mask::from_pixels(40, 30, (0..1200).map(inside).collect()).unwrap()
    }

    /// Constants of SciPy 1.17.1: `binary_erosion` for borders, `distance_transform_edt` with
    /// `sampling`, NumPy's `percentile`.
    #[test]
    fn equals_scipy() {
        let overlapping = [[15, 12, 8, 6], [19, 16, 7, 9]];
        let at_the_edge = [[3, 5, 9, 7], [6, 4, 8, 8]];
        let apart = [[30, 20, 3, 3], [10, 8, 6, 5]];
        let cases = [
            (overlapping, [1.0, 1.0], 7.190097340068603, 3.3789131276150948),
            (overlapping, [0.7, 1.9], 13.315647066312065, 4.048798390007888),
            (at_the_edge, [1.0, 1.0], 2.0, 0.5992988119366056),
            (at_the_edge, [0.7, 1.9], 1.4500000000000006, 0.5237635268287859),
            (apart, [1.0, 1.0], 25.533296189722204, 19.85397952787684),
            (apart, [0.7, 1.9], 29.947425039022857, 21.795864777593227),
        ];
        for ([a, b], spacing, hd95, assd) in cases {
            let found = SurfaceDistances::between(&ellipse(a), &ellipse(b), spacing).unwrap();
            assert!((found.hd95 - hd95).abs() < 1e-9, "{a:?} {spacing:?}: {found:?}");
            assert!((found.assd - assd).abs() < 1e-9, "{a:?} {spacing:?}: {found:?}");
        }
        let overlap = super::super::Overlap::of(&ellipse(overlapping[0]), &ellipse(overlapping[1]));
        assert!((overlap.dice() - 0.5029940119760479).abs() < 1e-12);
        assert!((overlap.iou() - 0.336).abs() < 1e-12);
    }
}
