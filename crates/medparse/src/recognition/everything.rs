//! Asking for everything that a kind of picture can hold.

use std::ops::ControlFlow;

use medparse_imaging::{Mask, Picture};

use super::{
    StatisticsError, TargetDistributions, combine, mask_statistics, non_maximum_suppression,
};
use crate::modalities::Kind;
use crate::model::{Model, SegmentError};
use crate::picture::{MapView, RgbView};
use crate::prompts::Prompt;
use crate::segmentation::{Interaction, SegmentOptions, Segmentation};

/// How everything is asked for.
#[derive(Clone, Debug)]
pub struct RecognitionOptions {
    /// What masks of each target looked like in training; without it nothing is held against it.
    pub distributions: Option<TargetDistributions>,
    /// Masks less plausible than this are dropped, where a distribution is known; 0 keeps all.
    pub least_plausibility: f64,
    /// Objects less probably present than this are dropped, of models that say.
    pub least_presence: Option<f32>,
}

impl Default for RecognitionOptions {
    /// The reference's 0.05.
    fn default() -> Self {
        Self { distributions: None, least_plausibility: 0.05, least_presence: None }
    }
}

/// One object that was recognised.
#[derive(Clone, Debug)]
pub struct Recognised {
    /// The answer for its target, before overlaps were settled.
    pub answer: Segmentation,
    /// The pixels that are its own after overlaps were settled.
    pub own: Mask,
    /// How well its mask fits its target's distribution, 0..=1; none where that is not known.
    pub plausibility: Option<f64>,
}

/// Why a picture's objects can't be recognised.
#[derive(Debug, thiserror::Error)]
pub enum RecognitionError {
    /// The model could not be asked.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// A mask could not be measured.
    #[error(transparent)]
    Statistics(#[from] StatisticsError),
}

/// Every object that a picture of a kind holds, best first.
///
/// The picture is encoded once, and each target is asked for by itself, as the reference does. Then masks are dropped
/// that are empty, implausible or absent; those that lie on a better one (by plausibility where it is known for all, else
/// by mean probability); and what remains is settled pixel by pixel (`inference_utils/output_processing.py`).
///
/// # Errors
/// When the picture is empty.
pub fn recognise(
    model: &Model,
    picture: &Picture,
    kind: &Kind,
    options: &RecognitionOptions,
) -> Result<Vec<Recognised>, RecognitionError> {
    recognise_until(model, picture, kind, options, &|| false)
}

/// As [`recognise`], asking `stop` while the picture is encoded, as [`Model::encode_until`] does, and after each target.
///
/// # Errors
/// [`SegmentError::Stopped`] where `stop` said so, and those of [`recognise`].
pub fn recognise_until(
    model: &Model,
    picture: &Picture,
    kind: &Kind,
    options: &RecognitionOptions,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<Recognised>, RecognitionError> {
    let prompts: Vec<Prompt> =
        kind.targets.iter().filter_map(|target| Prompt::new(target).ok()).collect();
    let asked = SegmentOptions {
        interaction: Interaction::Independent,
        presence_threshold: options.least_presence,
        ..SegmentOptions::default()
    };
    let encoded = model.encode_until(picture, model.fit(), stop)?;
    let mut answers = Vec::with_capacity(prompts.len());
    model.ask_each(&encoded, &prompts, &asked, &mut |answer| {
        answers.push(answer);
        if stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if answers.len() < prompts.len() {
        return Err(SegmentError::Stopped.into());
    }
    let view = RgbView::of(picture).map_err(SegmentError::from)?;

    let mut candidates = Vec::new();
    for answer in answers.into_iter().filter(|answer| !answer.mask.is_empty()) {
        let known = options.distributions.as_ref();
        let known = known.and_then(|known| known.get(&kind.name, &answer.prompt));
        let map = map(&answer)?;
        let plausibility = match known {
            Some(known) => Some(known.plausibility(mask_statistics(&map, &view)?.as_ref())),
            None => None,
        };
        if plausibility.is_none_or(|value| value >= options.least_plausibility) {
            candidates.push((answer, plausibility));
        }
    }
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let all_known = candidates.iter().all(|(_, plausibility)| plausibility.is_some());
    let scores: Vec<f64> = candidates
        .iter()
        .map(|(answer, plausibility)| {
            let own = plausibility.filter(|_| all_known);
            own.or(answer.mean_probability).unwrap_or(0.0)
        })
        .collect();
    let maps: Vec<MapView> =
        candidates.iter().map(|(answer, _)| map(answer)).collect::<Result<_, _>>()?;
    // The maps are all of the picture's size and there is a score for each, so neither step can refuse them.
    let kept = non_maximum_suppression(&maps, &scores).unwrap_or_default();
    let kept_maps: Vec<MapView> = kept.iter().map(|index| maps[*index]).collect();
    let Ok(settled) = combine(&kept_maps) else { return Ok(Vec::new()) };
    let mut candidates: Vec<_> = candidates.into_iter().map(Some).collect();
    let mut recognised = Vec::new();
    for &place in &settled.kept {
        let Some((answer, plausibility)) = candidates[kept[place]].take() else { continue };
        let pixels = settled.mask(place).map(u8::from).collect();
        let own = Mask::from_pixels(picture.width(), picture.height(), pixels)
            .map_err(SegmentError::from)?;
        recognised.push(Recognised { answer, own, plausibility });
    }
    Ok(recognised)
}

fn map(answer: &Segmentation) -> Result<MapView<'_>, SegmentError> {
    Ok(MapView::new(answer.probability.size(), answer.probability.values())?)
}
