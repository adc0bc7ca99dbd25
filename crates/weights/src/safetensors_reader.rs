//! Safetensors files, mapped; the header is validated by the `safetensors` crate.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use safetensors::tensor::{Dtype, TensorInfo};
use safetensors::{SafeTensorError, SafeTensors};
use serde_json::Value;

use crate::entry::FileBytes;
use crate::{ElementType, Entry, WeightsError};

/// Bytes of the header's length, which opens the file.
const LENGTH_BYTES: usize = 8;

/// Longest header the format allows.
const MAX_HEADER: u64 = 100_000_000;

type Contents = (Vec<Entry>, BTreeMap<String, String>);

/// The tensors of a safetensors file in the order of their bytes, and its metadata.
pub(crate) fn read(path: &Arc<Path>, map: FileBytes) -> Result<Contents, WeightsError> {
    let (header_len, header) =
        SafeTensors::read_metadata(&map).map_err(|error| diagnose(path, &map, &error))?;
    let data_start = LENGTH_BYTES + header_len;
    let map = Arc::new(map);
    let entries = header
        .offset_keys()
        .into_iter()
        .filter_map(|name| header.info(&name).map(|info| (name, info)))
        .map(|(name, info)| {
            let TensorInfo { dtype, shape, data_offsets: (start, end) } = info;
            let element_type = element_type(*dtype).ok_or_else(|| {
                WeightsError::malformed(
                    path,
                    format!("tensor `{name}` has the element type {dtype}, which is not read here"),
                )
            })?;
            let bytes = data_start + start..data_start + end;
            Ok(Entry::mapped(name, path.clone(), element_type, shape.clone(), map.clone(), bytes))
        })
        .collect::<Result<_, _>>()?;
    let metadata =
        header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    Ok((entries, metadata))
}

fn element_type(dtype: Dtype) -> Option<ElementType> {
    Some(match dtype {
        Dtype::F64 => ElementType::F64,
        Dtype::F32 => ElementType::F32,
        Dtype::F16 => ElementType::F16,
        Dtype::BF16 => ElementType::BF16,
        Dtype::I64 => ElementType::I64,
        Dtype::I32 => ElementType::I32,
        Dtype::I16 => ElementType::I16,
        Dtype::I8 => ElementType::I8,
        Dtype::U64 => ElementType::U64,
        Dtype::U32 => ElementType::U32,
        Dtype::U16 => ElementType::U16,
        Dtype::U8 => ElementType::U8,
        Dtype::BOOL => ElementType::Bool,
        _ => return None,
    })
}

/// Says which rule a refused file broke, and where: the crate's errors name neither tensors nor lengths.
fn diagnose(path: &Path, file: &[u8], error: &SafeTensorError) -> WeightsError {
    let found = file.len() as u64;
    let truncated = |what: &str, expected| WeightsError::Truncated {
        path: path.into(),
        what: what.into(),
        expected,
        found,
    };
    let Some(length) = file.first_chunk::<LENGTH_BYTES>().map(|bytes| u64::from_le_bytes(*bytes))
    else {
        return truncated("the length of its header", LENGTH_BYTES as u64);
    };
    if length > MAX_HEADER {
        return WeightsError::malformed(
            path,
            format!("its header claims {length} bytes, the safetensors format allows {MAX_HEADER}"),
        );
    }
    let data_start = length + LENGTH_BYTES as u64;
    let Some((header, data)) = usize::try_from(data_start)
        .ok()
        .and_then(|start| Some((file.get(LENGTH_BYTES..start)?, file.get(start..)?)))
    else {
        return truncated("its header", data_start);
    };
    match broken_rule(header) {
        Ok(end) if end > data.len() as u64 => {
            truncated("its last tensor", data_start.saturating_add(end))
        }
        Ok(end) if end < data.len() as u64 => WeightsError::malformed(
            path,
            format!(
                "{} bytes follow its last tensor, which no header entry covers",
                data.len() as u64 - end
            ),
        ),
        Ok(_) => {
            WeightsError::malformed(path, format!("its safetensors header is refused: {error}"))
        }
        Err(reason) => WeightsError::malformed(path, reason),
    }
}

/// Walks the header in the order of the tensors' bytes: where the last one ends, or the first rule broken.
fn broken_rule(header: &[u8]) -> Result<u64, String> {
    let header: Value =
        serde_json::from_slice(header).map_err(|e| format!("its header is not JSON: {e}"))?;
    let Value::Object(header) = header else {
        return Err("its header is JSON, but not an object of tensors".into());
    };
    let mut spans = Vec::new();
    for (name, value) in &header {
        if name == "__metadata__" {
            if !value.as_object().is_some_and(|metadata| metadata.values().all(Value::is_string)) {
                return Err("its `__metadata__` is not an object of strings".into());
            }
        } else {
            let span =
                span(value).map_err(|rule| format!("tensor `{name}` of its header {rule}"))?;
            spans.push((span, name));
        }
    }
    spans.sort_by_key(|(span, _)| (span.start, span.end));
    let mut end = 0;
    for (span, name) in spans {
        if span.start != end {
            let fault = if span.start < end {
                "overlaps the tensor before it"
            } else {
                "leaves a gap before it"
            };
            return Err(format!(
                "tensor `{name}` {fault}: expected to start at byte {end}, found {}",
                span.start
            ));
        }
        end = span.end;
    }
    Ok(end)
}

/// The bytes of one header entry, or the rule it breaks.
fn span(entry: &Value) -> Result<Range<u64>, String> {
    let dtype = entry.get("dtype").ok_or("has no `dtype`")?;
    let dtype: Dtype = serde_json::from_value(dtype.clone())
        .map_err(|_| format!("has the unknown dtype {dtype}"))?;
    let shape: Vec<u64> = entry
        .get("shape")
        .and_then(|shape| serde_json::from_value(shape.clone()).ok())
        .ok_or("has no `shape` of whole numbers")?;
    let [start, end]: [u64; 2] = entry
        .get("data_offsets")
        .and_then(|offsets| serde_json::from_value(offsets.clone()).ok())
        .ok_or("has no `data_offsets` of two whole numbers")?;
    let bits = shape
        .iter()
        .try_fold(dtype.bitsize() as u64, |bits, &extent| bits.checked_mul(extent))
        .ok_or_else(|| format!("has a shape beyond every size: {shape:?}"))?;
    let found =
        end.checked_sub(start).ok_or_else(|| format!("ends before it starts: {start}..{end}"))?;
    if bits % 8 != 0 || bits / 8 != found {
        return Err(format!(
            "needs {} bytes for {dtype} {shape:?}, its offsets give {found}",
            bits.div_ceil(8)
        ));
    }
    Ok(start..end)
}
