//! How good a model is on labelled pictures.
//!
//! Every picture is encoded once and asked for what is marked in it and for things that are not
//! there; masks are compared at the picture's own size.

mod absent;
mod baseline;
mod distance;
mod interval;
mod overlap;
mod ranking;
mod reliability;
mod report;
mod summary;
mod surface;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use medparse::prompts::PromptError;
use medparse::{Interaction, Model, Prompt, SegmentError, SegmentOptions, Segmentation};
use medparse_imaging::Mask;

use crate::dataset::{Dataset, DatasetError, Loaded, PictureSource, Sample};
use crate::ontology::category;
use crate::prompts::Named;
use crate::random::{Purpose, stream};
use absent::{Absent, Kind};
use baseline::Key;
use overlap::Overlap;
use reliability::ReliabilityCounter;
use surface::SurfaceDistances;

pub use absent::AbsentCounts;
pub use baseline::Baseline;
pub use interval::{Bootstrap, Estimate};
pub use ranking::Auroc;
pub(crate) use reliability::fit_presence;
pub use reliability::{Bin, Reliability};
pub use report::{
    Distance, ModalityReport, PresenceReport, PresenceScore, Rate, Report, TargetReport, Unit,
    WordsReport,
};

/// Masks whose common part is smaller than this Dice mark different things.
const DIFFERENT: f64 = 0.1;

/// How to measure.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluateOptions {
    /// Whether the phrases of a picture see each other; each for itself by default.
    pub interaction: Interaction,
    /// How many absent things are asked for.
    pub absent: AbsentCounts,
    /// How intervals are made.
    pub bootstrap: Bootstrap,
    /// A mask is empty where the object is less probable to be there; never by default.
    pub presence_threshold: Option<f32>,
    /// Collections that do not mark everything that they name wherever it is.
    pub partial: BTreeSet<String>,
    /// The worst answers of each target that are kept.
    pub worst: usize,
}

impl Default for EvaluateOptions {
    fn default() -> Self {
        Self {
            interaction: Interaction::Independent,
            absent: AbsentCounts { same_modality: 3, other_modality: 2 },
            bootstrap: Bootstrap { resamples: 1000, seed: 1 },
            presence_threshold: None,
            partial: BTreeSet::new(),
            worst: 3,
        }
    }
}

/// What is measured, and on what.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The model.
    pub model: &'a Model,
    /// The labelled pictures, all of them: what they mark says what can be absent.
    pub dataset: &'a Dataset,
    /// Those that are asked.
    pub pictures: &'a [usize],
    /// The guess without looking.
    pub baseline: &'a Baseline,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The numbers.
    pub report: Report,
    /// The worst answers of each target: the worst of every target first, then the second worst.
    pub worst: Vec<Case>,
    /// The presence head's logits beside the truth, to fit its calibration to: of what is there, and
    /// of absent things of the same modality (of others, where there are none). Empty without a head.
    pub presence: Vec<(f64, bool)>,
}

/// One answer, to be looked at.
#[derive(Debug, Clone)]
pub struct Case {
    /// Index of the picture.
    pub sample: usize,
    /// Which of its targets.
    pub target: usize,
    /// Dice of the answer.
    pub dice: f64,
    /// The answer.
    pub mask: Mask,
}

/// Why a model can't be measured.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A file of the dataset.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The model.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// A target's name that is no prompt.
    #[error("a target of {picture} can't be asked for: {source}")]
    Prompt {
        /// The picture.
        picture: String,
        /// What is wrong with the name.
        source: PromptError,
    },
    /// There is nothing to measure on.
    #[error("no picture to evaluate on")]
    NoPictures,
}

/// An answer about something that is there.
struct Seen {
    key: Key,
    site: String,
    group: usize,
    overlap: Overlap,
    surface: Option<SurfaceDistances>,
    in_millimetres: bool,
    is_slice: bool,
    baseline: Option<f64>,
    right_category: Option<bool>,
    score: f64,
}

/// An answer about something that is not.
struct Missing {
    kind: Kind,
    name: Named,
    /// The picture's modality.
    modality: String,
    group: usize,
    score: f64,
    /// Pixels of the mask it was given all the same.
    area: u64,
}

/// Two things of one picture, asked for by their own words and by each other's.
struct Pair {
    group: usize,
    /// Mean Dice with what was asked for.
    right: f64,
    /// Mean Dice with the other.
    wrong: f64,
}

