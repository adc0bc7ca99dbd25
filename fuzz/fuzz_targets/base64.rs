//! A picture's base64 against a plain decoder.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| medparse_fuzz::compare_base64(bytes));
