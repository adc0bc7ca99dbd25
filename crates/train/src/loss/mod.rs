//! The losses of the grounding task.
//!
//! Legend: B pictures, M prompts of all pictures, L heads (one before the decoder's layers and
//! one after each), Q queries, C width, h×w a mask's cells, N points.

mod matching;
mod points;

use burn::tensor::activation::{log_softmax, sigmoid};
use burn::tensor::{Device, Int, Tensor, TensorData};
use medparse_network::{Heads, Keep, Network, Probe};

use crate::batch::{Batch, values};
use crate::config::LossConfig;
use crate::ontology::BACKGROUND;

/// Added to a norm before dividing by it; outside the square root.
const NORM_EPSILON: f64 = 1e-7;

/// CLIP's cap on the factor of similarities.
const LARGEST_SCALE: f32 = 100.0;

/// A loss and what it is made of, each term before its weight, averaged over prompts and layers.
#[derive(Debug, Clone)]
pub struct Loss {
    /// The weighted sum, `[1]`.
    pub total: Tensor<1>,
    /// Its terms.
    pub terms: Terms,
}

/// The terms of a loss, each before its weight.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Terms {
    /// The weighted sum of the others.
    pub total: f64,
    /// Binary cross-entropy of masks at points.
    pub mask: f64,
    /// Dice loss of masks at points.
    pub dice: f64,
    /// Cross-entropy of phrases over queries.
    pub similarity: f64,
    /// Cross-entropy of matched queries over categories.
    pub category: f64,
    /// Binary cross-entropy of presence.
    pub presence: f64,
    /// Share of prompts whose query, chosen by likeness as in use, is the matched one.
    pub found: f64,
}

/// Where in a run a loss is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    /// The run's seed, from which the points follow.
    pub seed: u64,
    /// The step, likewise.
    pub step: u64,
    /// What is left of [`LossConfig::spread`]; 0 from the middle of a run.
    pub spread: f64,
}

/// Runs a batch through the network and compares the answers with the truth.
pub fn loss(
    network: &Network,
    batch: &Batch,
    config: &LossConfig,
    draw: Draw,
    device: &Device,
) -> Loss {
    let image = network.encode_image(batch.image(device), &mut Probe::none());
    let (ids, lengths) = batch.ids(device);
    let text = network.encode_text(ids, &lengths, &mut Probe::none());
    let heads = network.decode(&image, batch.words(&text), Keep::Every, &mut Probe::none());
    let answers = Answers::new(&heads, batch);
    let scale = network.logit_scale().exp();

    // Similarity of every query to the phrase, for every head and prompt.
    let phrases: Vec<i64> = answers.repeated(batch.asks.iter().map(|ask| ask.phrase as i64));
    let phrases = normalized(text.sentences.clone()).select(0, indices(phrases, device)); // [LM, C]
    let queries = answers.queries_of_asks(); // [LM, Q, C]
    let capped = scale.clone().clamp_max(LARGEST_SCALE);
    let similarity = queries.clone().matmul(phrases.unsqueeze_dim::<3>(2)).squeeze_dim::<2>(2)
        * capped.unsqueeze(); // [LM, Q]
    let log_shares = log_softmax(similarity, 1);

    let matched = matching::matched(&answers, batch, log_shares.clone(), config, draw.spread);
    let found = found_share(&matched, &log_shares, batch.asks.len());
    let chosen = indices(matched.iter().map(|&query| query as i64).collect(), device);
    let similarity = -log_shares.gather(1, chosen.clone().unsqueeze_dim(1)).mean();

    let logits = points::sample(&answers, batch, &matched, config, draw);
    let mask = binary_cross_entropy(logits.logits.clone(), logits.targets.clone()).mean();
    let dice = dice_loss(logits.logits, logits.targets);

    let matched_rows = answers.matched_rows(&matched, device);
    let category = category_loss(
        answers.queries.clone().flatten::<2>(0, 1).select(0, matched_rows.clone()),
        normalized(Batch::classes(&text)),
        scale,
        &answers.repeated(
            batch.asks.iter().map(
                |ask| {
                    if ask.is_present() { ask.category } else { Some(BACKGROUND) }
                },
            ),
        ),
    );
    let presence = answers.presence.clone().map(|presence| {
        let truth = answers.repeated(batch.asks.iter().map(|ask| f32::from(ask.is_present())));
        let count = truth.len();
        let truth = Tensor::<1>::from_data(TensorData::new(truth, [count]), device);
        binary_cross_entropy(presence.flatten::<1>(0, 1).select(0, matched_rows), truth).mean()
    });

    let mut total = mask.clone() * config.mask
        + dice.clone() * config.dice
        + similarity.clone() * config.similarity;
    if let Some(category) = &category {
        total = total + category.clone() * config.category;
    }
    if let Some(presence) = &presence {
        total = total + presence.clone() * config.presence;
    }
    let terms = Terms {
        total: number(&total),
        mask: number(&mask),
        dice: number(&dice),
        similarity: number(&similarity),
        category: category.as_ref().map_or(0.0, number),
        presence: presence.as_ref().map_or(0.0, number),
        found,
    };
    Loss { total, terms }
}

