//! Volumes: every slice through the model, the answers put together again.

mod components;

use medparse_imaging::write::Target;
use medparse_imaging::{PALETTE, Samples, Tone, View, Volume};

use crate::model::{Model, SegmentError};
use crate::parts::{self, Found, JournalError, JournalKey, PartAnswer, Scale, Votes, Work};
use crate::prompts::Prompt;
use crate::segmentation::SegmentOptions;

/// How a volume is cut, shown and put together.
#[derive(Clone, Debug)]
pub struct VolumeOptions {
    /// Which slices the model is shown, and how they are turned.
    pub view: View,
    /// How values become grays.
    pub tone: Tone,
    /// How each slice is asked.
    pub segment: SegmentOptions,
    /// Whether neighbouring slices are heard.
    pub smoothing: Smoothing,
    /// What is kept of a target.
    pub keep: Keep,
}

/// Whether a slice's probabilities are mixed with its neighbours'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Smoothing {
    /// Each slice for itself.
    #[default]
    None,
    /// A quarter of each neighbour and half of the slice itself.
    Neighbours,
}

/// What is kept of a target's voxels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Everything.
    #[default]
    All,
    /// The largest piece whose voxels touch at their faces.
    Largest,
}

/// Why a volume can't be segmented.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// One slice could not be segmented.
    #[error("slice {slice}: {error}")]
    Slice {
        /// Which slice of the plane, from 0.
        slice: usize,
        /// Why not.
        error: SegmentError,
    },
    /// A slice could not be shown.
    #[error(transparent)]
    Picture(#[from] medparse_imaging::Error),
    /// There is nothing to look for.
    #[error(transparent)]
    Prompt(SegmentError),
    /// What is done could not be kept.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Sends every slice of `volume` through `model`, encoded once, and gives what was found of each prompt in their order.
///
/// Slices that hold one value only (the air around a patient) are not asked: there is nothing in them. Beside the volume
/// it holds two bytes a voxel and prompt, another for the prompt that is being finished, and the slices that are asked at
/// the same time.
///
/// # Errors
/// When there is no prompt, a slice cannot be segmented, the journal cannot be kept, or the work is told to stop.
pub fn segment_volume(
    model: &Model,
    volume: &Volume,
    prompts: &[Prompt],
    options: &VolumeOptions,
    work: &mut Work<'_>,
) -> Result<Vec<Found>, VolumeError> {
    if prompts.is_empty() {
        return Err(VolumeError::Prompt(SegmentError::NoPrompt));
    }
    let view = options.view;
    let [width, height, slices] = view.dimensions();
    let area = width * height;
    let scale = Scale::new(options.segment.threshold);
    let stop = work.stop;
    let ask = |slice: usize| {
        if is_blank(volume, &view, slice) {
            return Ok(prompts.iter().map(|_| PartAnswer::nothing(area)).collect());
        }
        let at_slice = |error| VolumeError::Slice { slice, error };
        let picture = volume.picture(&view, slice, &options.tone)?;
        parts::ask(model, &picture, prompts, &options.segment, stop).map_err(at_slice)
    };
    let mut probabilities: Vec<Vec<u8>> = prompts.iter().map(|_| vec![0; area * slices]).collect();
    let mut votes = vec![Votes::default(); prompts.len()];
    parts::answer(slices, work, &ask, &mut |slice, answers| {
        for ((probabilities, votes), answer) in
            probabilities.iter_mut().zip(&mut votes).zip(answers)
        {
            // What a journal holds is its own file's word.
            if answer.values.len() == area {
                probabilities[slice * area..][..area].copy_from_slice(&answer.values);
            }
            votes.hear(&answer);
        }
        Ok::<_, VolumeError>(())
    })?;
    let finished = prompts.iter().zip(probabilities).zip(votes).zip(PALETTE.iter().cycle());
    Ok(finished
        .map(|(((prompt, mut probabilities), votes), color)| {
            if options.smoothing == Smoothing::Neighbours {
                smooth(&mut probabilities, area);
            }
            let inside = |byte: &u8| if scale.is_inside((*byte).into()) { 255 } else { 0 };
            let mut mask: Vec<u8> = probabilities.iter().map(inside).collect();
            if options.keep == Keep::Largest {
                components::keep_largest(&mut mask, [width, height, slices]);
            }
            let target = Target {
                label: prompt.as_str().to_owned(),
                category: votes.category().map(|category| category.to_string()),
                color: *color,
                voxels: stored(&view, mask),
                probabilities: Some(stored(&view, probabilities)),
            };
            Found { target, presence: votes.presence() }
        })
        .collect())
}

impl VolumeOptions {
    /// The key of a journal of these slices' answers.
    pub fn key(&self, volume: &Volume, mut key: JournalKey) -> [u8; 32] {
        key.add(&format!("slices {:?} {:?} {:?}", self.view, self.tone, volume.dimensions()));
        match volume.samples() {
            Samples::Gray(values) => {
                for values in values.chunks(1 << 16) {
                    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                    key.add_bytes(&bytes);
                }
            }
            Samples::Rgb(bytes) => key.add_bytes(bytes),
        }
        key.finish()
    }
}

/// Whether every pixel of a slice is the same.
fn is_blank(volume: &Volume, view: &View, slice: usize) -> bool {
    match volume.samples() {
        Samples::Gray(values) => {
            let plane = view.take(values, slice);
            plane.windows(2).all(|pair| pair[0] == pair[1])
        }
        Samples::Rgb(_) => false,
    }
}

/// A quarter, a half, a quarter across slices; the ends count twice.
fn smooth(values: &mut [u8], area: usize) {
    let slices = values.len() / area;
    let mut before: Vec<u8> = values[..area].to_vec();
    for slice in 0..slices {
        let start = slice * area;
        let next = (slice + 1).min(slices - 1) * area;
        for pixel in 0..area {
            let own = values[start + pixel];
            let sum =
                u16::from(before[pixel]) + 2 * u16::from(own) + u16::from(values[next + pixel]);
            before[pixel] = own;
            values[start + pixel] = (sum / 4) as u8;
        }
    }
}

/// From the view's order to the file's.
fn stored(view: &View, values: Vec<u8>) -> Vec<u8> {
    if view.is_stored() {
        return values;
    }
    let [width, height, slices] = view.dimensions();
    let mut volume = vec![0; values.len()];
    for slice in 0..slices {
        view.put_plane(&values[slice * width * height..][..width * height], slice, &mut volume);
    }
    volume
}

impl VolumeOptions {
    /// The reference's way of asking, on the slices of `view`.
    pub fn of(view: View) -> Self {
        Self {
            view,
            tone: Tone::default(),
            segment: SegmentOptions::default(),
            smoothing: Smoothing::default(),
            keep: Keep::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_weighs_neighbours() {
        let mut values = [0, 200, 0, 0];
        smooth(&mut values, 1);
        assert_eq!(values, [50, 100, 50, 0]);
        let mut one = [7, 9];
        smooth(&mut one, 2);
        assert_eq!(one, [7, 9]);
    }
}
