//! Is this file a model that works? Keys, shapes, numbers, and a picture through it.

use std::path::Path;

use medparse_engine::{Engine, EngineError, EngineOptions, Precision, packed_precision};
use medparse_imaging::procedural;
use medparse_network::{Mismatch, NetworkConfig, expected_tensors, is_unused};
use medparse_weights::Checkpoint;
use serde::Serialize;

use crate::card::{Description, Provenance};
use crate::load::{LoadOptions, LoadStep, ModelError, describe};
use crate::model::{Model, SegmentError};
use crate::prompts::Prompt;
use crate::sources::ModelSource;

/// The side of the procedural picture, in pixels.
const PICTURE_SIDE: u32 = 512;

/// A phrase for something that the procedural picture does not show.
const ABSENT: &str = "liver";

/// Rows of the class bank more alike than this are not told apart.
const LARGEST_COSINE: f32 = 0.9999;

/// Probability maps that vary by less than this say nothing.
const SMALLEST_SPREAD: f32 = 1e-3;

/// What is looked at, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// Every key the network reads is there, in its shape, and no unknown one.
    Keys,
    /// Every weight is a finite number, and no tensor is all zero.
    Numbers,
    /// The text encoder tells the 17 classes apart.
    Words,
    /// A picture goes through and comes out as masks that vary.
    Picture,
}

/// The verdict on one question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// The question.
    pub kind: CheckKind,
    /// Whether the answer is as it should be.
    pub passed: bool,
    /// What was found.
    pub found: String,
}

/// How one phrase came out on the procedural picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PhraseResult {
    /// The phrase.
    pub prompt: String,
    /// Part of the picture in the mask, 0..=1.
    pub covered: f64,
    /// Agreement with the truth, 0..=1; none for what the picture does not show.
    pub dice: Option<f64>,
    /// The category.
    pub category: String,
}

/// Everything that was found about a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verification {
    /// The format, as in "PyTorch zip".
    pub format: String,
    /// Tensors in the file.
    pub tensors: usize,
    /// Tensors that text prompting never reads.
    pub unused_tensors: usize,
    /// Values that the network reads.
    pub values: usize,
    /// Whether the weights are those of the deterministic test rule.
    pub deterministic: bool,
    /// The verdicts; the first that fails is the last.
    pub checks: Vec<Check>,
    /// How the phrases came out.
    pub phrases: Vec<PhraseResult>,
}

impl Verification {
    /// Whether all is well.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }
}

/// Why a file can't be looked at at all.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It can't be read or loaded.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The procedural picture can't be segmented.
    #[error(transparent)]
    Segment(#[from] SegmentError),
}

