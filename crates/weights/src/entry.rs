//! One tensor of a checkpoint, and where its bytes are.

use std::borrow::Cow;
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

use medparse_kernels::mapped::MappedFile;

use crate::element::decode;
use crate::{ElementType, WeightsError};

/// One tensor of a [`Checkpoint`](crate::Checkpoint), whose bytes are read when asked for.
///
/// It keeps the file open by itself, so it may be cloned, moved to another thread and outlive its checkpoint.
#[derive(Clone, Debug)]
pub struct Entry {
    name: String,
    shape: Vec<usize>,
    element_type: ElementType,
    path: Arc<Path>,
    storage: Storage,
}

#[derive(Clone, Debug)]
enum Storage {
    /// The reader's handle, and the most bytes the tensor may expand to.
    Torch { tensor: pytorch_reader::Tensor, limit: usize },
    /// A part of a safetensors file.
    Mapped { map: Arc<FileBytes>, bytes: Range<usize> },
}

/// A whole safetensors file.
#[derive(Debug)]
pub(crate) enum FileBytes {
    /// On disk.
    Mapped(MappedFile),
    /// In the program.
    Embedded(&'static [u8]),
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Embedded(bytes) => bytes,
        }
    }
}

impl Entry {
    pub(crate) fn torch(
        name: String,
        path: Arc<Path>,
        element_type: ElementType,
        tensor: pytorch_reader::Tensor,
        limit: usize,
    ) -> Self {
        let shape = tensor.shape().to_vec();
        Self { name, shape, element_type, path, storage: Storage::Torch { tensor, limit } }
    }

    pub(crate) fn mapped(
        name: String,
        path: Arc<Path>,
        element_type: ElementType,
        shape: Vec<usize>,
        map: Arc<FileBytes>,
        bytes: Range<usize>,
    ) -> Self {
        Self { name, shape, element_type, path, storage: Storage::Mapped { map, bytes } }
    }

    /// The key in the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Extents, outermost first; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The type stored in the file.
    pub fn element_type(&self) -> ElementType {
        self.element_type
    }

    /// How many elements it has: the product of the shape.
    pub fn element_count(&self) -> usize {
        self.byte_len() / self.element_type.size()
    }

    /// How many bytes [`read_bytes`](Self::read_bytes) gives.
    pub fn byte_len(&self) -> usize {
        match &self.storage {
            Storage::Torch { tensor, .. } => tensor.byte_len(),
            Storage::Mapped { bytes, .. } => bytes.len(),
        }
    }

    /// The elements as stored: little-endian, contiguous, in C order.
    ///
    /// A safetensors file lends its mapped pages without a copy; a PyTorch file is read, and a transposed or sliced view
    /// of a larger storage gathered.
    ///
    /// # Errors
    ///
    /// [`WeightsError::Damaged`] for a missing or short storage, a wrong checksum, or a view that repeats its storage to
    /// more than 64 MiB and more than the file holds; [`WeightsError::Io`] when the operating system refuses.
    pub fn read_bytes(&self) -> Result<Cow<'_, [u8]>, WeightsError> {
        match &self.storage {
            Storage::Mapped { map, bytes } => map
                .get(bytes.clone())
                .map(Cow::Borrowed)
                .ok_or_else(|| self.damaged("its bytes lie outside the file")),
            Storage::Torch { tensor, limit } => {
                let needed = tensor.byte_len();
                if needed > *limit {
                    return Err(self.damaged(format!(
                        "its view repeats a small storage to {needed} bytes, at most {limit} are accepted"
                    )));
                }
                tensor.read().map(Cow::Owned).map_err(|e| self.unreadable(e))
            }
        }
    }

    /// The elements as `f32`, in C order; `f16` and `bf16` convert exactly, `f64` to the nearest.
    ///
    /// # Errors
    ///
    /// As [`read_bytes`](Self::read_bytes), and [`WeightsError::NotFloat`] for integers and booleans.
    pub fn read_f32(&self) -> Result<Vec<f32>, WeightsError> {
        if !self.element_type.is_float() {
            return Err(self.not_float());
        }
        decode(&self.read_bytes()?, self.element_type).ok_or_else(|| self.not_float())
    }

    fn not_float(&self) -> WeightsError {
        WeightsError::NotFloat {
            path: self.path.to_path_buf(),
            name: self.name.clone(),
            found: self.element_type,
        }
    }

    fn damaged(&self, reason: impl Into<String>) -> WeightsError {
        WeightsError::Damaged {
            path: self.path.to_path_buf(),
            name: self.name.clone(),
            reason: reason.into(),
        }
    }

    fn unreadable(&self, error: io::Error) -> WeightsError {
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                let reason = error.to_string();
                // The reader names the tensor as well.
                let prefix = format!("tensor '{}': ", self.name);
                self.damaged(reason.strip_prefix(&prefix).unwrap_or(&reason))
            }
            _ => WeightsError::io(&self.path, "read", error),
        }
    }
}
