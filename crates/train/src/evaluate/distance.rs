//! Exact Euclidean distances on a grid whose two steps may differ.
//!
//! Felzenszwalb and Huttenlocher, "Distance transforms of sampled functions", 2012: the squared
//! distance along one axis is a lower envelope of parabolas, and the axes follow one another.

/// The distance of every cell of a `[height, width]` grid to the nearest marked one; infinite where
/// none is marked.
///
/// `spacing` holds the steps along a row and down a column.
pub fn distances_to(marked: &[bool], width: usize, spacing: [f64; 2]) -> Vec<f64> {
    let height = marked.len() / width.max(1);
    let mut squares: Vec<f64> =
        marked.iter().map(|&marked| if marked { 0.0 } else { f64::INFINITY }).collect();
    let mut envelope = Envelope::default();
    let mut column = vec![0.0; height];
    for x in 0..width {
        for (y, value) in column.iter_mut().enumerate() {
            *value = squares[y * width + x];
        }
        envelope.apply(&mut column, spacing[1]);
        for (y, value) in column.iter().enumerate() {
            squares[y * width + x] = *value;
        }
    }
    for row in squares.chunks_exact_mut(width.max(1)) {
        envelope.apply(row, spacing[0]);
    }
    squares.iter_mut().for_each(|value| *value = value.sqrt());
    squares
}

/// The parabolas that are lowest somewhere, from left to right.
#[derive(Default)]
struct Envelope {
    /// Where each begins to be the lowest, its place and its height.
    parabolas: Vec<(f64, f64, f64)>,
}

impl Envelope {
    /// Replaces `values[i]` by the least `values[j] + (step (i - j))²`.
    fn apply(&mut self, values: &mut [f64], step: f64) {
        self.parabolas.clear();
        for (index, &height) in values.iter().enumerate() {
            if !height.is_finite() {
                continue;
            }
            let place = index as f64 * step;
            let begin = loop {
                let Some(&(begin, last_place, last_height)) = self.parabolas.last() else {
                    break f64::NEG_INFINITY;
                };
                let crossing = (height + place * place - last_height - last_place * last_place)
                    / (2.0 * (place - last_place));
                if crossing > begin {
                    break crossing;
                }
                self.parabolas.pop();
            };
            self.parabolas.push((begin, place, height));
        }
        let mut lowest = 0;
        for (index, value) in values.iter_mut().enumerate() {
            let here = index as f64 * step;
            while self.parabolas.get(lowest + 1).is_some_and(|&(begin, ..)| begin <= here) {
                lowest += 1;
            }
            *value = match self.parabolas.get(lowest) {
                Some(&(_, place, height)) => height + (here - place).powi(2),
                None => f64::INFINITY,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::random::{Purpose, stream};

    #[test]
    fn equals_the_definition() {
        for (seed, [width, height]) in
            [[1, 1], [7, 1], [1, 5], [13, 9], [32, 17]].into_iter().enumerate()
        {
            let mut random = stream(seed as u64, Purpose::Points, &[]);
            let spacing = [0.7, 1.9];
            let marked: Vec<bool> = (0..width * height).map(|_| random.random_bool(0.08)).collect();
            let found = distances_to(&marked, width, spacing);
            for (at, found) in found.iter().enumerate() {
                let to = |other: usize| {
                    let dx = (at % width) as f64 - (other % width) as f64;
                    let dy = (at / width) as f64 - (other / width) as f64;
                    (dx * spacing[0]).hypot(dy * spacing[1])
                };
                let expected = (0..marked.len())
                    .filter(|&other| marked[other])
                    .map(to)
                    .fold(f64::INFINITY, f64::min);
                let is_equal = *found == expected || (found - expected).abs() < 1e-9;
                assert!(is_equal, "{width}×{height} at {at}: {found}, expected {expected}");
            }
        }
    }
}
