//! JPEG, baseline and progressive.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = medparse_imaging::Picture::decode(bytes, &medparse_fuzz::LIMITS);
    medparse_fuzz::volume(bytes);
});
