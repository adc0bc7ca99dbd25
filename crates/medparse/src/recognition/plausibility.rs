//! How well a mask fits what masks of its target looked like in training.

use std::collections::BTreeMap;

use serde::Deserialize;
use statrs::function::beta::checked_beta_reg;

use crate::modalities::same_name;
use crate::picture::{MapView, RgbView, Size};

/// Averages over a mask, each divided by 256 as in the reference, so 0 to below 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaskStatistics {
    /// The mean probability on the scale of a byte (0 to 255), over 256.
    pub probability: f64,
    /// The mean red of the picture there, over 256.
    pub red: f64,
    /// The mean green.
    pub green: f64,
    /// The mean blue.
    pub blue: f64,
}

/// Why a mask could not be measured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatisticsError {
    /// Map and picture differ in size.
    #[error("expected a map of the picture's size {picture}, found {map}")]
    Size {
        /// The size of the map.
        map: Size,
        /// The size of the picture.
        picture: Size,
    },
}

/// Averages of a map of probabilities and of its picture over the mask, or `None` where the mask is
/// empty.
///
/// A pixel is in this mask where `probability * 255` is at least 128, a little above one half.
///
/// # Errors
/// [`StatisticsError::Size`] where map and picture differ in size.
pub fn mask_statistics(
    probabilities: &MapView,
    picture: &RgbView,
) -> Result<Option<MaskStatistics>, StatisticsError> {
    const LEAST: f32 = 128.0;
    const UNITS: f64 = 256.0;
    if probabilities.size() != picture.size() {
        return Err(StatisticsError::Size { map: probabilities.size(), picture: picture.size() });
    }
    let (mut area, mut colours, mut total) = (0_u64, [0_u64; 3], 0.0);
    for (probability, pixel) in probabilities.values().iter().zip(picture.pixels().chunks_exact(3))
    {
        let scaled = probability * 255.0;
        if scaled >= LEAST {
            area += 1;
            total += f64::from(scaled);
            for (sum, &value) in colours.iter_mut().zip(pixel) {
                *sum += u64::from(value);
            }
        }
    }
    if area == 0 {
        return Ok(None);
    }
    let mean = |sum: f64| sum / area as f64 / UNITS;
    let [red, green, blue] = colours.map(|sum| mean(sum as f64));
    Ok(Some(MaskStatistics { probability: mean(total), red, green, blue }))
}

/// The two shape parameters of a Beta distribution, finite and above 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BetaShape {
    alpha: f64,
    beta: f64,
}

impl BetaShape {
    /// The distribution Beta(`alpha`, `beta`), or `None` where a parameter is not finite and above
    /// 0.
    pub fn new(alpha: f64, beta: f64) -> Option<Self> {
        let is_valid = |parameter: f64| parameter.is_finite() && parameter > 0.0;
        (is_valid(alpha) && is_valid(beta)).then_some(Self { alpha, beta })
    }

    /// The probability of a value up to `x`: the regularised incomplete beta function.
    pub fn cumulative(&self, x: f64) -> f64 {
        regularized(self.alpha, self.beta, x)
    }

    /// The Kolmogorov-Smirnov test of the single value `x`: twice the smaller tail.
    pub fn p_value(&self, x: f64) -> f64 {
        let below = self.cumulative(x);
        // The mirrored distribution keeps the digits of a small upper tail, which `1 - below` would
        // lose.
        let above = regularized(self.beta, self.alpha, 1.0 - x);
        (2.0 * below.min(above)).min(1.0)
    }
}

fn regularized(alpha: f64, beta: f64, x: f64) -> f64 {
    // Parameters are checked when the shape is made, and the value is put into its range here.
    checked_beta_reg(alpha, beta, x.clamp(0.0, 1.0)).unwrap_or(f64::NAN)
}

/// What masks of one target looked like in training: a distribution for each of [`MaskStatistics`]'
/// four.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TargetDistribution {
    /// Of probability, red, green and blue.
    pub shapes: [BetaShape; 4],
}

impl TargetDistribution {
    /// The p-values of the four averages, in their order.
    pub fn p_values(&self, statistics: &MaskStatistics) -> [f64; 4] {
        let MaskStatistics { probability, red, green, blue } = *statistics;
        let values = [probability, red, green, blue];
        std::array::from_fn(|index| self.shapes[index].p_value(values[index]))
    }

    /// The geometric mean of the four p-values, 0 to 1; an empty mask (`None`) has 0.
    ///
    /// Low means unlike the target; the reference recommends to reject below 0.05.
    pub fn plausibility(&self, statistics: Option<&MaskStatistics>) -> f64 {
        statistics
            .map_or(0.0, |statistics| self.p_values(statistics).iter().product::<f64>().powf(0.25))
    }
}

/// The distributions of every target of every modality: BiomedParse's `target_dist.json`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TargetDistributions {
    by_modality: BTreeMap<String, BTreeMap<String, TargetDistribution>>,
}

