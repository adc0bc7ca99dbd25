//! What every DICOM object that is written has in common.

use std::io::Write;

use dicom_core::header::Tag;
use dicom_core::value::{DataSetSequence, PrimitiveValue};
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

use super::origin::Origin;
use crate::write::Target;
use crate::{Error, Rgb, Volume};

/// A data set under construction.
pub(super) struct Dataset(pub InMemDicomObject);

impl Dataset {
    pub fn text(&mut self, tag: Tag, vr: VR, text: impl Into<String>) -> &mut Self {
        self.0.put(DataElement::new(tag, vr, PrimitiveValue::from(text.into())));
        self
    }

    pub fn empty(&mut self, tag: Tag, vr: VR) -> &mut Self {
        self.0.put(DataElement::new(tag, vr, PrimitiveValue::Empty));
        self
    }

    pub fn short(&mut self, tag: Tag, value: u16) -> &mut Self {
        self.0.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
        self
    }

    pub fn shorts(&mut self, tag: Tag, values: &[u16]) -> &mut Self {
        self.0.put(DataElement::new(tag, VR::US, PrimitiveValue::U16(values.into())));
        self
    }

    pub fn longs(&mut self, tag: Tag, values: &[u32]) -> &mut Self {
        self.0.put(DataElement::new(tag, VR::UL, PrimitiveValue::U32(values.into())));
        self
    }

    /// Whole numbers as text.
    pub fn whole(&mut self, tag: Tag, value: usize) -> &mut Self {
        self.text(tag, VR::IS, value.to_string())
    }

    /// Decimals as text, each of at most 16 characters.
    pub fn decimals(&mut self, tag: Tag, values: &[f64]) -> &mut Self {
        let texts: Vec<String> = values.iter().map(|value| decimal(*value)).collect();
        self.0.put(DataElement::new(tag, VR::DS, PrimitiveValue::Strs(texts.into())));
        self
    }

    pub fn tag(&mut self, tag: Tag, value: Tag) -> &mut Self {
        self.0.put(DataElement::new(tag, VR::AT, PrimitiveValue::Tags([value].as_slice().into())));
        self
    }

    pub fn items(&mut self, tag: Tag, items: Vec<Dataset>) -> &mut Self {
        let items: Vec<InMemDicomObject> = items.into_iter().map(|item| item.0).collect();
        self.0.put(DataElement::new(tag, VR::SQ, DataSetSequence::from(items)));
        self
    }

    pub fn item(&mut self, tag: Tag, item: Dataset) -> &mut Self {
        self.items(tag, vec![item])
    }
}

/// A data set made in one expression.
pub(super) fn dataset(build: impl FnOnce(&mut Dataset)) -> Dataset {
    let mut made = Dataset(InMemDicomObject::new_empty());
    build(&mut made);
    made
}

/// A code of a scheme (PS3.3 table 8.8-1).
pub(super) fn coded(value: &str, scheme: &str, meaning: &str) -> Dataset {
    dataset(|code| {
        code.text(tags::CODE_VALUE, VR::SH, value)
            .text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, scheme)
            .text(tags::CODE_MEANING, VR::LO, meaning);
    })
}

/// A number in at most 16 characters (PS3.5 section 6.2, DS).
fn decimal(value: f64) -> String {
    let plain = value.to_string();
    if plain.len() <= 16 {
        return plain;
    }
    (0..=15)
        .rev()
        .map(|digits| format!("{value:.digits$}"))
        .find(|text| text.len() <= 16)
        .unwrap_or_else(|| format!("{value:.8e}"))
}

/// A UID that nobody else makes: a random UUID as one number (PS3.5 annex B.2).
pub(super) fn new_uid() -> Result<String, Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| Error::CannotWrite {
        format: "DICOM",
        detail: "the system gives no random numbers for new identifiers".into(),
    })?;
    // A UUID of version 4.
    random[6] = random[6] & 0x0f | 0x40;
    random[8] = random[8] & 0x3f | 0x80;
    Ok(format!("2.25.{}", u128::from_be_bytes(random)))
}

/// What the `index`th target is called: its phrase, or a number where that has no Latin letters.
pub(super) fn label(target: &Target, index: usize) -> String {
    let label = latin(&target.label, 64);
    if label.is_empty() { format!("Segment {}", index + 1) } else { label }
}

/// Latin letters for names that must read in any character set, at most `most` of them.
fn latin(text: &str, most: usize) -> String {
    let text = text.chars().flat_map(|c| deunicode::deunicode_char(c).unwrap_or("?").chars());
    text.filter(|c| !c.is_control() && *c != '\\').take(most).collect::<String>().trim().to_owned()
}

/// The date and time of writing, UTC.
pub(super) struct Now {
    pub date: String,
    pub time: String,
}

impl Now {
    pub fn read() -> Self {
        let now = jiff::Timestamp::now();
        Self { date: now.strftime("%Y%m%d").to_string(), time: now.strftime("%H%M%S").to_string() }
    }
}

/// The origin that an object must refer to, its identifiers complete.
pub(super) fn origin<'a>(volume: &'a Volume, format: &'static str) -> Result<&'a Origin, Error> {
    let refuse = |detail: &str| Error::CannotWrite { format, detail: detail.into() };
    let origin = volume.origin().ok_or_else(|| {
        refuse("it refers to the DICOM objects it was drawn on, and the input is not DICOM")
    })?;
    let study = super::attributes::Attributes(&origin.context).text(tags::STUDY_INSTANCE_UID);
    let named =
        |instance: &super::Instance| !instance.class_uid.is_empty() && !instance.uid.is_empty();
    if study.is_none() || origin.series_uid.is_empty() || !origin.instances.iter().all(named) {
        return Err(refuse(
            "it refers to the objects it was drawn on, and the input was stripped of its identifiers \
             (study, series or SOP instance UID)",
        ));
    }
    Ok(origin)
}

