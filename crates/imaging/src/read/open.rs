//! Any file or folder this crate reads, as a volume.

use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::{FileInfo, bmp, jpeg, png, tiff};
use crate::files::read_limited;
use crate::format::looks_like;
use crate::volume::{Samples, Volume};
use crate::{Error, Format, Limits, dicom, nifti, nrrd};

/// How a file or folder is opened.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// How much it may ask for.
    pub limits: Limits,
    /// Of a folder with several DICOM series: the number of the wanted one, as the refusal lists them, or the end of its UID.
    pub series: Option<String>,
}

/// Everything [`open`] knows, as errors name it.
const VOLUMES: &str = "DICOM, NIfTI, NRRD, PNG, JPEG, TIFF and BMP";

/// Reads a file of any format, told by content, or a folder that holds a DICOM series.
///
/// # Errors
/// [`Error::Read`] when the path cannot be read, [`Error::InFile`] around what is wrong with its contents.
///
/// ```
/// use medparse_imaging::{OpenOptions, Tone, View, Plane, open, procedural};
///
/// # fn main() -> Result<(), medparse_imaging::Error> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("cells.png");
/// procedural::cells(64, 48, 1)?.picture.save_png(&path)?;
/// let volume = open(&path, &OpenOptions::default())?;
/// assert_eq!(volume.dimensions(), [64, 48, 1]);
/// let view = View::new(Plane::Stored, volume.grid(), volume.dimensions());
/// assert_eq!(volume.picture(&view, 0, &Tone::Auto)?.dimensions(), (64, 48));
/// # Ok(())
/// # }
/// ```
pub fn open(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Volume, Error> {
    let path = path.as_ref();
    if path.is_dir() {
        return dicom::folder(path, options.series.as_deref(), &options.limits);
    }
    let bytes = read_limited(path, &options.limits)?;
    decode(&bytes, &options.limits).map_err(|error| error.in_file(path))
}

/// Decodes the bytes of a file of any format, told by content.
///
/// # Errors
/// [`Error::UnknownFormat`], [`Error::OverLimit`], [`Error::Truncated`], [`Error::Damaged`],
/// [`Error::Unsupported`] or [`Error::Empty`].
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Volume, Error> {
    limits.check_encoded(bytes.len() as u64)?;
    match Format::sniff(bytes) {
        Some(Format::Png) => png::volume(bytes, limits),
        Some(Format::Jpeg) => {
            let picture = jpeg::picture(bytes, limits)?;
            let dimensions = [picture.width() as usize, picture.height() as usize, 1];
            let info = FileInfo::new(picture.source());
            Volume::from_parts(dimensions, Samples::Rgb(picture.into_pixels()), info)
        }
        Some(Format::Tiff) => tiff::volume(bytes, limits),
        Some(Format::Bmp) => bmp::volume(bytes, limits),
        Some(Format::Dicom) => dicom::volume(bytes, limits),
        Some(Format::Nifti) => nifti::volume(bytes, limits),
        Some(Format::Nrrd) => nrrd::volume(bytes, limits),
        Some(Format::Memory) | None if bytes.starts_with(b"\x1f\x8b") => {
            let inflated = gunzip(bytes, Format::Nifti, limits)?;
            if nifti::is_nifti(&inflated) {
                nifti::volume(&inflated, limits)
            } else {
                let inside = looks_like(&inflated);
                Err(Error::UnknownFormat {
                    looks_like: format!("gzip with {inside} inside"),
                    accepted: VOLUMES,
                })
            }
        }
        Some(Format::Memory) | None => {
            Err(Error::UnknownFormat { looks_like: looks_like(bytes), accepted: VOLUMES })
        }
    }
}

/// Unpacks the gzip of a file of `format`; what comes out is limited, because a thousandfold is easily packed.
pub(crate) fn gunzip(bytes: &[u8], format: Format, limits: &Limits) -> Result<Vec<u8>, Error> {
    // Voxels of 8 bytes become 4 once they are read.
    let limit = limits.max_decoded_bytes.saturating_mul(2);
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(bytes).take(limit.saturating_add(1)).read_to_end(&mut unpacked).map_err(
        |error| {
            if error.kind() == std::io::ErrorKind::UnexpectedEof {
                Error::Truncated {
                    format,
                    bytes: bytes.len(),
                    place: crate::Place::Compressed { unpacked: unpacked.len() as u64 },
                }
            } else {
                Error::Damaged {
                    format,
                    detail: "its gzip data do not unpack or fail their checksum".into(),
                }
            }
        },
    )?;
    if unpacked.len() as u64 > limit {
        return Err(Error::OverLimit {
            claim: format!(
                "a file of {} bytes unpacks to more",
                crate::grouped(bytes.len() as u64)
            ),
            limit: format!("{} bytes", crate::grouped(limit)),
        });
    }
    Ok(unpacked)
}
