//! JPEG files, decoded with `zune-jpeg`.

use std::borrow::Cow;
use std::io::Cursor;

use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::jpeg_structure::{Frame, walk};
use crate::limits::Claim;
use crate::{ColorModel, Error, Format, Limits, Picture, Source};

/// 8-bit RGB of a baseline or progressive JPEG.
pub(super) fn picture(bytes: &[u8], limits: &Limits) -> Result<Picture, Error> {
    let frame = walk(bytes)?;
    let Frame { width, height, .. } = frame;
    let pixels = u64::from(width) * u64::from(height);
    // Blocks are whole, so a component can be up to 31 samples wider and higher than the picture; 2 bytes a coefficient.
    let blocks =
        (u64::from(width) + 31) * (u64::from(height) + 31) * 2 * u64::from(frame.components);
    let color = color_model(&frame);
    limits.check(Claim {
        width,
        height,
        encoded_bytes: bytes.len(),
        decoded_bytes: pixels * if frame.components == 4 { 7 } else { 3 }
            + if frame.buffered { blocks } else { 0 },
    })?;

    let samples = decode(bytes, &frame, color)?;
    let rgb = match color {
        ColorModel::Gray => samples.iter().flat_map(|value| [*value; 3]).collect(),
        ColorModel::Cmyk => inks_to_rgb(&samples, |inverted| inverted),
        ColorModel::Ycck => inks_to_rgb(&samples, ycc_to_inverted_inks),
        _ => samples,
    };
    Picture::from_parts(width, height, rgb, Source { format: Format::Jpeg, color, bits: 8 })
}

/// The components of a JPEG as they are stored, luma and chroma not yet turned into RGB, and whether an Adobe mark or the
/// components' own names say what they mean.
pub(crate) fn components(bytes: &[u8]) -> Result<(Vec<u8>, ColorModel, bool), Error> {
    let frame = walk(bytes)?;
    let color = color_model(&frame);
    let certain = frame.adobe_transform.is_some() || frame.named_rgb;
    let samples = if color == ColorModel::YCbCr {
        samples_as(bytes, &frame, ColorSpace::YCbCr, 3)?
    } else {
        decode(bytes, &frame, color)?
    };
    Ok((samples, color, certain))
}

/// What the components mean, by libjpeg's rules: the Adobe segment decides, then the components' names.
fn color_model(frame: &Frame) -> ColorModel {
    match (frame.components, frame.adobe_transform) {
        (1, _) => ColorModel::Gray,
        (3, Some(0)) => ColorModel::Rgb,
        (3, _) if frame.named_rgb => ColorModel::Rgb,
        (3, _) => ColorModel::YCbCr,
        (_, Some(2)) => ColorModel::Ycck,
        _ => ColorModel::Cmyk,
    }
}

/// The samples, interleaved: 1 a pixel of gray, 4 of inks (as stored), else RGB.
fn decode(bytes: &[u8], frame: &Frame, color: ColorModel) -> Result<Vec<u8>, Error> {
    let (out, channels) = match color {
        ColorModel::Gray => (ColorSpace::Luma, 1),
        ColorModel::Cmyk => (ColorSpace::CMYK, 4),
        ColorModel::Ycck => (ColorSpace::YCCK, 4),
        _ => (ColorSpace::RGB, 3),
    };
    samples_as(bytes, frame, out, channels)
}

fn samples_as(
    bytes: &[u8],
    frame: &Frame,
    out: ColorSpace,
    channels: usize,
) -> Result<Vec<u8>, Error> {
    // Strict: damaged pixels are an error, where the decoder would else fill them with gray.
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(frame.width as usize)
        .set_max_height(frame.height as usize)
        .jpeg_set_out_colorspace(out);
    let bytes = match frame.short_adobe {
        Some([start, end]) => Cow::Owned([&bytes[..start], &bytes[end..]].concat()),
        None => Cow::Borrowed(bytes),
    };
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(&*bytes), options);
    let mut samples = vec![0; frame.width as usize * frame.height as usize * channels];
    decoder.decode_into(&mut samples).map_err(|error| Error::Damaged {
        format: Format::Jpeg,
        detail: error.to_string().trim().to_owned(),
    })?;
    Ok(samples)
}

/// Adobe stores inks inverted (255 is no ink); the rest is Pillow's arithmetic: what black leaves, less the ink's share.
fn inks_to_rgb(samples: &[u8], inverted_inks: impl Fn([u8; 3]) -> [u8; 3]) -> Vec<u8> {
    let convert = |pixel: &[u8]| {
        let left_by_black = pixel[3];
        inverted_inks([pixel[0], pixel[1], pixel[2]])
            .map(|inverted| left_by_black - multiply(255 - inverted, left_by_black))
    };
    samples.chunks_exact(4).flat_map(convert).collect()
}

/// a × b / 255, rounded.
fn multiply(a: u8, b: u8) -> u8 {
    let product = u32::from(a) * u32::from(b) + 128;
    (((product >> 8) + product) >> 8) as u8
}

/// JFIF's YCbCr to RGB in 16-bit fixed point as libjpeg rounds it; the inks are its complement.
fn ycc_to_inverted_inks([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((91_881 * cr + HALF) >> 16);
    let green = y + ((-22_554 * cb - 46_802 * cr + HALF) >> 16);
    let blue = y + ((116_130 * cb + HALF) >> 16);
    [red, green, blue].map(|ink| 255 - ink.clamp(0, 255) as u8)
}
