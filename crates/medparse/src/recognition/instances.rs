//! Single objects of one mask: connected pieces, and touching ones told apart by their shape.

use std::cmp::Reverse;

use medparse_imaging::{BoundingBox, Mask};

/// How objects that touch are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Separation {
    /// Pixels that share a side are one object.
    #[default]
    Connected,
    /// Besides, a piece is parted at its necks: a watershed of the distance to the border (Beucher and Lantuéjoul,
    /// 1979), as cells need it, in which floods become one unless the way between them is narrower than four fifths of
    /// the slimmer one.
    Watershed {
        /// Deep places nearer than this to each other, in pixels, are the same object; above 0.
        least_distance: f32,
    },
}

/// One object.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Its number in the label map, from 1.
    pub label: u32,
    /// Its pixels.
    pub area: u64,
    /// The smallest upright rectangle around it.
    pub bounding_box: BoundingBox,
    /// The mean of its pixels' centres, x and y.
    pub centroid: (f64, f64),
}

/// The objects of a mask, and `[height, width]` labels: 0 for none, else an object's number.
pub fn instances(mask: &Mask, separation: Separation) -> (Vec<Instance>, Vec<u32>) {
    let width = mask.width() as usize;
    let lit: Vec<bool> = mask.pixels().iter().map(|pixel| *pixel != 0).collect();
    let labels = match separation {
        Separation::Connected => pieces(&lit, width),
        Separation::Watershed { least_distance } => watershed(&lit, width, least_distance),
    };
    (measured(&labels, width), labels)
}

/// The pixels that share a side with one.
fn neighbours(at: usize, width: usize, count: usize) -> impl Iterator<Item = usize> {
    let column = at % width;
    let left = (column > 0).then(|| at - 1);
    let right = (column + 1 < width).then(|| at + 1);
    let above = (at >= width).then(|| at - width);
    let below = (at + width < count).then(|| at + width);
    [left, right, above, below].into_iter().flatten()
}

/// Connected pieces, numbered from the top left.
fn pieces(lit: &[bool], width: usize) -> Vec<u32> {
    let mut labels = vec![0; lit.len()];
    let mut next = 0;
    let mut open = Vec::new();
    for start in 0..lit.len() {
        if !lit[start] || labels[start] != 0 {
            continue;
        }
        next += 1;
        labels[start] = next;
        open.push(start);
        while let Some(at) = open.pop() {
            for near in neighbours(at, width, lit.len()) {
                if lit[near] && labels[near] == 0 {
                    labels[near] = next;
                    open.push(near);
                }
            }
        }
    }
    labels
}

/// A neck parts two objects where it is narrower than this share of the slimmer one, and by more than a pixel on each
/// side: pixels make every outline as uneven as that.
const NECK: f32 = 0.8;

/// Floods the depths from their deepest places: where two floods meet they stay apart if the way between them is a neck
/// and their deepest places are not too near.
fn watershed(lit: &[bool], width: usize, least_distance: f32) -> Vec<u32> {
    let depth = depths(lit, width);
    let mut order: Vec<usize> = (0..lit.len()).filter(|at| lit[*at]).collect();
    order.sort_by_key(|at| (Reverse(depth[*at]), *at));
    let mut basins = Basins { depth: &depth, width, least_distance, peaks: vec![0], into: vec![0] };
    let mut labels = vec![0; lit.len()];
    for at in order {
        let mut deepest = 0;
        for near in neighbours(at, width, lit.len()).filter(|near| labels[*near] != 0) {
            let other = basins.root(labels[near]);
            deepest = if deepest == 0 { other } else { basins.meet(deepest, other, at) };
        }
        labels[at] = if deepest == 0 { basins.begin(at) } else { deepest };
    }
    let mut numbers = vec![0; basins.into.len()];
    let mut next = 0;
    for label in labels.iter_mut().filter(|label| **label != 0) {
        let root = basins.root(*label) as usize;
        if numbers[root] == 0 {
            next += 1;
            numbers[root] = next;
        }
        *label = numbers[root];
    }
    labels
}

