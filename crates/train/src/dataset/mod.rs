//! Pictures with masks and names, from the layouts that people have them in.

mod biomedparse;
mod cache;
mod error;
mod index;
mod read;
mod split;
mod volume;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(crate) use cache::{Cache, CacheLimits, Prepared};
pub use error::DatasetError;
pub use read::Loaded;
pub use split::{Choice, Split};

/// A folder of labelled pictures.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The folder.
    pub root: PathBuf,
    /// The pictures, in the order of the folder's own list.
    pub samples: Vec<Sample>,
}

/// What a folder holds, and what in it can't be used.
#[derive(Debug)]
pub struct Listing {
    /// The rest.
    pub dataset: Dataset,
    /// Why something was left out, each naming its file.
    pub problems: Vec<DatasetError>,
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
    /// Whether it may be learnt from.
    pub part: Part,
    /// What must not be torn apart between training and validation: a patient, a volume.
    pub group: String,
    /// What is marked in it; never empty masks, which are left out.
    pub targets: Vec<Target>,
}

/// What a picture is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// To learn from, and to measure progress on.
    Training,
    /// To measure the finished model on.
    Test,
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

impl Listing {
    /// What was found in the folder `root`; an error that names `place` where that is nothing at all.
    fn new(
        root: &Path,
        place: &Path,
        samples: Vec<Sample>,
        problems: Vec<DatasetError>,
    ) -> Result<Self, DatasetError> {
        if samples.is_empty() && problems.is_empty() {
            return Err(DatasetError::Empty { path: place.to_owned() });
        }
        Ok(Self { dataset: Dataset { root: root.to_owned(), samples }, problems })
    }
}

impl Dataset {
    /// Lists the pictures of a folder: one that holds an `index.json`, or BiomedParse's folders
    /// `train/`, `train_mask/`, `test/` and `test_mask/`.
    ///
    /// # Errors
    /// When the folder is of neither layout, or a list, a name or a volume can't be read.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, DatasetError> {
        let Listing { dataset, problems } = Self::list(root)?;
        problems.into_iter().next().map_or(Ok(dataset), Err)
    }

    /// As [`Dataset::open`], with what can't be used left out and told beside it.
    ///
    /// # Errors
    /// When the folder is of neither layout, lists nothing, or its list can't be read at all.
    pub fn list(root: impl AsRef<Path>) -> Result<Listing, DatasetError> {
        let root = root.as_ref();
        if root.join("index.json").exists() {
            index::read(root)
        } else if biomedparse::is_here(root) {
            biomedparse::read(root)
        } else {
            Err(DatasetError::Layout { path: root.to_owned() })
        }
    }

    /// Names of the collections, in alphabetical order.
    pub fn sets(&self) -> Vec<&str> {
        let mut sets: Vec<&str> = self.samples.iter().map(|sample| sample.set.as_str()).collect();
        sets.sort_unstable();
        sets.dedup();
        sets
    }

    /// Of each collection's pictures among `pictures` so many at most, evenly spread; one collection
    /// after the other.
    pub fn spread(&self, pictures: &[usize], most: usize) -> Vec<usize> {
        let mut by_set: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for &index in pictures {
            by_set.entry(&self.samples[index].set).or_default().push(index);
        }
        let chosen = by_set.into_values().flat_map(|indices| {
            let count = most.min(indices.len());
            (0..count).map(|at| indices[at * indices.len() / count]).collect::<Vec<_>>()
        });
        chosen.collect()
    }
}

impl Target {
    /// Decodes the mask alone.
    ///
    /// # Errors
    /// Names the file that can't be read, or marks nothing.
    pub fn load(&self) -> Result<medparse_imaging::Mask, DatasetError> {
        read::mask(self, None)
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

    /// Everything that keeps this picture from being used.
    pub fn problems(&self) -> Vec<DatasetError> {
        read::problems(self)
    }

    /// The phrase that asks for a target: `<target> in <site> <modality>`.
    pub fn phrase(&self, target: &str) -> String {
        format!("{target} in {} {}", self.site, self.modality)
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

/// What a file holds.
fn bytes(path: &Path) -> Result<Vec<u8>, DatasetError> {
    std::fs::read(path).map_err(|source| DatasetError::Read { path: path.to_owned(), source })
}