/// Patient, study, series, equipment and identity of a new object (PS3.3 C.7, C.12.1).
pub(super) struct Identity<'a> {
    pub origin: &'a Origin,
    pub class_uid: &'static str,
    pub modality: &'static str,
    pub description: &'static str,
    pub now: &'a Now,
}

impl Identity<'_> {
    pub fn dataset(&self) -> Result<Dataset, Error> {
        let mut made = Dataset(self.origin.context.clone());
        for (tag, vr) in [
            (tags::STUDY_DATE, VR::DA),
            (tags::STUDY_TIME, VR::TM),
            (tags::ACCESSION_NUMBER, VR::SH),
            (tags::REFERRING_PHYSICIAN_NAME, VR::PN),
            (tags::PATIENT_NAME, VR::PN),
            (tags::PATIENT_ID, VR::LO),
            (tags::PATIENT_BIRTH_DATE, VR::DA),
            (tags::PATIENT_SEX, VR::CS),
            (tags::STUDY_ID, VR::SH),
        ] {
            // Required, but may be empty.
            if made.0.get(tag).is_none() {
                made.empty(tag, vr);
            }
        }
        made.text(tags::SOP_CLASS_UID, VR::UI, self.class_uid)
            .text(tags::SOP_INSTANCE_UID, VR::UI, new_uid()?)
            .text(tags::SERIES_INSTANCE_UID, VR::UI, new_uid()?)
            .text(tags::MODALITY, VR::CS, self.modality)
            .text(tags::SERIES_DESCRIPTION, VR::LO, self.description)
            .text(tags::SERIES_NUMBER, VR::IS, "900")
            .text(tags::INSTANCE_NUMBER, VR::IS, "1")
            .text(tags::SERIES_DATE, VR::DA, self.now.date.as_str())
            .text(tags::SERIES_TIME, VR::TM, self.now.time.as_str())
            .text(tags::MANUFACTURER, VR::LO, "medparse")
            .text(tags::MANUFACTURER_MODEL_NAME, VR::LO, "medparse")
            .text(tags::DEVICE_SERIAL_NUMBER, VR::LO, "0")
            .text(tags::SOFTWARE_VERSIONS, VR::LO, env!("CARGO_PKG_VERSION"));
        Ok(made)
    }
}

/// The file's bytes, explicit little-endian.
pub(super) fn file(dataset: Dataset, format: &'static str) -> Result<Vec<u8>, Error> {
    let failed = |detail: String| Error::CannotWrite { format, detail };
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
        .implementation_class_uid("2.25.182706148925313070364718239521804371523")
        .implementation_version_name("MEDPARSE");
    let object =
        dataset.0.with_meta(meta).map_err(|_| failed("its identity cannot be written".into()))?;
    let mut bytes = Vec::new();
    object.write_all(&mut bytes).map_err(|_| {
        failed("its elements cannot be written in the source's character set".into())
    })?;
    bytes.flush().map_err(|error| failed(error.to_string()))?;
    Ok(bytes)
}

/// A colour as DICOM's segments have it: CIELab in 16 bits (PS3.3 C.10.7.1.1), from sRGB under D65 seen under D50.
pub(super) fn cielab(color: Rgb) -> [u16; 3] {
    let [r, g, b] = color.map(|value| {
        let value = f64::from(value) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    });
    let x = 0.436_07 * r + 0.385_15 * g + 0.143_07 * b;
    let y = 0.222_49 * r + 0.716_87 * g + 0.060_61 * b;
    let z = 0.013_92 * r + 0.097_08 * g + 0.714_1 * b;
    let f =
        |t: f64| if t > 216.0 / 24_389.0 { t.cbrt() } else { (24_389.0 / 27.0 * t + 16.0) / 116.0 };
    let [fx, fy, fz] = [f(x / 0.964_22), f(y), f(z / 0.825_21)];
    let scale =
        |value: f64, low: f64, high: f64| ((value - low) / (high - low) * 65_535.0).round() as u16;
    [
        scale(116.0 * fy - 16.0, 0.0, 100.0),
        scale(500.0 * (fx - fy), -128.0, 127.0),
        scale(200.0 * (fy - fz), -128.0, 127.0),
    ]
}

/// A reference to the object of one slice.
pub(super) fn reference(instance: &super::Instance) -> Dataset {
    dataset(|item| {
        item.text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, instance.class_uid.as_str()).text(
            tags::REFERENCED_SOP_INSTANCE_UID,
            VR::UI,
            instance.uid.as_str(),
        );
        if let Some(frame) = instance.frame {
            item.whole(tags::REFERENCED_FRAME_NUMBER, frame as usize);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_fit_sixteen_characters() {
        for value in [0.0, -123.456_789_012_345_67, 1.0 / 3.0, -1e-9, 123_456_789_012.5, -0.703_125]
        {
            let text = decimal(value);
            assert!(text.len() <= 16, "{text}");
            assert!(
                (text.parse::<f64>().unwrap() - value).abs() <= value.abs() * 1e-6 + 1e-12,
                "{text}"
            );
        }
    }

    #[test]
    fn identifiers_are_sound_and_new() {
        let (first, second) = (new_uid().unwrap(), new_uid().unwrap());
        assert_ne!(first, second);
        assert!(
            first.len() <= 64 && first.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        );
    }

    #[test]
    fn white_black_and_red_in_cielab() {
        assert_eq!(cielab([0, 0, 0])[0], 0);
        assert!(cielab([255, 255, 255])[0] > 65_500);
        let [_, a, _] = cielab([255, 0, 0]);
        assert!(a > 50_000, "red lies far along a: {a}");
    }
}
