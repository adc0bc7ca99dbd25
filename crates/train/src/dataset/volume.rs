//! Volumes, slice by slice, as `medparse segment` shows them to a model.

use std::path::{Path, PathBuf};

use medparse_imaging::{Limits, Picture, Samples, Tone, View};

use super::{DatasetError, bytes};

/// A volume and the way its slices are hung.
pub(super) struct Volume {
    volume: medparse_imaging::Volume,
    view: View,
}

/// A slice of a label volume.
pub(super) struct Labels {
    pub width: usize,
    pub height: usize,
    /// Row by row from the top.
    pub values: Vec<f32>,
}

impl Volume {
    pub(super) fn read(path: &Path) -> Result<Self, DatasetError> {
        let bytes = bytes(path)?;
        let volume = medparse_imaging::decode(&bytes, &Limits::default())
            .map_err(|source| DatasetError::Image { path: path.to_owned(), source })?;
        let view = View::new(volume.usual_plane(), volume.grid(), volume.dimensions());
        Ok(Self { volume, view })
    }

    /// How many slices there are.
    pub(super) fn slices(&self) -> usize {
        self.view.dimensions()[2]
    }

    /// Slice `index` as a picture, with its place in the patient.
    pub(super) fn picture(&self, index: usize) -> Result<Picture, medparse_imaging::Error> {
        self.volume.picture(&self.view, index, &Tone::Auto)
    }

    /// Slice `index` of a volume of labels.
    ///
    /// # Errors
    /// When the volume, that of the file `path`, holds colours, or has no such slice.
    pub(super) fn labels(&self, index: usize, path: &Path) -> Result<Labels, DatasetError> {
        let refuse = |reason: String| DatasetError::Volume { path: PathBuf::from(path), reason };
        let [width, height, slices] = self.view.dimensions();
        if index >= slices {
            return Err(refuse(format!("expected slice {index}, found {slices} slices")));
        }
        match self.volume.samples() {
            Samples::Gray(values) => {
                Ok(Labels { width, height, values: self.view.take(values, index) })
            }
            Samples::Rgb(_) => {
                Err(refuse("expected a number for each voxel, found colours".into()))
            }
        }
    }
}
