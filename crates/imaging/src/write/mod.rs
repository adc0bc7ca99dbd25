//! Pixels and findings to bytes, one file for each format; NIfTI, NRRD and DICOM have folders of their own.

mod coco;
pub(crate) mod contour;
mod export;
mod findings;
mod geojson;
mod label_map;
mod npz;
pub(crate) mod png;
mod report;
mod sheet;
mod slices;

pub use export::{ExportOptions, OutputFormat, UnknownOutputFormat};
pub use findings::{Findings, Target};
pub use label_map::LabelMap;
pub use png::label_png;
pub use report::PageNotes;
pub use sheet::sheet;
