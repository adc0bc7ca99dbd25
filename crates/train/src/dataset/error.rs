//! What can be wrong with a dataset.

use std::path::PathBuf;

/// Why a dataset, or one of its files, can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A file can't be opened or read.
    #[error("can't read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The list of pictures is not what it should be.
    #[error("{path} is not a list of labelled pictures: {reason}")]
    Index {
        /// The list.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// A picture or mask can't be decoded.
    #[error("{path}: {source}")]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: medparse_imaging::Error,
    },
    /// A volume can't be decoded.
    #[error("{path} is not a volume this program reads: {reason}")]
    Volume {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A mask has another size than its picture.
    #[error(
        "{path} has {found_width}×{found_height} pixels; expected {width}×{height} as its picture has",
        found_width = found.0, found_height = found.1, width = expected.0, height = expected.1
    )]
    SizeMismatch {
        /// The mask.
        path: PathBuf,
        /// The picture's width and height.
        expected: (u32, u32),
        /// The mask's.
        found: (u32, u32),
    },
    /// A mask that marks nothing.
    #[error("{path} marks no pixel as {target}")]
    EmptyMask {
        /// The mask.
        path: PathBuf,
        /// What it should mark.
        target: String,
    },
    /// A folder of no layout that is known.
    #[error(
        "{path} is no dataset: expected an index.json, or the folders train/ and train_mask/ (or test/ and test_mask/)"
    )]
    Layout {
        /// The folder.
        path: PathBuf,
    },
    /// A file's name does not say what is in it.
    #[error("{path}: expected a name of the form {expected}")]
    Name {
        /// The file.
        path: PathBuf,
        /// The form.
        expected: &'static str,
    },
    /// There is nothing to train on.
    #[error("{path} lists no labelled picture")]
    Empty {
        /// The folder or list.
        path: PathBuf,
    },
}
