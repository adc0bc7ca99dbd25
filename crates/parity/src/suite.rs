//! Runs the network on a golden case and compares every stage it passes.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use medparse::bank::ClassBank;
use medparse::picture::{MapView, RgbView, Size};
use medparse::postprocess::ProbabilityMap;
use medparse::preprocess::{Normalization, Placement, normalize, resize_bicubic};
use medparse::runtime::Runtime;
use medparse::selection::{Embeddings, first_maximum, matched_queries, similarity_scale};
use medparse::tokenizer::{CONTEXT_LENGTH, END_OF_TEXT, Tokenizer, Tokens};
use medparse_imaging::Picture;
use medparse_network::{
    EncodedImage, GroundingTokens, Keep, Network, NetworkConfig, Probe, StageSink,
};

use crate::compare::{FLOORS, Outcome, Row, close, exact};
use crate::golden::{Floor, GoldenCase, GoldenTensor};

/// Probabilities this near to one half may fall on either side of it.
const UNDECIDED: f32 = 1e-4;

/// A network with its class bank, ready to be held against golden cases.
pub struct Subject {
    runtime: Runtime,
    config: NetworkConfig,
    bank: ClassBank,
}

/// A picture's encoding and the verdicts gathered on the way.
pub struct SeenPicture {
    size: Size,
    image: EncodedImage,
    rows: Vec<Row>,
}

impl Subject {
    /// Takes a network and computes its class bank.
    pub fn new(network: Network, config: NetworkConfig, device: Device) -> Self {
        let runtime = Runtime::new(network, device);
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
        let mut judge = Judge::new(golden, floors);
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
        let input =
            Tensor::from_data(TensorData::new(input, [1, 3, side, side]), self.runtime.device());
        let image = self.runtime.network().encode_image(input, &mut Probe::new(&mut judge));
        SeenPicture { size, image, rows: judge.rows }
    }

    /// Asks a seen picture for the golden case's prompts, comparing every further stage; the
    /// verdicts on the picture's own stages come first.
    pub fn ask(
        &self,
        seen: &SeenPicture,
        golden: &GoldenCase,
        floors: &BTreeMap<String, Floor>,
    ) -> Result<Vec<Row>> {
        let mut judge = Judge::new(golden, floors);
        judge.rows = seen.rows.clone();
        judge.bank = Some((&self.bank, self.runtime.logit_scale()));
        judge.close("text.class_prompts_embeddings", self.bank.rows().values());

        let phrases: Vec<Tokens> =
            golden.prompts.iter().map(|prompt| Tokenizer::new().encode(prompt)).collect();
        let (words, sentences) = self.encode_text(&phrases, &mut judge);
        let kept = self.runtime.network().decode(
            &seen.image,
            GroundingTokens { tokens: words, padding: None },
            Keep::Last,
            &mut Probe::new(&mut judge),
        );
        let heads = kept.into_iter().next_back().context("the decoder gave no answer")?;
        let queries = embeddings(heads.class_embed.clone());
        judge.close("final.pred_captions", queries.values());
        judge.close("final.pred_masks", &values(heads.masks.clone()));
        let logits = judge.class_logits(&queries);
        judge.close("final.pred_logits", &logits);
        judge.selection(&queries, &sentences, &logits);
        judge.masks(heads.masks, &golden.matched_id, seen.size);
        judge.absent_stages();
        Ok(judge.rows)
    }

