//! A made-up CT series: oblique, anisotropic, its files in an order that says nothing.

use std::path::Path;

use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use medparse_imaging::Grid;

/// Columns, rows, slices.
pub const DIMENSIONS: [usize; 3] = [13, 10, 7];

/// Where the series lies.
pub fn grid() -> Grid {
    let (sin, cos) = 0.35_f64.sin_cos();
    Grid {
        origin: [-31.5, 12.25, 101.125],
        directions: [[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]],
        spacing: [0.75, 1.25, 4.0],
        frame_of_reference: Some("2.25.1".into()),
    }
}

/// The Hounsfield units of a voxel, different for each.
pub fn value(x: usize, y: usize, z: usize) -> i16 {
    (x * 3 + y * 41 + z * 500) as i16 - 1024
}

/// Writes the series into a folder.
pub fn write(folder: &Path) {
    // Names run neither with the slices nor against them.
    for (name, slice) in [4, 0, 6, 2, 5, 1, 3].into_iter().enumerate() {
        std::fs::write(folder.join(format!("IM{name:03}")), file(slice)).unwrap();
    }
}

/// One slice as a file.
pub fn file(slice: usize) -> Vec<u8> {
    let grid = grid();
    let position = grid.position([0.0, 0.0, slice as f64]);
    let [columns, rows, _] = DIMENSIONS;
    let pixels: Vec<u8> = (0..rows)
        .flat_map(|y| (0..columns).flat_map(move |x| (value(x, y, slice) + 1024).to_le_bytes()))
        .collect();
    let text = |tag: Tag, vr: VR, text: &str| DataElement::new(tag, vr, PrimitiveValue::from(text));
    let short = |tag: Tag, value: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(value));
    let numbers =
        |values: &[f64]| values.iter().map(|v| format!("{v:.10}")).collect::<Vec<_>>().join("\\");
    let cosines: Vec<f64> = grid.directions[0].into_iter().chain(grid.directions[1]).collect();
    let uid = format!("2.25.77{slice}");
    let object = InMemDicomObject::from_element_iter([
        text(tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE),
        text(tags::SOP_INSTANCE_UID, VR::UI, &uid),
        text(tags::MODALITY, VR::CS, "CT"),
        text(tags::PATIENT_NAME, VR::PN, "Nobody^Real"),
        text(tags::PATIENT_ID, VR::LO, "SECRET-17"),
        text(tags::STUDY_INSTANCE_UID, VR::UI, "2.25.2"),
        text(tags::SERIES_INSTANCE_UID, VR::UI, "2.25.3"),
        text(tags::FRAME_OF_REFERENCE_UID, VR::UI, "2.25.1"),
        text(tags::IMAGE_POSITION_PATIENT, VR::DS, &numbers(&position)),
        text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, &numbers(&cosines)),
        text(tags::PIXEL_SPACING, VR::DS, "1.25\\0.75"),
        text(tags::SLICE_THICKNESS, VR::DS, "4"),
        text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        text(tags::RESCALE_INTERCEPT, VR::DS, "-1024"),
        text(tags::RESCALE_SLOPE, VR::DS, "1"),
        text(tags::WINDOW_CENTER, VR::DS, "40"),
        text(tags::WINDOW_WIDTH, VR::DS, "400"),
        short(tags::SAMPLES_PER_PIXEL, 1),
        short(tags::ROWS, rows as u16),
        short(tags::COLUMNS, columns as u16),
        short(tags::BITS_ALLOCATED, 16),
        short(tags::BITS_STORED, 16),
        short(tags::HIGH_BIT, 15),
        short(tags::PIXEL_REPRESENTATION, 0),
        DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U8(pixels.into())),
    ]);
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let mut bytes = Vec::new();
    object.with_meta(meta).unwrap().write_all(&mut bytes).unwrap();
    bytes
}
