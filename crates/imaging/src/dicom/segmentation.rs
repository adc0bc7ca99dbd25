//! DICOM segmentations (PS3.3 A.51, C.8.20): one frame for each slice that a target reaches.

use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::{tags, uids};

use super::codes::property;
use super::origin::{Instance, Origin};
use super::write::{
    Dataset, Identity, Now, cielab, coded, dataset, file, label, new_uid, origin, reference,
};
use crate::write::{Findings, Target};
use crate::{Error, Grid, Volume};

/// What a segment's pixels say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentationKind {
    /// One bit: in or out.
    Binary,
    /// A probability, 0 to 255.
    Fractional,
}

const FORMAT: &str = "DICOM SEG";

/// A frame: a target's mask on one slice.
struct Frame {
    target: usize,
    slice: usize,
}

/// Whether a segmentation of `volume` can refer to what it was drawn on.
pub(crate) fn check_segmentation(volume: &Volume) -> Result<(), Error> {
    origin(volume, FORMAT).map(drop)
}

pub(crate) fn segmentation(findings: &Findings, kind: SegmentationKind) -> Result<Vec<u8>, Error> {
    let source = origin(findings.volume, FORMAT)?;
    if findings.targets.is_empty() {
        return Err(Error::CannotWrite { format: FORMAT, detail: "nothing was asked for".into() });
    }
    let [columns, rows, slices] = findings.volume.dimensions();
    let area = columns * rows;
    let shown = |target: &Target, slice: usize| match (kind, &target.probabilities) {
        (SegmentationKind::Fractional, Some(values)) => {
            values[slice * area..][..area].iter().any(|value| *value > 0)
        }
        _ => target.slice(area, slice).iter().any(|voxel| *voxel != 0),
    };
    let mut frames: Vec<Frame> = findings
        .targets
        .iter()
        .enumerate()
        .flat_map(|(target, own)| {
            (0..slices)
                .filter(move |slice| shown(own, *slice))
                .map(move |slice| Frame { target, slice })
        })
        .collect();
    if frames.is_empty() {
        // An object needs a frame, even where nothing was found.
        frames.push(Frame { target: 0, slice: 0 });
    }

    let now = Now::read();
    let identity = Identity {
        origin: source,
        class_uid: uids::SEGMENTATION_STORAGE,
        modality: "SEG",
        description: "medparse segmentation (research)",
        now: &now,
    };
    let mut object = identity.dataset()?;
    describe(&mut object, kind, &now);
    object
        .short(tags::ROWS, rows as u16)
        .short(tags::COLUMNS, columns as u16)
        .whole(tags::NUMBER_OF_FRAMES, frames.len());
    let segments =
        findings.targets.iter().enumerate().map(|(index, target)| segment(index, target)).collect();
    object.items(tags::SEGMENT_SEQUENCE, segments);
    dimensions(&mut object, findings.volume.grid().is_some())?;
    object.item(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, shared(findings.volume.grid(), source));
    let places = Places { source, grid: findings.volume.grid() };
    object.items(
        tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
        frames.iter().map(|frame| places.frame(frame)).collect(),
    );
    object.item(tags::REFERENCED_SERIES_SEQUENCE, referenced_series(source));
    let pixels = pixels(findings, &frames, kind);
    object.0.put(DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(pixels.into())));
    file(object, FORMAT)
}

