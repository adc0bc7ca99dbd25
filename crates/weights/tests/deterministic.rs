//! The rule for weights without training, against tensors the reference computed.

mod common;

use std::collections::BTreeMap;

use common::testdata;
use medparse_weights::{Checkpoint, deterministic};
use serde::Deserialize;
use sha2::{Digest, Sha256};

#[derive(Deserialize)]
struct Reference {
    shape: Vec<usize>,
    ca: [f32; 2],
    first8_bits: Vec<String>,
    sha256: String,
}

#[test]
fn full_size_tensors_equal_the_reference_to_the_bit() {
    let reference = std::fs::read_to_string(testdata("det_weights_full.json")).unwrap();
    let reference: BTreeMap<String, Reference> = serde_json::from_str(&reference).unwrap();
    assert_eq!(reference.len(), 8);
    for (name, expected) in reference {
        let scale = deterministic::scale(&name, &expected.shape);
        assert_eq!([scale.centre, scale.amplitude], expected.ca, "{name}");
        let values = deterministic::values(&name, &expected.shape);
        assert_eq!(values.len(), expected.shape.iter().product::<usize>(), "{name}");
        let first: Vec<String> =
            values.iter().take(8).map(|v| format!("{:08x}", v.to_bits())).collect();
        assert_eq!(first, expected.first8_bits, "{name}");
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let digest: String =
            Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, expected.sha256, "{name}");
    }
}

#[test]
fn every_tensor_of_the_tiny_network_equals_the_reference_to_the_bit() {
    let tiny = Checkpoint::open(testdata("tiny/tiny.pt")).unwrap();
    assert_eq!(tiny.len(), 318);
    for entry in tiny.entries() {
        let stored = entry.read_f32().unwrap();
        if entry.name() == "criterion.empty_weight" {
            // The training criterion's buffer, which is no weight and outside the rule.
            assert_eq!(stored, [1.0; 17]);
            continue;
        }
        let computed = deterministic::values(entry.name(), entry.shape());
        assert_eq!(stored.len(), computed.len(), "{}", entry.name());
        let differing =
            stored.iter().zip(&computed).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
        assert_eq!(
            differing,
            0,
            "{} differs in {differing} of {} values",
            entry.name(),
            stored.len()
        );
    }
}

#[test]
fn ranks_without_a_rule_are_zero() {
    assert_eq!(deterministic::values("a.weight", &[2, 3, 4]), [0.0; 24]);
    assert_eq!(deterministic::values("a.weight", &[]), [0.0]);
    assert_eq!(deterministic::values("a.logit_scale", &[]), [4.0]);
    assert_eq!(deterministic::values("a.weight", &[0, 3]), [0.0; 0]);
}
