//! What a frame looks like, and where each frame's bytes are.

use std::ops::Range;

use dicom_dictionary_std::tags;

use super::attributes::Attributes;
use super::outline::{PixelRanges, Pixels};
use super::syntax::{Compression, Syntax};
use super::{damaged, unsupported};
use crate::Error;

/// What the components of a pixel mean (PS3.3 C.7.6.3.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Photometric {
    Monochrome1,
    Monochrome2,
    Palette,
    Rgb,
    YbrFull,
    YbrFull422,
    /// The codestream turns it into RGB by itself.
    YbrWavelet,
}

impl Photometric {
    fn of(name: &str) -> Result<Self, Error> {
        Ok(match name {
            "MONOCHROME1" => Self::Monochrome1,
            "MONOCHROME2" => Self::Monochrome2,
            "PALETTE COLOR" => Self::Palette,
            "RGB" => Self::Rgb,
            "YBR_FULL" => Self::YbrFull,
            "YBR_FULL_422" => Self::YbrFull422,
            "YBR_ICT" | "YBR_RCT" => Self::YbrWavelet,
            "YBR_PARTIAL_420" | "YBR_PARTIAL_422" | "HSV" | "ARGB" | "CMYK" => {
                return Err(unsupported(format!("colours as {name}")));
            }
            _ => return Err(unsupported("an unknown photometric interpretation")),
        })
    }
}

/// The shape of one frame.
#[derive(Clone, Debug)]
pub(super) struct FrameShape {
    pub columns: usize,
    pub rows: usize,
    pub components: usize,
    pub bits_allocated: u32,
    pub bits_stored: u32,
    pub high_bit: u32,
    pub signed: bool,
    pub planar: bool,
    pub big_endian: bool,
    /// Bytes were written as big-endian words of two.
    pub swapped_pairs: bool,
    /// Of single-bit pixels: the frame's first bit within its bytes.
    pub first_bit: usize,
    pub photometric: Photometric,
}

impl FrameShape {
    /// Reads and checks the image pixel module (PS3.3 C.7.6.3).
    pub fn of(attributes: Attributes, syntax: Syntax, pixels: &Pixels) -> Result<Self, Error> {
        let float_bits = pixels.float_bits;
        let whole = |tag, name: &str| {
            attributes
                .integer(tag)
                .ok_or_else(|| damaged(format!("it has pixels but does not say its {name}")))
        };
        let side = |tag, name: &str| {
            whole(tag, name)?
                .try_into()
                .ok()
                .filter(|side| (1..=65_535).contains(side))
                .ok_or_else(|| damaged(format!("its {name} are not between 1 and 65535")))
        };
        let components = attributes.integer(tags::SAMPLES_PER_PIXEL).unwrap_or(1);
        let photometric = attributes.text(tags::PHOTOMETRIC_INTERPRETATION).ok_or_else(|| {
            damaged("it has pixels but does not say what they mean (photometric interpretation)")
        })?;
        let photometric = Photometric::of(&photometric)?;
        let expected = match photometric {
            Photometric::Monochrome1 | Photometric::Monochrome2 | Photometric::Palette => 1,
            _ => 3,
        };
        if components != expected {
            return Err(damaged(format!(
                "its pixels need {expected} samples each, it says {components}"
            )));
        }
        let bits_allocated = match float_bits {
            Some(bits) => i64::from(bits),
            None => whole(tags::BITS_ALLOCATED, "bits allocated")?,
        };
        if !matches!(bits_allocated, 1 | 8 | 16 | 32) && float_bits.is_none() {
            return Err(unsupported(format!(
                "{bits_allocated} bits allocated a sample (1, 8, 16 and 32 are read)"
            )));
        }
        let bits_stored = attributes.integer(tags::BITS_STORED).unwrap_or(bits_allocated);
        let high_bit = attributes.integer(tags::HIGH_BIT).unwrap_or(bits_stored - 1);
        if !(1..=bits_allocated).contains(&bits_stored)
            || !(bits_stored - 1..bits_allocated).contains(&high_bit)
        {
            return Err(damaged(format!(
                "{bits_stored} bits stored with high bit {high_bit} do not fit {bits_allocated} bits allocated"
            )));
        }
        Ok(Self {
            columns: side(tags::COLUMNS, "columns")?,
            rows: side(tags::ROWS, "rows")?,
            components: components as usize,
            bits_allocated: bits_allocated as u32,
            bits_stored: bits_stored as u32,
            high_bit: high_bit as u32,
            signed: attributes.integer(tags::PIXEL_REPRESENTATION) == Some(1),
            planar: attributes.integer(tags::PLANAR_CONFIGURATION) == Some(1)
                && components > 1
                && syntax.compression == Compression::None,
            big_endian: syntax.encoding.big_endian,
            swapped_pairs: pixels.words && syntax.encoding.big_endian && bits_allocated == 8,
            first_bit: 0,
            photometric,
        })
    }

