//! One DICOM file.

use std::borrow::Cow;
use std::io::Read;
use std::sync::Arc;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_encoding::transfer_syntax::TransferSyntaxIndex;
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;
use flate2::read::DeflateDecoder;

use super::attributes::Attributes;
use super::codec::{self, Decoded};
use super::color::{Palette, rgb};
use super::frames::{FrameShape, Photometric, split};
use super::lut::{Modality, voi};
use super::origin::{Instance, Origin};
use super::outline::{Pixels, outline};
use super::stack::{FramePlace, stack};
use super::syntax::{Compression, Syntax};
use super::{damaged, unsupported};
use crate::error::Place;
use crate::geometry::vector::Vector;
use crate::read::{FileInfo, check_voxels};
use crate::volume::{Samples, Volume};
use crate::{ColorModel, Error, Format, Limits, Source};

/// A file whose elements have been read, and whose pixels have been found.
pub(super) struct DicomFile<'a> {
    bytes: Cow<'a, [u8]>,
    pub object: InMemDicomObject,
    pub syntax: Syntax,
    pixels: Pixels,
}

/// The place and the meaning of one frame.
pub(super) struct FrameFacts {
    pub place: FramePlace,
    pub modality: Modality,
}

impl<'a> DicomFile<'a> {
    pub fn parse(bytes: &'a [u8], limits: &Limits) -> Result<Self, Error> {
        let (uid, start) = transfer_syntax(bytes)?;
        let mut syntax = Syntax::of(&uid)?;
        // Some writers name an explicit syntax and write without kinds; kinds are two capitals.
        let kind = bytes.get(start + 4..start + 6).unwrap_or_default();
        if syntax.encoding.explicit && !syntax.deflated && !kind.iter().all(u8::is_ascii_uppercase)
        {
            syntax.encoding.explicit = false;
        }
        let (bytes, start) = if syntax.deflated {
            (Cow::from(inflate(&bytes[start..], limits)?), 0)
        } else {
            (Cow::from(bytes), start)
        };
        let outline = outline(&bytes, start, syntax.encoding)?;
        let elements = TransferSyntaxRegistry
            .get(syntax.element_uid())
            .ok_or_else(|| unsupported("its transfer syntax is not known to the reader"))?;
        let object =
            InMemDicomObject::read_dataset_with_ts(&bytes[start..outline.header_end], elements)
                .map_err(|error| {
                    damaged(format!("its elements cannot be read ({})", kind_of(&error)))
                })?;
        let Some(pixels) = outline.pixels else {
            return Err(unsupported(match Attributes(&object).text(tags::MODALITY).as_deref() {
                Some("RTSTRUCT" | "RTPLAN" | "SR" | "PR" | "KO" | "REG") => {
                    "it is a report, a plan or contours: it has no pixels"
                }
                _ => "it has no pixels",
            }));
        };
        Ok(Self { bytes, object, syntax, pixels })
    }

