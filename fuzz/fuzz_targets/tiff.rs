//! TIFF of either byte order, strips and tiles.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| medparse_fuzz::volume(bytes));