/// Floods by number, from 1, and which were found to be one.
struct Basins<'a> {
    depth: &'a [u32],
    width: usize,
    least_distance: f32,
    /// The deepest place of each.
    peaks: Vec<usize>,
    /// The flood that each has become a part of; itself where it has not.
    into: Vec<u32>,
}

impl Basins<'_> {
    fn begin(&mut self, peak: usize) -> u32 {
        let number = self.into.len() as u32;
        self.peaks.push(peak);
        self.into.push(number);
        number
    }

    fn root(&mut self, mut number: u32) -> u32 {
        while self.into[number as usize] != number {
            let next = self.into[self.into[number as usize] as usize];
            self.into[number as usize] = next;
            number = next;
        }
        number
    }

    /// Two floods meet at a pixel: they become one, or stay two. Gives the deeper one.
    fn meet(&mut self, one: u32, other: u32, at: usize) -> u32 {
        // Of equals the earlier one is the deeper.
        let depth_of = |number: u32| (self.depth[self.peaks[number as usize]], Reverse(number));
        let (deep, shallow) =
            if depth_of(one) >= depth_of(other) { (one, other) } else { (other, one) };
        if one == other {
            return deep;
        }
        let peak = |number: u32| self.peaks[number as usize];
        let offset = |along: fn(usize, usize) -> usize| {
            along(peak(deep), self.width).abs_diff(along(peak(shallow), self.width)) as f32
        };
        let distance = offset(|at, width| at % width).hypot(offset(|at, width| at / width));
        // Depths are squares.
        let [neck, slim] = [at, peak(shallow)].map(|at| (self.depth[at] as f32).sqrt());
        if neck >= NECK * slim || slim - neck <= 1.0 || distance < self.least_distance {
            self.into[shallow as usize] = deep;
        }
        deep
    }
}

/// The squared distance of every pixel to the nearest one outside the mask, or to the picture's frame
/// (Felzenszwalb and Huttenlocher, "Distance transforms of sampled functions", 2012).
fn depths(lit: &[bool], width: usize) -> Vec<u32> {
    let height = lit.len() / width.max(1);
    let mut depth = vec![0_u32; lit.len()];
    // Down the columns: the distance to the nearest dark pixel, the frame counting as dark.
    for x in 0..width {
        let mut run = 0;
        for y in 0..height {
            run = if lit[y * width + x] { run + 1 } else { 0 };
            depth[y * width + x] = run;
        }
        run = 0;
        for y in (0..height).rev() {
            run = if lit[y * width + x] { run + 1 } else { 0 };
            depth[y * width + x] = depth[y * width + x].min(run);
        }
    }
    let mut row = Vec::with_capacity(width);
    for y in 0..height {
        let line = &mut depth[y * width..][..width];
        row.clear();
        row.extend_from_slice(line);
        for (x, out) in line.iter_mut().enumerate() {
            let frame = (x + 1).min(width - x) as u32;
            let mut best = (row[x] * row[x]).min(frame * frame);
            // Beyond the best distance nothing can be nearer.
            let mut reach = 1;
            while (reach * reach) < best as usize {
                for near in [x.checked_sub(reach), Some(x + reach).filter(|near| *near < width)]
                    .into_iter()
                    .flatten()
                {
                    best = best.min(row[near] * row[near] + (reach * reach) as u32);
                }
                reach += 1;
            }
            *out = best;
        }
    }
    depth
}

