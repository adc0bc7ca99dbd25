//! Which of several masks keeps a pixel that all of them claim.

use std::cmp::Ordering;

use crate::picture::{MapView, Size};
use crate::postprocess::MASK_THRESHOLD;

/// Why maps could not be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverlapError {
    /// No map at all.
    #[error("expected at least one map, found none")]
    NoMaps,
    /// One map is not of the first one's size.
    #[error("map {position}: expected {expected} like the first, found {found}")]
    Size {
        /// Which map, from 1.
        position: usize,
        /// The size of the first map.
        expected: Size,
        /// The size of this one.
        found: Size,
    },
    /// Not one score for each map.
    #[error("expected a score for each of {maps} maps, found {scores}")]
    Scores {
        /// How many maps there are.
        maps: usize,
        /// How many scores.
        scores: usize,
    },
}

/// Checks that there are maps and that they are of one size, which is returned.
fn common_size(maps: &[MapView]) -> Result<Size, OverlapError> {
    let expected = maps.first().ok_or(OverlapError::NoMaps)?.size();
    for (map, position) in maps.iter().zip(1..) {
        if map.size() != expected {
            return Err(OverlapError::Size { position, expected, found: map.size() });
        }
    }
    Ok(expected)
}

/// The maps that lie on no better one, best first, as indices into `maps`.
///
/// In order of `scores`, the highest first and the earlier of equals, each mask (probability above
/// one half) is kept unless it is empty or more than half of it lies on one mask kept before. NaN
/// scores come last.
///
/// # Errors
/// [`OverlapError`] where there is no map, sizes differ, or there is not one score a map.
pub fn non_maximum_suppression(
    maps: &[MapView],
    scores: &[f64],
) -> Result<Vec<usize>, OverlapError> {
    common_size(maps)?;
    if maps.len() != scores.len() {
        return Err(OverlapError::Scores { maps: maps.len(), scores: scores.len() });
    }
    let mut order: Vec<usize> = (0..maps.len()).collect();
    order.sort_by(|&a, &b| descending(scores[a], scores[b]));
    let mut kept: Vec<usize> = Vec::new();
    for candidate in order {
        let inside = |index: usize| maps[index].values().iter().map(|&p| p > MASK_THRESHOLD);
        let area = inside(candidate).filter(|inside| *inside).count();
        let is_covered = kept.iter().any(|&better| {
            let shared = inside(candidate).zip(inside(better)).filter(|(a, b)| *a && *b).count();
            2 * shared > area
        });
        if area > 0 && !is_covered {
            kept.push(candidate);
        }
    }
    Ok(kept)
}

/// Largest first; whatever is not a number comes last.
fn descending(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => b.total_cmp(&a),
        (a_is_nan, b_is_nan) => a_is_nan.cmp(&b_is_nan),
    }
}

/// Maps settled pixel by pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Combined {
    /// The maps that were kept, as indices, in their order; never empty.
    pub kept: Vec<usize>,
    /// For each pixel the map that it belongs to, rows from the top.
    pub owners: Vec<Option<usize>>,
}

impl Combined {
    /// The mask of one map.
    pub fn mask(&self, map: usize) -> impl Iterator<Item = bool> {
        self.owners.iter().map(move |owner| *owner == Some(map))
    }
}

/// Gives every pixel to one map at most.
///
/// A map reaches where its probability is above 0.1, and wins a pixel there if no other is likelier
/// (the first of equals). Maps that win less than half of their reach are dropped, except the one
/// whose mean probability over its reach is highest. Of those that remain the likeliest gets the
/// pixel if it is above one half.
///
/// # Errors
/// [`OverlapError`] where there is no map or sizes differ.
pub fn combine(maps: &[MapView]) -> Result<Combined, OverlapError> {
    let size = common_size(maps)?;
    let mut reaches = vec![Reach::default(); maps.len()];
    for pixel in 0..size.width * size.height {
        for (reach, map) in reaches.iter_mut().zip(maps) {
            reach.add(map.values()[pixel]);
        }
        if let Some(winner) = likeliest(maps, 0..maps.len(), pixel, REACH) {
            reaches[winner].won += 1;
        }
    }
    let most_confident = most_confident(&reaches);
    let kept: Vec<usize> = (0..maps.len())
        .filter(|&index| {
            let Reach { area, won, .. } = reaches[index];
            2 * won >= area || index == most_confident
        })
        .collect();
    let owners = (0..size.width * size.height)
        .map(|pixel| likeliest(maps, kept.iter().copied(), pixel, MASK_THRESHOLD))
        .collect();
    Ok(Combined { kept, owners })
}

