//! DICOM in: one file or a series becomes a [`Volume`](crate::Volume). DICOM out: segmentations and structure sets.
//!
//! dicom-rs reads the data set; this module walks it first, so that lengths, depth and counts are held against the file
//! before anything is allocated, and decodes the pixels itself with codecs that are all safe Rust.

mod attributes;
mod codec;
mod codes;
mod color;
mod file;
mod frames;
mod lut;
mod origin;
mod outline;
mod segmentation;
mod series;
mod stack;
mod structure_set;
mod syntax;
mod write;

pub(crate) use file::volume;
pub use origin::{Instance, Origin};
pub(crate) use segmentation::{SegmentationKind, check_segmentation, segmentation};
pub(crate) use series::folder;
pub use series::series_sizes;
pub(crate) use structure_set::{check_structure_set, structure_set};

/// Whether bytes are a DICOM file: its mark behind the preamble, or a file meta group without one.
pub(crate) fn is_dicom(bytes: &[u8]) -> bool {
    bytes.get(128..132) == Some(b"DICM") || bytes.starts_with(b"\x02\0\0\0UL\x04\0")
}

/// An error in the words of this format.
fn damaged(detail: impl Into<String>) -> crate::Error {
    crate::Error::Damaged { format: crate::Format::Dicom, detail: detail.into() }
}

fn unsupported(detail: impl Into<String>) -> crate::Error {
    crate::Error::Unsupported { format: crate::Format::Dicom, detail: detail.into() }
}