fn measured(labels: &[u32], width: usize) -> Vec<Instance> {
    struct Sum {
        area: u64,
        x: u64,
        y: u64,
        least: [usize; 2],
        most: [usize; 2],
    }
    let mut sums: Vec<Sum> = Vec::new();
    for (at, label) in labels.iter().enumerate().filter(|(_, label)| **label > 0) {
        let index = *label as usize - 1;
        while sums.len() <= index {
            sums.push(Sum { area: 0, x: 0, y: 0, least: [usize::MAX; 2], most: [0; 2] });
        }
        let (x, y) = (at % width, at / width);
        let sum = &mut sums[index];
        sum.area += 1;
        sum.x += x as u64;
        sum.y += y as u64;
        sum.least = [sum.least[0].min(x), sum.least[1].min(y)];
        sum.most = [sum.most[0].max(x), sum.most[1].max(y)];
    }
    (1..)
        .zip(sums)
        .filter(|(_, sum)| sum.area > 0)
        .map(|(label, sum)| Instance {
            label,
            area: sum.area,
            bounding_box: BoundingBox {
                x: sum.least[0] as u32,
                y: sum.least[1] as u32,
                width: (sum.most[0] - sum.least[0] + 1) as u32,
                height: (sum.most[1] - sum.least[1] + 1) as u32,
            },
            centroid: (sum.x as f64 / sum.area as f64, sum.y as f64 / sum.area as f64),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discs(centres: &[(i64, i64)], radius: i64) -> Mask {
        let inside = |x: i64, y: i64| {
            centres.iter().any(|(cx, cy)| (x - cx).pow(2) + (y - cy).pow(2) <= radius * radius)
        };
        let pixels =
            (0..40).flat_map(|y| (0..60).map(move |x| (x, y))).map(|(x, y)| u8::from(inside(x, y)));
        Mask::from_pixels(60, 40, pixels.collect()).unwrap()
    }

    #[test]
    fn touching_cells_are_one_piece_and_two_basins() {
        let mask = discs(&[(18, 20), (34, 20), (52, 8)], 9);
        let (connected, _) = instances(&mask, Separation::Connected);
        assert_eq!(connected.len(), 2);
        let (parted, labels) = instances(&mask, Separation::Watershed { least_distance: 6.0 });
        assert_eq!(parted.len(), 3);
        assert_eq!(parted.iter().map(|cell| cell.area).sum::<u64>(), mask.area());
        assert_ne!(labels[20 * 60 + 18], labels[20 * 60 + 34]);
        let near = |cell: &Instance, x: f64, y: f64| {
            (cell.centroid.0 - x).hypot(cell.centroid.1 - y) < 1.5
        };
        for (x, y) in [(18.0, 20.0), (34.0, 20.0)] {
            assert!(parted.iter().any(|cell| near(cell, x, y)), "{parted:?}");
        }
    }

    #[test]
    fn long_objects_are_not_cut() {
        // A bar, a diagonal bar, and a ring: no necks.
        let shapes: [fn(i64, i64) -> bool; 3] = [
            |x, y| (3..57).contains(&x) && (10..22).contains(&y),
            |x, y| (x - y).abs() < 8 && (5..50).contains(&(x + y)),
            |x, y| (30..=150).contains(&((x - 20).pow(2) + (y - 20).pow(2))),
        ];
        for (number, shape) in shapes.into_iter().enumerate() {
            let pixels = (0..40).flat_map(|y| (0..60).map(move |x| (x, y)));
            let pixels = pixels.map(|(x, y)| u8::from(shape(x, y))).collect();
            let mask = Mask::from_pixels(60, 40, pixels).unwrap();
            let (found, labels) = instances(&mask, Separation::Watershed { least_distance: 6.0 });
            assert_eq!(found.len(), 1, "shape {number}: {found:?}");
            let marked = labels.iter().filter(|label| **label != 0).count() as u64;
            assert_eq!(marked, mask.area());
        }
    }

    #[test]
    fn depths_equal_a_search_over_all_pixels() {
        let (width, height) = (17, 13);
        let lit: Vec<bool> = (0..width * height).map(|i| (i * i / 7 + i / 5) % 11 < 8).collect();
        let dark = |x: i64, y: i64| {
            x < 0
                || y < 0
                || x >= width as i64
                || y >= height as i64
                || !lit[y as usize * width + x as usize]
        };
        for (at, found) in depths(&lit, width).into_iter().enumerate() {
            let (x, y) = ((at % width) as i64, (at / width) as i64);
            let nearest = (-1..=height as i64)
                .flat_map(|v| (-1..=width as i64).map(move |u| (u, v)))
                .filter(|(u, v)| dark(*u, *v))
                .map(|(u, v)| ((u - x).pow(2) + (v - y).pow(2)) as u32)
                .min();
            assert_eq!(Some(found), nearest);
        }
    }

    #[test]
    fn an_empty_mask_has_no_objects() {
        let mask = Mask::empty(5, 4).unwrap();
        assert_eq!(instances(&mask, Separation::Connected), (Vec::new(), vec![0; 20]));
    }
}