/// The segmentation image module (PS3.3 C.8.20.2).
fn describe(object: &mut Dataset, kind: SegmentationKind, now: &Now) {
    object.0.put(DataElement::new(
        tags::IMAGE_TYPE,
        VR::CS,
        PrimitiveValue::Strs(["DERIVED".into(), "PRIMARY".into()].as_slice().into()),
    ));
    object
        .text(tags::CONTENT_DATE, VR::DA, now.date.as_str())
        .text(tags::CONTENT_TIME, VR::TM, now.time.as_str())
        .text(tags::CONTENT_LABEL, VR::CS, "SEGMENTATION")
        .text(tags::CONTENT_DESCRIPTION, VR::LO, "Found by phrases; research use only")
        .text(tags::CONTENT_CREATOR_NAME, VR::PN, "medparse^")
        .text(tags::BURNED_IN_ANNOTATION, VR::CS, "NO")
        .text(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00")
        .short(tags::SAMPLES_PER_PIXEL, 1)
        .text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2")
        .short(tags::PIXEL_REPRESENTATION, 0);
    let bits = match kind {
        SegmentationKind::Binary => {
            object.text(tags::SEGMENTATION_TYPE, VR::CS, "BINARY");
            1
        }
        SegmentationKind::Fractional => {
            object
                .text(tags::SEGMENTATION_TYPE, VR::CS, "FRACTIONAL")
                .text(tags::SEGMENTATION_FRACTIONAL_TYPE, VR::CS, "PROBABILITY")
                .short(tags::MAXIMUM_FRACTIONAL_VALUE, 255);
            8
        }
    };
    object
        .short(tags::BITS_ALLOCATED, bits)
        .short(tags::BITS_STORED, bits)
        .short(tags::HIGH_BIT, bits - 1);
}

/// One entry of the segment sequence (PS3.3 C.8.20.4).
fn segment(index: usize, target: &Target) -> Dataset {
    let property = property(&target.label, target.category.as_deref());
    let code = |code: super::codes::Code| coded(code.value, "SCT", code.meaning);
    let mut kind = code(property.kind);
    if let Some(side) = property.side {
        kind.item(tags::SEGMENTED_PROPERTY_TYPE_MODIFIER_CODE_SEQUENCE, code(side));
    }
    dataset(|segment| {
        segment
            .short(tags::SEGMENT_NUMBER, index as u16 + 1)
            .text(tags::SEGMENT_LABEL, VR::LO, label(target, index))
            .text(tags::SEGMENT_ALGORITHM_TYPE, VR::CS, "AUTOMATIC")
            .text(tags::SEGMENT_ALGORITHM_NAME, VR::LO, "medparse")
            .shorts(tags::RECOMMENDED_DISPLAY_CIE_LAB_VALUE, &cielab(target.color))
            .item(tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE, code(property.category))
            .item(tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, kind);
    })
}

/// The multi-frame dimension module (PS3.3 C.7.6.17): by segment, then by place.
fn dimensions(object: &mut Dataset, placed: bool) -> Result<(), Error> {
    let uid = new_uid()?;
    let index = |pointer, group, description: &str| {
        dataset(|item| {
            item.text(tags::DIMENSION_ORGANIZATION_UID, VR::UI, uid.as_str())
                .tag(tags::DIMENSION_INDEX_POINTER, pointer)
                .tag(tags::FUNCTIONAL_GROUP_POINTER, group)
                .text(tags::DIMENSION_DESCRIPTION_LABEL, VR::LO, description);
        })
    };
    let mut indices = vec![index(
        tags::REFERENCED_SEGMENT_NUMBER,
        tags::SEGMENT_IDENTIFICATION_SEQUENCE,
        "Segment Number",
    )];
    if placed {
        indices.push(index(
            tags::IMAGE_POSITION_PATIENT,
            tags::PLANE_POSITION_SEQUENCE,
            "Image Position Patient",
        ));
    }
    let organization = dataset(|item| {
        item.text(tags::DIMENSION_ORGANIZATION_UID, VR::UI, uid.as_str());
    });
    object
        .item(tags::DIMENSION_ORGANIZATION_SEQUENCE, organization)
        .items(tags::DIMENSION_INDEX_SEQUENCE, indices);
    Ok(())
}

fn shared(grid: Option<&Grid>, source: &Origin) -> Dataset {
    dataset(|group| {
        let Some(grid) = grid else { return };
        let [row, column] = source.orientation.unwrap_or([grid.directions[0], grid.directions[1]]);
        let cosines: Vec<f64> = row.into_iter().chain(column).collect();
        let [along, down, between] = grid.spacing;
        group
            .item(
                tags::PLANE_ORIENTATION_SEQUENCE,
                dataset(|item| {
                    item.decimals(tags::IMAGE_ORIENTATION_PATIENT, &cosines);
                }),
            )
            .item(
                tags::PIXEL_MEASURES_SEQUENCE,
                dataset(|item| {
                    item.decimals(tags::PIXEL_SPACING, &[down, along])
                        .decimals(tags::SLICE_THICKNESS, &[between])
                        .decimals(tags::SPACING_BETWEEN_SLICES, &[between]);
                }),
            );
    })
}

struct Places<'a> {
    source: &'a Origin,
    grid: Option<&'a Grid>,
}

