//! Findings into files of any format.

use super::report::{PageNotes, page};
use super::slices::Shown;
use super::{Findings, LabelMap, coco, geojson, npz};
use crate::dicom::{
    SegmentationKind, check_segmentation, check_structure_set, segmentation, structure_set,
};
use crate::{Error, Grid, Tone, View, Volume, nifti, nrrd};

/// The formats that findings are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutputFormat {
    /// A NIfTI label map, `.nii.gz`.
    Nifti,
    /// An NRRD label map that 3D Slicer opens as a segmentation, `.seg.nrrd`.
    Nrrd,
    /// A binary DICOM segmentation, `.seg.dcm`.
    DicomSeg,
    /// A fractional DICOM segmentation, `.prob.dcm`.
    DicomSegFractional,
    /// A DICOM RT structure set, `.rtstruct.dcm`.
    RtStruct,
    /// COCO's JSON with run-length masks, `.coco.json`.
    Coco,
    /// GeoJSON polygons in pixels, `.geojson`.
    GeoJson,
    /// NumPy arrays, `.npz`.
    Npz,
    /// A page with pictures and numbers, `.html`.
    Html,
}

/// What some formats need beside the findings.
#[derive(Clone, Debug, Default)]
pub struct ExportOptions {
    /// What COCO calls the picture.
    pub name: String,
    /// How the page shows values as grays.
    pub tone: Tone,
    /// Which slices the page shows, as the model was shown them; the file's own where not given.
    pub view: Option<View>,
    /// What the page says.
    pub notes: PageNotes,
}

impl OutputFormat {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Nifti,
        Self::Nrrd,
        Self::DicomSeg,
        Self::DicomSegFractional,
        Self::RtStruct,
        Self::Coco,
        Self::GeoJson,
        Self::Npz,
        Self::Html,
    ];

    /// As the command line names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nifti => "nifti",
            Self::Nrrd => "nrrd",
            Self::DicomSeg => "dicom-seg",
            Self::DicomSegFractional => "dicom-seg-fractional",
            Self::RtStruct => "rtstruct",
            Self::Coco => "coco",
            Self::GeoJson => "geojson",
            Self::Npz => "npz",
            Self::Html => "html",
        }
    }

    /// The ending of its files, with the point.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Nifti => ".nii.gz",
            Self::Nrrd => ".seg.nrrd",
            Self::DicomSeg => ".seg.dcm",
            Self::DicomSegFractional => ".prob.dcm",
            Self::RtStruct => ".rtstruct.dcm",
            Self::Coco => ".coco.json",
            Self::GeoJson => ".geojson",
            Self::Npz => ".npz",
            Self::Html => ".html",
        }
    }

    /// Whether what is found in `volume` can be written in this format: to be asked before an hour of computing.
    ///
    /// # Errors
    /// [`Error::CannotWrite`] where the input lacks what the format needs: a place in the patient, a DICOM source.
    pub fn check(self, volume: &Volume) -> Result<(), Error> {
        match self {
            Self::Nifti | Self::Nrrd => self.grid(volume).map(drop),
            Self::DicomSeg | Self::DicomSegFractional => check_segmentation(volume),
            Self::RtStruct => check_structure_set(volume),
            Self::Coco | Self::GeoJson | Self::Npz | Self::Html => Ok(()),
        }
    }

    fn grid(self, volume: &Volume) -> Result<&Grid, Error> {
        volume.grid().ok_or_else(|| Error::CannotWrite {
            format: self.name(),
            detail: "the input does not say where its voxels lie".into(),
        })
    }

    /// The bytes of a file of this format.
    ///
    /// # Errors
    /// [`Error::CannotWrite`] where the input lacks what the format needs: a place in the patient, a DICOM source.
    pub fn encode(self, findings: &Findings, options: &ExportOptions) -> Result<Vec<u8>, Error> {
        let failed = |error: String| Error::CannotWrite { format: self.name(), detail: error };
        let grid = || self.grid(findings.volume);
        match self {
            Self::Nifti => {
                let code = findings.volume.info.nifti_code.unwrap_or(1);
                nifti::labels(&LabelMap::new(findings), grid()?, code)
                    .map_err(|error| failed(error.to_string()))
            }
            Self::Nrrd => {
                let segments: Vec<nrrd::Segment> = findings
                    .targets
                    .iter()
                    .map(|target| nrrd::Segment { name: &target.label, color: target.color })
                    .collect();
                let map = LabelMap::new(findings);
                nrrd::labels(&map, grid()?, &segments).map_err(|error| failed(error.to_string()))
            }
            Self::DicomSeg => segmentation(findings, SegmentationKind::Binary),
            Self::DicomSegFractional => segmentation(findings, SegmentationKind::Fractional),
            Self::RtStruct => structure_set(findings),
            Self::Coco => Ok(coco::json(findings, &options.name).to_string().into_bytes()),
            Self::GeoJson => Ok(geojson::json(findings).to_string().into_bytes()),
            Self::Npz => npz::bytes(findings).map_err(|error| failed(error.to_string())),
            Self::Html => {
                let view =
                    options.view.unwrap_or_else(|| View::stored(findings.volume.dimensions()));
                page(findings, &Shown { view, tone: &options.tone }, &options.notes)
            }
        }
    }
}

impl std::fmt::Display for OutputFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no output format: expected one of {}", OutputFormat::ALL.map(OutputFormat::name).join(", "))]
pub struct UnknownOutputFormat {
    /// What was given.
    pub text: String,
}

impl std::str::FromStr for OutputFormat {
    type Err = UnknownOutputFormat;

    fn from_str(text: &str) -> Result<Self, UnknownOutputFormat> {
        let found =
            Self::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(text.trim()));
        found.ok_or_else(|| UnknownOutputFormat { text: text.to_owned() })
    }
}
