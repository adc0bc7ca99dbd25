//! What the fuzz targets' corpora hold, tried again with the targets' own checks on every build.

#[path = "../../../fuzz/src/archive.rs"]
mod archive;
#[path = "../../../fuzz/src/checkpoint.rs"]
mod checkpoint;
mod common;

use std::path::Path;

use common::memory_folder;

fn each(corpus: &str, file: fn(&[u8]) -> Vec<u8>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(corpus);
    let memory = memory_folder();
    let mut tried = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = memory.path().join(tried.to_string());
        std::fs::write(&path, file(&std::fs::read(entry.unwrap().path()).unwrap())).unwrap();
        checkpoint::read_all(&path);
        tried += 1;
    }
    assert!(tried > 0, "the corpus {corpus} is part of the project");
}

#[test]
fn torch_files_are_read_or_refused() {
    each("torch", <[u8]>::to_vec);
}

#[test]
fn pickles_are_read_or_refused() {
    each("torch_pickle", archive::torch);
}

#[test]
fn safetensors_files_are_read_or_refused() {
    each("safetensors", <[u8]>::to_vec);
}

/// The archive around the fuzzed pickles is one that is opened, so that the fuzzer gets to the pickle.
#[test]
fn the_fuzzed_archive_is_sound() {
    let memory = memory_folder();
    let path = memory.path().join("sound.pt");
    let pickle = common::one_tensor_pickle(16, 0, &[2, 4], &[4, 1]);
    std::fs::write(&path, archive::torch(&pickle)).unwrap();
    let checkpoint = medparse_weights::Checkpoint::open(&path).unwrap();
    let bytes = checkpoint.require("w").unwrap().read_bytes().unwrap().into_owned();
    assert_eq!(bytes, (0..32).collect::<Vec<u8>>());
}