/// Whether something is there, and if not, how it is missing.
#[derive(Clone, Copy, PartialEq)]
enum Truth {
    Present,
    Missing(Kind),
}

/// Everything that was seen.
struct Tally {
    seen: Vec<Seen>,
    missing: Vec<Missing>,
    pairs: Vec<Pair>,
    pixels: ReliabilityCounter,
    score: PresenceScore,
    presence: Vec<(f64, Truth)>,
    worst: BTreeMap<Key, Vec<Case>>,
}

/// Asks every picture and sums up; `progress` hears how many of how many pictures are done.
///
/// # Errors
/// When a file can't be read, or there is no picture.
pub fn evaluate(
    subject: &Subject<'_>,
    options: &EvaluateOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Evaluation, EvaluateError> {
    if subject.pictures.is_empty() {
        return Err(EvaluateError::NoPictures);
    }
    let has_head = subject.model.network().presence_head;
    let mut tally = Tally {
        seen: Vec::new(),
        missing: Vec::new(),
        pairs: Vec::new(),
        pixels: ReliabilityCounter::default(),
        score: if has_head { PresenceScore::Head } else { PresenceScore::MaskProbability },
        presence: Vec::new(),
        worst: BTreeMap::new(),
    };
    let absent = Absent::new(subject.dataset, &options.partial);
    let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
    for (done, &index) in subject.pictures.iter().enumerate() {
        progress(done, subject.pictures.len());
        let sample = &subject.dataset.samples[index];
        let next = groups.len();
        let group = *groups.entry(&sample.group).or_insert(next);
        tally.picture(subject, options, &absent, Place { index, group })?;
    }
    progress(subject.pictures.len(), subject.pictures.len());
    let report = summary::report(&tally, subject, options);
    let worst = in_order(tally.worst, subject.model);
    let is_hard = |(_, truth): &(f64, Truth)| *truth == Truth::Missing(Kind::SameModality);
    let has_hard = tally.presence.iter().any(is_hard);
    let easy = Truth::Missing(Kind::OtherModality);
    let presence = tally.presence.iter().filter(|(_, truth)| !has_hard || *truth != easy);
    Ok(Evaluation {
        report,
        worst,
        presence: presence.map(|&(logit, truth)| (logit, truth == Truth::Present)).collect(),
    })
}

/// The worst of every target, then the second worst, and so on; what the model was not trained to
/// find comes last.
fn in_order(worst: BTreeMap<Key, Vec<Case>>, model: &Model) -> Vec<Case> {
    let ranked = worst.into_iter().flat_map(|((target, modality), cases)| {
        let is_beyond = summary::scope(model.card(), Some(&target), &modality) == Some(false);
        cases.into_iter().enumerate().map(move |(rank, case)| (is_beyond, rank, case))
    });
    let mut ranked: Vec<(bool, usize, Case)> = ranked.collect();
    ranked.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.dice.total_cmp(&b.2.dice)));
    ranked.into_iter().map(|(_, _, case)| case).collect()
}

/// A picture, and the group it counts with.
#[derive(Clone, Copy)]
struct Place {
    index: usize,
    group: usize,
}

