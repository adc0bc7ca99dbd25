//! JPEG (ITU-T T.81) of 8 bits by `zune-jpeg`; of 12 bits and lossless by this crate's own decoders, because no safe
//! crate that is kept up reads them.

use super::jpeg_huffman::{Frame, Process};
use super::{Chroma, CodecError, Decoded, expect_shape, jpeg_lossless, jpeg_sequential};
use crate::dicom::frames::{FrameShape, Photometric};
use crate::{ColorModel, Error};

pub fn decode(bytes: &[u8], shape: &FrameShape) -> Result<Decoded, CodecError> {
    let frame = Frame::find(bytes)?;
    expect_shape(shape, (frame.columns, frame.rows, frame.components.len()))?;
    let bits = u32::from(frame.precision);
    match frame.process {
        Process::Lossless => {
            let samples = jpeg_lossless::samples(bytes)?;
            Ok(Decoded { samples, bits, color: Chroma::AsStated })
        }
        Process::Sequential if frame.precision == 12 => {
            let samples = jpeg_sequential::samples(bytes)?;
            Ok(Decoded { samples, bits, color: Chroma::AsStated })
        }
        Process::Sequential | Process::Progressive if frame.precision == 8 => eight(bytes, shape),
        _ => Err(CodecError::unsupported(format!(
            "progressive JPEG of {} bits a sample",
            frame.precision
        ))),
    }
}

fn eight(bytes: &[u8], shape: &FrameShape) -> Result<Decoded, CodecError> {
    let (samples, model, certain) =
        crate::read::jpeg_components(bytes).map_err(|error| match error {
            Error::Truncated { .. } => CodecError::Truncated,
            Error::Damaged { detail, .. } => CodecError::Damaged(detail),
            other => CodecError::unsupported(other.to_string()),
        })?;
    let color = match model {
        ColorModel::Rgb => Chroma::Rgb,
        // Without an Adobe mark the data set's word counts.
        ColorModel::YCbCr if !certain && shape.photometric == Photometric::Rgb => Chroma::Rgb,
        ColorModel::YCbCr => Chroma::Ybr,
        _ => Chroma::AsStated,
    };
    Ok(Decoded { samples: samples.into_iter().map(i32::from).collect(), bits: 8, color })
}
