//! Pixels of three components, and indices into palettes, to 8-bit RGB.

use dicom_dictionary_std::tags;

use super::attributes::Attributes;
use super::codec::{Chroma, Decoded};
use super::frames::{FrameShape, Photometric};
use super::lut::Table;
use super::unsupported;
use crate::Error;
use crate::read::ycbcr_to_rgb;

/// The three tables of a palette.
pub(super) struct Palette([Table; 3]);

impl Palette {
    pub fn of(attributes: Attributes, signed: bool) -> Result<Self, Error> {
        if attributes.element(tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA).is_none()
            && attributes.element(tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA).is_some()
        {
            return Err(unsupported("a palette in segments"));
        }
        let table = |descriptor, data| Table::of(attributes, descriptor, data, signed);
        Ok(Self([
            table(
                tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
                tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            )?,
            table(
                tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
                tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            )?,
            table(
                tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
                tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            )?,
        ]))
    }

    fn rgb(&self, index: i64) -> [u8; 3] {
        [0, 1, 2].map(|at| {
            let table = &self.0[at];
            (table.at(index) >> (table.bits - 8)) as u8
        })
    }

    /// Looks every sample up.
    pub fn apply(&self, samples: impl Iterator<Item = i64>) -> Vec<u8> {
        samples.flat_map(|index| self.rgb(index)).collect()
    }
}

/// RGB of a frame of three components.
pub(super) fn rgb(decoded: &Decoded, shape: &FrameShape) -> Vec<u8> {
    let shift = decoded.bits.saturating_sub(8);
    let bytes = decoded.samples.iter().map(|sample| (*sample as u32 >> shift) as u8);
    let is_ybr = match decoded.color {
        Chroma::Rgb => false,
        Chroma::Ybr => true,
        Chroma::AsStated => {
            matches!(shape.photometric, Photometric::YbrFull | Photometric::YbrFull422)
        }
    };
    let mut bytes: Vec<u8> = bytes.collect();
    if is_ybr {
        for pixel in bytes.as_chunks_mut::<3>().0 {
            *pixel = ycbcr_to_rgb(*pixel);
        }
    }
    bytes
}
