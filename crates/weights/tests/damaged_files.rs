//! Files that are not checkpoints, or not all of one: an error that says so, never a panic.

#[path = "../../../fuzz/src/checkpoint.rs"]
mod checkpoint;
mod common;

use std::fs;
use std::sync::OnceLock;

use common::{memory_folder, testdata};
use medparse_weights::{Checkpoint, FloatType, TensorSource, WeightsError, write_safetensors};
use proptest::prelude::*;

#[test]
fn what_is_not_a_checkpoint_is_told_by_its_content() {
    let folder = memory_folder();
    let path = folder.path().join("model.pt");
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    let cases: [(&str, &[u8]); 9] = [
        ("an empty file", b""),
        ("a web page", b"\n<!DOCTYPE html><title>401</title>"),
        ("a web page", b"<HTML>"),
        ("a Git LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n"),
        ("an empty zip archive", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        ("a plain pickle", b"\x80\x02}."),
        ("a tar archive", &tar),
        ("a gzip file", b"\x1f\x8b\x08"),
        ("the bytes 68 65 6c 6c 6f", b"hello"),
    ];
    for (what, content) in cases {
        fs::write(&path, content).unwrap();
        let error = Checkpoint::open(&path).expect_err(what);
        assert!(matches!(error, WeightsError::NotACheckpoint { .. }), "{error}");
        assert!(
            error.to_string().contains(what) && error.to_string().contains("model.pt"),
            "{error}"
        );
    }
    let error = Checkpoint::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("found a folder"), "{error}");
    #[cfg(unix)]
    {
        let error = Checkpoint::open("/dev/zero").unwrap_err();
        assert!(error.to_string().contains("found a pipe or device"), "{error}");
    }
    let error = Checkpoint::open(folder.path().join("absent.pt")).unwrap_err();
    assert!(matches!(error, WeightsError::NotFound { .. }), "{error}");
    assert!(error.to_string().ends_with("absent.pt"), "{error}");
}

/// A download that stopped, at any length.
#[test]
fn a_shortened_file_is_an_error_at_every_length() {
    let folder = memory_folder();
    for (name, whole) in samples() {
        let path = folder.path().join(name);
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let error = match Checkpoint::open(&path) {
                Err(error) => error,
                // A legacy file ends with its last storage's bytes.
                Ok(checkpoint) => {
                    checkpoint.entries().find_map(|entry| entry.read_bytes().err()).unwrap_or_else(
                        || panic!("{name} reads as whole at {length} of {} bytes", whole.len()),
                    )
                }
            };
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}

#[test]
fn a_truncated_archive_says_that_it_may_be_cut_short() {
    let folder = memory_folder();
    let path = folder.path().join("half.pt");
    let whole = fs::read(testdata("weights/views.pt")).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let error = Checkpoint::open(&path).unwrap_err().to_string();
    assert!(
        error.contains("its zip directory") && error.contains("cut short at its 1091 bytes"),
        "{error}"
    );
}

/// One flipped bit within a storage fails that tensor's checksum, by name, and leaves the others readable.
#[test]
fn a_flipped_bit_in_a_storage_is_found_by_its_checksum() {
    let folder = memory_folder();
    let path = folder.path().join("x.pt");
    let mut bytes = fs::read(testdata("weights/state_dict.pt")).unwrap();
    let weight = Checkpoint::open(testdata("weights/state_dict.pt")).unwrap();
    let stored = weight.require("0.weight").unwrap().read_bytes().unwrap().into_owned();
    let at = bytes.windows(stored.len()).position(|window| window == stored).unwrap();
    bytes[at + 5] ^= 0x10;
    fs::write(&path, bytes).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    let error = checkpoint.require("0.weight").unwrap().read_f32().unwrap_err();
    assert!(matches!(&error, WeightsError::Damaged { name, .. } if name == "0.weight"), "{error}");
    assert!(error.to_string().contains("checksum"), "{error}");
    assert!(checkpoint.require("0.bias").unwrap().read_f32().is_ok());
}

#[test]
fn a_flipped_bit_in_the_pickle_is_told_as_damage() {
    let folder = memory_folder();
    let path = folder.path().join("x.pt");
    let mut bytes = fs::read(testdata("weights/state_dict.pt")).unwrap();
    // "collections" becomes "collectionr", an import that would be refused.
    let at = bytes.windows(12).position(|window| window == b"collections\n").unwrap();
    bytes[at + 10] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = Checkpoint::open(&path).unwrap_err().to_string();
    assert!(error.contains("is damaged") && error.to_lowercase().contains("checksum"), "{error}");
}

/// Small valid files of every format, with the names they are saved under.
fn samples() -> &'static [(&'static str, Vec<u8>)] {
    static SAMPLES: OnceLock<Vec<(&str, Vec<u8>)>> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let folder = memory_folder();
        let path = folder.path().join("x");
        let values: Vec<f32> = (0..6).map(|i| i as f32).collect();
        let tensors = [
            TensorSource::values("w", [2, 3], FloatType::F32, &values),
            TensorSource::values("v", [6], FloatType::F16, &values),
        ];
        let metadata = [("config".to_string(), "a: 1".to_string())].into();
        write_safetensors(&path, &tensors, &metadata, &mut |_| {}).unwrap();
        let mut samples = vec![("x.safetensors", fs::read(&path).unwrap())];
        for name in ["views.pt", "legacy.pt", "protocol4.pt"] {
            samples.push((name, fs::read(testdata("weights").join(name)).unwrap()));
        }
        samples
    })
}

