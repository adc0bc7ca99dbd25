//! The outline of a data set: tags and lengths (PS3.5 section 7).
//!
//! Walking it before parsing keeps hostile files cheap: a length past the end of the file, sequences nested without
//! end, and millions of empty elements are refused while nothing has been allocated for them. It also finds the pixels,
//! which therefore need not be copied.

use std::ops::Range;

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;

use super::damaged;
use crate::error::Place;
use crate::{Error, Format};

/// Sequences within sequences; real files have about five.
const MAX_DEPTH: usize = 32;
/// Elements in all: an enhanced series of 10,000 frames has about 500,000.
const MAX_ELEMENTS: usize = 2_000_000;
const UNDEFINED: u32 = u32::MAX;
const ITEM: Tag = Tag(0xfffe, 0xe000);
const ITEM_END: Tag = Tag(0xfffe, 0xe00d);
const SEQUENCE_END: Tag = Tag(0xfffe, 0xe0dd);
const PIXEL_DATA: Tag = Tag(0x7fe0, 0x0010);
const FLOAT_PIXEL_DATA: Tag = Tag(0x7fe0, 0x0008);
const DOUBLE_PIXEL_DATA: Tag = Tag(0x7fe0, 0x0009);

/// How elements are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Encoding {
    pub explicit: bool,
    pub big_endian: bool,
}

/// Where the pixels are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pixels {
    /// Bits of a sample, where the element itself says so: 32 or 64 for floating point.
    pub float_bits: Option<u8>,
    /// Whether they are words of two bytes (`OW`).
    pub words: bool,
    pub data: PixelRanges,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PixelRanges {
    /// One value.
    Native(Range<usize>),
    /// Fragments of compressed frames; the first one found, the table of offsets, apart.
    Encapsulated { offsets: Range<usize>, fragments: Vec<Range<usize>> },
}

/// A data set's outline.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outline {
    /// Where the elements before the pixels end.
    pub header_end: usize,
    pub pixels: Option<Pixels>,
}

/// Walks the top level from `start` to the pixels or the end.
pub(super) fn outline(bytes: &[u8], start: usize, encoding: Encoding) -> Result<Outline, Error> {
    let mut walker = Walker { bytes, position: start, encoding, elements: 0 };
    while !walker.at_end() {
        let element = walker.position;
        let head = walker.head(encoding)?;
        let float_bits = match head.tag {
            PIXEL_DATA => None,
            FLOAT_PIXEL_DATA => Some(32),
            DOUBLE_PIXEL_DATA => Some(64),
            // Trailing padding is the end of what matters.
            Tag(0, 0) if head.length == 0 => {
                return Ok(Outline { header_end: element, pixels: None });
            }
            _ => {
                walker.value(&head, encoding, 0)?;
                continue;
            }
        };
        let data = if head.length == UNDEFINED {
            walker.fragments()?
        } else {
            // A short pixel element is reported with its frames, where the size that is needed is known.
            let end = walker.position.saturating_add(head.length as usize).min(bytes.len());
            PixelRanges::Native(walker.position..end)
        };
        return Ok(Outline {
            header_end: element,
            pixels: Some(Pixels { float_bits, words: head.vr == VR::OW, data }),
        });
    }
    Ok(Outline { header_end: bytes.len(), pixels: None })
}

/// Bytes of one value of a kind (PS3.5 section 6.2); 1 for text and bytes.
fn value_size(vr: VR) -> u32 {
    match vr {
        VR::US | VR::SS | VR::OW => 2,
        VR::UL | VR::SL | VR::FL | VR::AT | VR::OF | VR::OL => 4,
        VR::FD | VR::SV | VR::UV | VR::OD | VR::OV => 8,
        _ => 1,
    }
}

struct Head {
    tag: Tag,
    vr: VR,
    length: u32,
}

struct Walker<'a> {
    bytes: &'a [u8],
    position: usize,
    encoding: Encoding,
    elements: usize,
}

