//! Bytes to pixels.

mod jpeg;
mod jpeg_structure;
mod png;
mod png_samples;

use crate::format::{ACCEPTED, looks_like};
use crate::{Error, Format, Limits, Mask, Picture};

/// A picture of whatever format the bytes bear the signature of.
pub(crate) fn picture(bytes: &[u8], limits: &Limits) -> Result<Picture, Error> {
    limits.check_encoded(bytes.len() as u64)?;
    match Format::sniff(bytes) {
        Some(Format::Png) => png::picture(bytes, limits),
        Some(Format::Jpeg) => jpeg::picture(bytes, limits),
        Some(Format::Memory) | None => {
            Err(Error::UnknownFormat { looks_like: looks_like(bytes), accepted: ACCEPTED })
        }
    }
}

/// A mask: every pixel of a PNG that is not black.
pub(crate) fn mask(bytes: &[u8], limits: &Limits) -> Result<Mask, Error> {
    limits.check_encoded(bytes.len() as u64)?;
    match Format::sniff(bytes) {
        Some(Format::Png) => png::mask(bytes, limits),
        Some(Format::Jpeg) => Err(Error::UnknownFormat {
            looks_like: "a JPEG, whose losses blur a mask's edge".into(),
            accepted: "PNG masks",
        }),
        Some(Format::Memory) | None => {
            Err(Error::UnknownFormat { looks_like: looks_like(bytes), accepted: "PNG masks" })
        }
    }
}
