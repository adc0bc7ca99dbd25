//! An opened checkpoint: its tensors by name.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use medparse_kernels::mapped::MappedFile;

use crate::entry::FileBytes;
use crate::format::detect;
use crate::{Entry, Format, WeightsError, safetensors_reader, torch_reader};

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
        let index = entries.iter().enumerate().map(|(i, entry)| (entry.name().into(), i)).collect();
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
