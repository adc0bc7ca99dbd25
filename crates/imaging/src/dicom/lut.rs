//! Tables and lines from stored values to measured ones, and from those to grays (PS3.3 C.11.1, C.11.2).

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::attributes::Attributes;
use super::damaged;
use crate::Error;
use crate::tone::Curve;

/// A lookup table with its descriptor (PS3.3 C.11.1.1.1).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Table {
    /// The stored value that the first entry is for.
    pub first: i64,
    /// Bits of an entry.
    pub bits: u32,
    pub entries: Vec<u16>,
}

impl Table {
    /// `signed`: whether the first mapped value is (as stored pixels are).
    pub fn of(
        attributes: Attributes,
        descriptor: Tag,
        data: Tag,
        signed: bool,
    ) -> Result<Self, Error> {
        let wrong = |detail: &str| damaged(format!("a lookup table {detail}"));
        let numbers = attributes
            .element(descriptor)
            .and_then(|element| element.to_multi_int::<i64>().ok())
            .ok_or_else(|| wrong("has no descriptor"))?;
        let &[count, first, bits] = &numbers[..] else {
            return Err(wrong("has a descriptor of other than three numbers"));
        };
        // 0 stands for 65536; both may have been read as signed.
        let count = match count & 0xffff {
            0 => 65_536,
            count => count as usize,
        };
        let first = if signed { (first & 0xffff) as u16 as i16 as i64 } else { first & 0xffff };
        let element = attributes.element(data).ok_or_else(|| wrong("has no entries"))?;
        let mut entries: Vec<u16> = element
            .to_multi_int::<i64>()
            .map_err(|_| wrong("has entries that are no numbers"))?
            .into_iter()
            .map(|entry| entry as u16)
            .collect();
        if entries.len() * 2 == count || entries.len() * 2 == count + 1 {
            // Two entries of 8 bits a word.
            entries = entries.into_iter().flat_map(|word| [word & 0xff, word >> 8]).collect();
        }
        if entries.len() < count || !(8..=16).contains(&bits) {
            return Err(wrong(&format!(
                "promises {count} entries of {bits} bits, {} are there",
                entries.len()
            )));
        }
        entries.truncate(count);
        Ok(Self { first, bits: bits as u32, entries })
    }

    /// The entry of a stored value; values outside take the first or the last.
    pub fn at(&self, stored: i64) -> u16 {
        let last = self.entries.len() - 1;
        let place = usize::try_from(stored - self.first).unwrap_or(0).min(last);
        self.entries[place]
    }
}

/// From stored to measured values.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Modality {
    Line { slope: f64, intercept: f64 },
    Table(Table),
}

impl Modality {
    /// `attributes` hold the modality LUT module, or a pixel value transformation of an enhanced object.
    pub fn of(attributes: Attributes, signed: bool) -> Result<Self, Error> {
        if let Some(item) = attributes.item(tags::MODALITY_LUT_SEQUENCE) {
            return Table::of(item, tags::LUT_DESCRIPTOR, tags::LUT_DATA, signed).map(Self::Table);
        }
        let slope = attributes.number(tags::RESCALE_SLOPE);
        let intercept = attributes.number(tags::RESCALE_INTERCEPT);
        Ok(Self::Line { slope: slope.unwrap_or(1.0), intercept: intercept.unwrap_or(0.0) })
    }

    pub fn apply(&self, stored: f64) -> f32 {
        match self {
            Self::Line { slope, intercept } => (stored * slope + intercept) as f32,
            Self::Table(table) => table.at(stored as i64).into(),
        }
    }
}

/// The file's own way from measured values to grays, if it has one: a table before a window.
pub(super) fn voi(attributes: Attributes, signed: bool) -> Option<Curve> {
    if let Some(item) = attributes.item(tags::VOILUT_SEQUENCE)
        && let Ok(table) = Table::of(item, tags::LUT_DESCRIPTOR, tags::LUT_DATA, signed)
    {
        let most = f64::from((1_u32 << table.bits) - 1);
        let gray = |entry: &u16| (f64::from(*entry) * 255.0 / most).round() as u8;
        return Some(Curve::Table {
            first: table.first as f64,
            grays: table.entries.iter().map(gray).collect(),
        });
    }
    let center = attributes.number(tags::WINDOW_CENTER)?;
    let width = attributes.number(tags::WINDOW_WIDTH)?;
    match attributes.text(tags::VOILUT_FUNCTION).as_deref() {
        Some("SIGMOID") if width > 0.0 => Some(Curve::Sigmoid { center, width }),
        Some("LINEAR_EXACT") => crate::tone::Window::around(center, width).map(Curve::Linear),
        _ => Curve::dicom_linear(center, width),
    }
}

#[cfg(test)]
mod tests {
    use dicom_core::value::PrimitiveValue;
    use dicom_core::{DataElement, VR};
    use dicom_object::InMemDicomObject;

    use super::*;

    #[test]
    fn a_count_of_more_than_sixteen_bits_makes_no_empty_table() {
        let descriptor = PrimitiveValue::U32([65_536, 0, 16].as_slice().into());
        let entries = PrimitiveValue::U16([1, 2, 3, 4].as_slice().into());
        let object = InMemDicomObject::from_element_iter([
            DataElement::new(tags::LUT_DESCRIPTOR, VR::UL, descriptor),
            DataElement::new(tags::LUT_DATA, VR::US, entries),
        ]);
        let table = Table::of(Attributes(&object), tags::LUT_DESCRIPTOR, tags::LUT_DATA, false);
        let sentence = table.unwrap_err().to_string();
        assert!(sentence.contains("promises 65536 entries of 16 bits, 4 are there"), "{sentence}");
    }
}