impl Tally {
    fn picture(
        &mut self,
        subject: &Subject<'_>,
        options: &EvaluateOptions,
        absent: &Absent,
        place: Place,
    ) -> Result<(), EvaluateError> {
        let sample = &subject.dataset.samples[place.index];
        let mut random = stream(options.bootstrap.seed, Purpose::Absent, &[place.index as u64]);
        let absent = absent.draw(sample, options.absent, &mut random);
        if sample.targets.is_empty() && absent.is_empty() {
            return Ok(());
        }
        let loaded = sample.load()?;
        let encoded = subject.model.encode(&loaded.picture)?;
        let ask = |phrases: Vec<String>| -> Result<Vec<Segmentation>, EvaluateError> {
            if phrases.is_empty() {
                return Ok(Vec::new());
            }
            let prompts = phrases.iter().map(|phrase| Prompt::new(phrase));
            let prompts: Vec<Prompt> = prompts
                .collect::<Result<_, _>>()
                .map_err(|source| EvaluateError::Prompt { picture: sample.name(), source })?;
            let how = SegmentOptions {
                interaction: options.interaction,
                presence_threshold: options.presence_threshold,
                ..SegmentOptions::default()
            };
            Ok(subject.model.ask(&encoded, &prompts, &how)?)
        };
        let phrases = sample.targets.iter().map(|target| sample.phrase(&target.name)).collect();
        let answers = ask(phrases)?;
        let is_in_scope = |target: usize| {
            let name = &sample.targets[target].name;
            summary::scope(subject.model.card(), Some(name), &sample.modality) != Some(false)
        };
        for (target, answer) in answers.iter().enumerate() {
            let key = (sample.targets[target].name.clone(), sample.modality.clone());
            let guess = subject.baseline.guess(&key, loaded.picture.dimensions());
            let seen = seen(sample, &loaded, target, answer, place.group, guess);
            self.note_presence(subject.model, answer, Truth::Present);
            if is_in_scope(target) {
                let truths = loaded.masks[target].pixels().iter();
                for (probability, truth) in answer.probability.values().iter().zip(truths) {
                    self.pixels.add(f64::from(*probability), *truth != 0);
                }
            }
            let dice = seen.overlap.dice();
            let case = Case { sample: place.index, target, dice, mask: answer.mask.clone() };
            let worst = self.worst.entry(key).or_default();
            worst.push(case);
            worst.sort_by(|a, b| a.dice.total_cmp(&b.dice));
            worst.truncate(options.worst);
            self.seen.push(seen);
        }
        let counted: Vec<(&Mask, &Mask)> = answers
            .iter()
            .zip(&loaded.masks)
            .enumerate()
            .filter(|(target, _)| is_in_scope(*target))
            .map(|(_, (answer, truth))| (&answer.mask, truth))
            .collect();
        self.pairs.extend(pairs(&counted, place.group));
        let phrase = |name: &Named| format!("{} in {} {}", name.target, name.site, name.modality);
        let answers = ask(absent.iter().map(|(_, name)| phrase(name)).collect())?;
        for ((kind, name), answer) in absent.into_iter().zip(&answers) {
            self.note_presence(subject.model, answer, Truth::Missing(kind));
            self.missing.push(Missing {
                kind,
                name,
                modality: sample.modality.clone(),
                group: place.group,
                score: score(answer),
                area: answer.area,
            });
        }
        Ok(())
    }

    /// Keeps the head's own logit, which the model's calibration has made a probability.
    fn note_presence(&mut self, model: &Model, answer: &Segmentation, truth: Truth) {
        let calibration = model.card().presence.unwrap_or_default();
        let logit = answer.presence.map(|probability| {
            // A probability that was rounded to 0 or 1 has no logit.
            let kept = probability.clamp(1e-15, 1.0 - 1e-15);
            ((kept / (1.0 - kept)).ln() - calibration.offset) / calibration.scale
        });
        self.presence.extend(logit.map(|logit| (logit, truth)));
    }
}

fn seen(
    sample: &Sample,
    loaded: &Loaded,
    target: usize,
    answer: &Segmentation,
    group: usize,
    guess: Option<Mask>,
) -> Seen {
    let truth = &loaded.masks[target];
    let name = &sample.targets[target].name;
    let spacing = loaded.spacing.unwrap_or([1.0; 2]);
    Seen {
        key: (name.clone(), sample.modality.clone()),
        site: sample.site.clone(),
        group,
        overlap: Overlap::of(&answer.mask, truth),
        surface: SurfaceDistances::between(&answer.mask, truth, spacing),
        in_millimetres: loaded.spacing.is_some(),
        is_slice: matches!(sample.picture, PictureSource::Slice(_)),
        baseline: guess.map(|guess| Overlap::of(&guess, truth).dice()),
        right_category: category(name).map(|known| answer.category.index() == known),
        score: score(answer),
    }
}

/// How much an answer speaks for its object being there.
fn score(answer: &Segmentation) -> f64 {
    answer.presence.or(answer.mean_probability).unwrap_or(0.0)
}

/// Every two targets of a picture that mark different things.
fn pairs(answers_and_truths: &[(&Mask, &Mask)], group: usize) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for first in 0..answers_and_truths.len() {
        for second in 0..first {
            let dice = |answer: usize, truth: usize| {
                Overlap::of(answers_and_truths[answer].0, answers_and_truths[truth].1).dice()
            };
            let truths = [first, second].map(|at| answers_and_truths[at].1);
            if Overlap::of(truths[0], truths[1]).dice() >= DIFFERENT {
                continue;
            }
            pairs.push(Pair {
                group,
                right: (dice(first, first) + dice(second, second)) / 2.0,
                wrong: (dice(first, second) + dice(second, first)) / 2.0,
            });
        }
    }
    pairs
}
