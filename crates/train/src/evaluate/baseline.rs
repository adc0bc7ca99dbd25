//! What a guess without looking scores: the mean of the training masks.

use std::collections::BTreeMap;

use medparse_imaging::Mask;
use rayon::prelude::*;

use crate::dataset::{Dataset, DatasetError};

/// Cells of the mean mask along each side.
const GRID: usize = 128;

/// Masks that a mean is made of, at most; evenly spread over the dataset.
const MOST: usize = 400;

/// Thresholds that are tried on the mean.
const THRESHOLDS: usize = 50;

/// A target and the modality it is seen in.
pub(super) type Key = (String, String);

/// For each target and modality one mask, the same for every picture: where the mean of the
/// training masks, each stretched to a square, exceeds the threshold that serves them best.
#[derive(Debug, Clone, Default)]
pub struct Baseline {
    masks: BTreeMap<Key, Vec<bool>>,
}

impl Baseline {
    /// The means of the pictures `training` of a dataset.
    ///
    /// # Errors
    /// When a mask can't be read.
    pub fn of(dataset: &Dataset, training: &[usize]) -> Result<Self, DatasetError> {
        let mut places: BTreeMap<Key, Vec<(usize, usize)>> = BTreeMap::new();
        for &index in training {
            let sample = &dataset.samples[index];
            for (target, named) in sample.targets.iter().enumerate() {
                let key = (named.name.clone(), sample.modality.clone());
                places.entry(key).or_default().push((index, target));
            }
        }
        let mean = |(key, places): (Key, Vec<(usize, usize)>)| {
            let count = places.len().min(MOST);
            let spread = (0..count).map(|at| places[at * places.len() / count]);
            let cells: Result<Vec<Vec<bool>>, DatasetError> = spread
                .collect::<Vec<_>>()
                .into_par_iter()
                .map(|(index, target)| Ok(on_grid(&dataset.samples[index].targets[target].load()?)))
                .collect();
            Ok((key, best(&cells?)))
        };
        let masks: Result<_, DatasetError> = places.into_iter().map(mean).collect();
        Ok(Self { masks: masks? })
    }

    /// The guess for a picture of this size; none where training never saw such a target.
    pub(super) fn guess(&self, key: &Key, (width, height): (u32, u32)) -> Option<Mask> {
        let cells = self.masks.get(key)?;
        let rows = (0..height as usize).map(|y| y * GRID / height as usize);
        let pixels = rows.flat_map(|row| {
            let columns = (0..width as usize).map(|x| x * GRID / width as usize);
            columns.map(move |column| u8::from(cells[row * GRID + column]))
        });
        Mask::from_pixels(width, height, pixels.collect()).ok()
    }
}

/// The mask's pixels at the centres of the grid's cells.
fn on_grid(mask: &Mask) -> Vec<bool> {
    let (width, height) = (mask.width() as usize, mask.height() as usize);
    let centre = |cell: usize, pixels: usize| (2 * cell + 1) * pixels / (2 * GRID);
    let rows = (0..GRID).map(|cell| centre(cell, height));
    rows.flat_map(|y| {
        (0..GRID).map(move |cell| mask.pixels()[y * width + centre(cell, width)] != 0)
    })
    .collect()
}

/// The mean above the threshold with the highest mean Dice.
fn best(masks: &[Vec<bool>]) -> Vec<bool> {
    let mut counts = vec![0usize; GRID * GRID];
    for mask in masks {
        counts.iter_mut().zip(mask).for_each(|(count, &on)| *count += usize::from(on));
    }
    let areas: Vec<usize> =
        masks.iter().map(|mask| mask.iter().filter(|&&on| on).count()).collect();
    let above = |step: usize| -> Vec<bool> {
        let least = (step * masks.len()) as f64 / THRESHOLDS as f64;
        counts.iter().map(|&count| count as f64 > least).collect()
    };
    let score = |guess: &[bool]| -> f64 {
        let size = guess.iter().filter(|&&on| on).count();
        let dice = masks.iter().zip(&areas).map(|(mask, area)| {
            let both = mask.iter().zip(guess).filter(|(a, b)| **a && **b).count();
            2.0 * both as f64 / (size + area).max(1) as f64
        });
        dice.sum()
    };
    let scored = (0..THRESHOLDS).into_par_iter().map(|step| {
        let guess = above(step);
        (score(&guess), guess)
    });
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, guess)| guess).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guess_is_what_most_masks_have_in_common() {
        // Left halves, and one full mask.
        let half = |full: bool| {
            let pixels = (0..64u8 * 2).map(|at| u8::from(full || at % 16 < 8)).collect();
            on_grid(&Mask::from_pixels(16, 8, pixels).unwrap())
        };
        let masks = vec![half(false), half(false), half(true), half(false)];
        let key = ("a".to_owned(), "b".to_owned());
        let baseline = Baseline { masks: BTreeMap::from([(key.clone(), best(&masks))]) };
        let guess = baseline.guess(&key, (10, 3)).unwrap();
        let expected: Vec<u8> = (0..30).map(|at| if at % 10 < 5 { 255 } else { 0 }).collect();
        assert_eq!(guess.pixels(), expected);
        assert_eq!(baseline.guess(&("b".into(), "b".into()), (4, 4)), None);
    }
}
