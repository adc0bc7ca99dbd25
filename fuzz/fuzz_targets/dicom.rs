//! DICOM data sets: lengths, nesting, tables, functional groups.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| medparse_fuzz::volume(bytes));