    /// The grounding tokens `[1, T, C]` and the sentences `[n, C]` of phrases padded to the
    /// whole context, as the reference runs them.
    fn encode_text(&self, phrases: &[Tokens], judge: &mut Judge) -> (Tensor<3>, Embeddings) {
        let mut ids = Vec::new();
        let mut attention = Vec::new();
        for phrase in phrases {
            let length = phrase.ids().len();
            ids.extend(phrase.ids().iter().map(|&id| f64::from(id)));
            ids.extend(std::iter::repeat_n(f64::from(END_OF_TEXT), CONTEXT_LENGTH - length));
            attention.extend((0..CONTEXT_LENGTH).map(|at| u8::from(at < length)));
        }
        judge.exact("text.input_ids", &ids);
        judge.exact("text.attention_mask", &attention);
        let ids: Vec<i64> = ids.into_iter().map(|id| id as i64).collect();
        let ids = TensorData::new(ids, [phrases.len(), CONTEXT_LENGTH]);
        let ids = Tensor::<2, Int>::from_data(ids, self.runtime.device());
        let lengths: Vec<usize> = phrases.iter().map(|phrase| phrase.ids().len()).collect();
        let text = self.runtime.network().encode_text(ids, &lengths, &mut Probe::new(judge));
        let rows = lengths
            .iter()
            .enumerate()
            .map(|(phrase, &length)| text.tokens.clone().narrow(0, phrase, 1).narrow(1, 0, length));
        (Tensor::cat(rows.collect(), 1), embeddings(text.sentences.unsqueeze()))
    }
}

/// Compares stages as they come by, and feeds the golden attention masks on.
struct Judge<'a> {
    golden: &'a GoldenCase,
    floors: &'a BTreeMap<String, Floor>,
    rows: Vec<Row>,
    seen: BTreeSet<String>,
    bank: Option<(&'a ClassBank, f32)>,
    /// The latest masks of all queries, `[Q, side, side]`, and their side.
    masks: (Vec<f32>, usize),
}

impl<'a> Judge<'a> {
    fn new(golden: &'a GoldenCase, floors: &'a BTreeMap<String, Floor>) -> Self {
        Self {
            golden,
            floors,
            rows: Vec::new(),
            seen: BTreeSet::new(),
            bank: None,
            masks: (Vec::new(), 0),
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
    fn masks(&mut self, masks: Tensor<4>, queries: &[usize], size: Size) {
        let [_, _, rows, columns] = masks.dims();
        let mut logits = Vec::new();
        let mut probabilities = Vec::new();
        for &query in queries {
            let map = values(masks.clone().narrow(1, query, 1));
            let view = MapView::new(Size { width: columns, height: rows }, &map)
                .expect("a mask has as many values as its size says");
            let place = Placement::stretched(size);
            probabilities.extend(ProbabilityMap::from_logits(&view, &place).into_values());
            logits.extend(map);
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

impl StageSink for Judge<'_> {
    fn stage(&mut self, name: &str, data: TensorData) {
        let shape = data.shape().to_vec();
        let ours: Vec<f32> = data.convert::<f32>().try_into_vec().expect("just converted to f32");
        self.close(name, &ours);
        if let Some(head) = name.strip_suffix(".class_embed") {
            let width = shape[shape.len() - 1];
            let logits = self.class_logits(&Embeddings::new(ours, width));
            self.close(&format!("{head}.pred_logits"), &logits);
        } else if name.ends_with(".pred_masks") {
            self.masks = (ours, shape[shape.len() - 1]);
        }
    }

    fn cross_mask(&mut self, layer: usize, blocked: Tensor<3, Bool>) -> Tensor<3, Bool> {
        let stage = format!("dec.layers.{layer}.cross_mask");
        let Some(golden) = self.tensor(&stage) else { return blocked };
        let [batch, queries, positions] = blocked.dims();
        let ours: Vec<bool> = blocked.to_data().iter::<bool>().collect();
        let golden: Vec<bool> = golden.values.iter().map(|&bit| bit > 0.5).collect();
        let floor = self.floors.get(&format!("dec.heads.{layer}.pred_masks"));
        let near = FLOORS * floor.copied().unwrap_or_default().max_abs;
        let side = positions.isqrt();
        let flips: Vec<usize> = (0..ours.len()).filter(|&at| ours[at] != golden[at]).collect();
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
        let data = TensorData::new(golden, [batch, queries, positions]);
        Tensor::from_data(data, &blocked.device())
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
