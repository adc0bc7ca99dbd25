//! NRRD, raw and in gzip.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| medparse_fuzz::volume(&medparse_fuzz::after(b"NRRD000", bytes)));