/// The heads of all layers in one piece, layer by layer.
struct Answers {
    /// `[LB, Q, C]`, normalised.
    queries: Tensor<3>,
    /// `[LB, Q, h, w]`.
    masks: Tensor<4>,
    /// `[LB, Q]`.
    presence: Option<Tensor<2>>,
    /// L.
    layers: usize,
    /// B.
    pictures: usize,
    /// `[LM]`: each prompt's picture's row of the above.
    rows: Vec<usize>,
}

impl Answers {
    fn new(heads: &[Heads], batch: &Batch) -> Self {
        let layers = heads.len();
        let queries = heads.iter().map(|head| head.class_embed.clone()).collect();
        let masks = heads.iter().map(|head| head.masks.clone()).collect();
        let presence: Option<Vec<Tensor<2>>> =
            heads.iter().map(|head| head.presence.clone()).collect();
        let rows = (0..layers).flat_map(|layer| {
            batch.asks.iter().map(move |ask| layer * batch.pictures + ask.picture)
        });
        let queries: Tensor<3> = Tensor::cat(queries, 0);
        let length = queries.clone().square().sum_dim(2).sqrt() + NORM_EPSILON;
        Self {
            queries: queries / length,
            masks: Tensor::cat(masks, 0),
            presence: presence.map(|presence| Tensor::cat(presence, 0)),
            layers,
            pictures: batch.pictures,
            rows: rows.collect(),
        }
    }

    /// The same for every layer.
    fn repeated<T: Clone>(&self, values: impl Iterator<Item = T>) -> Vec<T> {
        let once: Vec<T> = values.collect();
        (0..self.layers).flat_map(|_| once.iter().cloned()).collect()
    }

    /// `[LM, Q, C]`.
    fn queries_of_asks(&self) -> Tensor<3> {
        let rows = self.rows.iter().map(|&row| row as i64).collect();
        self.queries.clone().select(0, indices(rows, &self.queries.device()))
    }

    /// `[LM]`: the matched queries' rows among all queries of all pictures and layers.
    fn matched_rows(&self, matched: &[usize], device: &Device) -> Tensor<1, Int> {
        let queries = self.queries.dims()[1];
        let rows = self.rows.iter().zip(matched).map(|(row, query)| (row * queries + query) as i64);
        indices(rows.collect(), device)
    }
}

fn indices(values: Vec<i64>, device: &Device) -> Tensor<1, Int> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

fn number(tensor: &Tensor<1>) -> f64 {
    tensor.clone().into_scalar::<f32>().into()
}

fn normalized(x: Tensor<2>) -> Tensor<2> {
    let length = x.clone().square().sum_dim(1).sqrt() + NORM_EPSILON;
    x / length
}

/// `max(x, 0) - x t + ln(1 + e^-|x|)`, the stable form of binary cross-entropy with logits.
fn binary_cross_entropy<const D: usize>(logits: Tensor<D>, targets: Tensor<D>) -> Tensor<D> {
    logits.clone().clamp_min(0.0) - logits.clone() * targets + (-logits.abs()).exp().log1p()
}

/// `1 - (2 Σ p t + 1) / (Σ p + Σ t + 1)` of each row, averaged.
fn dice_loss(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    let open = sigmoid(logits);
    let overlap = (open.clone() * targets.clone()).sum_dim(1) * 2.0 + 1.0;
    (-(overlap / (open.sum_dim(1) + targets.sum_dim(1) + 1.0)) + 1.0).mean()
}

/// Cross-entropy of queries `[LM, C]` over the bank `[17, C]`, where the category is known.
fn category_loss(
    queries: Tensor<2>,
    bank: Tensor<2>,
    scale: Tensor<1>,
    categories: &[Option<usize>],
) -> Option<Tensor<1>> {
    let device = queries.device();
    let known = categories.iter().enumerate().filter(|(_, category)| category.is_some());
    let rows: Vec<i64> = known.map(|(row, _)| row as i64).collect();
    if rows.is_empty() {
        return None;
    }
    let classes = categories.iter().flatten().map(|&class| class as i64).collect();
    let logits = queries.select(0, indices(rows, &device)).matmul(bank.transpose());
    let log_shares = log_softmax(logits * scale.unsqueeze(), 1);
    Some(-log_shares.gather(1, indices(classes, &device).unsqueeze_dim(1)).mean())
}

/// Share of the last layer's prompts whose most similar query is the matched one.
fn found_share(matched: &[usize], log_shares: &Tensor<2>, asks: usize) -> f64 {
    let [rows, queries] = log_shares.dims();
    let values = values(log_shares.clone().detach().narrow(0, rows - asks, asks));
    let last = &matched[rows - asks..];
    let hits = values
        .chunks_exact(queries)
        .zip(last)
        .filter(|(row, query)| row.iter().all(|value| *value <= row[**query]));
    hits.count() as f64 / asks.max(1) as f64
}

impl Terms {
    /// The mean of each term.
    pub fn mean(all: &[Self]) -> Self {
        let count = all.len().max(1) as f64;
        let mean = |term: fn(&Self) -> f64| all.iter().map(term).sum::<f64>() / count;
        Self {
            total: mean(|terms| terms.total),
            mask: mean(|terms| terms.mask),
            dice: mean(|terms| terms.dice),
            similarity: mean(|terms| terms.similarity),
            category: mean(|terms| terms.category),
            presence: mean(|terms| terms.presence),
            found: mean(|terms| terms.found),
        }
    }
}