impl Walker<'_> {
    fn at_end(&self) -> bool {
        self.position >= self.bytes.len()
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let end = self.position + N;
        let found = self.bytes.get(self.position..end).and_then(|raw| raw.try_into().ok());
        self.position = end;
        found.ok_or_else(|| self.truncated())
    }

    fn truncated(&self) -> Error {
        Error::Truncated { format: Format::Dicom, bytes: self.bytes.len(), place: Place::Header }
    }

    fn u16(&mut self) -> Result<u16, Error> {
        let raw = self.take()?;
        Ok(if self.encoding.big_endian { u16::from_be_bytes(raw) } else { u16::from_le_bytes(raw) })
    }

    fn u32(&mut self) -> Result<u32, Error> {
        let raw = self.take()?;
        Ok(if self.encoding.big_endian { u32::from_be_bytes(raw) } else { u32::from_le_bytes(raw) })
    }

    /// Tag, kind and length; the position moves to the value.
    fn head(&mut self, encoding: Encoding) -> Result<Head, Error> {
        self.elements += 1;
        if self.elements > MAX_ELEMENTS {
            return Err(Error::OverLimit {
                claim: format!("the DICOM file has more than {MAX_ELEMENTS} elements"),
                limit: format!("{MAX_ELEMENTS} elements"),
            });
        }
        let tag = Tag(self.u16()?, self.u16()?);
        if tag.group() == 0xfffe {
            return Ok(Head { tag, vr: VR::UN, length: self.u32()? });
        }
        if !encoding.explicit {
            let vr =
                StandardDataDictionary.by_tag(tag).map_or(VR::UN, |entry| entry.vr().relaxed());
            return Ok(Head { tag, vr, length: self.u32()? });
        }
        let code = self.take::<2>()?;
        let vr = VR::from_binary(code).unwrap_or(VR::UN);
        use VR::{OB, OD, OF, OL, OV, OW, SQ, SV, UC, UN, UR, UT, UV};
        let long = matches!(vr, OB | OD | OF | OL | OV | OW | SQ | SV | UC | UN | UR | UT | UV);
        let length = if long {
            self.take::<2>()?;
            self.u32()?
        } else {
            self.u16()?.into()
        };
        Ok(Head { tag, vr, length })
    }

    /// Steps over a value, into its items where it is a sequence.
    fn value(&mut self, head: &Head, encoding: Encoding, depth: usize) -> Result<(), Error> {
        let is_sequence = head.vr == VR::SQ || head.length == UNDEFINED;
        if !is_sequence {
            // The reader takes whole values only: what is left of a broken one it would read as the next element, and
            // believe that element's length.
            if !head.length.is_multiple_of(value_size(head.vr)) {
                return Err(damaged(format!(
                    "element {} has {} bytes, its values have {} each",
                    head.tag,
                    head.length,
                    value_size(head.vr)
                )));
            }
            return self.skip(head.length);
        }
        if depth >= MAX_DEPTH {
            return Err(damaged(format!("sequences are nested more than {MAX_DEPTH} deep")));
        }
        // An unknown element of undefined length is a sequence in implicit form (PS3.5 section 6.2.2).
        let encoding = if head.vr == VR::UN && head.length == UNDEFINED {
            Encoding { explicit: false, ..encoding }
        } else {
            encoding
        };
        let end = self.end_of(head.length)?;
        while end.is_none_or(|end| self.position < end) {
            let item = self.head(encoding)?;
            match item.tag {
                ITEM => self.item(item.length, encoding, depth + 1)?,
                SEQUENCE_END => return Ok(()),
                tag => return Err(damaged(format!("a sequence holds items, found element {tag}"))),
            }
        }
        Ok(())
    }

    fn item(&mut self, length: u32, encoding: Encoding, depth: usize) -> Result<(), Error> {
        let end = self.end_of(length)?;
        while end.is_none_or(|end| self.position < end) {
            let head = self.head(encoding)?;
            if head.tag == ITEM_END {
                return Ok(());
            }
            self.value(&head, encoding, depth)?;
        }
        Ok(())
    }

    /// Where a value of this length ends; `None` where its own mark will say.
    fn end_of(&self, length: u32) -> Result<Option<usize>, Error> {
        if length == UNDEFINED {
            return Ok(None);
        }
        let end = self.position.saturating_add(length as usize);
        if end > self.bytes.len() { Err(self.truncated()) } else { Ok(Some(end)) }
    }

    fn skip(&mut self, length: u32) -> Result<(), Error> {
        if let Some(end) = self.end_of(length)? {
            self.position = end;
        }
        Ok(())
    }

    /// The items of encapsulated pixels (PS3.5 section A.4).
    fn fragments(&mut self) -> Result<PixelRanges, Error> {
        let mut items = Vec::new();
        // Files whose closing mark is missing are common and whole.
        while !self.at_end() {
            let item = self.head(self.encoding)?;
            match item.tag {
                ITEM => {
                    let start = self.position;
                    let end = start.saturating_add(item.length as usize).min(self.bytes.len());
                    self.position = end;
                    items.push(start..end);
                }
                SEQUENCE_END => break,
                tag => {
                    return Err(damaged(format!(
                        "compressed pixels are items, found element {tag}"
                    )));
                }
            }
        }
        let mut items = items.into_iter();
        let offsets = items.next().ok_or_else(|| damaged("its compressed pixels have no item"))?;
        Ok(PixelRanges::Encapsulated { offsets, fragments: items.collect() })
    }
}
