//! How a checkpoint file is laid out, told by its content.

use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::WeightsError;

/// How a checkpoint file is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// `torch.save` since PyTorch 1.6: a zip archive with a pickle and one entry per storage.
    TorchZip,
    /// `torch.save` before PyTorch 1.6: consecutive pickles followed by the storages.
    TorchLegacy,
    /// A JSON header followed by the tensors.
    Safetensors,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TorchZip => "PyTorch (zip)",
            Self::TorchLegacy => "PyTorch (before 1.6)",
            Self::Safetensors => "safetensors",
        })
    }
}

/// Tells the format by the file's first bytes.
pub(crate) fn detect(path: &Path) -> Result<Format, WeightsError> {
    /// The legacy magic number 0x1950a86a20f9469cfc6c, which stands in the first pickle behind its framing.
    const LEGACY: &[u8] = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    /// Where a tar header has its magic.
    const TAR: Range<usize> = 257..262;

    let kind = fs::metadata(path).map_err(|e| WeightsError::io(path, "open", e))?;
    if !kind.is_file() {
        let found = if kind.is_dir() { "a folder" } else { "a pipe or device" };
        return Err(not_a_checkpoint(path, found));
    }
    let mut head = Vec::new();
    let file = File::open(path).map_err(|e| WeightsError::io(path, "open", e))?;
    file.take(512).read_to_end(&mut head).map_err(|e| WeightsError::io(path, "read", e))?;

    let signatures: &[(&[u8], &str)] = &[
        (b"PK\x05\x06", "an empty zip archive"),
        (b"\x80", "a plain pickle without tensor storages"),
        (b"\x1f\x8b", "a gzip file: unpack it first"),
        (b"\x89HDF", "an HDF5 file"),
        (b"\x93NUMPY", "a NumPy array"),
        (b"GGUF", "a GGUF file"),
        (b"version https://git-lfs", "a Git LFS pointer, not the file it stands for"),
        (b"\x89PNG", "a PNG image"),
        (b"\xff\xd8\xff", "a JPEG image"),
        (b"%PDF", "a PDF document"),
    ];
    let start = head.trim_ascii_start();
    let opening = head.get(..64).unwrap_or(&head);
    if head.starts_with(b"PK\x03\x04") {
        Ok(Format::TorchZip)
    } else if opening.windows(LEGACY.len()).any(|window| window == LEGACY) {
        Ok(Format::TorchLegacy)
    } else if head.get(8) == Some(&b'{') {
        Ok(Format::Safetensors)
    } else if head.is_empty() {
        Err(not_a_checkpoint(path, "an empty file"))
    } else if head.get(TAR) == Some(b"ustar") {
        Err(not_a_checkpoint(
            path,
            "a tar archive (PyTorch before 0.1.10 wrote those: save it anew)",
        ))
    } else if start
        .get(..5)
        .is_some_and(|s| s.eq_ignore_ascii_case(b"<!doc") || s.eq_ignore_ascii_case(b"<html"))
    {
        Err(not_a_checkpoint(path, "a web page: the download gave a page instead of the file"))
    } else if let Some((_, what)) = signatures.iter().find(|(magic, _)| head.starts_with(magic)) {
        Err(not_a_checkpoint(path, what))
    } else {
        let bytes: Vec<String> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Err(not_a_checkpoint(path, &format!("a file opening with the bytes {}", bytes.join(" "))))
    }
}

fn not_a_checkpoint(path: &Path, found: &str) -> WeightsError {
    WeightsError::NotACheckpoint { path: PathBuf::from(path), found: found.into() }
}
