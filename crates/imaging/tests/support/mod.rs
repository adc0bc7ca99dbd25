//! Where the fixtures lie, and what they hold.
#![allow(dead_code, reason = "each test binary uses its own part of this module")]

use std::path::PathBuf;

/// A file of `testdata/imaging`.
pub fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../../testdata/imaging", name].iter().collect()
}

/// The bytes that hexadecimal digits spell.
pub fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}
