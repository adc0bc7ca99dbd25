//! `POST /api/v1/volume`: the files of a scan in, its voxels out, for a page that shows slices.
//!
//! The reply is a length (4 bytes, little-endian), so many bytes of JSON ([`Header`], filled up with blanks to a
//! multiple of 4), and the voxels in the file's order, little-endian.

use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use medparse_imaging::tone::{Site, Window, percentiles};
use medparse_imaging::{Plane, Samples, View, Volume};
use serde::Serialize;

use crate::AppState;
use crate::errors::ApiError;
use crate::scan::{FILE, receive};

/// Values that the window is estimated from.
const SAMPLED: usize = 200_000;

/// What the voxels are.
#[derive(Serialize)]
struct Header {
    /// Columns, rows, slices.
    dimensions: [usize; 3],
    /// How a voxel is written.
    kind: Kind,
    /// DICOM's code of the modality.
    modality: Option<String>,
    /// What the viewer begins with, and the range of all values; gray volumes only.
    tone: Option<Tone>,
    range: Option<[f64; 2]>,
    /// The file's own window (DICOM's VOI), where it has one.
    stored: Option<Tone>,
    /// Whether low values are white (DICOM's MONOCHROME1): the viewer turns grays over.
    inverted: bool,
    planes: Vec<PlaneView>,
    /// From column, row and slice to millimetres right, front and up (RAS+), three rows of four.
    affine: Option<[[f64; 4]; 3]>,
    /// Cubic millimetres.
    #[serde(rename = "voxelVolume")]
    voxel_volume: Option<f64>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Tone {
    low: f64,
    high: f64,
}

impl From<Window> for Tone {
    fn from(Window { low, high }: Window) -> Self {
        Self { low, high }
    }
}

/// How a voxel is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    I16,
    F32,
    Rgb8,
}

/// A plane as steps through the voxels: of pixel `x`, `y` on `slice` it is
/// `start + x * across + y * down + slice * through`.
#[derive(Debug, PartialEq, Serialize)]
struct PlaneView {
    id: String,
    label: &'static str,
    width: usize,
    height: usize,
    slices: usize,
    start: usize,
    across: isize,
    down: isize,
    through: isize,
    /// Millimetres between rows and between columns.
    spacing: Option<[f64; 2]>,
}

/// `POST /api/v1/volume`: `multipart/form-data` with one `file`, or all files of a DICOM series.
pub(crate) async fn volume(
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, ApiError> {
    let sent = receive(&state, request).await?;
    let voxels = sent.work(|sent| written(&sent.volume(FILE)?)).await?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], voxels).into_response())
}

fn written(volume: &Volume) -> Result<Vec<u8>, ApiError> {
    let (kind, tone, range) = match volume.samples() {
        Samples::Rgb(_) => (Kind::Rgb8, None, None),
        Samples::Gray(values) => {
            let range = range(values);
            let [low, high] = window(volume, values).unwrap_or(range);
            (kind_of(values), Some(Tone { low, high }), Some(range))
        }
    };
    let header = Header {
        dimensions: volume.dimensions(),
        kind,
        modality: volume.modality().map(str::to_owned),
        tone,
        range,
        stored: volume.stored_window().filter(|_| range.is_some()).map(Tone::from),
        inverted: volume.is_inverted(),
        planes: planes(volume),
        affine: volume.grid().map(|grid| {
            // From left and back, as DICOM counts, to right and front, as NIfTI does.
            let [x, y, z] = grid.affine();
            [x.map(|value| -value), y.map(|value| -value), z]
        }),
        voxel_volume: volume.grid().map(medparse_imaging::Grid::voxel_volume),
        warnings: volume.warnings().to_vec(),
    };
    let mut json = serde_json::to_vec(&header).map_err(|_| ApiError::Internal)?;
    json.resize(json.len().next_multiple_of(4), b' ');
    let length = u32::try_from(json.len()).map_err(|_| ApiError::Internal)?;
    let mut out = Vec::with_capacity(4 + json.len() + volume.voxels() * 4);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&json);
    match (volume.samples(), kind) {
        (Samples::Rgb(bytes), _) => out.extend_from_slice(bytes),
        (Samples::Gray(values), Kind::I16) => {
            out.extend(values.iter().flat_map(|&value| (value as i16).to_le_bytes()));
        }
        (Samples::Gray(values), _) => {
            out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
    }
    Ok(out)
}

/// Whole numbers of 16 bits go as such: most scans, at half the size.
fn kind_of(values: &[f32]) -> Kind {
    let is_whole = |value: &f32| {
        value.fract() == 0.0 && (f32::from(i16::MIN)..=f32::from(i16::MAX)).contains(value)
    };
    if values.iter().all(is_whole) { Kind::I16 } else { Kind::F32 }
}

