//! What the model answers, as arrays.

use medparse::Segmentation;
use medparse::parts::Found;
use numpy::{IntoPyArray, PyArray2, PyArray3, PyArrayMethods};
use pyo3::prelude::*;

/// The answer to one phrase about a picture.
#[pyclass(frozen, get_all, module = "medparse._medparse")]
pub struct Answer {
    prompt: String,
    /// `[height, width]`.
    mask: Py<PyArray2<bool>>,
    /// `[height, width]`, 0 to 1.
    probability: Py<PyArray2<f32>>,
    category: String,
    similarity: f32,
    presence: Option<f64>,
    mean_probability: Option<f64>,
    area: u64,
    /// `(x, y, width, height)`.
    bounding_box: Option<(u32, u32, u32, u32)>,
    truncated: bool,
}

impl Answer {
    /// Hands the pixels over to NumPy.
    pub fn new(py: Python<'_>, answer: Segmentation) -> PyResult<Self> {
        let (width, height) = answer.mask.dimensions();
        let shape = [height as usize, width as usize];
        // A byte becomes a boolean in its own place.
        let mask: Vec<bool> = answer.mask.into_pixels().into_iter().map(|byte| byte != 0).collect();
        Ok(Self {
            prompt: answer.prompt,
            mask: mask.into_pyarray(py).reshape(shape)?.unbind(),
            probability: answer.probability.into_values().into_pyarray(py).reshape(shape)?.unbind(),
            category: answer.category.to_string(),
            similarity: answer.similarity,
            presence: answer.presence,
            mean_probability: answer.mean_probability,
            area: answer.area,
            bounding_box: answer.bounding_box.map(|b| (b.x, b.y, b.width, b.height)),
            truncated: answer.truncated,
        })
    }
}

/// The answer to one phrase about a volume.
#[pyclass(frozen, get_all, module = "medparse._medparse")]
pub struct VolumeAnswer {
    prompt: String,
    /// `[slices, rows, columns]`.
    mask: Py<PyArray3<bool>>,
    /// `[slices, rows, columns]`, 0 to 255.
    probability: Option<Py<PyArray3<u8>>>,
    category: Option<String>,
    presence: Option<f64>,
}

impl VolumeAnswer {
    /// Hands the voxels of a volume of `dimensions` (columns, rows, slices) over to NumPy.
    pub fn new(py: Python<'_>, dimensions: [usize; 3], found: Found) -> PyResult<Self> {
        let [columns, rows, slices] = dimensions;
        let shape = [slices, rows, columns];
        let Found { target, presence } = found;
        let mask: Vec<bool> = target.voxels.into_iter().map(|byte| byte != 0).collect();
        let probability = target
            .probabilities
            .map(|bytes| bytes.into_pyarray(py).reshape(shape).map(Bound::unbind))
            .transpose()?;
        Ok(Self {
            prompt: target.label,
            mask: mask.into_pyarray(py).reshape(shape)?.unbind(),
            probability,
            category: target.category,
            presence,
        })
    }
}
