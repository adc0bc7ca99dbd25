//! Runs a network on a golden case, whatever computes it, and compares every stage it passes.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use burn::tensor::{Bool, Int, Tensor, TensorData};
use medparse::bank::ClassBank;
use medparse::picture::{MapView, RgbView, Size};
use medparse::postprocess::ProbabilityMap;
use medparse::preprocess::{Normalization, Placement, normalize, resize_bicubic};
use medparse::runtime::{BurnRuntime, Runtime};
use medparse::selection::{Embeddings, first_maximum, matched_queries, similarity_scale};
use medparse::tokenizer::{CONTEXT_LENGTH, END_OF_TEXT, Tokenizer, Tokens};
use medparse_engine::{Engine, Trace};
use medparse_imaging::Picture;
use medparse_network::{GroundingTokens, Keep, NetworkConfig, Probe};

use crate::compare::{FLOORS, Outcome, Row, close, exact};
use crate::golden::{Floor, GoldenCase, GoldenTensor};

/// Probabilities this near to one half may fall on either side of it.
const UNDECIDED: f32 = 1e-4;

/// A network, what computes it, and its class bank, ready to be held against golden cases.
pub struct Subject {
    runtime: Runtime,
    config: NetworkConfig,
    bank: ClassBank,
}

/// A picture's encoding and the verdicts gathered on the way.
pub struct SeenPicture {
    size: Size,
    image: Image,
    rows: Vec<Row>,
}

enum Image {
    Engine(medparse_engine::EncodedImage),
    Burn(Box<medparse_network::EncodedImage>),
}

/// What the object queries say in the end.
struct Said {
    /// `[Q, C]`.
    queries: Embeddings,
    /// `[Q, side, side]`.
    masks: Vec<f32>,
}

impl Subject {
    /// Takes a network and computes its class bank.
    pub fn new(runtime: impl Into<Runtime>, config: NetworkConfig) -> Self {
        let runtime = runtime.into();
        let bank = ClassBank::compute(&runtime, &mut |_, _| ());
        Self { runtime, config, bank }
    }

    /// Encodes `picture`, comparing each stage that `golden` holds.
    pub fn see(
        &self,
        picture: &Picture,
        golden: &GoldenCase,
        floors: &BTreeMap<String, Floor>,
    ) -> SeenPicture {
        let side = self.config.image_size;
        let mut judge = Judge::new(golden, floors, &self.config);
        let size = Size { width: picture.width() as usize, height: picture.height() as usize };
        let view = RgbView::new(size, picture.pixels()).expect("a picture has its pixels");
        let square = resize_bicubic(&view, Size::square(side));
        let planes: Vec<u8> =
            (0..3).flat_map(|channel| square.iter().skip(channel).step_by(3).copied()).collect();
        judge.exact("pre.image_u8", &planes);
        let normalization =
            Normalization { mean: self.config.pixel_mean, std: self.config.pixel_std };
        let input = normalize(&square, &normalization);
        judge.close("pre.input", &input);
        let image = match &self.runtime {
            Runtime::Engine(engine) => {
                Image::Engine(engine.encode_image(&input, &mut Trace::stages(&mut judge)))
            }
            Runtime::Burn(burn) => {
                let input = TensorData::new(input, [1, 3, side, side]);
                let input = Tensor::from_data(input, burn.device());
                let judge = &mut Probe::new(&mut judge);
                Image::Burn(burn.network().encode_image(input, judge).into())
            }
        };
        SeenPicture { size, image, rows: judge.rows }
    }

    /// Asks a seen picture for the golden case's prompts, comparing every further stage; the
    /// verdicts on the picture's own stages come first.
    ///
    /// # Errors
    /// When another subject saw the picture.
    pub fn ask(
        &self,
        seen: &SeenPicture,
        golden: &GoldenCase,
        floors: &BTreeMap<String, Floor>,
    ) -> Result<Vec<Row>> {
        let mut judge = Judge::new(golden, floors, &self.config);
        judge.rows = seen.rows.clone();
        judge.bank = Some((&self.bank, self.runtime.logit_scale()));
        judge.close("text.class_prompts_embeddings", self.bank.rows().values());

        let phrases: Vec<Tokens> =
            golden.prompts.iter().map(|prompt| Tokenizer::new().encode(prompt)).collect();
        let ids = padded(&phrases, &mut judge);
        let (said, sentences) = match (&self.runtime, &seen.image) {
            (Runtime::Engine(engine), Image::Engine(image)) => {
                ask_engine(engine, image, (&phrases, &ids), &mut judge)
            }
            (Runtime::Burn(burn), Image::Burn(image)) => {
                ask_burn(burn, image, (&phrases, &ids), &mut judge)?
            }
            _ => bail!("another subject saw the picture"),
        };
        judge.close("final.pred_captions", said.queries.values());
        judge.close("final.pred_masks", &said.masks);
        let logits = judge.class_logits(&said.queries);
        judge.close("final.pred_logits", &logits);
        judge.selection(&said.queries, &sentences, &logits);
        judge.matched_masks(&said.masks, &golden.matched_id, seen.size);
        judge.absent_stages();
        Ok(judge.rows)
    }
}