    /// Samples of one frame.
    pub fn samples(&self) -> usize {
        self.columns * self.rows * self.components
    }

    /// Bits of one uncompressed frame.
    pub fn bits(&self) -> usize {
        let halved = self.photometric == Photometric::YbrFull422;
        let samples = if halved { self.columns * self.rows * 2 } else { self.samples() };
        samples * self.bits_allocated as usize
    }
}

/// The bytes of each of `count` frames.
pub(super) fn split<'a>(
    bytes: &'a [u8],
    ranges: &PixelRanges,
    shape: &FrameShape,
    count: usize,
) -> Result<Vec<std::borrow::Cow<'a, [u8]>>, Error> {
    match ranges {
        PixelRanges::Native(range) => Ok((0..count)
            .map(|frame| {
                // A frame that is not there is empty, and its decoder says so.
                let start = range.start + frame * shape.bits() / 8;
                let length = ((frame + 1) * shape.bits()).div_ceil(8);
                // The last byte of an odd length lies in the other half of its word.
                let length = if shape.swapped_pairs { length.next_multiple_of(2) } else { length };
                let end = range.start + length;
                bytes.get(start..end.min(range.end)).unwrap_or_default().into()
            })
            .collect()),
        PixelRanges::Encapsulated { offsets, fragments } => {
            let groups = group(bytes, offsets, fragments, count)?;
            Ok(groups
                .into_iter()
                .map(|group| match group {
                    [one] => bytes[one.clone()].into(),
                    many => many
                        .iter()
                        .flat_map(|range| &bytes[range.clone()])
                        .copied()
                        .collect::<Vec<u8>>()
                        .into(),
                })
                .collect())
        }
    }
}

/// Which fragments make up each frame (PS3.5 section A.4).
fn group<'a>(
    bytes: &[u8],
    offsets: &Range<usize>,
    fragments: &'a [Range<usize>],
    count: usize,
) -> Result<Vec<&'a [Range<usize>]>, Error> {
    if fragments.len() == count {
        return Ok(fragments.chunks(1).collect());
    }
    if count == 1 && !fragments.is_empty() {
        return Ok(vec![fragments]);
    }
    let first = fragments.first().map_or(0, |range| range.start - 8);
    let table: Vec<usize> = bytes[offsets.clone()]
        .as_chunks::<4>()
        .0
        .iter()
        .map(|raw| u32::from_le_bytes(*raw) as usize)
        .collect();
    let starts: Vec<usize> = if table.len() == count {
        let at =
            |offset: &usize| fragments.iter().position(|range| range.start - 8 - first == *offset);
        table.iter().filter_map(at).collect()
    } else {
        // Without a table a frame begins where a codestream does.
        let begins = |range: &Range<usize>| {
            let head = &bytes[range.clone()];
            head.starts_with(b"\xff\xd8") || head.starts_with(b"\xff\x4f")
        };
        (0..fragments.len()).filter(|at| begins(&fragments[*at])).collect()
    };
    let ascending = starts.windows(2).all(|pair| pair[0] < pair[1]);
    if starts.len() != count || starts.first() != Some(&0) || !ascending {
        return Err(damaged(format!(
            "its {} fragments of compressed pixels cannot be told apart into {count} frames",
            fragments.len()
        )));
    }
    let ends = starts.iter().skip(1).copied().chain([fragments.len()]);
    Ok(starts.iter().zip(ends).map(|(start, end)| &fragments[*start..end]).collect())
}
