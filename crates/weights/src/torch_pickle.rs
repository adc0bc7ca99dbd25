//! The pickle of a state dict, as `torch.save` writes it: protocol 2, tensors as calls of `_rebuild_tensor_v2` on storages
//! that stand elsewhere in the file under a persistent id.

use std::collections::HashMap;

use crate::{ElementType, TensorSource};

/// Pickles `OrderedDict` of the tensors in order, the `i`-th one's storage having the key `i`.
pub(crate) fn state_dict(tensors: &[TensorSource<'_>]) -> Vec<u8> {
    let mut pickle = Pickle { bytes: vec![0x80, 2], memo: HashMap::new() };
    pickle.ordered_dict();
    pickle.bytes.push(b'(');
    for (key, tensor) in tensors.iter().enumerate() {
        pickle.string(tensor.name());
        pickle.tensor(key, tensor);
    }
    pickle.bytes.extend(b"u.");
    pickle.bytes
}

struct Pickle {
    bytes: Vec<u8>,
    /// What is written once and recalled after: imports and constant strings, fewer than 256 of them.
    memo: HashMap<String, u8>,
}

impl Pickle {
    fn tensor(&mut self, key: usize, tensor: &TensorSource<'_>) {
        let storage = storage_class(tensor.element_type());
        self.global(
            "torch._utils",
            if storage.is_some() { "_rebuild_tensor_v2" } else { "_rebuild_tensor_v3" },
        );
        self.bytes.push(b'(');

        // The storage: ('storage', class, key, location, element count), resolved by a persistent id.
        self.bytes.push(b'(');
        self.constant("storage");
        let count: u64 = tensor.shape().iter().map(|&extent| extent as u64).product();
        match storage {
            Some(class) => self.global("torch", class),
            None => self.global("torch.storage", "UntypedStorage"),
        }
        self.string(&key.to_string());
        self.constant("cpu");
        // An untyped storage counts bytes.
        self.integer(if storage.is_some() {
            count
        } else {
            count * tensor.element_type().size() as u64
        });
        self.bytes.extend(b"tQ");

        self.integer(0); // offset into the storage
        self.tuple(tensor.shape().iter().map(|&extent| extent as u64));
        self.tuple(contiguous_strides(tensor.shape()).into_iter());
        self.bytes.push(0x89); // requires_grad = False
        self.ordered_dict(); // backward hooks: none
        if storage.is_none() {
            self.global("torch", torch_name(tensor.element_type()));
        }
        self.bytes.extend(b"tR");
    }

    fn ordered_dict(&mut self) {
        self.global("collections", "OrderedDict");
        self.bytes.extend(b")R");
    }

    fn tuple(&mut self, items: impl Iterator<Item = u64>) {
        self.bytes.push(b'(');
        for item in items {
            self.integer(item);
        }
        self.bytes.push(b't');
    }

    fn integer(&mut self, value: u64) {
        if let Ok(value) = u8::try_from(value) {
            self.bytes.extend([b'K', value]);
        } else if let Ok(value) = i32::try_from(value) {
            self.bytes.push(b'J');
            self.bytes.extend(value.to_le_bytes());
        } else {
            // LONG1 of nine bytes: two's complement, so a value above i64::MAX needs its zero sign byte.
            self.bytes.extend([0x8a, 9]);
            self.bytes.extend(value.to_le_bytes());
            self.bytes.push(0);
        }
    }

    fn string(&mut self, text: &str) {
        self.bytes.push(b'X');
        self.bytes.extend((text.len() as u32).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }

    fn constant(&mut self, text: &'static str) {
        self.once(text, |pickle| pickle.string(text));
    }

    fn global(&mut self, module: &'static str, name: &'static str) {
        let import = format!("c{module}\n{name}\n");
        self.once(&import, |pickle| pickle.bytes.extend(import.as_bytes()));
    }

    /// Writes something the first time and recalls it from the memo after.
    fn once(&mut self, what: &str, write: impl FnOnce(&mut Self)) {
        if let Some(&slot) = self.memo.get(what) {
            self.bytes.extend([b'h', slot]);
            return;
        }
        write(self);
        let slot = self.memo.len() as u8;
        self.bytes.extend([b'q', slot]);
        self.memo.insert(what.into(), slot);
    }
}

/// The typed storage PyTorch knows for an element type; the wide unsigned integers have none.
fn storage_class(element_type: ElementType) -> Option<&'static str> {
    Some(match element_type {
        ElementType::F64 => "DoubleStorage",
        ElementType::F32 => "FloatStorage",
        ElementType::F16 => "HalfStorage",
        ElementType::BF16 => "BFloat16Storage",
        ElementType::I64 => "LongStorage",
        ElementType::I32 => "IntStorage",
        ElementType::I16 => "ShortStorage",
        ElementType::I8 => "CharStorage",
        ElementType::U8 => "ByteStorage",
        ElementType::Bool => "BoolStorage",
        ElementType::U64 | ElementType::U32 | ElementType::U16 => return None,
    })
}

/// The attribute of the `torch` module that is this element type.
fn torch_name(element_type: ElementType) -> &'static str {
    match element_type {
        ElementType::F64 => "float64",
        ElementType::F32 => "float32",
        ElementType::F16 => "float16",
        ElementType::BF16 => "bfloat16",
        ElementType::I64 => "int64",
        ElementType::I32 => "int32",
        ElementType::I16 => "int16",
        ElementType::I8 => "int8",
        ElementType::U64 => "uint64",
        ElementType::U32 => "uint32",
        ElementType::U16 => "uint16",
        ElementType::U8 => "uint8",
        ElementType::Bool => "bool",
    }
}

/// Row-major strides in elements; an empty extent counts as one, as PyTorch does.
fn contiguous_strides(shape: &[usize]) -> Vec<u64> {
    let mut strides: Vec<u64> = shape
        .iter()
        .rev()
        .scan(1u64, |stride, &extent| {
            let this = *stride;
            *stride = stride.saturating_mul(extent.max(1) as u64);
            Some(this)
        })
        .collect();
    strides.reverse();
    strides
}
