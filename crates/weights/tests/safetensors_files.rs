//! Safetensors files: what is read, what is lent, and the sentence for every rule a header can break.

mod common;

use std::borrow::Cow;
use std::collections::HashMap;

use common::{folder, safetensors};
use medparse_weights::{Checkpoint, ElementType, Format, WeightsError};
use safetensors::tensor::{Dtype, TensorView};

#[test]
fn a_file_of_the_reference_writer_reads_to_the_byte() {
    let folder = folder();
    let path = folder.path().join("no extension");
    let bytes: Vec<u8> = (0..96).collect();
    let dtypes = [
        (Dtype::F64, ElementType::F64),
        (Dtype::F32, ElementType::F32),
        (Dtype::F16, ElementType::F16),
        (Dtype::BF16, ElementType::BF16),
        (Dtype::I64, ElementType::I64),
        (Dtype::I32, ElementType::I32),
        (Dtype::I16, ElementType::I16),
        (Dtype::I8, ElementType::I8),
        (Dtype::U64, ElementType::U64),
        (Dtype::U32, ElementType::U32),
        (Dtype::U16, ElementType::U16),
        (Dtype::U8, ElementType::U8),
        (Dtype::BOOL, ElementType::Bool),
    ];
    let views = dtypes.map(|(dtype, ours)| {
        let view = TensorView::new(dtype, vec![3, 4], &bytes[..12 * ours.size()]).unwrap();
        (dtype.to_string(), view)
    });
    let scalar = TensorView::new(Dtype::F32, vec![], &bytes[..4]).unwrap();
    let empty = TensorView::new(Dtype::F32, vec![0, 7], &[]).unwrap();
    let views = views.into_iter().chain([("scalar".into(), scalar), ("empty".into(), empty)]);
    let metadata = HashMap::from([("config".into(), "MODEL:\n  NAME: \"ü\"\n".into())]);
    safetensors::serialize_to_file(views, Some(metadata), &path).unwrap();

    let checkpoint = Checkpoint::open(&path).unwrap();
    assert_eq!(checkpoint.format(), Format::Safetensors);
    assert_eq!(checkpoint.len(), 15);
    assert_eq!(checkpoint.metadata()["config"], "MODEL:\n  NAME: \"ü\"\n");
    for (dtype, element_type) in dtypes {
        let entry = checkpoint.require(&dtype.to_string()).unwrap();
        assert_eq!((entry.element_type(), entry.shape()), (element_type, [3, 4].as_slice()));
        let read = entry.read_bytes().unwrap();
        assert_eq!(*read, bytes[..12 * element_type.size()], "{dtype}");
        assert!(matches!(read, Cow::Borrowed(_)), "{dtype} was copied out of the map");
        let is_float = matches!(dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16);
        assert_eq!(entry.read_f32().is_ok(), is_float, "{dtype}");
    }
    assert_eq!(checkpoint.require("scalar").unwrap().shape(), [0usize; 0]);
    assert_eq!(checkpoint.require("scalar").unwrap().element_count(), 1);
    assert_eq!(checkpoint.require("empty").unwrap().read_f32().unwrap(), [0.0; 0]);
}

#[test]
fn misaligned_floats_are_read() {
    let folder = folder();
    let path = folder.path().join("x.safetensors");
    let header = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}}"#;
    let header = format!("{header:<128}");
    safetensors(&path, &header, b"\x07\0\0\x80\x3f\0\0\0\x40");
    let checkpoint = Checkpoint::open(&path).unwrap();
    assert_eq!(checkpoint.require("w").unwrap().read_f32().unwrap(), [1.0, 2.0]);
}

