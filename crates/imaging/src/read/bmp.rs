//! BMP files, decoded with `zune-bmp`.

use zune_bmp::BmpDecoder;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;

use super::FileInfo;
use crate::limits::Claim;
use crate::volume::{Samples, Volume};
use crate::{ColorModel, Error, Format, Limits, Source};

pub(super) fn volume(bytes: &[u8], limits: &Limits) -> Result<Volume, Error> {
    let damaged = |detail: String| Error::Damaged { format: Format::Bmp, detail };
    let side = limits.max_side as usize;
    let options =
        DecoderOptions::default().set_max_width(side).set_max_height(side).set_strict_mode(true);
    let mut decoder = BmpDecoder::new_with_options(ZCursor::new(bytes), options);
    let failed =
        |error: zune_bmp::BmpDecoderErrors| damaged(format!("{error:?}").trim().to_owned());
    decoder.decode_headers().map_err(failed)?;
    let (width, height) = decoder.dimensions().ok_or_else(|| damaged("it says no size".into()))?;
    limits.check(Claim {
        width: u32::try_from(width).unwrap_or(u32::MAX),
        height: u32::try_from(height).unwrap_or(u32::MAX),
        encoded_bytes: bytes.len(),
        decoded_bytes: width as u64 * height as u64 * 7,
    })?;
    // Uncompressed rows: the decoder fills what is missing with black.
    let stored = stored_bytes(bytes);
    if let Some(needed) = stored.filter(|needed| *needed > bytes.len() as u64) {
        let complete = (bytes.len() as u64 * height as u64 / needed.max(1)) as u32;
        return Err(Error::Truncated {
            format: Format::Bmp,
            bytes: bytes.len(),
            place: crate::Place::Row { complete, of: height as u32 },
        });
    }
    let samples = decoder.decode().map_err(failed)?;
    let color = decoder.colorspace().unwrap_or(ColorSpace::RGB);
    let rgb: Vec<u8> = match color {
        ColorSpace::RGB => samples,
        ColorSpace::RGBA => {
            samples.chunks_exact(4).flat_map(|rgba| [rgba[0], rgba[1], rgba[2]]).collect()
        }
        ColorSpace::BGR => {
            samples.chunks_exact(3).flat_map(|bgr| [bgr[2], bgr[1], bgr[0]]).collect()
        }
        ColorSpace::BGRA => {
            samples.chunks_exact(4).flat_map(|bgra| [bgra[2], bgra[1], bgra[0]]).collect()
        }
        ColorSpace::Luma => samples.iter().flat_map(|gray| [*gray; 3]).collect(),
        other => {
            return Err(Error::Unsupported {
                format: Format::Bmp,
                detail: format!("colours as {other:?}"),
            });
        }
    };
    let source = Source { format: Format::Bmp, color: ColorModel::Rgb, bits: 8 };
    Volume::from_parts([width, height, 1], Samples::Rgb(rgb), FileInfo::new(source))
}

/// Where the pixels of an uncompressed BMP end; `None` for compressed ones.
fn stored_bytes(bytes: &[u8]) -> Option<u64> {
    let u32_at = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let u16_at = |at: usize| bytes.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes);
    let (offset, header) = (u32_at(10)?, u32_at(14)?);
    let (width, height, bits, compression) = if header == 12 {
        (u32::from(u16_at(18)?), u32::from(u16_at(20)?), u16_at(24)?, 0)
    } else {
        (u32_at(18)?, (u32_at(22)? as i32).unsigned_abs(), u16_at(28)?, u32_at(30)?)
    };
    let row = (u64::from(width) * u64::from(bits)).div_ceil(32) * 4;
    matches!(compression, 0 | 3 | 6).then(|| u64::from(offset) + row * u64::from(height))
}
