//! Verdicts on stages as they come by.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::{Bool, Tensor, TensorData};
use medparse::bank::ClassBank;
use medparse::picture::{MapView, Size};
use medparse::postprocess::ProbabilityMap;
use medparse::preprocess::Placement;
use medparse::selection::{Embeddings, first_maximum, matched_queries, similarity_scale};
use medparse_network::NetworkConfig;

use crate::compare::{FLOORS, Outcome, Row, close, exact};
use crate::golden::{Floor, GoldenCase, GoldenTensor};

/// Probabilities this near to one half may fall on either side of it.
const UNDECIDED: f32 = 1e-4;

/// Compares stages as they come by, and feeds the golden attention masks on.
pub(super) struct Judge<'a> {
    golden: &'a GoldenCase,
    floors: &'a BTreeMap<String, Floor>,
    pub rows: Vec<Row>,
    seen: BTreeSet<String>,
    pub bank: Option<(&'a ClassBank, f32)>,
    /// Components of a query in the space of the phrases.
    width: usize,
    /// The latest masks of all queries, `[Q, side, side]`, and their side.
    masks: (Vec<f32>, usize),
    /// A stage that is not to be compared.
    pub skipped: Option<&'static str>,
}

impl<'a> Judge<'a> {
    pub fn new(
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

    pub fn close(&mut self, stage: &str, ours: &[f32]) {
        if let Some(golden) = self.tensor(stage) {
            // The class bank has no measured floor of its own; it is made of class embeddings.
            let same =
                if stage == "text.class_prompts_embeddings" { "text.class_emb" } else { stage };
            let floor = self.floors.get(same).copied().unwrap_or_default();
            self.rows.push(close(stage, ours, golden, floor));
        }
    }

    pub fn exact<T: Copy + Into<f64>>(&mut self, stage: &str, ours: &[T]) {
        if let Some(golden) = self.tensor(stage) {
            self.rows.push(exact(stage, ours, golden));
        }
    }

    /// `[Q, 17]`, row-major.
    pub fn class_logits(&self, queries: &Embeddings) -> Vec<f32> {
        match self.bank {
            Some((bank, logit_scale)) => bank.logits(queries, logit_scale),
            None => Vec::new(),
        }
    }

    pub fn selection(&mut self, queries: &Embeddings, sentences: &Embeddings, logits: &[f32]) {
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
    pub fn matched_masks(&mut self, masks: &[f32], queries: &[usize], size: Size) {
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

    pub fn absent_stages(&mut self) {
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
