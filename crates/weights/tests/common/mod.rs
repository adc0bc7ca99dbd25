//! What the tests of this crate share: fixtures, and PyTorch files put together byte by byte.
#![allow(dead_code, reason = "each test binary uses its own part of this module")]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A file of the workspace's `testdata` folder.
pub fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name)
}

pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A folder in memory where the system has one: thousands of small files wait long for a busy disk.
pub fn memory_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| folder())
}

/// Writes a zip archive of stored entries.
pub fn zip(path: &Path, entries: &[(&str, &[u8])]) {
    let mut zip = ZipWriter::new(File::create(path).unwrap());
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, content) in entries {
        zip.start_file(*name, stored).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap();
}

/// Writes a PyTorch file with this pickle and one storage of 4 KiB, `1.0` throughout.
pub fn torch_with_pickle(path: &Path, pickle: &[u8]) {
    let storage = 1.0f32.to_le_bytes().repeat(1024);
    zip(
        path,
        &[
            ("x/data.pkl", pickle),
            ("x/byteorder", b"little"),
            ("x/data/0", &storage),
            ("x/version", b"3\n"),
        ],
    );
}

/// A pickle of `{'w': tensor}`, the tensor being a view with these numbers of a storage declared to have `numel` floats.
pub fn one_tensor_pickle(numel: u64, offset: u64, shape: &[u64], stride: &[u64]) -> Vec<u8> {
    let mut pickle = b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
    pickle.extend(b"X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu");
    integer(&mut pickle, numel);
    pickle.extend(b"tQ");
    integer(&mut pickle, offset);
    for numbers in [shape, stride] {
        pickle.push(b'(');
        numbers.iter().for_each(|&n| integer(&mut pickle, n));
        pickle.push(b't');
    }
    pickle.extend(b"\x89}tRs.");
    pickle
}

fn integer(pickle: &mut Vec<u8>, value: u64) {
    pickle.extend(b"\x8a\x09");
    pickle.extend(value.to_le_bytes());
    pickle.push(0);
}

/// A safetensors file of this header, whatever it says, and these tensor bytes.
pub fn safetensors(path: &Path, header: &str, data: &[u8]) {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    std::fs::write(path, bytes).unwrap();
}
