//! TIFF files, decoded with the `tiff` crate: the first page.

mod regions;

use std::io::{Cursor, Read, Seek};

pub use regions::TiffRegions;

use tiff::decoder::{Decoder, DecodingResult};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError};

use super::{FileInfo, ycbcr_to_rgb};
use crate::error::Place;
use crate::limits::Claim;
use crate::volume::{Samples, Volume};
use crate::{ColorModel, Error, Format, Limits, Source};

pub(super) fn volume(bytes: &[u8], limits: &Limits) -> Result<Volume, Error> {
    let failed = |error: TiffError| describe(error, bytes.len());
    let decoder = Decoder::new(Cursor::new(bytes)).map_err(failed)?;
    let mut decoder = decoder.with_limits(allowed(limits));
    let (width, height) = decoder.dimensions().map_err(failed)?;
    let color = decoder.colortype().map_err(failed)?;
    let (channels, bits) = match color {
        ColorType::Gray(bits) => (1, bits),
        ColorType::GrayA(bits) => (2, bits),
        ColorType::RGB(bits) | ColorType::YCbCr(bits) => (3, bits),
        ColorType::RGBA(bits) => (4, bits),
        other => return Err(unsupported(format!("colours as {other:?}"))),
    };
    let pixels = u64::from(width) * u64::from(height);
    limits.check(Claim {
        width,
        height,
        encoded_bytes: bytes.len(),
        decoded_bytes: pixels.saturating_mul(u64::from(bits).div_ceil(8) * channels + 4),
    })?;
    check_planes(&mut decoder, color, bytes.len())?;
    let white_is_zero =
        decoder.find_tag_unsigned::<u16>(Tag::PhotometricInterpretation).map_err(failed)?
            == Some(0);
    let spacing = spacing(&mut decoder);
    let pages = decoder.more_images();
    let result = decoder.read_image().map_err(failed)?;

    let dimensions = [width as usize, height as usize, 1];
    let is_gray = matches!(color, ColorType::Gray(_) | ColorType::GrayA(_));
    let model = if is_gray { ColorModel::Gray } else { ColorModel::Rgb };
    let mut info = FileInfo::new(Source { format: Format::Tiff, color: model, bits });
    info.pixel_spacing = spacing;
    if pages {
        info.warnings.push(FIRST_PAGE.into());
    }
    let channels = channels as usize;
    let samples = if is_gray {
        // The decoder has already turned white-is-zero round for whole numbers of 8 and 16 bits.
        info.inverted =
            white_is_zero && !matches!(result, DecodingResult::U8(_) | DecodingResult::U16(_));
        Samples::Gray(
            numbers(result, bits, pixels as usize * channels)?
                .into_iter()
                .step_by(channels)
                .collect(),
        )
    } else {
        Samples::Rgb(to_rgb(high_bytes(result)?, color))
    };
    Volume::from_parts(dimensions, samples, info)
}

/// What is said of a TIFF with several pages.
const FIRST_PAGE: &str = "the TIFF has several pages: only the first was read";

/// What the decoder may take.
fn allowed(limits: &Limits) -> tiff::decoder::Limits {
    let mut allowed = tiff::decoder::Limits::default();
    let memory = usize::try_from(limits.max_decoded_bytes).unwrap_or(usize::MAX);
    allowed.decoding_buffer_size = memory;
    allowed.intermediate_buffer_size = memory;
    allowed.ifd_value_size = 1 << 26;
    allowed
}

/// Refuses colours that lie in planes of their own; `bytes` is the file's length.
fn check_planes<R: Read + Seek>(
    decoder: &mut Decoder<R>,
    color: ColorType,
    bytes: usize,
) -> Result<(), Error> {
    let planar = decoder.find_tag_unsigned::<u16>(Tag::PlanarConfiguration);
    let planar = planar.map_err(|error| describe(error, bytes))?;
    if planar == Some(2) && !matches!(color, ColorType::Gray(_)) {
        return Err(unsupported("colours in separate planes".into()));
    }
    Ok(())
}