/// Looks at a model file; `begun` hears of each question before it is looked into.
///
/// # Errors
/// When the file can't be read; a file that can be read but does not work is a verdict.
pub fn verify(
    path: &Path,
    options: &LoadOptions,
    begun: &mut dyn FnMut(CheckKind),
    progress: &mut dyn FnMut(LoadStep<'_>),
) -> Result<Verification, VerifyError> {
    let checkpoint = Checkpoint::open(path).map_err(ModelError::from)?;
    let Description { network: config, card } = describe(&checkpoint, None, options)?.description;
    let mut result = Verification {
        format: checkpoint.format().to_string(),
        tensors: checkpoint.len(),
        unused_tensors: checkpoint.names().filter(|name| is_unused(name)).count(),
        values: expected_tensors(&config).iter().map(|t| t.shape.iter().product::<usize>()).sum(),
        deterministic: card.weights == Provenance::Deterministic,
        checks: Vec::new(),
        phrases: Vec::new(),
    };
    begun(CheckKind::Keys);
    let packed = packed_precision(&checkpoint).map_err(|error| ModelError::Engine(error.into()))?;
    result.checks.push(match packed {
        None => keys(&config, &checkpoint),
        Some(precision) => packed_keys(&config, &checkpoint, precision)?,
    });
    if !result.passed() {
        return Ok(result);
    }
    begun(CheckKind::Numbers);
    let names: Vec<String> = match packed {
        None => expected_tensors(&config).into_iter().map(|tensor| tensor.key).collect(),
        Some(_) => checkpoint
            .entries()
            .filter(|entry| entry.element_type().is_float())
            .map(|entry| entry.name().to_owned())
            .collect(),
    };
    result.checks.push(numbers(&names, &checkpoint).map_err(ModelError::from)?);
    if !result.passed() {
        return Ok(result);
    }
    begun(CheckKind::Words);
    let model = Model::load(&ModelSource::File(path.into()), options, progress)?;
    result.checks.push(words(&model));
    if !result.passed() {
        return Ok(result);
    }
    begun(CheckKind::Picture);
    let (check, phrases) = picture(&model)?;
    result.checks.push(check);
    result.phrases = phrases;
    Ok(result)
}

fn keys(config: &NetworkConfig, checkpoint: &Checkpoint) -> Check {
    let mismatch = Mismatch::between(config, checkpoint);
    let found = if mismatch.is_empty() {
        let read = expected_tensors(config).len();
        format!("all {read} tensors that the network reads are there, in their shapes")
    } else {
        mismatch.to_string()
    };
    Check { kind: CheckKind::Keys, passed: mismatch.is_empty(), found }
}

/// A file whose weights are packed already: mapping them checks their names and shapes.
fn packed_keys(
    config: &NetworkConfig,
    checkpoint: &Checkpoint,
    precision: Precision,
) -> Result<Check, ModelError> {
    let options = EngineOptions { precision, ..EngineOptions::default() };
    let (passed, found) = match Engine::load(config, checkpoint, &options) {
        Ok(_) => (true, format!("all weights are there, packed for {precision}")),
        Err(EngineError::Packed { report, .. }) => (false, report.to_string()),
        Err(other) => return Err(ModelError::Engine(other.into())),
    };
    Ok(Check { kind: CheckKind::Keys, passed, found })
}

fn numbers(
    names: &[String],
    checkpoint: &Checkpoint,
) -> Result<Check, medparse_weights::WeightsError> {
    let mut largest = 0f32;
    for name in names {
        let entry = checkpoint.require(name)?;
        let values = entry.read_f32()?;
        let fault = if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            Some(format!("`{name}` holds {} at index {at}", values[at]))
        } else if values.len() > 1
            && entry.shape().len() > 1
            && values.iter().all(|&value| value == 0.0)
        {
            Some(format!("`{name}` is all zero"))
        } else {
            None
        };
        if let Some(found) = fault {
            return Ok(Check { kind: CheckKind::Numbers, passed: false, found });
        }
        largest = values.iter().fold(largest, |largest, value| largest.max(value.abs()));
    }
    let found = format!("all finite, the largest {largest:.3}");
    Ok(Check { kind: CheckKind::Numbers, passed: true, found })
}

fn words(model: &Model) -> Check {
    let rows = model.class_bank().rows();
    let cosines = rows.similarity(rows, 1.0);
    let count = rows.count();
    let off_diagonal = (0..count * count).filter(|at| at / count != at % count);
    let largest = off_diagonal.map(|at| cosines[at]).fold(f32::NEG_INFINITY, f32::max);
    let finite = cosines.iter().all(|cosine| cosine.is_finite());
    let found = format!("the two classes most alike have a cosine of {largest:.4}");
    Check { kind: CheckKind::Words, passed: finite && largest < LARGEST_COSINE, found }
}

fn picture(model: &Model) -> Result<(Check, Vec<PhraseResult>), SegmentError> {
    let scene = procedural::cells(PICTURE_SIDE, PICTURE_SIDE, 1)?;
    let mut prompts: Vec<Prompt> = Vec::new();
    for phrase in scene.targets.iter().map(|target| target.label).chain([ABSENT]) {
        prompts.extend(Prompt::split(phrase).expect("our own phrases are sound"));
    }
    let answers = model.segment(&scene.picture, &prompts)?;
    let mut phrases = Vec::new();
    let mut fault = None;
    for (index, answer) in answers.iter().enumerate() {
        let values = answer.probability.values();
        let (low, high) = values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), &v| {
            (if v < l { v } else { l }, if v > h { v } else { h })
        });
        if values.iter().any(|value| !value.is_finite()) {
            fault = Some(format!("{:?}: the probabilities are not numbers", answer.prompt));
        } else if high - low < SMALLEST_SPREAD {
            fault = Some(format!("{:?}: every pixel has the probability {low:.3}", answer.prompt));
        }
        let dice = match scene.targets.get(index) {
            Some(target) => Some(answer.mask.dice(&target.mask)?),
            None => None,
        };
        phrases.push(PhraseResult {
            prompt: answer.prompt.clone(),
            covered: answer.area as f64 / values.len() as f64,
            dice,
            category: answer.category.to_string(),
        });
    }
    let passed = fault.is_none();
    let found = fault.unwrap_or_else(|| "a procedural picture of cells came out as masks".into());
    Ok((Check { kind: CheckKind::Picture, passed, found }, phrases))
}
