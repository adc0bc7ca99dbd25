//! From a frame's bytes to its samples, one file for each compression.
//!
//! Every decoder takes the size from the data set and holds the compressed frame to it, so a frame cannot ask for more
//! memory than the data set's claim, which has passed the limits.

mod jpeg;
mod jpeg_2000;
mod jpeg_huffman;
mod jpeg_lossless;
mod jpeg_ls;
mod jpeg_sequential;
mod native;
mod rle;

pub(super) use native::{floats, samples as native};

use super::frames::FrameShape;
use super::syntax::Compression;
use crate::error::Place;
use crate::{Error, Format};

/// Why a frame could not be decoded.
#[derive(Debug)]
pub(super) enum CodecError {
    /// It ends early.
    Truncated,
    /// It breaks its format's rules.
    Damaged(String),
    /// It is of a kind that is not read.
    Unsupported(String),
}

impl CodecError {
    pub fn damaged(detail: impl Into<String>) -> Self {
        Self::Damaged(detail.into())
    }

    pub fn unsupported(detail: impl Into<String>) -> Self {
        Self::Unsupported(detail.into())
    }

    /// As this crate's error, with the frame's number from 1 and the file's length.
    pub fn in_frame(self, number: usize, bytes: usize) -> Error {
        let format = Format::Dicom;
        match self {
            Self::Truncated => Error::Truncated { format, bytes, place: Place::Frame { number } },
            Self::Damaged(detail) => {
                Error::Damaged { format, detail: format!("frame {number}: {detail}") }
            }
            Self::Unsupported(detail) => {
                Error::Unsupported { format, detail: format!("frame {number}: {detail}") }
            }
        }
    }
}

/// A decoded frame.
#[derive(Debug)]
pub(super) struct Decoded {
    /// `[row][column][component]`, the bit pattern of each sample in its low bits.
    pub samples: Vec<i32>,
    /// How many low bits hold the sample.
    pub bits: u32,
    /// Whether three components are still luma and chroma.
    pub color: Chroma,
}

/// What a decoder knows of three components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chroma {
    /// What the data set says.
    AsStated,
    /// Red, green, blue, whatever the data set says.
    Rgb,
    /// Luma and chroma over the full range, whatever the data set says.
    Ybr,
}

/// Decodes one compressed frame.
pub(super) fn decode(
    compression: Compression,
    bytes: &[u8],
    shape: &FrameShape,
) -> Result<Decoded, CodecError> {
    match compression {
        Compression::None => Ok(Decoded {
            samples: native(bytes, shape)?,
            bits: shape.bits_stored,
            color: Chroma::AsStated,
        }),
        Compression::Rle => Ok(Decoded {
            samples: rle::samples(bytes, shape)?,
            bits: shape.bits_stored,
            color: Chroma::AsStated,
        }),
        Compression::Jpeg => jpeg::decode(bytes, shape),
        Compression::JpegLs => jpeg_ls::decode(bytes, shape),
        Compression::Jpeg2000 => jpeg_2000::decode(bytes, shape),
    }
}

/// Refuses a compressed frame that is not of the data set's size.
fn expect_shape(
    shape: &FrameShape,
    (columns, rows, components): (usize, usize, usize),
) -> Result<(), CodecError> {
    if (columns, rows, components) == (shape.columns, shape.rows, shape.components) {
        return Ok(());
    }
    Err(CodecError::damaged(format!(
        "the data set says {}×{} pixels of {} components, the compressed pixels are {columns}×{rows} of {components}",
        shape.columns, shape.rows, shape.components
    )))
}