/// Red, green and blue of interleaved 8-bit samples.
fn to_rgb(samples: Vec<u8>, color: ColorType) -> Vec<u8> {
    match color {
        ColorType::RGB(_) => samples,
        ColorType::Gray(_) => samples.into_iter().flat_map(|gray| [gray; 3]).collect(),
        ColorType::GrayA(_) => samples.chunks_exact(2).flat_map(|pixel| [pixel[0]; 3]).collect(),
        // The decoder leaves the samples of a JPEG inside as they are.
        ColorType::YCbCr(_) => {
            let (pixels, _) = samples.as_chunks::<3>();
            pixels.iter().flat_map(|pixel| ycbcr_to_rgb(*pixel)).collect()
        }
        _ => samples.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
    }
}

fn unsupported(detail: String) -> Error {
    Error::Unsupported { format: Format::Tiff, detail }
}

/// mm a pixel by the resolution tags, where they state a unit.
fn spacing<R: Read + Seek>(decoder: &mut Decoder<R>) -> Option<[f64; 2]> {
    let unit = match decoder.find_tag_unsigned::<u16>(Tag::ResolutionUnit).ok()?? {
        2 => 25.4,
        3 => 10.0,
        _ => return None,
    };
    let mut resolution = |tag| match decoder.find_tag(tag).ok()?? {
        tiff::decoder::ifd::Value::Rational(a, b) if a > 0 && b > 0 => {
            Some(f64::from(a) / f64::from(b))
        }
        _ => None,
    };
    let (x, y) = (resolution(Tag::XResolution)?, resolution(Tag::YResolution)?);
    // Screens and printers state 72 to 600 dots an inch for files that were never measured.
    let measured = x > 1000.0 / unit;
    measured.then(|| [unit / x, unit / y])
}

/// Values as numbers; fewer than 8 bits are packed, rows padded.
fn numbers(result: DecodingResult, bits: u8, expected: usize) -> Result<Vec<f32>, Error> {
    let values: Vec<f32> = match result {
        DecodingResult::U8(values) => {
            if bits < 8 && values.len() != expected {
                return Err(unsupported(format!("{bits} bits a sample")));
            }
            values.into_iter().map(f32::from).collect()
        }
        DecodingResult::U16(values) => values.into_iter().map(f32::from).collect(),
        DecodingResult::U32(values) => values.into_iter().map(|value| value as f32).collect(),
        DecodingResult::I8(values) => values.into_iter().map(f32::from).collect(),
        DecodingResult::I16(values) => values.into_iter().map(f32::from).collect(),
        DecodingResult::I32(values) => values.into_iter().map(|value| value as f32).collect(),
        DecodingResult::F32(values) => values,
        DecodingResult::F64(values) => values.into_iter().map(|value| value as f32).collect(),
        _ => return Err(unsupported("samples of 64 bits or of half precision".into())),
    };
    if values.len() == expected {
        Ok(values)
    } else {
        Err(Error::Damaged {
            format: Format::Tiff,
            detail: format!("it holds {} samples, its size needs {expected}", values.len()),
        })
    }
}

fn high_bytes(result: DecodingResult) -> Result<Vec<u8>, Error> {
    match result {
        DecodingResult::U8(values) => Ok(values),
        DecodingResult::U16(values) => {
            Ok(values.into_iter().map(|value| (value >> 8) as u8).collect())
        }
        _ => Err(unsupported("colours of other than 8 or 16 bits".into())),
    }
}

/// The `tiff` crate's error as one of ours; `bytes` is the file's length.
fn describe(error: TiffError, bytes: usize) -> Error {
    match error {
        TiffError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Error::Truncated { format: Format::Tiff, bytes, place: Place::Header }
        }
        TiffError::UnsupportedError(error) => unsupported(error.to_string()),
        TiffError::LimitsExceeded => Error::OverLimit {
            claim: "the TIFF needs more memory than may be used".into(),
            limit: "`max_decoded_bytes`".into(),
        },
        other => Error::Damaged { format: Format::Tiff, detail: other.to_string() },
    }
}
