//! Progress on the validation pictures, measured on the network's own square.

use std::collections::BTreeMap;

use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, module};
use medparse::picture::Size;
use medparse::preprocess::{Normalization, normalize};
use medparse_imaging::{Mask, Picture};
use medparse_network::{Heads, Keep, Network, NetworkConfig, Probe};
use serde::Serialize;

use crate::batch::{Batch, values};
use crate::dataset::{Cache, CacheLimits, Dataset, DatasetError, Prepared};
use crate::prompts::Prompt;
use crate::sheet::Tile;

/// Asks at once.
const BATCH: usize = 8;

/// Answers that are kept to be looked at, the same ones each time.
const EXAMPLES: usize = 24;

/// Mean Dice of each collection and target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Validation {
    /// The mean over all targets below.
    pub dice: f64,
    /// `set/target`.
    pub targets: BTreeMap<String, TargetValidation>,
}

/// What was seen of one target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TargetValidation {
    /// Pictures.
    pub n: usize,
    /// Mean Dice of the masks at probability ½.
    pub dice: f64,
    /// Mean probability of presence, where the network has such a head.
    pub presence: Option<f64>,
}

struct Question {
    key: String,
    picture: usize,
    target: usize,
    phrase: String,
}

/// Progress, and some answers to look at.
pub(crate) struct Checked {
    pub validation: Validation,
    /// On the network's own square.
    pub examples: Vec<Tile>,
}

/// What is asked, and of whom.
pub(crate) struct Check<'a> {
    pub network: &'a Network,
    pub config: &'a NetworkConfig,
    /// Where the network lives.
    pub device: &'a Device,
    pub dataset: &'a Dataset,
    /// The validation pictures.
    pub pictures: &'a [usize],
}

/// Asks for each target of the pictures by itself.
pub(crate) fn validate(check: &Check<'_>) -> Result<Checked, DatasetError> {
    let Check { network, config, device, dataset, pictures } = *check;
    let questions = questions(dataset, pictures);
    let side = config.image_size;
    let limits = CacheLimits { longest_side: usize::MAX, bytes: 0 };
    let cache = Cache::new(dataset, limits);
    let mut found: BTreeMap<String, Vec<(f64, Option<f64>)>> = BTreeMap::new();
    let shown = EXAMPLES.min(questions.len());
    let is_shown = |at: usize| (0..shown).any(|place| place * questions.len() / shown == at);
    let mut examples = Vec::new();
    for (chunk, asked) in questions.chunks(BATCH).enumerate() {
        let mut batch = Batch::new(side, "{}.");
        let mut squares = Vec::new();
        for question in asked {
            let prepared = cache.get(dataset, question.picture)?;
            let square = prepared.resized(Size::square(side));
            let normalization = Normalization { mean: config.pixel_mean, std: config.pixel_std };
            let planes = normalize(&square.rgb, &normalization);
            let prompt = Prompt {
                phrase: question.phrase.clone(),
                target: Some(question.target),
                category: None,
                word: None,
            };
            batch.push(&planes, [(prompt, Vec::new())]);
            squares.push(square);
        }
        let answers = answers(network, &batch, device);
        for (at, ((question, square), answer)) in asked.iter().zip(squares).zip(answers).enumerate()
        {
            let truth = mask_of(&square, question.target);
            let dice = dice(&answer.logits, &truth);
            found.entry(question.key.clone()).or_default().push((dice, answer.presence));
            if is_shown(chunk * BATCH + at) {
                examples.extend(tile(question, square, &truth, &answer.logits, dice));
            }
        }
    }
    let targets: BTreeMap<String, TargetValidation> = found
        .into_iter()
        .map(|(key, values)| {
            let n = values.len();
            let dice = values.iter().map(|(dice, _)| dice).sum::<f64>() / n as f64;
            let presence: Option<Vec<f64>> = values.iter().map(|(_, presence)| *presence).collect();
            let presence = presence.map(|values| values.iter().sum::<f64>() / n as f64);
            (key, TargetValidation { n, dice, presence })
        })
        .collect();
    let dice =
        targets.values().map(|target| target.dice).sum::<f64>() / targets.len().max(1) as f64;
    Ok(Checked { validation: Validation { dice, targets }, examples })
}

