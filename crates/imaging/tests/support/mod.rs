//! Where the fixtures lie.

use std::path::PathBuf;

/// A file of `testdata/imaging`.
pub fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../../testdata/imaging", name].iter().collect()
}