/// Why a file of distributions is of no use.
#[derive(Debug, thiserror::Error)]
pub enum DistributionError {
    /// Not JSON of the expected form.
    #[error(
        "expected distributions as {{modality: {{target: four lists of at least two numbers}}}}"
    )]
    Json(#[from] serde_json::Error),
    /// A list that holds no Beta distribution.
    #[error(
        "{modality} / {target}: list {position} of 4: expected two finite numbers above 0 at its start"
    )]
    Shape {
        /// The modality.
        modality: String,
        /// The target.
        target: String,
        /// Which of the four lists, from 1.
        position: usize,
    },
}

impl TargetDistributions {
    /// Reads `target_dist.json`: `{modality: {target: [[alpha, beta, ...] x 4]}}`.
    ///
    /// # Errors
    /// [`DistributionError`] where the bytes are something else.
    pub fn from_json(bytes: &[u8]) -> Result<Self, DistributionError> {
        /// Upstream's lists hold more than the two shape parameters; nothing reads the rest.
        type Lists = [Vec<f64>; 4];
        #[derive(Deserialize)]
        struct File(BTreeMap<String, BTreeMap<String, Lists>>);

        let File(lists) = serde_json::from_slice(bytes)?;
        let mut by_modality = BTreeMap::new();
        for (modality, targets) in lists {
            let mut distributions = BTreeMap::new();
            for (target, lists) in targets {
                let mut shapes = Vec::with_capacity(4);
                for (list, position) in lists.iter().zip(1..) {
                    let shape = match list[..] {
                        [alpha, beta, ..] => BetaShape::new(alpha, beta),
                        _ => None,
                    };
                    shapes.push(shape.ok_or_else(|| DistributionError::Shape {
                        modality: modality.clone(),
                        target: target.clone(),
                        position,
                    })?);
                }
                if let Ok(shapes) = shapes.try_into() {
                    distributions.insert(target, TargetDistribution { shapes });
                }
            }
            by_modality.insert(modality, distributions);
        }
        Ok(Self { by_modality })
    }

    /// The distribution of a target in pictures of a modality, or `None` where none is known; names differ by more
    /// than small and large letters.
    pub fn get(&self, modality: &str, target: &str) -> Option<&TargetDistribution> {
        let mut modalities = self.by_modality.iter().filter(|(name, _)| same_name(name, modality));
        modalities.find_map(|(_, targets)| {
            targets.iter().find(|(name, _)| same_name(name, target)).map(|(_, known)| known)
        })
    }

    /// The modalities, each with its targets, in alphabetical order.
    pub fn targets(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = &str>)> {
        self.by_modality
            .iter()
            .map(|(modality, targets)| (modality.as_str(), targets.keys().map(String::as_str)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_distributions_is_read() {
        let json = br#"{"OCT": {"edema": [[2, 3, 0, 1], [1.5, 1], [4, 4, 9], [1, 1]]}}"#;
        let distributions = TargetDistributions::from_json(json).unwrap();
        let edema = distributions.get("OCT", "edema").unwrap();
        assert_eq!(Some(edema.shapes[0]), BetaShape::new(2.0, 3.0));
        assert_eq!(distributions.get("oct", "Edema"), Some(edema), "however it is written");
        assert_eq!(distributions.get("OCT", "tumor"), None);
        assert_eq!(distributions.get("CT", "edema"), None);
        let names: Vec<(&str, Vec<&str>)> = distributions
            .targets()
            .map(|(modality, targets)| (modality, targets.collect()))
            .collect();
        assert_eq!(names, [("OCT", vec!["edema"])]);
    }

    #[test]
    fn a_broken_file_is_refused_with_its_place() {
        for (json, expected) in [
            (r#"{"OCT": {"edema": [[2, 3], [1.5, 1], [4, 4]]}}"#, "four lists"),
            (r#"{"OCT": {"edema": [[2, 3], [1.5], [4, 4], [1, 1]]}}"#, "OCT / edema: list 2 of 4"),
            (
                r#"{"OCT": {"edema": [[2, 3], [1, 1], [4, 4], [1, -1]]}}"#,
                "OCT / edema: list 4 of 4",
            ),
            ("[", "expected distributions"),
        ] {
            let error = TargetDistributions::from_json(json.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn both_tails_keep_their_digits() {
        // Beta(1, n): P(X > x) = (1 - x)^n exactly.
        let shape = BetaShape::new(1.0, 40.0).unwrap();
        let expected = 2.0 * 0.1_f64.powi(40);
        assert!((shape.p_value(0.9) / expected - 1.0).abs() < 1e-12);
        let mirrored = BetaShape::new(40.0, 1.0).unwrap();
        assert!((mirrored.p_value(0.1) / expected - 1.0).abs() < 1e-12);
        assert_eq!(shape.p_value(-1.0), 0.0);
        assert_eq!(shape.p_value(2.0), 0.0);
        assert_eq!(BetaShape::new(0.0, 1.0), None);
        assert_eq!(BetaShape::new(1.0, f64::INFINITY), None);
    }

    #[test]
    fn sizes_must_agree() {
        let map = MapView::new(Size { width: 2, height: 1 }, &[1.0, 0.0]).unwrap();
        let picture = RgbView::new(Size { width: 1, height: 2 }, &[0; 6]).unwrap();
        assert_eq!(
            mask_statistics(&map, &picture).unwrap_err().to_string(),
            "expected a map of the picture's size 1 x 2, found 2 x 1"
        );
    }
}