/// An answer to look at; none where the square has no pixels.
fn tile(
    question: &Question,
    square: Prepared,
    truth: &[u8],
    logits: &[f32],
    dice: f64,
) -> Option<Tile> {
    let (width, height) = (square.width as u32, square.height as u32);
    let mask = |pixels: Vec<u8>| Mask::from_pixels(width, height, pixels).ok();
    Some(Tile {
        truth: mask(truth.iter().map(|&part| u8::from(part > 127)).collect())?,
        answer: mask(logits.iter().map(|&logit| u8::from(logit > 0.0)).collect())?,
        picture: Picture::from_rgb(width, height, square.rgb).ok()?,
        target: question.phrase.clone(),
        dice,
    })
}

fn questions(dataset: &Dataset, pictures: &[usize]) -> Vec<Question> {
    pictures
        .iter()
        .flat_map(|&picture| {
            let sample = &dataset.samples[picture];
            sample.targets.iter().enumerate().map(move |(target, named)| Question {
                key: format!("{}/{}", sample.set, named.name),
                picture,
                target,
                phrase: sample.phrase(&named.name),
            })
        })
        .collect()
}

fn mask_of(square: &Prepared, target: usize) -> Vec<u8> {
    square.masks.get(target).cloned().unwrap_or_default()
}

struct Answer {
    /// `[S, S]`.
    logits: Vec<f32>,
    presence: Option<f64>,
}

/// The chosen query's mask for each picture's only prompt.
fn answers(network: &Network, batch: &Batch, device: &Device) -> Vec<Answer> {
    let image = network.encode_image(batch.image(device), &mut Probe::none());
    let (ids, lengths) = batch.ids(device);
    let text = network.encode_text(ids, &lengths, &mut Probe::none());
    let mut heads = network.decode(&image, batch.words(&text), Keep::Last, &mut Probe::none());
    let Some(Heads { class_embed, masks, presence }) = heads.pop() else {
        return Vec::new();
    };
    let [_, queries, width] = class_embed.dims();
    let embedded = values(class_embed);
    let sentences = values(text.sentences);
    let presence = presence.map(values);
    let options = InterpolateOptions::new(InterpolateMode::Bilinear)
        .with_align_corners(false)
        .with_output_size([batch.side, batch.side]);
    let answer = batch.asks.iter().map(|ask| {
        let sentence = &sentences[ask.phrase * width..][..width];
        let rows = embedded[ask.picture * queries * width..].chunks_exact(width).take(queries);
        let query = most_similar(rows, sentence);
        let mask = masks.clone().narrow(0, ask.picture, 1).narrow(1, query, 1);
        let logits = values(module::interpolate(mask, options.clone()));
        let presence = presence
            .as_ref()
            .map(|logits| 1.0 / (1.0 + (-f64::from(logits[ask.picture * queries + query])).exp()));
        Answer { logits, presence }
    });
    answer.collect()
}

/// The row most like `sentence` by angle; the first of equals.
fn most_similar<'a>(rows: impl Iterator<Item = &'a [f32]>, sentence: &[f32]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (index, row) in rows.enumerate() {
        let dot: f32 = row.iter().zip(sentence).map(|(a, b)| a * b).sum();
        let length: f32 = row.iter().map(|a| a * a).sum::<f32>().sqrt() + 1e-7;
        if dot / length > best.1 {
            best = (index, dot / length);
        }
    }
    best.0
}

/// Dice of `logit > 0` with the pixels that are more than half foreground.
fn dice(logits: &[f32], truth: &[u8]) -> f64 {
    let (mut both, mut sum) = (0u64, 0u64);
    for (logit, truth) in logits.iter().zip(truth) {
        let (open, marked) = (*logit > 0.0, *truth > 127);
        both += u64::from(open && marked);
        sum += u64::from(open) + u64::from(marked);
    }
    if sum == 0 { 1.0 } else { 2.0 * both as f64 / sum as f64 }
}
