//! Every codec of DICOM's pixels, on frames of the fuzzer's.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(file) = medparse_fuzz::dicom(bytes) {
        medparse_fuzz::volume(&file);
    }
});
