//! One stage of ours beside the reference's.

use crate::golden::{Floor, GoldenTensor};

/// How many rounding floors a stage may be away.
///
/// The floor is the reference's f32 against its own f64. Another order of summation gives
/// another rounding error of the same size, and errors add up along the network, so that a
/// small multiple of the floor is what equal arithmetic gives and a bug does not.
pub const FLOORS: f64 = 10.0;

/// The unit roundoff of f32, the floor of a stage whose measured floor is zero.
const UNIT_ROUNDOFF: f64 = f32::EPSILON as f64 / 2.0;

/// The verdict on one stage.
#[derive(Debug, Clone)]
pub struct Row {
    /// The stage, as the reference names it.
    pub stage: String,
    /// What was compared and how it came out.
    pub outcome: Outcome,
}

/// What a comparison found.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Numbers, compared within rounding.
    Close {
        /// Root mean square of the difference, over that of the stage.
        rms_rel: f64,
        /// Largest difference.
        max_abs: f64,
        /// The stage's floor.
        floor: Floor,
    },
    /// Whole numbers, compared exactly.
    Exact {
        /// How many differ.
        different: usize,
        /// How many were compared.
        count: usize,
    },
    /// Bits of a threshold, each difference explained by a value within rounding of it.
    Bits {
        /// How many differ.
        flipped: usize,
        /// How many of those lie further from the threshold than rounding explains.
        unexplained: usize,
        /// How many were compared.
        count: usize,
    },
    /// Ours has another shape.
    Misshapen {
        /// Values of ours.
        found: usize,
        /// Values of the reference's.
        expected: usize,
    },
    /// The stage never came by.
    Absent,
}

impl Row {
    /// Whether the stage is equal within what its kind allows.
    pub fn passes(&self) -> bool {
        match &self.outcome {
            Outcome::Close { rms_rel, max_abs, floor } => {
                *rms_rel <= FLOORS * floor.rms_rel && *max_abs <= FLOORS * floor.max_abs
            }
            Outcome::Exact { different, .. } => *different == 0,
            Outcome::Bits { unexplained, .. } => *unexplained == 0,
            Outcome::Misshapen { .. } | Outcome::Absent => false,
        }
    }
}

/// Compares numbers, of which the reference kept every `golden.stride`-th.
pub fn close(stage: &str, ours: &[f32], golden: &GoldenTensor, floor: Floor) -> Row {
    let count: usize = golden.shape.iter().product();
    if ours.len() != count {
        let outcome = Outcome::Misshapen { found: ours.len(), expected: count };
        return Row { stage: stage.into(), outcome };
    }
    let (mut squares, mut reference, mut max_abs) = (0.0, 0.0, 0.0f64);
    for (&ours, &expected) in ours.iter().step_by(golden.stride).zip(&golden.values) {
        let difference = (f64::from(ours) - expected).abs();
        squares += difference * difference;
        reference += expected * expected;
        // A NaN of ours must not hide behind `max`.
        max_abs = if difference.is_nan() { f64::INFINITY } else { max_abs.max(difference) };
    }
    let rms_rel = if squares == 0.0 { 0.0 } else { (squares / reference).sqrt() };
    let largest = golden.values.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    let floor = Floor {
        rms_rel: floor.rms_rel.max(UNIT_ROUNDOFF),
        max_abs: floor.max_abs.max(UNIT_ROUNDOFF * largest),
    };
    Row { stage: stage.into(), outcome: Outcome::Close { rms_rel, max_abs, floor } }
}

/// Compares whole numbers.
pub fn exact<T: Copy + Into<f64>>(stage: &str, ours: &[T], golden: &GoldenTensor) -> Row {
    let count: usize = golden.shape.iter().product();
    let outcome = if ours.len() == count {
        let kept = ours.iter().step_by(golden.stride);
        let different = kept.zip(&golden.values).filter(|(a, b)| (**a).into() != **b).count();
        Outcome::Exact { different, count: golden.values.len() }
    } else {
        Outcome::Misshapen { found: ours.len(), expected: count }
    };
    Row { stage: stage.into(), outcome }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(values: &[f64]) -> GoldenTensor {
        GoldenTensor { shape: vec![values.len()], stride: 1, values: values.to_vec() }
    }

    const FLOOR: Floor = Floor { rms_rel: 1e-7, max_abs: 1e-7 };

    #[test]
    fn a_difference_beyond_ten_floors_fails() {
        let golden = golden(&[1.0, -1.0]);
        assert!(close("s", &[1.0, -1.0], &golden, FLOOR).passes());
        assert!(close("s", &[1.0 + 5e-7, -1.0], &golden, FLOOR).passes());
        assert!(!close("s", &[1.0 + 3e-6, -1.0], &golden, FLOOR).passes());
    }

    #[test]
    fn a_nan_fails_and_so_does_another_shape() {
        let golden = golden(&[1.0, 1.0]);
        assert!(!close("s", &[f32::NAN, 1.0], &golden, FLOOR).passes());
        assert!(!close("s", &[1.0], &golden, FLOOR).passes());
        assert!(!exact("s", &[1.0, 2.0], &golden).passes());
    }
}