#[test]
fn every_broken_rule_is_named_with_the_tensor() {
    let folder = folder();
    let path = folder.path().join("x.safetensors");
    let two = |first: &str, second: &str| {
        format!(
            r#"{{"a":{{"dtype":"F32","shape":[2],"data_offsets":{first}}},"b":{{"dtype":"F32","shape":[2],"data_offsets":{second}}}}}"#
        )
    };
    let one = |entry: &str| format!(r#"{{"w":{{{entry}}}}}"#);
    let cases: Vec<(&str, String)> = vec![
        ("its header is not JSON: EOF", r#"{"w":"#.into()),
        ("its header is not JSON: trailing", "{}{}".into()),
        ("its header is not JSON: recursion limit", format!("{{\"w\":{}", "[".repeat(100_000))),
        ("tensor `w` of its header has no `dtype`", one(r#""shape":[1],"data_offsets":[0,4]"#)),
        (
            "tensor `w` of its header has the unknown dtype \"F99\"",
            one(r#""dtype":"F99","shape":[1],"data_offsets":[0,4]"#),
        ),
        (
            "tensor `w` has the element type F8_E4M3, which is not read here",
            one(r#""dtype":"F8_E4M3","shape":[16],"data_offsets":[0,16]"#),
        ),
        (
            "tensor `w` of its header has no `shape` of whole numbers",
            one(r#""dtype":"F32","shape":[-1],"data_offsets":[0,4]"#),
        ),
        (
            "tensor `w` of its header has no `data_offsets` of two",
            one(r#""dtype":"F32","shape":[1],"data_offsets":[0]"#),
        ),
        (
            "tensor `w` of its header needs 8 bytes for F32 [2], its offsets give 4",
            one(r#""dtype":"F32","shape":[2],"data_offsets":[0,4]"#),
        ),
        (
            "tensor `w` of its header ends before it starts: 4..0",
            one(r#""dtype":"F32","shape":[1],"data_offsets":[4,0]"#),
        ),
        (
            "tensor `w` of its header has a shape beyond every size",
            one(r#""dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]"#),
        ),
        (
            "tensor `b` overlaps the tensor before it: expected to start at byte 8, found 4",
            two("[0,8]", "[4,12]"),
        ),
        (
            "tensor `b` leaves a gap before it: expected to start at byte 8, found 9",
            two("[0,8]", "[9,17]"),
        ),
        (
            "tensor `w` leaves a gap before it: expected to start at byte 0, found 4",
            one(r#""dtype":"F32","shape":[1],"data_offsets":[4,8]"#),
        ),
        (
            "8 bytes follow its last tensor",
            one(r#""dtype":"F32","shape":[2],"data_offsets":[0,8]"#),
        ),
        ("`__metadata__` is not an object of strings", r#"{"__metadata__":{"a":1}}"#.into()),
        ("its last tensor needs ", one(r#""dtype":"F32","shape":[5],"data_offsets":[0,20]"#)),
    ];
    for (what, header) in cases {
        safetensors(&path, &header, &[0; 16]);
        let error = Checkpoint::open(&path).expect_err(what).to_string();
        assert!(
            error.contains(what) && error.contains("x.safetensors"),
            "expected {what:?} in: {error}"
        );
    }
    std::fs::write(&path, [b"\x03\0\0\0\0\0\0\0{\xff}".as_slice(), &[0; 16]].concat()).unwrap();
    let error = Checkpoint::open(&path).unwrap_err().to_string();
    assert!(error.contains("its header is not JSON"), "{error}");
}

/// A length is believed only where the file has that many bytes, so a lie costs nothing.
#[test]
fn a_header_longer_than_the_file_is_refused_without_allocating() {
    let folder = folder();
    let path = folder.path().join("x.safetensors");
    for length in [100u64, 99_999_999, 100_000_001, 1 << 40, u64::MAX - 8, u64::MAX] {
        std::fs::write(&path, [length.to_le_bytes().as_slice(), b"{}"].concat()).unwrap();
        let error = Checkpoint::open(&path).unwrap_err();
        if length <= 100_000_000 {
            assert!(
                matches!(&error, WeightsError::Truncated { expected, found: 10, .. } if *expected == length + 8),
                "{error}"
            );
        } else {
            assert!(error.to_string().contains(&format!("claims {length} bytes")), "{error}");
        }
    }
}
