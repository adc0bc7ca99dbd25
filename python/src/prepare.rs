//! The padded square that an endpoint's clients send, and the way back.

use medparse::picture::{RgbView, Size};
use medparse::preprocess::{Fit, Placement as Place, resize_placed};
use numpy::{IntoPyArray, PyArray2, PyArrayMethods, PyReadonlyArray2};
use pyo3::prelude::*;

use crate::error::unusable;
use crate::picture::Picture;

/// Where a picture lies on its square.
#[pyclass(frozen, module = "medparse._medparse")]
pub struct Placement {
    place: Place,
    side: usize,
}

/// Pads a picture to a square with black and resizes it.
#[pyfunction]
pub fn prepare(py: Python<'_>, picture: &Picture, side: usize) -> PyResult<(Picture, Placement)> {
    if !(1..=8192).contains(&side) {
        return Err(unusable(format!("side: expected 1 to 8192 pixels, found {side}")));
    }
    let (width, height) = picture.0.dimensions();
    let size = Size { width: width as usize, height: height as usize };
    let place = Place::new(Fit::Pad, size);
    let view = RgbView::new(size, picture.0.pixels()).map_err(unusable)?;
    let pixels = py.detach(|| resize_placed(&view, &place, Size::square(side)));
    let square = medparse_imaging::Picture::from_rgb(side as u32, side as u32, pixels);
    Ok((square.map_err(unusable)?.into(), Placement { place, side }))
}

#[pymethods]
impl Placement {
    /// A mask of the square on the picture's own pixels, by the nearest pixel: a mask stays a mask.
    fn undo<'py>(
        &self,
        py: Python<'py>,
        mask: PyReadonlyArray2<'py, bool>,
    ) -> PyResult<Bound<'py, PyArray2<bool>>> {
        let (side, mask) = (self.side, mask.as_array());
        if mask.dim() != (side, side) {
            let (rows, columns) = mask.dim();
            return Err(unusable(format!(
                "expected a mask of {side} × {side} pixels, found {columns} × {rows}"
            )));
        }
        let canvas = self.place.canvas().width;
        let at = |index: usize| ((2 * index + 1) * side / (2 * canvas)).min(side - 1);
        let Size { width, height } = self.place.picture();
        let pixels: Vec<bool> = (0..height)
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .map(|(x, y)| mask[[at(y + self.place.top()), at(x + self.place.left())]])
            .collect();
        pixels.into_pyarray(py).reshape([height, width])
    }

    /// `(x, y, width, height)` of the picture on the square, in the square's pixels.
    #[getter]
    fn bounding_box(&self) -> (f64, f64, f64, f64) {
        let scale = self.side as f64 / self.place.canvas().width as f64;
        let Size { width, height } = self.place.picture();
        let [x, y, width, height] =
            [self.place.left(), self.place.top(), width, height].map(|value| value as f64 * scale);
        (x, y, width, height)
    }
}
