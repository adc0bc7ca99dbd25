//! PyTorch's `.pt` files, read through `pytorch-reader` once their pickles passed the policy.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use pytorch_reader::{DType, PickleValue, PytorchError, PytorchReader};
use zip::ZipArchive;

use crate::pickle_policy::{self, Refusal, Scan};
use crate::{ElementType, Entry, Format, WeightsError};

/// Where a training checkpoint keeps its weights, in order of preference.
const STATE_DICT_KEYS: [&str; 3] = ["state_dict", "model_state_dict", "model"];

/// A view may repeat its storage (`expand`) up to this many bytes, or to the file's size where that is more.
const REPEATED_VIEW_LIMIT: u64 = 64 << 20;

/// The tensors of a PyTorch file, in file order, without their bytes.
pub(crate) fn read(path: &Arc<Path>, format: Format) -> Result<Vec<Entry>, WeightsError> {
    let scan = check(path, format)?;
    let refused = |e| from_reader(path, e);
    let root = PytorchReader::read_pickle_data(path, None).map_err(refused)?;
    let (key, mut names) = state_dict(&root)
        .map_err(|found| WeightsError::NoStateDict { path: path.to_path_buf(), found })?;
    let reader = match key {
        Some(key) => PytorchReader::with_top_level_key(path, key).map_err(refused)?,
        None => PytorchReader::new(path).map_err(refused)?,
    };

    let file_len = std::fs::metadata(path).map_err(|e| WeightsError::io(path, "open", e))?.len();
    let limit = usize::try_from(file_len.max(REPEATED_VIEW_LIMIT)).unwrap_or(usize::MAX);
    names.sort_by(|a, b| scan.rank(a).cmp(&scan.rank(b)).then_with(|| a.cmp(b)));
    let mut tensors = reader.into_tensors();
    names
        .into_iter()
        .map(|name| {
            let tensor = tensors.remove(name).ok_or_else(|| {
                WeightsError::malformed(path, format!("it lost tensor `{name}` while it was read"))
            })?;
            let element_type = element_type(tensor.dtype());
            Ok(Entry::torch(name.into(), path.clone(), element_type, tensor, limit))
        })
        .collect()
}

/// Puts every pickle of the file through the policy.
fn check(path: &Path, format: Format) -> Result<Scan, WeightsError> {
    let file = File::open(path).map_err(|e| WeightsError::io(path, "open", e))?;
    let refused = |refusal| match refusal {
        Refusal::Forbidden { what, name } => {
            WeightsError::Forbidden { path: path.to_path_buf(), what, name }
        }
        Refusal::Malformed(reason) => WeightsError::malformed(path, reason),
        Refusal::Io(error) => unreadable(path, error),
    };
    let mut stream = BufReader::new(file);
    if format == Format::TorchLegacy {
        // Magic number, protocol version, system information, the saved object, the storages' keys.
        for _ in 0..3 {
            pickle_policy::scan(&mut stream).map_err(refused)?;
        }
        let scan = pickle_policy::scan(&mut stream).map_err(refused)?;
        pickle_policy::scan(&mut stream).map_err(refused)?;
        return Ok(scan);
    }

    let length = stream.seek(SeekFrom::End(0)).map_err(|e| WeightsError::io(path, "read", e))?;
    let damaged = |e: zip::result::ZipError| {
        WeightsError::malformed(
            path,
            format!(
                "its zip directory, which stands at the end, is missing or damaged ({e}); \
                 the file may be cut short at its {length} bytes"
            ),
        )
    };
    let mut archive = ZipArchive::new(stream).map_err(damaged)?;
    let name = {
        let names = archive.file_names().collect::<Result<Vec<_>, _>>().map_err(damaged)?;
        let mut pickles =
            names.iter().filter(|name| *name == "data.pkl" || name.ends_with("/data.pkl"));
        match (pickles.next(), pickles.next()) {
            (Some(name), None) => name.to_string(),
            (None, _) => {
                return Err(WeightsError::NotACheckpoint {
                    path: path.into(),
                    found: format!("a zip archive of {} files without a `data.pkl`", names.len()),
                });
            }
            (Some(first), Some(second)) => {
                return Err(WeightsError::malformed(
                    path,
                    format!(
                        "it has two pickles, `{first}` and `{second}`; expected one `data.pkl`"
                    ),
                ));
            }
        }
    };
    let entry = archive.by_name(&name).map_err(damaged)?;
    if entry.size() > pickle_policy::MAX_BYTES {
        return Err(WeightsError::malformed(
            path,
            format!(
                "its `{name}` is {} bytes long, at most {} are accepted",
                entry.size(),
                pickle_policy::MAX_BYTES
            ),
        ));
    }
    // Read to its end first, where the checksum stands: damage is told as damage, not by what it happens to spell.
    let mut pickle = Vec::new();
    entry
        .take(pickle_policy::MAX_BYTES)
        .read_to_end(&mut pickle)
        .map_err(|e| unreadable(path, e))?;
    pickle_policy::scan(&mut pickle.as_slice()).map_err(refused)
}

