//! Weights in memory or in a mapped file.

use std::borrow::Cow;
use std::sync::Arc;

use bytemuck::Pod;
use half::bf16;
use medparse_kernels::AlignedVec;
use medparse_weights::{ElementType, Entry};

/// A weight as the kernels read it; what the engine packs is stored under its name.
#[derive(Debug)]
pub(crate) struct Stored {
    pub name: String,
    pub shape: Vec<usize>,
    element_type: ElementType,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Own(AlignedVec<u8>),
    /// Mapped, and aligned for its type.
    File(Entry),
}

/// The types that weights are stored in.
pub(crate) trait Number: Pod {
    const TYPE: ElementType;
}

impl Number for f32 {
    const TYPE: ElementType = ElementType::F32;
}

impl Number for bf16 {
    const TYPE: ElementType = ElementType::BF16;
}

impl Number for i8 {
    const TYPE: ElementType = ElementType::I8;
}

impl Number for i32 {
    const TYPE: ElementType = ElementType::I32;
}

impl Stored {
    /// Values that `fill` writes.
    pub fn made<T: Number>(name: String, shape: Vec<usize>, fill: impl FnOnce(&mut [T])) -> Self {
        let len = shape.iter().product::<usize>() * size_of::<T>();
        let mut bytes = AlignedVec::zeroed(len);
        fill(bytemuck::cast_slice_mut(&mut bytes));
        Self { name, shape, element_type: T::TYPE, bytes: Bytes::Own(bytes) }
    }

    /// A tensor of a mapped file, where its bytes can be read in place.
    pub fn mapped<T: Number>(entry: &Entry) -> Option<Self> {
        let readable = match entry.read_bytes() {
            Ok(Cow::Borrowed(bytes)) => bytemuck::try_cast_slice::<u8, T>(bytes).is_ok(),
            _ => false,
        };
        (readable && entry.element_type() == T::TYPE).then(|| Self {
            name: entry.name().into(),
            shape: entry.shape().to_vec(),
            element_type: T::TYPE,
            bytes: Bytes::File(entry.clone()),
        })
    }

    /// The type of the values.
    pub fn element_type(&self) -> ElementType {
        self.element_type
    }

    /// The values as bytes.
    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Own(bytes) => bytes,
            Bytes::File(entry) => match entry.read_bytes() {
                Ok(Cow::Borrowed(bytes)) => bytes,
                _ => unreachable!("`mapped` has read these bytes in place"),
            },
        }
    }

    /// The values, which are of this type.
    pub fn values<T: Number>(&self) -> &[T] {
        debug_assert_eq!(self.element_type, T::TYPE);
        bytemuck::cast_slice(self.bytes())
    }
}

/// A weight of f32 values, such as a bias or the factors of a norm.
#[derive(Debug, Clone)]
pub(crate) struct Vector {
    stored: Arc<Stored>,
    len: usize,
}

impl Vector {
    /// The first `len` values.
    pub fn new(stored: Arc<Stored>, len: usize) -> Self {
        Self { stored, len }
    }
}

impl std::ops::Deref for Vector {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.stored.values()[..self.len]
    }
}