impl Places<'_> {
    /// The functional groups of one frame (PS3.3 A.51.5).
    fn frame(&self, frame: &Frame) -> Dataset {
        let instance = &self.source.instances[frame.slice];
        let segment = frame.target as u16 + 1;
        dataset(|group| {
            let mut indices = vec![u32::from(segment)];
            if self.grid.is_some() {
                indices.push(frame.slice as u32 + 1);
            }
            group.item(
                tags::FRAME_CONTENT_SEQUENCE,
                dataset(|item| {
                    item.longs(tags::DIMENSION_INDEX_VALUES, &indices);
                }),
            );
            if let Some(position) = instance.position.filter(|_| self.grid.is_some()) {
                group.item(
                    tags::PLANE_POSITION_SEQUENCE,
                    dataset(|item| {
                        item.decimals(tags::IMAGE_POSITION_PATIENT, &position);
                    }),
                );
            }
            group.item(tags::DERIVATION_IMAGE_SEQUENCE, derivation(instance)).item(
                tags::SEGMENT_IDENTIFICATION_SEQUENCE,
                dataset(|item| {
                    item.short(tags::REFERENCED_SEGMENT_NUMBER, segment);
                }),
            );
        })
    }
}

fn derivation(instance: &Instance) -> Dataset {
    let mut image = reference(instance);
    image.item(
        tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE,
        coded("121322", "DCM", "Source image for image processing operation"),
    );
    dataset(|item| {
        item.item(tags::DERIVATION_CODE_SEQUENCE, coded("113076", "DCM", "Segmentation"))
            .item(tags::SOURCE_IMAGE_SEQUENCE, image);
    })
}

/// The common instance reference module (PS3.3 C.12.2).
fn referenced_series(source: &Origin) -> Dataset {
    let mut instances: Vec<&Instance> = Vec::new();
    for instance in &source.instances {
        // Frames of one object are one instance.
        if instances.last().is_none_or(|last| last.uid != instance.uid) {
            instances.push(instance);
        }
    }
    dataset(|series| {
        let whole =
            |instance: &&Instance| reference(&Instance { frame: None, ..(*instance).clone() });
        series
            .text(tags::SERIES_INSTANCE_UID, VR::UI, source.series_uid.as_str())
            .items(tags::REFERENCED_INSTANCE_SEQUENCE, instances.iter().map(whole).collect());
    })
}

/// The frames' pixels: bits packed over all frames, first pixel lowest (PS3.5 section 8.1.1), or bytes.
fn pixels(findings: &Findings, frames: &[Frame], kind: SegmentationKind) -> Vec<u8> {
    let [columns, rows, _] = findings.volume.dimensions();
    let area = columns * rows;
    let mut bytes = match kind {
        SegmentationKind::Fractional => frames
            .iter()
            .flat_map(|frame| {
                let target = &findings.targets[frame.target];
                let values = target.probabilities.as_ref().unwrap_or(&target.voxels);
                values[frame.slice * area..][..area].iter().copied()
            })
            .collect(),
        SegmentationKind::Binary => {
            let mut bytes = vec![0_u8; (frames.len() * area).div_ceil(8)];
            for (index, frame) in frames.iter().enumerate() {
                for (pixel, voxel) in
                    findings.targets[frame.target].slice(area, frame.slice).iter().enumerate()
                {
                    let bit = index * area + pixel;
                    bytes[bit / 8] |= (voxel & 1) << (bit % 8);
                }
            }
            bytes
        }
    };
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    bytes
}
