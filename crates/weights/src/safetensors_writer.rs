//! Writing safetensors files.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use crate::atomic::write_atomically;
use crate::source::{stream, total_bytes};
use crate::{Progress, TensorSource, WeightsError};

/// The tensors begin at a multiple of this many bytes, a cache line and the widest vector register.
const ALIGNMENT: usize = 64;

/// Writes a safetensors file, atomically and one tensor in memory at a time.
///
/// The same tensors and metadata give the same bytes. Tensors keep the given order within one element size, larger
/// elements first, so that each is aligned for its type. `progress` is called after each tensor.
///
/// # Errors
///
/// [`WeightsError::BadName`] for a name given twice or reserved, [`WeightsError::Io`] naming the path, and whatever the
/// sources report; the path then is as it was before.
pub fn write_safetensors(
    path: impl AsRef<Path>,
    tensors: &[TensorSource<'_>],
    metadata: &BTreeMap<String, String>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), WeightsError> {
    let path = path.as_ref();
    if tensors.iter().any(|tensor| tensor.name() == "__metadata__") {
        return Err(WeightsError::BadName {
            path: path.into(),
            reason: "the name `__metadata__` is the safetensors format's own".into(),
        });
    }
    let total = total_bytes(path, tensors)?;
    let mut order: Vec<&TensorSource<'_>> = tensors.iter().collect();
    order.sort_by_key(|tensor| std::cmp::Reverse(tensor.element_type().size()));
    let header = header(&order, metadata);
    write_atomically(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        Ok(stream(path, order.iter().copied(), total, progress, |_, bytes| {
            Ok(file.write_all(bytes)?)
        })?)
    })
}

/// The JSON header, padded with spaces so that the tensors begin aligned.
fn header(tensors: &[&TensorSource<'_>], metadata: &BTreeMap<String, String>) -> String {
    let mut fields = Vec::with_capacity(tensors.len() + 1);
    if !metadata.is_empty() {
        let pairs: Vec<String> =
            metadata.iter().map(|(key, value)| format!("{}:{}", json(key), json(value))).collect();
        fields.push(format!("\"__metadata__\":{{{}}}", pairs.join(",")));
    }
    let mut start = 0;
    for tensor in tensors {
        let end = start + tensor.byte_len().unwrap_or(0);
        let extents: Vec<String> = tensor.shape().iter().map(usize::to_string).collect();
        fields.push(format!(
            "{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{start},{end}]}}",
            json(tensor.name()),
            tensor.element_type(),
            extents.join(","),
        ));
        start = end;
    }
    let mut header = format!("{{{}}}", fields.join(","));
    let used = size_of::<u64>() + header.len();
    header.extend(std::iter::repeat_n(' ', used.next_multiple_of(ALIGNMENT) - used));
    header
}

/// A JSON string.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