/// Phrases padded to the whole context, as the reference runs them.
fn padded(phrases: &[Tokens], judge: &mut Judge) -> Vec<Vec<u32>> {
    let ids = phrases.iter().map(|phrase| {
        let mut ids = phrase.ids().to_vec();
        ids.resize(CONTEXT_LENGTH, END_OF_TEXT);
        ids
    });
    let ids: Vec<Vec<u32>> = ids.collect();
    let numbers: Vec<f64> = ids.iter().flatten().map(|&id| f64::from(id)).collect();
    judge.exact("text.input_ids", &numbers);
    let attention = phrases.iter().flat_map(|phrase| {
        let length = phrase.ids().len();
        (0..CONTEXT_LENGTH).map(move |at| u8::from(at < length))
    });
    judge.exact("text.attention_mask", &attention.collect::<Vec<_>>());
    ids
}

/// The engine's answer, and its embeddings of the phrases.
fn ask_engine(
    engine: &Engine,
    image: &medparse_engine::EncodedImage,
    (phrases, padded): (&[Tokens], &[Vec<u32>]),
    judge: &mut Judge,
) -> (Said, Embeddings) {
    // Stages come in the reference's length, the answer from the phrases' own.
    let ids: Vec<&[u32]> = padded.iter().map(Vec::as_slice).collect();
    judge.skipped = Some("text.class_emb");
    engine.encode_text(&ids, &mut Trace::stages(judge));
    judge.skipped = None;
    let ids: Vec<&[u32]> = phrases.iter().map(Tokens::ids).collect();
    let text = engine.encode_text(&ids, &mut Trace::none());
    judge.close("text.class_emb", &text.sentences);
    let decoded = engine.decode(image, &text.tokens, &mut Trace::stages(judge));
    let queries = Embeddings::new(decoded.class_embed.clone(), decoded.width);
    let all: Vec<usize> = (0..queries.count()).collect();
    let masks = engine.masks(image, &decoded, &all);
    (Said { queries, masks }, Embeddings::new(text.sentences, text.width))
}

/// The answer of the network in burn, and its embeddings of the phrases.
fn ask_burn(
    burn: &BurnRuntime,
    image: &medparse_network::EncodedImage,
    (phrases, padded): (&[Tokens], &[Vec<u32>]),
    judge: &mut Judge,
) -> Result<(Said, Embeddings)> {
    let ids: Vec<i64> = padded.iter().flatten().map(|&id| id.into()).collect();
    let ids = TensorData::new(ids, [phrases.len(), CONTEXT_LENGTH]);
    let ids = Tensor::<2, Int>::from_data(ids, burn.device());
    let lengths: Vec<usize> = phrases.iter().map(|phrase| phrase.ids().len()).collect();
    let text = burn.network().encode_text(ids, &lengths, &mut Probe::new(judge));
    let rows = lengths
        .iter()
        .enumerate()
        .map(|(phrase, &length)| text.tokens.clone().narrow(0, phrase, 1).narrow(1, 0, length));
    let tokens = Tensor::cat(rows.collect(), 1);
    let words = GroundingTokens { tokens, padding: None };
    let kept = burn.network().decode(image, words, Keep::Last, &mut Probe::new(judge));
    let heads = kept.into_iter().next_back().context("the decoder gave no answer")?;
    let said = Said { queries: embeddings(heads.class_embed), masks: values(heads.masks) };
    Ok((said, embeddings(text.sentences.unsqueeze())))
}

