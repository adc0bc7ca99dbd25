//! What a run found, ready to be written in any format.

use crate::{Error, Rgb, Volume};

/// Everything that was found in a volume or a picture.
#[derive(Debug)]
pub struct Findings<'a> {
    pub(crate) volume: &'a Volume,
    pub(crate) targets: Vec<Target>,
}

/// One thing that was looked for, and where it was found.
#[derive(Clone)]
pub struct Target {
    /// What was asked for.
    pub label: String,
    /// What kind of thing it is, in the model's words.
    pub category: Option<String>,
    /// How outputs with colours draw it.
    pub color: Rgb,
    /// 0 or 255 a voxel, in the file's order (columns fastest, then rows, then slices).
    pub voxels: Vec<u8>,
    /// The probability a voxel on the scale of a byte, in the same order; fractional segmentations need it.
    pub probabilities: Option<Vec<u8>>,
}

impl Target {
    /// 255 where nothing is known but the mask.
    pub(crate) fn probability(&self, voxel: usize) -> u8 {
        self.probabilities.as_ref().map_or(255, |probabilities| probabilities[voxel])
    }

    /// How many voxels there are.
    pub fn count(&self) -> u64 {
        self.voxels.iter().map(|voxel| u64::from(*voxel & 1)).sum()
    }

    /// One stored slice's voxels.
    pub(crate) fn slice(&self, area: usize, slice: usize) -> &[u8] {
        &self.voxels[slice * area..][..area]
    }
}

impl std::fmt::Debug for Target {
    /// The number of voxels; neither the phrase nor the mask.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("voxels", &self.voxels.len()).finish_non_exhaustive()
    }
}

impl<'a> Findings<'a> {
    /// Takes what was found in `volume`.
    ///
    /// # Errors
    /// [`Error::WrongVolume`] where a target does not have one entry a voxel, [`Error::CannotWrite`] for more than
    /// 65,534 targets.
    pub fn new(volume: &'a Volume, targets: Vec<Target>) -> Result<Self, Error> {
        let expected = volume.voxels();
        for target in &targets {
            let probabilities = target.probabilities.as_ref().map_or(expected, Vec::len);
            if let Some(found) =
                [target.voxels.len(), probabilities].into_iter().find(|found| *found != expected)
            {
                return Err(Error::WrongVolume { dimensions: volume.dimensions(), found });
            }
        }
        if targets.len() > 65_534 {
            let detail = format!("{} targets, at most 65,534 fit", targets.len());
            return Err(Error::CannotWrite { format: "findings", detail });
        }
        Ok(Self { volume, targets })
    }

    /// What was found.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// A target's volume in millilitres; `None` where the voxels have no size.
    pub fn millilitres(&self, target: &Target) -> Option<f64> {
        self.volume.grid().map(|grid| target.count() as f64 * grid.voxel_volume() / 1000.0)
    }
}
