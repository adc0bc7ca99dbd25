//! An opened checkpoint: its format told by content, its tensors by name.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use medparse_kernels::mapped::MappedFile;

use crate::element::decode;
use crate::{ElementType, WeightsError, safetensors_reader, torch_reader};

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

/// An opened checkpoint file, of which only names, shapes, element types and offsets were read.
#[derive(Debug)]
pub struct Checkpoint {
    path: Arc<Path>,
    format: Format,
    entries: Vec<Entry>,
    index: HashMap<String, usize>,
    metadata: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Opens a PyTorch or safetensors file, told apart by content and not by the name's extension.
    ///
    /// A PyTorch file holds a state dict at its root or under `state_dict`, `model_state_dict` or `model`; its names come
    /// without that key. A safetensors file stays mapped while the checkpoint or one of its entries lives: see
    /// [`MappedFile`] for what changing it meanwhile does.
    ///
    /// # Errors
    ///
    /// Every [`WeightsError`] about files: none there, no checkpoint, cut short, malformed, a pickle that imports anything
    /// but plain data, no state dict in it. No error depends on a tensor's values: those are not read yet.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        let path: Arc<Path> = path.as_ref().into();
        let format = detect(&path)?;
        let mut metadata = BTreeMap::new();
        let entries = match format {
            Format::TorchZip | Format::TorchLegacy => torch_reader::read(&path, format)?,
            Format::Safetensors => {
                let map =
                    MappedFile::open(&path).map_err(|e| WeightsError::io(&path, "open", e))?;
                let (entries, found) = safetensors_reader::read(&path, FileBytes::Mapped(map))?;
                metadata = found;
                entries
            }
        };
        Ok(Self::new(path, format, entries, metadata))
    }

    /// Opens a safetensors file that is part of the program; `name` stands for its path in messages.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), for what is no safetensors file.
    pub fn embedded(name: &str, file: &'static [u8]) -> Result<Self, WeightsError> {
        let path: Arc<Path> = Path::new(name).into();
        let (entries, metadata) = safetensors_reader::read(&path, FileBytes::Embedded(file))?;
        Ok(Self::new(path, Format::Safetensors, entries, metadata))
    }

    fn new(
        path: Arc<Path>,
        format: Format,
        entries: Vec<Entry>,
        metadata: BTreeMap<String, String>,
    ) -> Self {
        let index = entries.iter().enumerate().map(|(i, entry)| (entry.name.clone(), i)).collect();
        Self { path, format, entries, index, metadata }
    }

    /// The path it was opened from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The layout found.
    pub fn format(&self) -> Format {
        self.format
    }

    /// How many tensors it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has no tensor.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The tensors' names, in the file's order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.entries.iter().map(Entry::name)
    }

    /// The tensors, in the file's order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The tensor of this name, if there is one.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.index.get(name).and_then(|&i| self.entries.get(i))
    }

    /// The tensor of this name.
    ///
    /// # Errors
    ///
    /// [`WeightsError::MissingTensor`] with the nearest names.
    pub fn require(&self, name: &str) -> Result<&Entry, WeightsError> {
        self.get(name).ok_or_else(|| WeightsError::MissingTensor {
            path: self.path.to_path_buf(),
            name: name.into(),
            similar: self.similar(name),
        })
    }

    /// Up to three names that look like `name`, best first: for a "did you mean".
    pub fn similar(&self, name: &str) -> Vec<String> {
        let mut scored: Vec<(f64, &str)> = self
            .names()
            .map(|candidate| (strsim::normalized_damerau_levenshtein(name, candidate), candidate))
            .filter(|&(likeness, _)| likeness >= 0.75)
            .collect();
        scored.sort_by(|(a, left), (b, right)| b.total_cmp(a).then_with(|| left.cmp(right)));
        scored.into_iter().take(3).map(|(_, candidate)| candidate.into()).collect()
    }

    /// The safetensors header's `__metadata__`; empty for a PyTorch file.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }
}

/// One tensor of a checkpoint, whose bytes are read when asked for.
///
/// It keeps the file open by itself, so it may be cloned, moved to another thread and outlive its [`Checkpoint`].
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
    /// more than the file holds; [`WeightsError::Io`] when the operating system refuses.
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

    /// The mapped elements themselves, without a copy, where they are aligned `f32` of a safetensors file.
    pub fn mapped_f32(&self) -> Option<&[f32]> {
        match (&self.storage, self.element_type) {
            (Storage::Mapped { map, bytes }, ElementType::F32) => {
                bytemuck::try_cast_slice(map.get(bytes.clone())?).ok()
            }
            _ => None,
        }
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

/// Tells the format by the file's first bytes.
fn detect(path: &Path) -> Result<Format, WeightsError> {
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