fn range(values: &[f32]) -> [f64; 2] {
    let finite = values.iter().filter(|value| value.is_finite());
    let (low, high) = finite.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &value| {
        (low.min(value), high.max(value))
    });
    if low < high { [low.into(), high.into()] } else { [0.0, 1.0] }
}

/// The window that a viewer begins with: for CT the file's own, else the abdomen's; the middle of the values above zero
/// otherwise, which is how BiomedParse prepared its pictures.
fn window(volume: &Volume, values: &[f32]) -> Option<[f64; 2]> {
    if volume.modality() == Some("CT") {
        let window = volume.stored_window().unwrap_or(Site::Abdomen.window());
        return Some([window.low, window.high]);
    }
    let step = values.len().div_ceil(SAMPLED).max(1);
    let above = values.iter().step_by(step).copied().filter(|&value| value > 0.0).collect();
    percentiles(above, [0.5, 99.5]).filter(|[low, high]| high > low)
}

fn planes(volume: &Volume) -> Vec<PlaneView> {
    let dimensions = volume.dimensions();
    let wanted: &[(Plane, &str)] = match volume.grid() {
        Some(_) if !volume.is_flat() => {
            &[(Plane::Axial, "Axial"), (Plane::Coronal, "Coronal"), (Plane::Sagittal, "Sagittal")]
        }
        _ => &[(Plane::Stored, "Stored")],
    };
    wanted.iter().map(|&(plane, label)| plane_view(volume, dimensions, plane, label)).collect()
}

fn plane_view(
    volume: &Volume,
    dimensions: [usize; 3],
    plane: Plane,
    label: &'static str,
) -> PlaneView {
    let view = View::new(plane, volume.grid(), dimensions);
    let strides = [1, dimensions[0], dimensions[0] * dimensions[1]];
    let axes = view.axes();
    let start = axes
        .iter()
        .filter(|axis| axis.reversed)
        .map(|axis| (dimensions[axis.of] - 1) * strides[axis.of])
        .sum();
    let [across, down, through] = axes.map(|axis| {
        let stride = strides[axis.of].cast_signed();
        if axis.reversed { -stride } else { stride }
    });
    let [width, height, slices] = view.dimensions();
    let spacing = volume.grid().map(|grid| [grid.spacing[axes[1].of], grid.spacing[axes[0].of]]);
    PlaneView {
        id: plane.to_string(),
        label,
        width,
        height,
        slices,
        start,
        across,
        down,
        through,
        spacing,
    }
}

#[cfg(test)]
mod tests {
    use medparse_imaging::Grid;

    use super::*;

    #[test]
    fn a_plane_s_steps_visit_the_voxels_that_its_view_takes() {
        let dimensions = [5, 4, 3];
        let values: Vec<f32> = (0..60).map(|value| value as f32).collect();
        // Right, front, up: two axes against DICOM's.
        let affine = [[-1.0, 0.0, 0.0, 9.0], [0.0, -2.0, 0.0, 8.0], [0.0, 0.0, 3.0, 7.0]];
        let grid = Grid::from_affine(&affine).unwrap();
        let volume = Volume::from_gray(dimensions, values.clone()).unwrap().with_grid(grid);
        let views = planes(&volume);
        assert_eq!(views.len(), 3);
        for (plane, steps) in
            [Plane::Axial, Plane::Coronal, Plane::Sagittal].into_iter().zip(&views)
        {
            let view = View::new(plane, volume.grid(), dimensions);
            for slice in 0..steps.slices {
                let at = |x: usize, y: usize| {
                    let [x, y, slice] = [x, y, slice].map(usize::cast_signed);
                    let at = x * steps.across + y * steps.down + slice * steps.through;
                    values[steps.start.checked_add_signed(at).unwrap()]
                };
                let visited: Vec<f32> = (0..steps.height)
                    .flat_map(|y| (0..steps.width).map(move |x| (x, y)))
                    .map(|(x, y)| at(x, y))
                    .collect();
                assert_eq!(visited, view.take(&values, slice), "{plane} {slice}");
            }
        }
        assert_eq!(views[1].spacing, Some([3.0, 1.0]));
    }

    #[test]
    fn whole_numbers_go_as_such() {
        assert_eq!(kind_of(&[-1024.0, 3071.0]), Kind::I16);
        assert_eq!(kind_of(&[0.5]), Kind::F32);
        assert_eq!(kind_of(&[40_000.0]), Kind::F32);
        assert_eq!(kind_of(&[f32::NAN]), Kind::F32);
        assert_eq!(range(&[f32::NAN, -3.0, 5.0]), [-3.0, 5.0]);
        assert_eq!(range(&[2.0, 2.0]), [0.0, 1.0]);
    }
}
