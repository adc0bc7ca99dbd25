//! What a file says beside its samples.

use crate::tone::Curve;
use crate::volume::Samples;
use crate::{ColorModel, Error, Limits, Source, grouped};

/// Everything of a file that outlives its decoding, apart from samples and place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FileInfo {
    pub source: Source,
    /// DICOM's code, such as `CT`.
    pub modality: Option<String>,
    /// Whether low values are white (MONOCHROME1).
    pub inverted: bool,
    /// The file's own way from values to grays.
    pub curve: Option<Curve>,
    /// Of a flat picture without a place in the patient: mm along a row and down a column.
    pub pixel_spacing: Option<[f64; 2]>,
    /// What the coordinates rest on, in NIfTI's words; `None` from other formats.
    pub nifti_code: Option<i16>,
    pub warnings: Vec<String>,
}

impl FileInfo {
    pub fn new(source: Source) -> Self {
        Self {
            source,
            modality: None,
            inverted: false,
            curve: None,
            pixel_spacing: None,
            nifti_code: None,
            warnings: Vec::new(),
        }
    }
}

/// Holds what a header claims against the limits and gives the number of voxels.
pub(crate) fn check_voxels(
    dimensions: [usize; 3],
    color: ColorModel,
    encoded: usize,
    limits: &Limits,
) -> Result<usize, Error> {
    let [columns, rows, slices] = dimensions;
    let claim = || {
        format!(
            "a file of {} bytes claims {columns}×{rows}×{slices} voxels",
            grouped(encoded as u64)
        )
    };
    let over = |limit: String| Err(Error::OverLimit { claim: claim(), limit });
    if columns.max(rows).max(slices) as u64 > u64::from(limits.max_side) {
        return over(format!("{} voxels a side", grouped(limits.max_side.into())));
    }
    // Three sides of at most 2³² fit a u128 many times over.
    let voxels = dimensions.iter().map(|side| *side as u128).product::<u128>();
    if columns as u64 * rows as u64 > limits.max_pixels {
        return over(format!("{} pixels a slice", grouped(limits.max_pixels)));
    }
    let bytes = voxels * u128::from(Samples::bytes_a_voxel(color));
    if bytes > u128::from(limits.max_decoded_bytes) {
        return over(format!("{} bytes of memory", grouped(limits.max_decoded_bytes)));
    }
    usize::try_from(voxels).or_else(|_| over("this machine's memory".into()))
}
