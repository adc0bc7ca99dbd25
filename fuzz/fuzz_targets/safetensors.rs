//! Safetensors files: lengths, headers, offsets.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| medparse_fuzz::checkpoint(bytes));