/// A map reaches where its probability is above this.
const REACH: f32 = 0.1;

/// What a map claims and what it gets.
#[derive(Clone, Copy, Default)]
struct Reach {
    area: usize,
    won: usize,
    total: f64,
}

impl Reach {
    fn add(&mut self, probability: f32) {
        if probability > REACH {
            self.area += 1;
            self.total += f64::from(probability);
        }
    }

    /// The mean probability over the reach; below any other where it is empty.
    fn confidence(&self) -> f64 {
        if self.area == 0 { f64::NEG_INFINITY } else { self.total / self.area as f64 }
    }
}

/// The map with the highest mean; the first of equals.
fn most_confident(reaches: &[Reach]) -> usize {
    let mut best = 0;
    for (index, reach) in reaches.iter().enumerate() {
        if reach.confidence() > reaches[best].confidence() {
            best = index;
        }
    }
    best
}

/// Which of `candidates` is likeliest at `pixel` and above `threshold`; the first of equals.
fn likeliest(
    maps: &[MapView],
    candidates: impl Iterator<Item = usize>,
    pixel: usize,
    threshold: f32,
) -> Option<usize> {
    let mut best: Option<(usize, f32)> = None;
    for index in candidates {
        let probability = maps[index].values()[pixel];
        if probability > best.map_or(threshold, |(_, best)| best) {
            best = Some((index, probability));
        }
    }
    best.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f32]) -> MapView<'_> {
        MapView::new(Size { width: values.len(), height: 1 }, values).unwrap()
    }

    #[test]
    fn nothing_and_unlike_sizes_are_refused() {
        assert_eq!(combine(&[]), Err(OverlapError::NoMaps));
        assert_eq!(non_maximum_suppression(&[], &[]), Err(OverlapError::NoMaps));
        let unlike = [row(&[1.0]), row(&[1.0, 0.0])];
        assert_eq!(
            combine(&unlike).unwrap_err().to_string(),
            "map 2: expected 1 x 1 like the first, found 2 x 1"
        );
        assert_eq!(
            non_maximum_suppression(&unlike[..1], &[]),
            Err(OverlapError::Scores { maps: 1, scores: 0 })
        );
    }

    #[test]
    fn ties_go_to_the_first() {
        let twice = [row(&[0.9, 0.9]), row(&[0.9, 0.9])];
        let combined = combine(&twice).unwrap();
        assert_eq!(combined.kept, [0]);
        assert_eq!(combined.owners, [Some(0), Some(0)]);
        assert_eq!(non_maximum_suppression(&twice, &[0.5, 0.5]).unwrap(), [0]);
        assert_eq!(non_maximum_suppression(&twice, &[f64::NAN, 0.5]).unwrap(), [1]);
    }

    #[test]
    fn half_an_overlap_is_not_too_much() {
        let maps = [row(&[0.9, 0.9, 0.0, 0.0]), row(&[0.0, 0.8, 0.8, 0.0]), row(&[0.1; 4])];
        assert_eq!(non_maximum_suppression(&maps, &[0.9, 0.8, 1.0]).unwrap(), [0, 1]);
    }

    #[test]
    fn a_map_that_reaches_nothing_stays_and_owns_nothing() {
        let combined = combine(&[row(&[0.0, 0.05]), row(&[0.9, 0.3])]).unwrap();
        assert_eq!(combined.kept, [0, 1]);
        assert_eq!(combined.owners, [Some(1), None]);
        assert_eq!(combined.mask(0).filter(|inside| *inside).count(), 0);
    }
}
