//! NIfTI-1 and NIfTI-2, plain and in gzip.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| medparse_fuzz::volume(bytes));