    pub fn attributes(&self) -> Attributes<'_> {
        Attributes(&self.object)
    }

    pub fn shape(&self) -> Result<FrameShape, Error> {
        FrameShape::of(self.attributes(), self.syntax, &self.pixels)
    }

    pub fn frames(&self) -> Result<usize, Error> {
        match self.attributes().integer(tags::NUMBER_OF_FRAMES) {
            None => Ok(1),
            Some(count) => usize::try_from(count)
                .ok()
                .filter(|count| *count > 0)
                .ok_or_else(|| damaged(format!("it says that it has {count} frames"))),
        }
    }

    /// The facts of every frame: of an enhanced object from its functional groups, else from the object itself.
    pub fn facts(&self, frames: usize, signed: bool) -> Result<Vec<FrameFacts>, Error> {
        let own = self.attributes();
        let shared = own.item(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE);
        let each = own.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
        let plain = FrameFacts { place: FramePlace::of(own), modality: Modality::of(own, signed)? };
        let offsets = own.numbers(tags::GRID_FRAME_OFFSET_VECTOR);
        (0..frames)
            .map(|frame| {
                let group = each.get(frame).map(Attributes);
                // A group of the frame's own comes before the shared one.
                let of = |tag: Tag| {
                    let own = group.and_then(|group| group.item(tag));
                    own.or_else(|| shared.and_then(|shared| shared.item(tag)))
                };
                let mut place = plain.place.clone();
                if let Some(offset) = offsets.as_ref().and_then(|offsets| offsets.get(frame)) {
                    place.shift(*offset);
                } else if frames > 1 && each.is_empty() {
                    // Frames of one plane are moments, not places.
                    place.position = None;
                }
                if let Some(item) = of(tags::PLANE_POSITION_SEQUENCE) {
                    place.position = item.vector(tags::IMAGE_POSITION_PATIENT);
                }
                if let Some(item) = of(tags::PLANE_ORIENTATION_SEQUENCE) {
                    place.orientation =
                        item.vector(tags::IMAGE_ORIENTATION_PATIENT).and_then(FramePlace::axes);
                }
                if let Some(item) = of(tags::PIXEL_MEASURES_SEQUENCE) {
                    place.measure(item);
                }
                let modality = match of(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE) {
                    Some(item) => Modality::of(item, signed)?,
                    None => plain.modality.clone(),
                };
                Ok(FrameFacts { place, modality })
            })
            .collect()
    }

    /// The file's own window: of an enhanced object, that of its first frame.
    pub fn curve(&self, signed: bool) -> Option<crate::tone::Curve> {
        let own = self.attributes();
        let group = own
            .item(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)
            .and_then(|group| group.item(tags::FRAME_VOILUT_SEQUENCE))
            .or_else(|| {
                own.item(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE)
                    .and_then(|group| group.item(tags::FRAME_VOILUT_SEQUENCE))
            });
        voi(group.unwrap_or(own), signed)
    }

    pub fn color(&self, shape: &FrameShape) -> ColorModel {
        if shape.components == 3 || shape.photometric == Photometric::Palette {
            ColorModel::Rgb
        } else {
            ColorModel::Gray
        }
    }

    /// What is said beside the pixels of frames of this shape, the first of them at `place`.
    pub fn info(&self, shape: &FrameShape, place: &FramePlace) -> FileInfo {
        let bits = u8::try_from(shape.bits_stored).unwrap_or(u8::MAX);
        let source = Source { format: Format::Dicom, color: self.color(shape), bits };
        FileInfo {
            modality: self.attributes().text(tags::MODALITY),
            inverted: shape.photometric == Photometric::Monochrome1,
            curve: self.curve(shape.signed),
            pixel_spacing: place.spacing,
            ..FileInfo::new(source)
        }
    }

    /// Decodes the frames that `order` names, in that order, into one buffer.
    pub fn samples(
        &self,
        shape: &FrameShape,
        facts: &[FrameFacts],
        order: &[usize],
    ) -> Result<Samples, Error> {
        let mut decoder = FrameDecoder::new(self, shape, facts.len())?;
        let mut gray = Vec::new();
        let mut color = Vec::new();
        for &frame in order {
            match decoder.frame(frame, &facts[frame].modality)? {
                Samples::Gray(values) => gray.extend(values),
                Samples::Rgb(bytes) => color.extend(bytes),
            }
        }
        Ok(if color.is_empty() { Samples::Gray(gray) } else { Samples::Rgb(color) })
    }

    pub fn instance(&self, frame: Option<u32>, position: Option<Vector>) -> Instance {
        let text = |tag| self.attributes().text(tag).unwrap_or_default();
        Instance {
            class_uid: text(tags::SOP_CLASS_UID),
            uid: text(tags::SOP_INSTANCE_UID),
            frame,
            position,
        }
    }
}

struct FrameDecoder<'a> {
    file: &'a DicomFile<'a>,
    shape: FrameShape,
    palette: Option<Palette>,
    frames: Vec<Cow<'a, [u8]>>,
}

impl<'a> FrameDecoder<'a> {
    fn new(file: &'a DicomFile, shape: &FrameShape, count: usize) -> Result<Self, Error> {
        let palette = (shape.photometric == Photometric::Palette)
            .then(|| Palette::of(file.attributes(), shape.signed))
            .transpose()?;
        let frames = split(&file.bytes, &file.pixels.data, shape, count)?;
        Ok(Self { file, shape: shape.clone(), palette, frames })
    }

    fn frame(&mut self, frame: usize, modality: &Modality) -> Result<Samples, Error> {
        let shape = &mut self.shape;
        shape.first_bit = frame * shape.bits() % 8;
        let in_frame = |error: codec::CodecError| error.in_frame(frame + 1, self.file.bytes.len());
        let bytes = &self.frames[frame];
        if let Some(bits) = self.file.pixels.float_bits {
            let values = codec::floats(bytes, shape, bits).map_err(in_frame)?;
            let scaled = values.into_iter().map(|value| modality.apply(value.into())).collect();
            return Ok(Samples::Gray(scaled));
        }
        let decoded =
            codec::decode(self.file.syntax.compression, bytes, shape).map_err(in_frame)?;
        if shape.components == 3 {
            return Ok(Samples::Rgb(rgb(&decoded, shape)));
        }
        let stored = stored(&decoded, shape, self.file.syntax.compression);
        Ok(match &self.palette {
            Some(palette) => Samples::Rgb(palette.apply(stored)),
            None => Samples::Gray(stored.map(|value| modality.apply(value as f64)).collect()),
        })
    }
}

