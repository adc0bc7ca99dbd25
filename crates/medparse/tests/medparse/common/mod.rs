//! The fixtures in `testdata/`, and the reference data beside the repository.

use std::path::PathBuf;

use serde::de::DeserializeOwned;

pub fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata")).join(name)
}

pub fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub fn json<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_slice(&bytes(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A file of the reference data, which is too big for the repository; says so where it is not
/// there.
#[allow(clippy::print_stderr, reason = "a skipped test must say so")]
pub fn reference(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("MEDPARSE_REFERENCE_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let file = folder.join("golden").join(name);
    if !file.exists() {
        eprintln!("skipped: no {name} in the reference data (MEDPARSE_REFERENCE_DIR)");
        return None;
    }
    Some(file)
}
