//! What objects that refer to a DICOM source must repeat.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::attributes::Attributes;
use crate::geometry::vector::Vector;

/// The DICOM objects behind a volume: who, which study, and the object of every slice.
///
/// It holds the patient's identity, because segmentations must carry it; nothing of it is printed, and no output but
/// DICOM has it.
#[derive(Clone)]
pub struct Origin {
    /// Patient, study, frame of reference and equipment, as they are in the source.
    pub(crate) context: InMemDicomObject,
    pub(crate) series_uid: String,
    /// In the order of the volume's slices.
    pub(crate) instances: Vec<Instance>,
    /// Along a row and down a column.
    pub(crate) orientation: Option<[Vector; 2]>,
}

/// The object that one slice came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    pub(crate) class_uid: String,
    pub(crate) uid: String,
    /// From 1; `None` for objects of a single frame.
    pub(crate) frame: Option<u32>,
    /// The centre of its first pixel, in mm.
    pub(crate) position: Option<Vector>,
}

impl Origin {
    /// What a data set says of itself, without its slices' objects; `orientation` is that of its slices.
    pub(super) fn of(attributes: Attributes, orientation: Option<[Vector; 2]>) -> Self {
        let context = CONTEXT.iter().filter_map(|tag| attributes.element(*tag)).cloned();
        Self {
            context: InMemDicomObject::from_element_iter(context),
            series_uid: attributes.text(tags::SERIES_INSTANCE_UID).unwrap_or_default(),
            instances: Vec::new(),
            orientation,
        }
    }

    /// How many slices there are.
    pub fn slices(&self) -> usize {
        self.instances.len()
    }
}

impl std::fmt::Debug for Origin {
    /// The number of slices; never who or what.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Origin").field("slices", &self.instances.len()).finish_non_exhaustive()
    }
}

/// What of the source is repeated: the patient and study modules (PS3.3 C.7.1.1, C.7.2.1) and the frame of reference.
const CONTEXT: [Tag; 16] = [
    tags::SPECIFIC_CHARACTER_SET,
    tags::STUDY_DATE,
    tags::STUDY_TIME,
    tags::ACCESSION_NUMBER,
    tags::REFERRING_PHYSICIAN_NAME,
    tags::STUDY_DESCRIPTION,
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_SEX,
    tags::PATIENT_AGE,
    tags::PATIENT_WEIGHT,
    tags::STUDY_INSTANCE_UID,
    tags::STUDY_ID,
    tags::FRAME_OF_REFERENCE_UID,
    tags::POSITION_REFERENCE_INDICATOR,
];
