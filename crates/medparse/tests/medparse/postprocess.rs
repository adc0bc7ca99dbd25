//! Probabilities and masks against those that PyTorch computed from the same logits.

use crate::common;

use medparse::picture::{MapView, Size};
use medparse::postprocess::{MASK_THRESHOLD, ProbabilityMap};
use medparse::preprocess::{Fit, Placement};
use safetensors::SafeTensors;

/// What resize and logistic function may differ by: a few roundings of a logit of size 10 (2^-21
/// each), of which the logistic function passes on a quarter.
const TOLERANCE: f32 = 1e-6;

fn floats(tensors: &SafeTensors, name: &str) -> (Vec<usize>, Vec<f32>) {
    let tensor = tensors.tensor(name).unwrap();
    let values = tensor
        .data()
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
        .collect();
    (tensor.shape().to_vec(), values)
}

/// The probabilities of every prompt of a case, from its logits, one after the other.
fn probabilities(tensors: &SafeTensors, picture: Size) -> Vec<ProbabilityMap> {
    let (shape, logits) = floats(tensors, "final.matched_mask_logits");
    let map = Size { width: shape[2], height: shape[1] };
    let placement = Placement::new(Fit::Stretch, picture);
    logits
        .chunks_exact(map.area().unwrap())
        .map(|logits| ProbabilityMap::from_logits(&MapView::new(map, logits).unwrap(), &placement))
        .collect()
}

fn assert_close(found: impl Iterator<Item = f32>, expected: &[f32], case: &str) {
    let mut count = 0;
    for (found, expected) in found.zip(expected) {
        assert!((found - expected).abs() <= TOLERANCE, "{case}: {found} for {expected}");
        count += 1;
    }
    assert_eq!(count, expected.len(), "{case}");
}

#[test]
fn small_network() {
    for case in ["a", "b", "c"] {
        let bytes = common::bytes(&format!("tiny/case_{case}.safetensors"));
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let (shape, expected) = floats(&tensors, "final.prob");
        let picture = Size { width: shape[2], height: shape[1] };
        let found = probabilities(&tensors, picture);
        assert_eq!(found.len(), shape[0]);
        for (found, expected) in found.iter().zip(expected.chunks_exact(picture.area().unwrap())) {
            assert_close(found.values().iter().copied(), expected, case);
            let inside = expected.iter().filter(|probability| **probability > 0.5);
            let count = inside.clone().count();
            let above = found.values().iter().filter(|probability| **probability > MASK_THRESHOLD);
            assert_eq!(above.count(), count, "{case}");
            let mean = inside.map(|p| f64::from(*p)).sum::<f64>() / count as f64;
            let found = found.mean_above(MASK_THRESHOLD).unwrap();
            assert!((found - mean).abs() <= f64::from(TOLERANCE), "{case}");
        }
    }
}

#[test]
fn full_network() {
    // The one full case whose logits are stored whole: every 129th probability, and every bit of
    // the masks.
    const STRIDE: usize = 129;
    let Some(file) = common::reference("full/case_a.safetensors") else {
        return;
    };
    let bytes = std::fs::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let found = probabilities(&tensors, Size::square(1024));
    let values = found.iter().flat_map(|map| map.values().iter().copied());
    assert_close(values.step_by(STRIDE), &floats(&tensors, "final.prob").1, "a");

    let bits = tensors.tensor("final.prob_gt_half").unwrap();
    let expected =
        bits.data().iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1));
    let flipped = found
        .iter()
        .flat_map(ProbabilityMap::values)
        .zip(expected)
        .filter(|(probability, expected)| {
            (**probability > MASK_THRESHOLD) != *expected
                && (**probability - MASK_THRESHOLD).abs() > TOLERANCE
        })
        .count();
    assert_eq!(flipped, 0);
}

#[test]
fn one_thread_gives_the_bits_of_many() {
    let map = Size { width: 13, height: 7 };
    let logits: Vec<f32> = (0..91).map(|i| (i * i % 23) as f32 / 3.0 - 3.5).collect();
    let placement = Placement::new(Fit::Pad, Size { width: 101, height: 57 });
    let answer = || ProbabilityMap::from_logits(&MapView::new(map, &logits).unwrap(), &placement);
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    assert_eq!(pool(1).install(answer), pool(5).install(answer));
}