/// Compares stages as they come by, and feeds the golden attention masks on.
struct Judge<'a> {
    golden: &'a GoldenCase,
    floors: &'a BTreeMap<String, Floor>,
    rows: Vec<Row>,
    seen: BTreeSet<String>,
    bank: Option<(&'a ClassBank, f32)>,
    /// Components of a query in the space of the phrases.
    width: usize,
    /// The latest masks of all queries, `[Q, side, side]`, and their side.
    masks: (Vec<f32>, usize),
    /// A stage that is not to be compared.
    skipped: Option<&'static str>,
}

impl<'a> Judge<'a> {
    fn new(
        golden: &'a GoldenCase,
        floors: &'a BTreeMap<String, Floor>,
        config: &NetworkConfig,
    ) -> Self {
        Self {
            golden,
            floors,
            rows: Vec::new(),
            seen: BTreeSet::new(),
            bank: None,
            width: config.projection_width,
            masks: (Vec::new(), config.image_size / 4),
            skipped: None,
        }
    }

    fn tensor(&mut self, stage: &str) -> Option<&'a GoldenTensor> {
        self.seen.insert(stage.into());
        self.golden.tensors.get(stage)
    }

    fn close(&mut self, stage: &str, ours: &[f32]) {
        if let Some(golden) = self.tensor(stage) {
            // The class bank has no measured floor of its own; it is made of class embeddings.
            let same =
                if stage == "text.class_prompts_embeddings" { "text.class_emb" } else { stage };
            let floor = self.floors.get(same).copied().unwrap_or_default();
            self.rows.push(close(stage, ours, golden, floor));
        }
    }

    fn exact<T: Copy + Into<f64>>(&mut self, stage: &str, ours: &[T]) {
        if let Some(golden) = self.tensor(stage) {
            self.rows.push(exact(stage, ours, golden));
        }
    }

    /// `[Q, 17]`, row-major.
    fn class_logits(&self, queries: &Embeddings) -> Vec<f32> {
        match self.bank {
            Some((bank, logit_scale)) => bank.logits(queries, logit_scale),
            None => Vec::new(),
        }
    }

    fn selection(&mut self, queries: &Embeddings, sentences: &Embeddings, logits: &[f32]) {
        let (v, t) = (queries.normalized(), sentences.normalized());
        self.close("final.v_emb", v.values());
        self.close("final.t_emb", t.values());
        let scale = self.bank.map_or(1.0, |(_, logit_scale)| similarity_scale(logit_scale));
        let similarity = v.similarity(&t, scale);
        self.close("final.similarity", &similarity);
        let matched = matched_queries(&similarity, sentences.count());
        let ids: Vec<f64> = matched.iter().map(|&query| query as f64).collect();
        self.exact("final.matched_id", &ids);
        let classes = logits.len() / queries.count();
        let classes = matched
            .iter()
            .map(|&query| first_maximum(&logits[query * classes..][..classes]) as f64);
        self.exact("final.matched_class", &classes.collect::<Vec<_>>());
    }

    /// Compares the masks of `queries` at the mask's own size and at the picture's.
    fn matched_masks(&mut self, masks: &[f32], queries: &[usize], size: Size) {
        let side = self.masks.1;
        let mut logits = Vec::new();
        let mut probabilities = Vec::new();
        for &query in queries {
            let map = &masks[query * side * side..][..side * side];
            let view = MapView::new(Size::square(side), map)
                .expect("a mask has as many values as its size says");
            let place = Placement::stretched(size);
            probabilities.extend(ProbabilityMap::from_logits(&view, &place).into_values());
            logits.extend_from_slice(map);
        }
        self.close("final.matched_mask_logits", &logits);
        self.close("final.prob", &probabilities);
        // The whole thresholded masks, from their own tensor or from whole probabilities.
        let golden = &self.golden.tensors;
        let stage = "final.prob_gt_half";
        self.seen.insert(stage.into());
        let bits: Vec<bool> = match (golden.get(stage), golden.get("final.prob")) {
            (Some(bits), _) => bits.values.iter().map(|&bit| bit > 0.5).collect(),
            (None, Some(prob)) if prob.stride == 1 => {
                prob.values.iter().map(|&probability| probability > 0.5).collect()
            }
            _ => return,
        };
        let differs = |(ours, bit): &(&f32, &bool)| (**ours > 0.5) != **bit;
        let different: Vec<f32> =
            probabilities.iter().zip(&bits).filter(differs).map(|(ours, _)| *ours).collect();
        let outcome = Outcome::Bits {
            flipped: different.len(),
            unexplained: different.iter().filter(|p| (**p - 0.5).abs() > UNDECIDED).count(),
            count: bits.len(),
        };
        self.rows.push(Row { stage: stage.into(), outcome });
    }

    fn absent_stages(&mut self) {
        let came: BTreeSet<&str> = self.rows.iter().map(|row| row.stage.as_str()).collect();
        let absent: Vec<&String> = self
            .golden
            .tensors
            .keys()
            .filter(|stage| !self.seen.contains(*stage) && !came.contains(stage.as_str()))
            .collect();
        let rows =
            absent.into_iter().map(|stage| Row { stage: stage.clone(), outcome: Outcome::Absent });
        self.rows.extend(rows.collect::<Vec<_>>());
    }

    /// The logit at one position of a level, as the bilinear shrink of the latest masks has it:
    /// the mean of the middle two source pixels of each axis.
    fn shrunken(&self, query: usize, position: usize, level_side: usize) -> f32 {
        let (masks, side) = &self.masks;
        let factor = side / level_side;
        let (row, column) = (position / level_side, position % level_side);
        let first = |index: usize| factor * index + factor / 2 - 1;
        let at = |y: usize, x: usize| masks[(query * side + y) * side + x];
        let (y, x) = (first(row), first(column));
        (at(y, x) + at(y, x + 1) + at(y + 1, x) + at(y + 1, x + 1)) / 4.0
    }
}

