//! From query and phrase embeddings to an answer: which query speaks for which phrase, and of
//! what class (upstream `modeling/architectures/seem_model_demo.py`, `evaluate_demo`).
//!
//! Legend: Q object queries, n phrases, C the width both are compared in, K classes.

/// Added to a norm before dividing by it; outside the square root.
const NORM_EPSILON: f32 = 1e-7;

/// The factor on similarities never exceeds this.
const LARGEST_SCALE: f32 = 100.0;

/// Row-major vectors of one width.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    values: Vec<f32>,
    width: usize,
}

impl Embeddings {
    /// `values` is `[rows, width]` in C order.
    ///
    /// # Panics
    /// When `values` is not a whole number of rows.
    pub fn new(values: Vec<f32>, width: usize) -> Self {
        assert!(width > 0 && values.len().is_multiple_of(width), "whole rows of {width}");
        Self { values, width }
    }

    /// Components of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn count(&self) -> usize {
        self.values.len() / self.width
    }

    /// Row by row.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.width)
    }

    /// All values, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Each row divided by its length (plus 1e-7).
    pub fn normalized(&self) -> Self {
        let mut values = self.values.clone();
        for row in values.chunks_exact_mut(self.width) {
            let length = dot(row, row).sqrt() + NORM_EPSILON;
            row.iter_mut().for_each(|value| *value /= length);
        }
        Self { values, width: self.width }
    }

    /// `scale · self · otherᵀ`, row-major `[self.count(), other.count()]`.
    pub fn similarity(&self, other: &Self, scale: f32) -> Vec<f32> {
        let pairs = self.rows().flat_map(|a| other.rows().map(move |b| scale * dot(a, b)));
        pairs.collect()
    }
}

/// Summed in f64: the sums are short and the answer decides which query speaks.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>() as f32
}

/// The factor on the similarity of queries and phrases.
pub fn similarity_scale(logit_scale: f32) -> f32 {
    logit_scale.exp().min(LARGEST_SCALE)
}

/// For each phrase the query most like it; the first of equals.
///
/// `similarity` is `[Q, n]`, row-major.
pub fn matched_queries(similarity: &[f32], phrases: usize) -> Vec<usize> {
    (0..phrases)
        .map(|phrase| first_maximum(similarity.iter().skip(phrase).step_by(phrases)))
        .collect()
}

/// The index of the largest value; the first of equals, 0 where there is none.
pub fn first_maximum<'a>(values: impl IntoIterator<Item = &'a f32>) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (index, &value) in values.into_iter().enumerate() {
        if value > best.1 {
            best = (index, value);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equals_wins() {
        assert_eq!(first_maximum(&[1.0, 3.0, 3.0, 2.0]), 1);
        assert_eq!(first_maximum(&[-1.0, -2.0]), 0);
        assert_eq!(first_maximum(&[]), 0);
    }

    #[test]
    fn each_phrase_finds_its_query() {
        // Three queries, two phrases.
        let similarity = [0.1, 0.9, 0.8, 0.2, 0.8, 0.9];
        assert_eq!(matched_queries(&similarity, 2), [1, 0]);
    }

    #[test]
    fn normalised_rows_have_length_one() {
        let rows = Embeddings::new(vec![3.0, 4.0, 0.0, 0.0], 2).normalized();
        let expected = [0.6, 0.8, 0.0, 0.0];
        assert!(rows.values().iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn the_scale_is_capped() {
        assert_eq!(similarity_scale(4.0), 4f32.exp());
        assert_eq!(similarity_scale(9.0), 100.0);
    }
}
