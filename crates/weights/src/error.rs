//! What can be wrong with a checkpoint file, each sentence naming the file, the rule and the value.

use std::io;
use std::path::{Path, PathBuf};

use crate::ElementType;

/// Why a checkpoint could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// Nothing is at the path.
    #[error("no such file: {}", path.display())]
    NotFound {
        /// The path asked for.
        path: PathBuf,
    },
    /// The operating system refused an operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done, as in "cannot … FILE".
        action: &'static str,
        /// The operating system's own error.
        source: io::Error,
    },
    /// The content is no checkpoint this crate reads.
    #[error(
        "{} is not a checkpoint: expected a PyTorch .pt or a safetensors file, found {found}",
        path.display()
    )]
    NotACheckpoint {
        /// The file.
        path: PathBuf,
        /// What the content looks like instead.
        found: String,
    },
    /// The file ends before what it declares.
    #[error("{} is cut short: {what} needs {expected} bytes, the file has {found}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What reaches past the end.
        what: String,
        /// Bytes the file declares.
        expected: u64,
        /// Bytes the file has.
        found: u64,
    },
    /// The zip, pickle or JSON structure breaks a rule of its format.
    #[error("{} is damaged: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The rule broken and where.
        reason: String,
    },
    /// A pickle imports something that is not plain data; nothing of it was run.
    #[error(
        "{} is refused: its pickle {what} `{name}`, which is not plain tensor data; nothing was run. \
         Files from an untrusted source may do this to run code; a whole pickled model does too: \
         save `model.state_dict()` instead",
        path.display()
    )]
    Forbidden {
        /// The file.
        path: PathBuf,
        /// What it does with the name, as in "its pickle … NAME".
        what: &'static str,
        /// The import, as `module.name`.
        name: String,
    },
    /// The pickle is sound, but its content is no flat dictionary of tensors.
    #[error(
        "{} holds no state dict: expected a dictionary of tensors, at the root or under \
         `state_dict`, `model_state_dict` or `model`; found {found}",
        path.display()
    )]
    NoStateDict {
        /// The file.
        path: PathBuf,
        /// What is there instead.
        found: String,
    },
    /// The file has no tensor of this name.
    #[error("{} has no tensor `{name}`{}", path.display(), did_you_mean(similar))]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        name: String,
        /// The nearest names of the file, best first.
        similar: Vec<String>,
    },
    /// A tensor's bytes are absent, too few, or fail their checksum.
    #[error("tensor `{name}` of {} cannot be read: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What is wrong with its bytes.
        reason: String,
    },
    /// Numbers were asked of a tensor that holds none.
    #[error("tensor `{name}` of {} holds {found}, expected a floating-point type", path.display())]
    NotFloat {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its element type.
        found: ElementType,
    },
    /// A tensor to be written has other than `shape` many values.
    #[error(
        "tensor `{name}` cannot be written to {}: shape {shape:?} of {element_type} needs {expected} bytes, \
         its source gave {found}",
        path.display()
    )]
    WrongLength {
        /// The file being written.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its declared shape.
        shape: Vec<usize>,
        /// Its declared element type.
        element_type: ElementType,
        /// Bytes that shape and type need.
        expected: u64,
        /// Bytes that its source gave.
        found: u64,
    },
    /// A finite value would be stored as an infinity.
    #[error(
        "tensor `{name}` cannot be stored as {element_type}: value {value} at index {index} is beyond its range"
    )]
    OutOfRange {
        /// The tensor.
        name: String,
        /// The type asked for.
        element_type: ElementType,
        /// Position in C order.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A tensor or metadata entry cannot be written under this name.
    #[error("cannot write {}: {reason}", path.display())]
    BadName {
        /// The file being written.
        path: PathBuf,
        /// The name and what is wrong with it.
        reason: String,
    },
    /// The producer of a tensor's values failed.
    #[error("the values of tensor `{name}` could not be produced: {source}")]
    Source {
        /// The tensor.
        name: String,
        /// The producer's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl WeightsError {
    /// An operating system's error, told apart into "no such file" and everything else.
    pub(crate) fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound if action == "open" => Self::NotFound { path: path.into() },
            _ => Self::Io { path: path.into(), action, source },
        }
    }

    pub(crate) fn malformed(path: &Path, reason: impl Into<String>) -> Self {
        Self::Malformed { path: path.into(), reason: reason.into() }
    }
}

fn did_you_mean(similar: &[String]) -> String {
    match similar {
        [] => String::new(),
        names => format!("; did you mean `{}`?", names.join("` or `")),
    }
}
