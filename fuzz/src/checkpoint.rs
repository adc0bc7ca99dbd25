//! Bytes as a file of weights.

use std::path::Path;

use medparse_weights::Checkpoint;

/// What one tensor may take before it is left unread: the files are a few kilobytes long.
const READ_LIMIT: usize = 1 << 22;

/// Opens a file of weights and reads every tensor that it claims to have: bytes or an error, never a panic.
pub fn read_all(path: &Path) {
    let checkpoint = match Checkpoint::open(path) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    for entry in checkpoint.entries().filter(|entry| entry.byte_len() <= READ_LIMIT) {
        if let Ok(bytes) = entry.read_bytes() {
            assert_eq!(bytes.len(), entry.byte_len(), "{}", entry.name());
        }
        if let Ok(values) = entry.read_f32() {
            assert_eq!(values.len(), entry.element_count(), "{}", entry.name());
        }
    }
    assert!(checkpoint.names().all(|name| checkpoint.require(name).is_ok()));
}
