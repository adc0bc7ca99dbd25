//! The pickle of a PyTorch file, in a sound archive around it.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|pickle: &[u8]| medparse_fuzz::checkpoint(&medparse_fuzz::torch(pickle)));