/// Sample patterns as numbers: the stored bits, with their sign where they have one.
fn stored(
    decoded: &Decoded,
    shape: &FrameShape,
    compression: Compression,
) -> impl Iterator<Item = i64> {
    // What lies beside the stored bits is overlays or noise. A codestream has its own idea of its depth.
    let plain = matches!(compression, Compression::None | Compression::Rle);
    let low = if plain { shape.high_bit + 1 - shape.bits_stored } else { 0 };
    let bits = if plain { shape.bits_stored } else { decoded.bits };
    let signed = shape.signed;
    let mask = (1_i64 << bits) - 1;
    let sign = 1_i64 << (bits - 1);
    decoded.samples.iter().map(move |sample| {
        let value = (i64::from(*sample) >> low) & mask;
        if signed && value & sign != 0 { value - (mask + 1) } else { value }
    })
}

/// Reads the bytes of one DICOM file; its frames are slices, in the order of their places where they have any.
pub(crate) fn volume(bytes: &[u8], limits: &Limits) -> Result<Volume, Error> {
    let file = DicomFile::parse(bytes, limits)?;
    let shape = file.shape()?;
    let count = file.frames()?;
    let color = file.color(&shape);
    check_voxels([shape.columns, shape.rows, count], color, bytes.len(), limits)?;
    let facts = file.facts(count, shape.signed)?;
    let places: Vec<FramePlace> = facts.iter().map(|facts| facts.place.clone()).collect();
    let stack = stack(&places);
    let samples = file.samples(&shape, &facts, &stack.order)?;

    let mut info = file.info(&shape, &places[0]);
    info.warnings.extend(stack.warning);
    let mut volume = Volume::from_parts([shape.columns, shape.rows, count], samples, info)?;
    volume.grid = stack.grid.map(|mut grid| {
        grid.frame_of_reference = file.attributes().text(tags::FRAME_OF_REFERENCE_UID);
        grid
    });
    let number = |frame: usize| (count > 1).then_some(frame as u32 + 1);
    let mut origin = Origin::of(file.attributes(), places[0].orientation);
    origin.instances = stack
        .order
        .iter()
        .map(|frame| file.instance(number(*frame), places[*frame].position))
        .collect();
    volume.origin = Some(Arc::new(origin));
    Ok(volume)
}

/// The transfer syntax and where the data set begins (PS3.10 section 7.1).
fn transfer_syntax(bytes: &[u8]) -> Result<(String, usize), Error> {
    let mut at = if bytes.get(128..132) == Some(b"DICM") { 132 } else { 0 };
    let mut uid = None;
    let truncated =
        || Error::Truncated { format: Format::Dicom, bytes: bytes.len(), place: Place::Header };
    while bytes.get(at..at + 2) == Some(&[2, 0]) {
        let head = bytes.get(at..at + 8).ok_or_else(truncated)?;
        let long = matches!(&head[4..6], b"OB" | b"OW" | b"UN" | b"UT" | b"SQ" | b"UC" | b"UR");
        let (start, length) = if long {
            let raw = bytes
                .get(at + 8..at + 12)
                .and_then(|raw| raw.try_into().ok())
                .ok_or_else(truncated)?;
            (at + 12, u32::from_le_bytes(raw) as usize)
        } else {
            (at + 8, usize::from(u16::from_le_bytes([head[6], head[7]])))
        };
        let value = bytes.get(start..start.saturating_add(length)).ok_or_else(truncated)?;
        if head[2..4] == [0x10, 0] {
            let text = String::from_utf8_lossy(value);
            uid = Some(text.trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_owned());
        }
        at = start + length;
    }
    match uid {
        Some(uid) => Ok((uid, at)),
        None => Err(damaged("it does not say its transfer syntax (no file meta information)")),
    }
}

fn inflate(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, Error> {
    let mut inflated = Vec::new();
    let limit = limits.max_decoded_bytes;
    DeflateDecoder::new(bytes)
        .take(limit.saturating_add(1))
        .read_to_end(&mut inflated)
        .map_err(|_| damaged("its deflated elements end early or are no deflate"))?;
    if inflated.len() as u64 > limit {
        return Err(Error::OverLimit {
            claim: "the DICOM file's deflated elements need more memory than may be used".into(),
            limit: "`max_decoded_bytes`".into(),
        });
    }
    Ok(inflated)
}

/// What kind of error dicom-rs met; its own words may quote values of the file.
fn kind_of(error: &dicom_object::ReadError) -> &'static str {
    use dicom_object::ReadError as E;
    match error {
        E::ReadUnsupportedTransferSyntax { .. } => "unsupported transfer syntax",
        E::ReadToken { .. } => "a value does not fit its kind or its length",
        _ => "their order or form is broken",
    }
}
