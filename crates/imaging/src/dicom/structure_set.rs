//! RT structure sets (PS3.3 A.19, C.8.8.5, C.8.8.6): outlines in the patient's coordinates.

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};

use super::origin::Origin;
use super::write::{Dataset, Identity, Now, dataset, file, label, origin, reference};
use crate::geometry::vector::{Vector, add, scale};
use crate::write::contour::{Corner, polygons};
use crate::write::{Findings, Target};
use crate::{Error, Grid, Volume};

const FORMAT: &str = "DICOM RTSTRUCT";

/// What contours rest on.
struct Base<'a> {
    source: &'a Origin,
    grid: &'a Grid,
    frame: &'a str,
}

impl<'a> Base<'a> {
    fn of(volume: &'a Volume) -> Result<Self, Error> {
        let source = origin(volume, FORMAT)?;
        let refuse = |detail: &str| Error::CannotWrite { format: FORMAT, detail: detail.into() };
        let grid = volume
            .grid()
            .ok_or_else(|| refuse("the input's slices have no place in the patient"))?;
        let frame = grid
            .frame_of_reference
            .as_deref()
            .ok_or_else(|| refuse("the input names no frame of reference"))?;
        Ok(Self { source, grid, frame })
    }
}

/// Whether contours on `volume` have something to rest on.
pub(crate) fn check_structure_set(volume: &Volume) -> Result<(), Error> {
    Base::of(volume).map(drop)
}

pub(crate) fn structure_set(findings: &Findings) -> Result<Vec<u8>, Error> {
    let Base { source, grid, frame } = Base::of(findings.volume)?;

    let now = Now::read();
    let identity = Identity {
        origin: source,
        class_uid: uids::RT_STRUCTURE_SET_STORAGE,
        modality: "RTSTRUCT",
        description: "medparse contours (research)",
        now: &now,
    };
    let mut object = identity.dataset()?;
    object
        .text(tags::STRUCTURE_SET_LABEL, VR::SH, "medparse")
        .text(tags::STRUCTURE_SET_DATE, VR::DA, now.date.as_str())
        .text(tags::STRUCTURE_SET_TIME, VR::TM, now.time.as_str())
        .text(tags::APPROVAL_STATUS, VR::CS, "UNAPPROVED")
        .empty(tags::OPERATORS_NAME, VR::PN);
    let study = super::attributes::Attributes(&source.context)
        .text(tags::STUDY_INSTANCE_UID)
        .unwrap_or_default();
    let series = dataset(|series| {
        series
            .text(tags::SERIES_INSTANCE_UID, VR::UI, source.series_uid.as_str())
            .items(tags::CONTOUR_IMAGE_SEQUENCE, source.instances.iter().map(reference).collect());
    });
    let study = dataset(|item| {
        // The retired class that readers expect here.
        item.text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, "1.2.840.10008.3.1.2.3.1")
            .text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, study)
            .item(tags::RT_REFERENCED_SERIES_SEQUENCE, series);
    });
    object.item(
        tags::REFERENCED_FRAME_OF_REFERENCE_SEQUENCE,
        dataset(|item| {
            item.text(tags::FRAME_OF_REFERENCE_UID, VR::UI, frame)
                .item(tags::RT_REFERENCED_STUDY_SEQUENCE, study);
        }),
    );
    let drawn: Vec<Vec<Dataset>> =
        findings.targets.iter().map(|target| contours(findings, target, grid)).collect();
    let numbered = || findings.targets.iter().enumerate();
    object
        .items(
            tags::STRUCTURE_SET_ROI_SEQUENCE,
            numbered().map(|(index, target)| region(index, target, frame)).collect(),
        )
        .items(
            tags::ROI_CONTOUR_SEQUENCE,
            numbered()
                .zip(drawn)
                .map(|((index, target), contours)| {
                    dataset(|item| {
                        item.text(
                            tags::ROI_DISPLAY_COLOR,
                            VR::IS,
                            target.color.map(|value| value.to_string()).join("\\"),
                        )
                        .whole(tags::REFERENCED_ROI_NUMBER, index + 1);
                        if !contours.is_empty() {
                            item.items(tags::CONTOUR_SEQUENCE, contours);
                        }
                    })
                })
                .collect(),
        )
        .items(
            tags::RTROI_OBSERVATIONS_SEQUENCE,
            numbered()
                .map(|(index, _)| {
                    dataset(|item| {
                        item.whole(tags::OBSERVATION_NUMBER, index + 1)
                            .whole(tags::REFERENCED_ROI_NUMBER, index + 1)
                            .empty(tags::RTROI_INTERPRETED_TYPE, VR::CS)
                            .empty(tags::ROI_INTERPRETER, VR::PN);
                    })
                })
                .collect(),
        );
    file(object, FORMAT)
}

fn region(index: usize, target: &Target, frame: &str) -> Dataset {
    dataset(|item| {
        item.whole(tags::ROI_NUMBER, index + 1)
            .text(tags::REFERENCED_FRAME_OF_REFERENCE_UID, VR::UI, frame)
            .text(tags::ROI_NAME, VR::LO, label(target, index))
            .text(tags::ROI_GENERATION_ALGORITHM, VR::CS, "AUTOMATIC");
    })
}

/// One closed outline for each connected piece on each slice, holes entered by slits of no width.
fn contours(findings: &Findings, target: &Target, grid: &Grid) -> Vec<Dataset> {
    let [columns, rows, slices] = findings.volume.dimensions();
    let Some(source) = findings.volume.origin() else { return Vec::new() };
    let mut contours = Vec::new();
    for slice in 0..slices {
        let instance = &source.instances[slice];
        let first = instance.position.unwrap_or_else(|| grid.position([0.0, 0.0, slice as f64]));
        for polygon in polygons(target.slice(columns * rows, slice), columns) {
            let corners = polygon.keyhole();
            let points: Vec<f64> =
                corners.iter().flat_map(|corner| position(grid, first, *corner)).collect();
            contours.push(dataset(|contour| {
                contour
                    .item(tags::CONTOUR_IMAGE_SEQUENCE, reference(instance))
                    .text(tags::CONTOUR_GEOMETRIC_TYPE, VR::CS, "CLOSED_PLANAR")
                    .whole(tags::NUMBER_OF_CONTOUR_POINTS, corners.len())
                    .decimals(tags::CONTOUR_DATA, &points);
            }));
        }
    }
    contours
}

/// A corner between pixels in mm; `first` is the centre of the slice's first pixel.
fn position(grid: &Grid, first: Vector, [x, y]: Corner) -> Vector {
    let along =
        |axis: usize, at: i64| scale(grid.directions[axis], grid.spacing[axis] * (at as f64 - 0.5));
    add(first, add(along(0, x), along(1, y)))
}
