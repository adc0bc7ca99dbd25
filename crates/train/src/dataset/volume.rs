//! NIfTI volumes, slice by slice.

use std::path::{Path, PathBuf};

use nifti::volume::ndarray::IntoNdArray;
use nifti::{NiftiHeader, NiftiObject, ReaderOptions, Unit};

use super::DatasetError;

/// Values of a volume with a three-dimensional grid.
pub(super) struct Volume {
    /// Values with the first axis fastest.
    values: Vec<f32>,
    /// Extents of the three axes.
    size: [usize; 3],
    /// Millimetres between voxels along the first two axes, where the file says so.
    spacing: Option<[f64; 2]>,
}

/// A plane across the last axis: the first axis runs to the right, the second upwards.
pub(super) struct Plane {
    pub width: usize,
    pub height: usize,
    /// Row by row from the top.
    pub values: Vec<f32>,
}

impl Volume {
    pub(super) fn read(path: &Path) -> Result<Self, DatasetError> {
        let volume = |reason: String| DatasetError::Volume { path: PathBuf::from(path), reason };
        let object =
            ReaderOptions::new().read_file(path).map_err(|error| volume(error.to_string()))?;
        let spacing = spacing(object.header());
        let array = object
            .into_volume()
            .into_ndarray::<f32>()
            .map_err(|error| volume(error.to_string()))?;
        // A trailing axis of one, as a series of one volume has, carries nothing.
        let shape = array.shape();
        let &[width, height, depth, ref rest @ ..] = shape else {
            return Err(volume(format!("expected three axes, found {}", shape.len())));
        };
        if width * height * depth == 0 || rest.iter().any(|&extent| extent != 1) {
            return Err(volume(format!("expected one volume with voxels, found {shape:?}")));
        }
        // Reversed axes make the iteration's order that of the file, first axis fastest.
        let values = array.reversed_axes().iter().copied().collect();
        Ok(Self { values, size: [width, height, depth], spacing })
    }

    /// Millimetres between the pixels of a slice, along a row and down a column.
    pub(super) fn spacing(&self) -> Option<[f64; 2]> {
        self.spacing
    }

    /// How many slices there are.
    pub(super) fn slices(&self) -> usize {
        self.size[2]
    }

    /// Slice `index`; empty beyond the last.
    pub(super) fn slice(&self, index: usize) -> Plane {
        let [width, height, _] = self.size;
        let area = width * height;
        let plane = self.values.chunks_exact(area).nth(index).unwrap_or_default();
        let rows = plane.chunks_exact(width).rev();
        Plane { width, height, values: rows.flatten().copied().collect() }
    }
}

/// Voxel sizes in millimetres: NIfTI's `pixdim`, whose unit `xyzt_units` names; files that leave
/// the unit open mean millimetres.
fn spacing(header: &NiftiHeader) -> Option<[f64; 2]> {
    let unit = match header.xyzt_to_space() {
        Ok(Unit::Meter) => 1e3,
        Ok(Unit::Micron) => 1e-3,
        _ => 1.0,
    };
    let sizes = [header.pixdim[1], header.pixdim[2]].map(|size| f64::from(size).abs() * unit);
    sizes.iter().all(|size| size.is_finite() && *size > 0.0).then_some(sizes)
}

impl Plane {
    /// Gray levels: what lies above zero is clipped to its 0.5th and 99.5th percentile, then
    /// stretched to 0..=255, as the reference prepares every modality but CT.
    pub(super) fn gray(&self) -> Vec<u8> {
        let mut above: Vec<f32> =
            self.values.iter().copied().filter(|value| *value > 0.0).collect();
        if above.is_empty() {
            return vec![0; self.values.len()];
        }
        above.sort_unstable_by(f32::total_cmp);
        let (low, high) = (percentile(&above, 0.005), percentile(&above, 0.995));
        let clipped = self.values.iter().map(|value| value.clamp(low, high));
        let (least, most) = clipped
            .clone()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), value| (a.min(value), b.max(value)));
        let range = if most > least { most - least } else { 1.0 };
        clipped.map(|value| ((value - least) / range * 255.0) as u8).collect()
    }
}

/// The value below which `share` of the sorted values lie, with linear interpolation.
fn percentile(sorted: &[f32], share: f64) -> f32 {
    let position = share * (sorted.len() - 1) as f64;
    let (below, part) = (position.floor(), position.fract() as f32);
    let low = sorted[below as usize];
    let high = sorted[(below as usize + 1).min(sorted.len() - 1)];
    low + (high - low) * part
}
