//! Tensors to be written, whose values are produced one tensor at a time.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use crate::atomic::WriteError;
use crate::element::{decode, encode};
use crate::{ElementType, Entry, FloatType, WeightsError};

/// Takes a tensor's bytes.
type Sink<'s> = &'s mut dyn FnMut(&[u8]) -> Result<(), WeightsError>;

/// Hands a tensor's bytes, once produced, to a sink, so that values need no copy to become bytes.
type Producer<'a> = Box<dyn Fn(Sink<'_>) -> Result<(), WeightsError> + Send + Sync + 'a>;

/// One named tensor to be written: its shape and type now, its values when the writer reaches it.
///
/// A writer holds the values of one tensor at a time, so a file may be larger than memory.
pub struct TensorSource<'a> {
    name: String,
    shape: Vec<usize>,
    element_type: ElementType,
    produce: Producer<'a>,
}

impl<'a> TensorSource<'a> {
    /// A tensor whose values, in C order, `produce` computes when the writer asks, stored as `float`.
    ///
    /// An error of `produce` ends the writing as [`WeightsError::Source`].
    pub fn lazy<F, E>(
        name: impl Into<String>,
        shape: impl Into<Vec<usize>>,
        float: FloatType,
        produce: F,
    ) -> Self
    where
        F: Fn() -> Result<Vec<f32>, E> + Send + Sync + 'a,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let name = name.into();
        let context = name.clone();
        Self {
            name,
            shape: shape.into(),
            element_type: float.into(),
            produce: Box::new(move |sink| {
                let values = produce().map_err(|e| WeightsError::Source {
                    name: context.clone(),
                    source: e.into(),
                })?;
                sink(&stored(&context, &values, float)?)
            }),
        }
    }

    /// A tensor whose values, in C order, are already in memory, stored as `float`.
    pub fn values(
        name: impl Into<String>,
        shape: impl Into<Vec<usize>>,
        float: FloatType,
        values: impl Into<Cow<'a, [f32]>>,
    ) -> Self {
        let name = name.into();
        let context = name.clone();
        let values = values.into();
        Self {
            name,
            shape: shape.into(),
            element_type: float.into(),
            produce: Box::new(move |sink| sink(&stored(&context, &values, float)?)),
        }
    }

    /// A tensor whose elements, little-endian and in C order, are already in memory.
    pub fn bytes(
        name: impl Into<String>,
        shape: impl Into<Vec<usize>>,
        element_type: ElementType,
        bytes: impl Into<Cow<'a, [u8]>>,
    ) -> Self {
        let bytes = bytes.into();
        Self {
            name: name.into(),
            shape: shape.into(),
            element_type,
            produce: Box::new(move |sink| sink(&bytes)),
        }
    }

    /// A tensor of another file, byte for byte.
    pub fn copy(entry: &'a Entry) -> Self {
        Self {
            name: entry.name().into(),
            shape: entry.shape().into(),
            element_type: entry.element_type(),
            produce: Box::new(|sink| sink(&entry.read_bytes()?)),
        }
    }

    /// A tensor of another file, stored as `float` if it is of a floating-point type and byte for byte if not.
    pub fn convert(entry: &'a Entry, float: FloatType) -> Self {
        if entry.element_type() == float.into() || !entry.element_type().is_float() {
            return Self::copy(entry);
        }
        Self {
            name: entry.name().into(),
            shape: entry.shape().into(),
            element_type: float.into(),
            produce: Box::new(move |sink| sink(&stored(entry.name(), &entry.read_f32()?, float)?)),
        }
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

    /// Bytes in the file, or `None` where the shape's product overflows.
    pub(crate) fn byte_len(&self) -> Option<u64> {
        self.shape.iter().try_fold(self.element_type.size() as u64, |product, &extent| {
            product.checked_mul(u64::try_from(extent).ok()?)
        })
    }

    /// The values as they would be read back from the file, in C order.
    ///
    /// # Errors
    ///
    /// What producing them meets; [`WeightsError::Source`] for an element type that holds no floating-point numbers.
    pub fn read_f32(&self) -> Result<Vec<f32>, WeightsError> {
        let mut values = None;
        (self.produce)(&mut |bytes| {
            values = decode(bytes, self.element_type);
            Ok(())
        })?;
        values.ok_or_else(|| WeightsError::Source {
            name: self.name.clone(),
            source: format!("{} holds no floating-point numbers", self.element_type).into(),
        })
    }
}

impl fmt::Debug for TensorSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TensorSource")
            .field("name", &self.name)
            .field("shape", &self.shape)
            .field("element_type", &self.element_type)
            .finish_non_exhaustive()
    }
}

fn stored<'v>(
    name: &str,
    values: &'v [f32],
    float: FloatType,
) -> Result<Cow<'v, [u8]>, WeightsError> {
    encode(values, float).map_err(|(index, value)| WeightsError::OutOfRange {
        name: name.into(),
        element_type: float.into(),
        index,
        value,
    })
}

/// How far a file is written; reported after each tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Tensors written.
    pub tensors: usize,
    /// Tensors in all.
    pub total_tensors: usize,
    /// Bytes of tensors written.
    pub bytes: u64,
    /// Bytes of tensors in all.
    pub total_bytes: u64,
}

/// Checks names and sizes before a byte is written: unique names, sizes that fit the file's offsets.
pub(crate) fn total_bytes(path: &Path, tensors: &[TensorSource<'_>]) -> Result<u64, WeightsError> {
    let refuse = |reason| WeightsError::BadName { path: path.into(), reason };
    let mut seen = HashSet::new();
    tensors.iter().try_fold(0u64, |total, tensor| {
        if !seen.insert(tensor.name()) {
            return Err(refuse(format!("two tensors have the name `{}`", tensor.name())));
        }
        let bytes = tensor.byte_len().filter(|&bytes| i64::try_from(bytes).is_ok());
        bytes.and_then(|bytes| total.checked_add(bytes)).ok_or_else(|| {
            refuse(format!(
                "tensor `{}` of shape {:?} is beyond every size",
                tensor.name(),
                tensor.shape()
            ))
        })
    })
}

/// Hands each tensor's bytes to `write`, one tensor in memory at a time, and reports after each.
pub(crate) fn stream<'t, 'a: 't>(
    path: &Path,
    tensors: impl ExactSizeIterator<Item = &'t TensorSource<'a>>,
    total_bytes: u64,
    progress: &mut dyn FnMut(Progress),
    mut write: impl FnMut(usize, &[u8]) -> Result<(), WriteError>,
) -> Result<(), WeightsError> {
    let mut done = Progress { tensors: 0, total_tensors: tensors.len(), bytes: 0, total_bytes };
    for (i, tensor) in tensors.enumerate() {
        let expected = tensor.byte_len().unwrap_or(u64::MAX);
        (tensor.produce)(&mut |bytes| {
            let found = bytes.len() as u64;
            if expected == found {
                return write(i, bytes).map_err(|e| e.at(path));
            }
            Err(WeightsError::WrongLength {
                path: path.into(),
                name: tensor.name().into(),
                shape: tensor.shape().into(),
                element_type: tensor.element_type(),
                expected,
                found,
            })
        })?;
        done.tensors += 1;
        done.bytes += expected;
        progress(done);
    }
    Ok(())
}