/// Finds the state dict: the key it stands under, if any, and the names of its tensors; or says what is there instead.
fn state_dict(root: &PickleValue) -> Result<(Option<&'static str>, Vec<&str>), String> {
    let PickleValue::Dict(dict) = root else {
        return Err(describe(root));
    };
    let nested = STATE_DICT_KEYS.into_iter().find_map(|key| match dict.get(key) {
        Some(PickleValue::Dict(inner)) if inner.values().any(is_tensor) => Some((Some(key), inner)),
        _ => None,
    });
    let (key, dict) = nested.unwrap_or((None, dict));
    if !dict.values().any(is_tensor) {
        let elsewhere = tensors_at(root).map(|at| format!(", with tensors under `{at}`"));
        return Err(describe(root) + &elsewhere.unwrap_or_default());
    }

    let mut names = Vec::new();
    for (name, value) in dict {
        let stranger = match value {
            tensor if is_tensor(tensor) => {
                names.push(name.as_str());
                continue;
            }
            PickleValue::Unsupported(class) => format!("a `{class}`"),
            nested if tensors_at(nested).is_some() => describe(nested),
            // A version number, or the `_metadata` that `state_dict()` leaves: of no tensor's concern.
            _ => continue,
        };
        return Err(format!("among its tensors `{name}`, which is {stranger}"));
    }
    Ok((key, names))
}

/// The dotted path of a dictionary or list within `value` that holds tensors, empty for `value` itself.
fn tensors_at(value: &PickleValue) -> Option<String> {
    let mut children: Vec<(String, &PickleValue)> = match value {
        PickleValue::Dict(dict) => dict.iter().map(|(key, value)| (key.clone(), value)).collect(),
        PickleValue::List(items) => {
            items.iter().enumerate().map(|(i, item)| (i.to_string(), item)).collect()
        }
        _ => return None,
    };
    if children.iter().any(|(_, child)| is_tensor(child)) {
        return Some(String::new());
    }
    children.sort_by(|(a, _), (b, _)| a.cmp(b));
    children.iter().find_map(|(key, child)| {
        let below = tensors_at(child)?;
        Some(if below.is_empty() { key.clone() } else { format!("{key}.{below}") })
    })
}

fn is_tensor(value: &PickleValue) -> bool {
    matches!(value, PickleValue::Unsupported(class) if class == "torch.Tensor")
}

fn describe(value: &PickleValue) -> String {
    match value {
        PickleValue::None => "nothing (`None`)".into(),
        PickleValue::Bool(_) => "a bool".into(),
        PickleValue::Int(_) | PickleValue::Float(_) => "a number".into(),
        PickleValue::String(_) => "a string".into(),
        PickleValue::Bytes(_) => "bytes".into(),
        PickleValue::List(items) => format!("a list of {} items", items.len()),
        PickleValue::Unsupported(class) => format!("a `{class}`"),
        PickleValue::Dict(dict) if dict.is_empty() => "an empty dictionary".into(),
        PickleValue::Dict(dict) => {
            let mut keys: Vec<String> =
                dict.keys().map(|key| format!("`{}`", key.escape_debug())).collect();
            keys.sort();
            let total = keys.len();
            let more = if total > 8 { ", …" } else { "" };
            keys.truncate(8);
            let plural = if total == 1 { "key" } else { "keys" };
            format!("a dictionary with the {total} {plural} {}{more}", keys.join(", "))
        }
    }
}

fn element_type(dtype: DType) -> ElementType {
    match dtype {
        DType::F64 => ElementType::F64,
        DType::F32 => ElementType::F32,
        DType::F16 => ElementType::F16,
        DType::BF16 => ElementType::BF16,
        DType::I64 => ElementType::I64,
        DType::I32 => ElementType::I32,
        DType::I16 => ElementType::I16,
        DType::I8 => ElementType::I8,
        DType::U64 => ElementType::U64,
        DType::U32 => ElementType::U32,
        DType::U16 => ElementType::U16,
        DType::U8 => ElementType::U8,
        DType::Bool => ElementType::Bool,
    }
}

fn from_reader(path: &Path, error: PytorchError) -> WeightsError {
    match error {
        PytorchError::Io(error) => unreadable(path, error),
        other => WeightsError::malformed(path, other.to_string()),
    }
}

/// Tells what the operating system refused from what a broken archive entry says through the same type.
fn unreadable(path: &Path, error: io::Error) -> WeightsError {
    match error.raw_os_error() {
        Some(_) => WeightsError::io(path, "read", error),
        None => WeightsError::malformed(path, format!("its pickle cannot be unpacked: {error}")),
    }
}
