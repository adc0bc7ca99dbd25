//! The reference's own numbers: what one run of it left at every stage.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

/// One run of the reference: its prompts, its answers, and every stage on the way.
pub struct GoldenCase {
    /// The phrases asked for.
    pub prompts: Vec<String>,
    /// The query that speaks for each phrase.
    pub matched_id: Vec<usize>,
    /// The class of each phrase, of 17.
    pub matched_class: Vec<usize>,
    /// The stages by name.
    pub tensors: BTreeMap<String, GoldenTensor>,
}

/// A stage as the reference stored it, whole or thinned out.
pub struct GoldenTensor {
    /// Extents of the whole tensor.
    pub shape: Vec<usize>,
    /// Every how many values of the whole tensor one was kept.
    pub stride: usize,
    /// The kept values; booleans and integers as numbers.
    pub values: Vec<f64>,
}

#[derive(Deserialize)]
struct CaseIndex {
    prompts: Vec<String>,
    matched_id: Vec<usize>,
    matched_class: Vec<usize>,
    tensors: BTreeMap<String, TensorIndex>,
}

#[derive(Deserialize)]
struct TensorIndex {
    shape: Vec<usize>,
    encoding: String,
    stride: Option<usize>,
}

impl GoldenCase {
    /// Reads `<stem>.json` and `<stem>.safetensors` of a folder.
    ///
    /// # Errors
    /// When a file is absent or not of that form.
    pub fn read(folder: &Path, stem: &str) -> Result<Self> {
        let index: CaseIndex = read_json(&folder.join(format!("{stem}.json")))?;
        let path = folder.join(format!("{stem}.safetensors"));
        let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let file = SafeTensors::deserialize(&bytes)?;
        let mut tensors = BTreeMap::new();
        for (name, entry) in index.tensors {
            let values = numbers(&file, &name)?;
            let count: usize = entry.shape.iter().product();
            let (values, stride) = match entry.encoding.as_str() {
                "full" => (values, 1),
                "stride" => (values, entry.stride.context("a thinned tensor without stride")?),
                "packbits" => (unpacked(&values, count), 1),
                other => bail!("unknown encoding {other} of {name}"),
            };
            ensure!(values.len() == count.div_ceil(stride), "{name} has {} values", values.len());
            tensors.insert(name, GoldenTensor { shape: entry.shape, stride, values });
        }
        Ok(Self {
            prompts: index.prompts,
            matched_id: index.matched_id,
            matched_class: index.matched_class,
            tensors,
        })
    }
}

/// The rounding floor of a stage: the reference in f32 against itself in f64.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct Floor {
    /// Root mean square of the difference, over that of the stage.
    #[serde(default)]
    pub rms_rel: f64,
    /// Largest difference.
    #[serde(default)]
    pub max_abs: f64,
}

/// The floors of all stages, from `noise_f32_vs_f64.json`.
///
/// # Errors
/// When the file is absent or not of that form.
pub fn read_floors(folder: &Path) -> Result<BTreeMap<String, Floor>> {
    read_json(&folder.join("noise_f32_vs_f64.json"))
}

/// Reads a JSON file.
///
/// # Errors
/// When the file is absent or not of that form.
pub fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))
}

/// All values of one tensor of a file as numbers.
///
/// # Errors
/// When the tensor is absent or of an unexpected type.
pub fn numbers(file: &SafeTensors, name: &str) -> Result<Vec<f64>> {
    let view = file.tensor(name).with_context(|| format!("looking for {name}"))?;
    let data = view.data();
    Ok(match view.dtype() {
        Dtype::F32 => data
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).into())
            .collect(),
        Dtype::I64 => data
            .chunks_exact(8)
            .map(|b| i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f64)
            .collect(),
        Dtype::U8 | Dtype::BOOL => data.iter().map(|&b| b.into()).collect(),
        other => bail!("unexpected type {other:?} of {name}"),
    })
}

/// Eight booleans a byte, the most significant bit first.
fn unpacked(bytes: &[f64], count: usize) -> Vec<f64> {
    let bit = |index: usize| (bytes[index / 8] as u8 >> (7 - index % 8)) & 1;
    (0..count).map(|index| bit(index).into()).collect()
}
