//! Pictures with masks and names, from the layouts that people have them in.

mod cache;
mod error;
mod index;
mod read;
mod split;
mod volume;

use std::path::{Path, PathBuf};

pub use cache::{Cache, CacheLimits, Prepared};
pub use error::DatasetError;
pub use read::Loaded;
pub use split::Split;

/// A folder of labelled pictures.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The folder.
    pub root: PathBuf,
    /// The pictures, in the order of the folder's own list.
    pub samples: Vec<Sample>,
}

/// One labelled picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Where its pixels are.
    pub picture: PictureSource,
    /// The collection it comes from.
    pub set: String,
    /// Imaging modality, as prompts name it.
    pub modality: String,
    /// Part of the body, as prompts name it.
    pub site: String,
    /// What must not be torn apart between training and validation: a patient, a volume.
    pub group: String,
    /// What is marked in it; never empty masks, which are left out.
    pub targets: Vec<Target>,
}

/// Where a picture's pixels are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PictureSource {
    /// A PNG or JPEG.
    File(PathBuf),
    /// A slice of a NIfTI volume.
    Slice(Slice),
}

/// One plane of a volume, across its last axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// The NIfTI file.
    pub volume: PathBuf,
    /// The plane, 0-based.
    pub index: usize,
}

/// Something that is marked in a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name, as prompts call it.
    pub name: String,
    /// Where its mask is.
    pub mask: MaskSource,
}

/// Where a mask is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MaskSource {
    /// A PNG whose nonzero pixels are foreground.
    File(PathBuf),
    /// The pixels of a label volume's slice that hold one of these labels.
    Labels {
        /// The plane of the label volume.
        slice: Slice,
        /// The labels that count as foreground.
        labels: Vec<u8>,
    },
}

impl Dataset {
    /// Lists the pictures of a folder that holds an `index.json`.
    ///
    /// # Errors
    /// When the list can't be read, or a volume that it names.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, DatasetError> {
        index::read(root.as_ref())
    }

    /// Names of the collections, in alphabetical order.
    pub fn sets(&self) -> Vec<&str> {
        let mut sets: Vec<&str> = self.samples.iter().map(|sample| sample.set.as_str()).collect();
        sets.sort_unstable();
        sets.dedup();
        sets
    }
}

impl Sample {
    /// Decodes the picture and its masks.
    ///
    /// # Errors
    /// Names the file that can't be read or does not fit.
    pub fn load(&self) -> Result<Loaded, DatasetError> {
        read::load(self)
    }

    /// The picture's file, and the slice of a volume, for messages.
    pub fn name(&self) -> String {
        match &self.picture {
            PictureSource::File(path) => path.display().to_string(),
            PictureSource::Slice(slice) => {
                format!("{} (slice {})", slice.volume.display(), slice.index)
            }
        }
    }
}
