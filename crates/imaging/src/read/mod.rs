//! Bytes to pixels and voxels, one file for each format of pictures; DICOM, NIfTI and NRRD have folders of their own.

mod bmp;
mod info;
mod jpeg;
mod jpeg_structure;
mod open;
mod png;
mod png_samples;
mod tiff;
mod ycbcr;

pub(crate) use info::{FileInfo, check_voxels};
pub(crate) use jpeg::components as jpeg_components;
pub(crate) use open::gunzip;
pub use open::{OpenOptions, decode, open};
pub use tiff::TiffRegions;
pub(crate) use ycbcr::ycbcr_to_rgb;

use crate::format::looks_like;
use crate::{Error, Format, Limits, Mask, Picture};

/// What [`picture`] reads, as errors name it.
const PICTURES: &str = "PNG and JPEG";

/// What [`mask`] reads, as errors name it.
const MASKS: &str = "PNG masks";

/// A picture of a PNG or JPEG, told apart by content.
pub(crate) fn picture(bytes: &[u8], limits: &Limits) -> Result<Picture, Error> {
    limits.check_encoded(bytes.len() as u64)?;
    match Format::sniff(bytes) {
        Some(Format::Png) => png::picture(bytes, limits),
        Some(Format::Jpeg) => jpeg::picture(bytes, limits),
        _ => Err(Error::UnknownFormat { looks_like: looks_like(bytes), accepted: PICTURES }),
    }
}

/// A mask: every pixel of a PNG that is not black.
pub(crate) fn mask(bytes: &[u8], limits: &Limits) -> Result<Mask, Error> {
    limits.check_encoded(bytes.len() as u64)?;
    match Format::sniff(bytes) {
        Some(Format::Png) => png::mask(bytes, limits),
        Some(Format::Jpeg) => Err(Error::UnknownFormat {
            looks_like: "a JPEG, whose losses blur a mask's edge".into(),
            accepted: MASKS,
        }),
        _ => Err(Error::UnknownFormat { looks_like: looks_like(bytes), accepted: MASKS }),
    }
}
