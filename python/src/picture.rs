//! Pictures, masks and overlays.

use std::sync::Arc;

use medparse_imaging::{Layer, Legend, Mask, OverlayStyle};
use numpy::{IntoPyArray, PyArray3, PyArrayMethods, PyReadonlyArray2, PyReadonlyArray3};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::{refused, unusable};

/// 8-bit RGB pixels, as the model is shown them.
#[pyclass(frozen, module = "medparse._medparse")]
pub struct Picture(pub Arc<medparse_imaging::Picture>);

#[pymethods]
impl Picture {
    /// A picture of `[height, width, 3]` bytes in C order, which are copied.
    #[staticmethod]
    fn from_rgb(pixels: PyReadonlyArray3<'_, u8>) -> PyResult<Self> {
        let [height, width, _] = pixels.as_array().dim().into();
        let rgb = pixels.as_slice().map_err(unusable)?.to_vec();
        let picture = medparse_imaging::Picture::from_rgb(width as u32, height as u32, rgb);
        picture.map(Self::from).map_err(unusable)
    }

    /// A picture of `[height, width]` bytes in C order, each of which becomes red, green and blue.
    #[staticmethod]
    fn from_gray(pixels: PyReadonlyArray2<'_, u8>) -> PyResult<Self> {
        let [height, width] = pixels.as_array().dim().into();
        let rgb = pixels.as_slice().map_err(unusable)?.iter().flat_map(|gray| [*gray; 3]).collect();
        let picture = medparse_imaging::Picture::from_rgb(width as u32, height as u32, rgb);
        picture.map(Self::from).map_err(unusable)
    }

    /// Width and height.
    #[getter]
    fn size(&self) -> (u32, u32) {
        self.0.dimensions()
    }

    /// The pixels, `[height, width, 3]`.
    fn numpy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray3<u8>>> {
        let (width, height) = self.0.dimensions();
        self.0.pixels().to_vec().into_pyarray(py).reshape([height as usize, width as usize, 3])
    }

    /// The bytes of a PNG file.
    pub fn encode_png<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = py.detach(|| self.0.encode_png()).map_err(refused)?;
        Ok(PyBytes::new(py, &bytes))
    }
}

impl From<medparse_imaging::Picture> for Picture {
    fn from(picture: medparse_imaging::Picture) -> Self {
        Self(picture.into())
    }
}

/// A mask of `[height, width]` booleans in C order.
fn mask_of(pixels: &PyReadonlyArray2<'_, bool>) -> PyResult<Mask> {
    let [height, width] = pixels.as_array().dim().into();
    let bytes = pixels.as_slice().map_err(unusable)?.iter().map(|inside| u8::from(*inside));
    Mask::from_pixels(width as u32, height as u32, bytes.collect()).map_err(unusable)
}

/// The bytes of a mask's PNG: 255 inside, 0 outside.
#[pyfunction]
pub fn encode_mask<'py>(
    py: Python<'py>,
    mask: PyReadonlyArray2<'py, bool>,
) -> PyResult<Bound<'py, PyBytes>> {
    let bytes = mask_of(&mask)?.encode_png().map_err(refused)?;
    Ok(PyBytes::new(py, &bytes))
}

/// The picture with masks drawn in: `(label, note, mask)` each.
#[pyfunction]
pub fn overlay(
    py: Python<'_>,
    picture: &Picture,
    layers: Vec<(String, Option<String>, PyReadonlyArray2<'_, bool>)>,
    legend: bool,
) -> PyResult<Picture> {
    let mut drawn = Vec::with_capacity(layers.len());
    for (label, note, mask) in &layers {
        drawn.push((label, note, mask_of(mask)?));
    }
    let style = OverlayStyle {
        legend: if legend { Legend::Below } else { Legend::None },
        ..OverlayStyle::default()
    };
    let picture = py.detach(|| {
        let layers: Vec<Layer<'_>> = drawn
            .iter()
            .map(|(label, note, mask)| match note {
                Some(note) => Layer::new(label, mask).with_note(note),
                None => Layer::new(label, mask),
            })
            .collect();
        medparse_imaging::overlay(&picture.0, &layers, &style)
    });
    picture.map(Picture::from).map_err(unusable)
}
