//! What the fuzz targets' corpora hold, tried again with the targets' own checks on every build.

#[path = "../../../fuzz/src/base64.rs"]
mod base64;
#[path = "../../../fuzz/src/body.rs"]
mod body;

use std::path::Path;

fn each(corpus: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(corpus);
    let mut tried = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        check(&std::fs::read(entry.unwrap().path()).unwrap());
        tried += 1;
    }
    assert!(tried > 0, "the corpus {corpus} is part of the project");
}

#[test]
fn bodies_are_read_or_refused() {
    each("json", body::read);
}

#[test]
fn base64_is_decoded_as_a_plain_decoder_does() {
    each("base64", base64::compare);
}
