//! A sample's files as pixels.

use std::path::Path;

use medparse_imaging::{Limits, Mask, Picture};

use super::volume::Volume;
use super::{DatasetError, MaskSource, PictureSource, Sample, Target, bytes};

/// A sample in memory.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The picture.
    pub picture: Picture,
    /// One mask for each of the sample's targets, of the picture's size.
    pub masks: Vec<Mask>,
    /// Millimetres from one pixel to the next along a row and down a column, where the file says.
    pub spacing: Option<[f64; 2]>,
}

pub(super) fn load(sample: &Sample) -> Result<Loaded, DatasetError> {
    let (picture, spacing) = picture(&sample.picture)?;
    let size = Some(picture.dimensions());
    let masks: Result<Vec<Mask>, _> =
        sample.targets.iter().map(|target| mask(target, size)).collect();
    Ok(Loaded { picture, masks: masks?, spacing })
}

/// What is wrong with the picture, and with each of its masks.
pub(super) fn problems(sample: &Sample) -> Vec<DatasetError> {
    let (size, problem) = match picture(&sample.picture) {
        Ok((picture, _)) => (Some(picture.dimensions()), None),
        Err(problem) => (None, Some(problem)),
    };
    let masks = sample.targets.iter().filter_map(|target| mask(target, size).err());
    problem.into_iter().chain(masks).collect()
}

/// The pixels, and the millimetres between them.
fn picture(source: &PictureSource) -> Result<(Picture, Option<[f64; 2]>), DatasetError> {
    match source {
        PictureSource::File(path) => {
            let picture = Picture::decode(&bytes(path)?, &Limits::default());
            let picture = picture.map_err(|source| image(path, source))?;
            let spacing = picture.geometry().map(|geometry| geometry.spacing);
            Ok((picture, spacing))
        }
        PictureSource::Slice(slice) => {
            let picture = Volume::read(&slice.volume)?.picture(slice.index);
            let picture = picture.map_err(|source| image(&slice.volume, source))?;
            let spacing = picture.geometry().map(|geometry| geometry.spacing);
            Ok((picture, spacing))
        }
    }
}

/// A target's mask, which must have the expected size, where there is one.
pub(super) fn mask(target: &Target, expected: Option<(u32, u32)>) -> Result<Mask, DatasetError> {
    let (path, mask) = match &target.mask {
        MaskSource::File(path) => (path, Mask::decode(&bytes(path)?, &Limits::default())),
        MaskSource::Labels { slice, labels } => {
            let plane = Volume::read(&slice.volume)?.labels(slice.index, &slice.volume)?;
            let is_marked = |value: &f32| labels.iter().any(|&label| *value == f32::from(label));
            let pixels = plane.values.iter().map(|value| u8::from(is_marked(value))).collect();
            let mask = Mask::from_pixels(plane.width as u32, plane.height as u32, pixels);
            (&slice.volume, mask)
        }
    };
    let mask = mask.map_err(|source| image(path, source))?;
    if let Some(expected) = expected
        && mask.dimensions() != expected
    {
        return Err(DatasetError::SizeMismatch {
            path: path.clone(),
            expected,
            found: mask.dimensions(),
        });
    }
    if mask.is_empty() {
        return Err(DatasetError::EmptyMask { path: path.clone(), target: target.name.clone() });
    }
    Ok(mask)
}

fn image(path: &Path, source: medparse_imaging::Error) -> DatasetError {
    DatasetError::Image { path: path.to_owned(), source }
}
