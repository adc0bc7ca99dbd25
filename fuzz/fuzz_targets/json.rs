//! Bodies of requests and replies: tables, MLflow's forms, tensors.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| medparse_fuzz::read_body(body));