/// Opens whatever stands there and reads all of it; only a panic or an abort fails.
fn exercise(bytes: &[u8]) {
    let folder = memory_folder();
    let path = folder.path().join("x");
    fs::write(&path, bytes).unwrap();
    checkpoint::read_all(&path);
}

/// Every pickle opcode, so that random programs get beyond their first byte.
const OPCODES: &[u8] = b"(.0122FGIJKLMNPQRSTUVXabcdeghijloprstu])}q\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96";

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), kind in 0..5usize) {
        let opening: &[u8] = [b"".as_slice(), b"PK\x03\x04", b"\x40\0\0\0\0\0\0\0{", b"\x80\x02", b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."][kind];
        exercise(&[opening, &bytes].concat());
    }

    #[test]
    fn mutations_of_valid_files_never_panic(
        sample in 0..4usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = samples()[sample].1.clone();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        exercise(&bytes);
    }

    #[test]
    fn random_pickles_never_panic(
        program in prop::collection::vec((prop::sample::select(OPCODES), prop::collection::vec(0..12u8, 0..3)), 0..200),
    ) {
        let folder = memory_folder();
        let path = folder.path().join("x.pt");
        let mut pickle = vec![0x80, 4];
        for (opcode, argument) in program {
            pickle.push(opcode);
            pickle.extend(argument);
        }
        common::torch_with_pickle(&path, &pickle);
        exercise(&fs::read(&path).unwrap());
    }

    /// The header as text, where edits keep the JSON plausible.
    #[test]
    fn random_safetensors_headers_never_panic(
        shape in prop::collection::vec(prop_oneof![0..4u64, any::<u64>()], 0..4),
        dtype in prop::sample::select(["F32", "F16", "F4", "F6_E2M3", "BOOL", "X"].as_slice()),
        start in prop_oneof![Just(0u64), 0..64u64, any::<u64>()],
        end in prop_oneof![0..64u64, any::<u64>()],
        data in 0..64usize,
    ) {
        let header = format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}}}"#);
        let folder = memory_folder();
        let path = folder.path().join("x");
        common::safetensors(&path, &header, &vec![0; data]);
        exercise(&fs::read(&path).unwrap());
    }
}
