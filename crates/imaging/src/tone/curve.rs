//! Value in, gray out.

/// A range of values that is spread over the grays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// This and everything below is black.
    pub low: f64,
    /// This and everything above is white.
    pub high: f64,
}

impl Window {
    /// `width` values around `center`; `None` unless both are finite and the width is above 0.
    pub fn around(center: f64, width: f64) -> Option<Self> {
        let valid = center.is_finite() && width.is_finite() && width > 0.0;
        valid.then(|| Self { low: center - width / 2.0, high: center + width / 2.0 })
    }
}

/// How a value becomes a gray.
#[derive(Clone, Debug, PartialEq)]
pub enum Curve {
    /// A straight line from black to white.
    Linear(Window),
    /// DICOM's `SIGMOID` (PS3.3 C.11.2.1.3.1).
    Sigmoid {
        /// The value that becomes middle gray.
        center: f64,
        /// The larger, the flatter; above 0.
        width: f64,
    },
    /// DICOM's VOI LUT (PS3.3 C.11.2.1.1): one gray for each whole value from `first` on.
    Table {
        /// The value that the first entry is for.
        first: f64,
        /// Grays, on the scale of a byte; values outside the table take its first or last.
        grays: Vec<u8>,
    },
}

impl Curve {
    /// The window function that DICOM calls `LINEAR` (PS3.3 C.11.2.1.2.1): half a step lower and a step narrower than
    /// the numbers say.
    pub fn dicom_linear(center: f64, width: f64) -> Option<Self> {
        let half = (width - 1.0) / 2.0;
        let valid = center.is_finite() && width.is_finite() && width >= 1.0;
        valid
            .then_some(Self::Linear(Window { low: center - 0.5 - half, high: center - 0.5 + half }))
    }

    /// The grays of a slice; what is not a number is black, or a table's first gray.
    pub fn grays(&self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::Linear(Window { low, high }) if high > low => {
                let width = high - low;
                values
                    .iter()
                    .map(|value| ((f64::from(*value) - low) * 255.0 / width).round() as u8)
                    .collect()
            }
            // A window of width 1 is a step.
            Self::Linear(Window { low, .. }) => {
                values.iter().map(|value| if f64::from(*value) > *low { 255 } else { 0 }).collect()
            }
            Self::Sigmoid { center, width } => values
                .iter()
                .map(|value| {
                    let exponent = -4.0 * (f64::from(*value) - center) / width;
                    (255.0 / (1.0 + exponent.exp())).round() as u8
                })
                .collect(),
            Self::Table { first, grays } => {
                let last = grays.len().saturating_sub(1);
                values
                    .iter()
                    .map(|value| {
                        let at = (f64::from(*value) - first).round().max(0.0) as usize;
                        grays.get(at.min(last)).copied().unwrap_or(0)
                    })
                    .collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_at_black_and_white() {
        let curve = Curve::Linear(Window { low: -150.0, high: 250.0 });
        let values = [-1e9, -150.0, 50.0, 250.0, f32::INFINITY, f32::NAN];
        assert_eq!(curve.grays(&values), [0, 0, 128, 255, 255, 0]);
        assert_eq!(Curve::dicom_linear(0.5, 1.0).unwrap().grays(&[0.0, 0.5]), [0, 255]);
        assert_eq!(Curve::dicom_linear(2048.0, 4096.0).unwrap().grays(&[0.0, 4095.0]), [0, 255]);
        assert_eq!(Curve::dicom_linear(10.0, 0.5), None);
    }

    #[test]
    fn tables_and_sigmoids_hold_at_their_ends() {
        let table = Curve::Table { first: -1.0, grays: vec![7, 8, 9] };
        assert_eq!(table.grays(&[-5.0, -1.0, 0.2, 1.0, 9.0]), [7, 7, 8, 9, 9]);
        let sigmoid = Curve::Sigmoid { center: 10.0, width: 4.0 };
        assert_eq!(sigmoid.grays(&[-1e6, 10.0, 1e6]), [0, 128, 255]);
    }
}
