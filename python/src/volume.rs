//! Files of any format as volumes.

use std::path::PathBuf;
use std::sync::Arc;

use medparse_imaging::{Format, Grid, Limits, OpenOptions, Plane, Samples, Tone, View};
use numpy::ndarray::Ix3;
use numpy::{AllowTypeChange, IntoPyArray, PyArray2, PyArrayLikeDyn, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::{of_file, refused, unusable};
use crate::picture::Picture;

/// Slices of measured values or of colours, with their place in the patient.
#[pyclass(frozen, module = "medparse._medparse")]
pub struct Volume(pub Arc<medparse_imaging::Volume>);

/// The planes by name; the usual one of the format where none is named.
pub fn view_of(volume: &medparse_imaging::Volume, plane: Option<&str>) -> PyResult<View> {
    let plane = match plane {
        Some("stored") => Plane::Stored,
        Some("axial") => Plane::Axial,
        Some("coronal") => Plane::Coronal,
        Some("sagittal") => Plane::Sagittal,
        Some(other) => {
            return Err(unusable(format!(
                "{other:?} is no plane: expected \"stored\", \"axial\", \"coronal\" or \"sagittal\""
            )));
        }
        None if matches!(volume.source().format, Format::Nifti | Format::Nrrd) => Plane::Axial,
        None => Plane::Stored,
    };
    Ok(View::new(plane, volume.grid(), volume.dimensions()))
}

/// How values become grays, by name.
pub fn tone_of(window: &str) -> PyResult<Tone> {
    window.parse().map_err(unusable)
}

/// Turns RAS+ into LPS, and back.
fn turned(mut affine: [[f64; 4]; 3]) -> [[f64; 4]; 3] {
    for row in &mut affine[..2] {
        row.iter_mut().for_each(|value| *value = -*value);
    }
    affine
}

#[pymethods]
impl Volume {
    /// Reads a file of any format, or the folder of a DICOM series.
    #[staticmethod]
    #[pyo3(signature = (path, series=None))]
    fn open(py: Python<'_>, path: PathBuf, series: Option<String>) -> PyResult<Self> {
        let options = OpenOptions { series, ..OpenOptions::default() };
        let volume = py.detach(|| medparse_imaging::open(&path, &options)).map_err(of_file)?;
        Ok(Self(volume.into()))
    }

    /// Decodes the bytes of a file of any format.
    #[staticmethod]
    fn decode(py: Python<'_>, bytes: &[u8]) -> PyResult<Self> {
        let volume = py.detach(|| medparse_imaging::decode(bytes, &Limits::default()));
        Ok(Self(volume.map_err(refused)?.into()))
    }

    /// A volume of measured values of any number type, `[slices, rows, columns]`; `affine` is 3 × 4 or
    /// 4 × 4, from `[column, row, slice]` to RAS+ mm.
    #[staticmethod]
    #[pyo3(signature = (values, affine=None))]
    fn from_array(
        values: PyArrayLikeDyn<'_, f32, AllowTypeChange>,
        affine: Option<PyArrayLikeDyn<'_, f64, AllowTypeChange>>,
    ) -> PyResult<Self> {
        let values = values.as_array();
        let values = values.view().into_dimensionality::<Ix3>().map_err(|_| {
            let shape = values.shape();
            unusable(format!("expected [slices, rows, columns], found shape {shape:?}"))
        })?;
        let [slices, rows, columns] = values.dim().into();
        let values = values.iter().copied().collect();
        let volume = medparse_imaging::Volume::from_gray([columns, rows, slices], values);
        let mut volume = volume.map_err(unusable)?;
        if let Some(affine) = affine {
            let affine = affine.as_array();
            let shape = affine.shape();
            if !matches!(shape, [3 | 4, 4]) {
                return Err(unusable(format!("expected a 4 × 4 affine, found shape {shape:?}")));
            }
            let rows: [[f64; 4]; 3] =
                std::array::from_fn(|row| std::array::from_fn(|column| affine[&[row, column][..]]));
            let grid = Grid::from_affine(&turned(rows)).ok_or_else(|| {
                unusable("the affine is no grid: an axis has no length, or they lie in one plane")
            })?;
            volume = volume.with_grid(grid);
        }
        Ok(Self(volume.into()))
    }

    /// The values: `[slices, rows, columns]` as float32, or `[slices, rows, columns, 3]` as uint8.
    fn numpy(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let [columns, rows, slices] = self.0.dimensions();
        Ok(match self.0.samples() {
            Samples::Gray(values) => {
                let array = values.clone().into_pyarray(py).reshape([slices, rows, columns])?;
                array.into_any().unbind()
            }
            Samples::Rgb(bytes) => {
                let array = bytes.clone().into_pyarray(py).reshape([slices, rows, columns, 3])?;
                array.into_any().unbind()
            }
        })
    }

    /// As [`Self::numpy`]: what `numpy.asarray` asks for.
    #[pyo3(signature = (dtype=None, copy=None))]
    fn __array__<'py>(
        &self,
        py: Python<'py>,
        dtype: Option<Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if copy == Some(false) {
            return Err(unusable("the values of a volume cannot be had without a copy"));
        }
        let array = self.numpy(py)?.into_bound(py);
        match dtype {
            Some(dtype) => array.call_method1("astype", (dtype,)),
            None => Ok(array),
        }
    }

    /// Format, size and modality: nothing of the patient's.
    fn __repr__(&self) -> String {
        let [columns, rows, slices] = self.0.dimensions();
        let modality = self.0.modality().map(|code| format!(", {code}")).unwrap_or_default();
        format!("Volume({}, {slices} × {rows} × {columns}{modality})", self.format())
    }

    /// The slice in the middle, as notebooks show it.
    fn _repr_png_<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let (slices, _, _) = self.plane_shape(None)?;
        self.picture(py, slices / 2, None, "auto")?.encode_png(py)
    }

    /// `(slices, rows, columns)`.
    #[getter]
    fn shape(&self) -> (usize, usize, usize) {
        let [columns, rows, slices] = self.0.dimensions();
        (slices, rows, columns)
    }

    /// mm from slice to slice, row to row and column to column; none where the file does not say.
    #[getter]
    fn spacing(&self) -> Option<(f64, f64, f64)> {
        self.0.grid().map(|grid| {
            let [columns, rows, slices] = grid.spacing;
            (slices, rows, columns)
        })
    }

    /// The matrix from `[column, row, slice]` to RAS+ mm, 4 × 4; none where the file does not say.
    #[getter]
    fn affine(&self, py: Python<'_>) -> PyResult<Option<Py<PyArray2<f64>>>> {
        let Some(grid) = self.0.grid() else { return Ok(None) };
        let mut values = turned(grid.affine()).as_flattened().to_vec();
        values.extend([0.0, 0.0, 0.0, 1.0]);
        Ok(Some(values.into_pyarray(py).reshape([4, 4])?.unbind()))
    }

    /// DICOM's code of the modality, where the file says it.
    #[getter]
    fn modality(&self) -> Option<&str> {
        self.0.modality()
    }

    /// The file's format: "png", "dicom", "nifti" and so on.
    #[getter]
    fn format(&self) -> &'static str {
        match self.0.source().format {
            Format::Png => "png",
            Format::Jpeg => "jpeg",
            Format::Tiff => "tiff",
            Format::Bmp => "bmp",
            Format::Dicom => "dicom",
            Format::Nifti => "nifti",
            Format::Nrrd => "nrrd",
            _ => "memory",
        }
    }

    /// What a person should know of how the file was read.
    #[getter]
    fn warnings(&self) -> Vec<String> {
        self.0.warnings().to_vec()
    }

    /// How many slices a plane has, and the height and width of each.
    #[pyo3(signature = (plane=None))]
    fn plane_shape(&self, plane: Option<&str>) -> PyResult<(usize, usize, usize)> {
        let [width, height, slices] = view_of(&self.0, plane)?.dimensions();
        Ok((slices, height, width))
    }

    /// One slice as the model is shown it.
    #[pyo3(signature = (index=0, plane=None, window="auto"))]
    fn picture(
        &self,
        py: Python<'_>,
        index: usize,
        plane: Option<&str>,
        window: &str,
    ) -> PyResult<Picture> {
        let (view, tone) = (view_of(&self.0, plane)?, tone_of(window)?);
        let picture = py.detach(|| self.0.picture(&view, index, &tone));
        picture.map(Picture::from).map_err(unusable)
    }
}