impl Judge<'_> {
    fn see_stage(&mut self, name: &str, ours: &[f32]) {
        if self.skipped == Some(name) {
            return;
        }
        self.close(name, ours);
        if let Some(head) = name.strip_suffix(".class_embed") {
            let logits = self.class_logits(&Embeddings::new(ours.to_vec(), self.width));
            self.close(&format!("{head}.pred_logits"), &logits);
        } else if name.ends_with(".pred_masks") {
            self.masks.0 = ours.to_vec();
        }
    }

    /// Compares an attention mask, and puts the golden one in its place.
    fn see_cross_mask(&mut self, layer: usize, blocked: &mut [bool]) {
        let stage = format!("dec.layers.{layer}.cross_mask");
        let Some(golden) = self.tensor(&stage) else { return };
        let positions = golden.shape.last().copied().unwrap_or(1);
        let golden: Vec<bool> = golden.values.iter().map(|&bit| bit > 0.5).collect();
        if blocked.len() != golden.len() {
            let outcome = Outcome::Misshapen { found: blocked.len(), expected: golden.len() };
            return self.rows.push(Row { stage, outcome });
        }
        let floor = self.floors.get(&format!("dec.heads.{layer}.pred_masks"));
        let near = FLOORS * floor.copied().unwrap_or_default().max_abs;
        let side = positions.isqrt();
        let flips: Vec<usize> =
            (0..blocked.len()).filter(|&at| blocked[at] != golden[at]).collect();
        let far = |at: &&usize| {
            f64::from(self.shrunken(*at / positions, *at % positions, side).abs()) > near
        };
        let outcome = Outcome::Bits {
            flipped: flips.len(),
            unexplained: flips.iter().filter(far).count(),
            count: golden.len(),
        };
        self.rows.push(Row { stage, outcome });
        // From here on the golden mask leads, so that one flip does not hide what follows.
        blocked.copy_from_slice(&golden);
    }
}

impl medparse_engine::StageSink for Judge<'_> {
    fn stage(&mut self, name: &str, values: &[f32]) {
        self.see_stage(name, values);
    }

    fn cross_mask(&mut self, layer: usize, blocked: &mut [bool]) {
        self.see_cross_mask(layer, blocked);
    }
}

impl medparse_network::StageSink for Judge<'_> {
    fn stage(&mut self, name: &str, data: TensorData) {
        let ours: Vec<f32> = data.convert::<f32>().try_into_vec().expect("just converted to f32");
        self.see_stage(name, &ours);
    }

    fn cross_mask(&mut self, layer: usize, blocked: Tensor<3, Bool>) -> Tensor<3, Bool> {
        let shape = blocked.dims();
        let mut bits: Vec<bool> = blocked.to_data().iter::<bool>().collect();
        self.see_cross_mask(layer, &mut bits);
        Tensor::from_data(TensorData::new(bits, shape), &blocked.device())
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("just converted to f32")
}

/// `[1, rows, width]` as rows.
fn embeddings(tensor: Tensor<3>) -> Embeddings {
    let width = tensor.dims()[2];
    Embeddings::new(values(tensor), width)
}
