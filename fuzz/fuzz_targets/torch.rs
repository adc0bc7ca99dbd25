//! PyTorch files as they lie on the disk: zip directories, streams from before 1.6, storages.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| medparse_fuzz::checkpoint(bytes));
