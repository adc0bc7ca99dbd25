//! What was found, into files of any format.

use medparse_imaging::write::{ExportOptions, Findings, OutputFormat, PageNotes, Target};
use medparse_imaging::{PALETTE, Tone};
use numpy::PyReadonlyArray3;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::{refused, unusable};
use crate::volume::Volume;

/// One target as Python hands it over: label, category, mask and probability, the arrays
/// `[slices, rows, columns]` in C order, probabilities from 0 to 255.
type Found<'py> =
    (String, Option<String>, PyReadonlyArray3<'py, bool>, Option<PyReadonlyArray3<'py, u8>>);

/// `(name, ending)` of every format.
#[pyfunction]
pub fn output_endings() -> Vec<(&'static str, &'static str)> {
    OutputFormat::ALL.iter().map(|format| (format.name(), format.ending())).collect()
}

/// The bytes of a file of that format.
#[pyfunction]
pub fn encode_findings<'py>(
    py: Python<'py>,
    volume: &Volume,
    found: Vec<Found<'py>>,
    format: &str,
    name: String,
) -> PyResult<Bound<'py, PyBytes>> {
    let format: OutputFormat = format.parse().map_err(unusable)?;
    let mut targets = Vec::with_capacity(found.len());
    for ((label, category, mask, probability), color) in found.iter().zip(PALETTE.iter().cycle()) {
        let mask = mask.as_slice().map_err(unusable)?;
        let probability = probability.as_ref().map(|values| values.as_slice()).transpose();
        targets.push(Target {
            label: label.clone(),
            category: category.clone(),
            color: *color,
            voxels: mask.iter().map(|inside| if *inside { 255 } else { 0 }).collect(),
            probabilities: probability.map_err(unusable)?.map(<[u8]>::to_vec),
        });
    }
    let findings = Findings::new(&volume.0, targets).map_err(unusable)?;
    let options = ExportOptions {
        name,
        tone: Tone::Auto,
        notes: PageNotes {
            title: "medparse".into(),
            settings: Vec::new(),
            warnings: volume.0.warnings().to_vec(),
        },
        ..ExportOptions::default()
    };
    let bytes = py.detach(|| format.encode(&findings, &options)).map_err(refused)?;
    Ok(PyBytes::new(py, &bytes))
}
