//! The class bank: what each category looks like in the space of the queries.
//!
//! Each class is put into 81 sentences; the bank's row is the normalised mean of their
//! normalised embeddings (CLIP's prompt ensembling, Radford et al. 2021). It depends on the text
//! encoder alone, so it is stored with a model or computed once and cached.

use std::collections::BTreeMap;

use medparse_engine::Trace;

use crate::classes::{CLASS_COUNT, class_sentences};
use crate::runtime::Runtime;
use crate::selection::Embeddings;
use crate::tokenizer::{Tokenizer, Tokens};

/// Sentences encoded at once; enough to fill the machine, few enough to bound memory.
const BATCH: usize = 64;

/// One row per class, the 16 categories and "background", each of length one.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassBank {
    rows: Embeddings,
}

impl ClassBank {
    /// A bank whose rows are known; `rows` holds [`CLASS_COUNT`] of them, or the answer is none.
    pub fn from_rows(rows: Embeddings) -> Option<Self> {
        (rows.count() == CLASS_COUNT).then_some(Self { rows })
    }

    /// Encodes every sentence of every class; `progress` hears how many of how many are done.
    pub fn compute(runtime: &Runtime, progress: &mut dyn FnMut(usize, usize)) -> Self {
        let sentences: Vec<(usize, Tokens)> = (0..CLASS_COUNT)
            .flat_map(|class| class_sentences(class).map(move |sentence| (class, sentence)))
            .map(|(class, sentence)| (class, Tokenizer::new().encode(&sentence)))
            .collect();
        let total = sentences.len();
        // Sentences of one length need no padding.
        let mut by_length: BTreeMap<usize, Vec<(usize, Tokens)>> = BTreeMap::new();
        for (class, tokens) in sentences {
            by_length.entry(tokens.ids().len()).or_default().push((class, tokens));
        }
        let mut sums: Vec<Vec<f64>> = vec![Vec::new(); CLASS_COUNT];
        let mut done = 0;
        for batch in by_length.values().flat_map(|same_length| same_length.chunks(BATCH)) {
            let tokens: Vec<Tokens> = batch.iter().map(|(_, tokens)| tokens.clone()).collect();
            let embedded =
                runtime.encode_phrases(&tokens, &mut Trace::none()).sentences.normalized();
            for ((class, _), row) in batch.iter().zip(embedded.rows()) {
                let sum = &mut sums[*class];
                sum.resize(row.len(), 0.0);
                sum.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
            }
            done += batch.len();
            progress(done, total);
        }
        let width = sums[0].len();
        // The mean's length cancels, so that the sum is enough.
        let rows = sums.into_iter().flat_map(|sum| {
            let length = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
            sum.into_iter().map(move |value| (value / length) as f32)
        });
        Self { rows: Embeddings::new(rows.collect(), width) }
    }

    /// The rows, in the order of the classes.
    pub fn rows(&self) -> &Embeddings {
        &self.rows
    }

    /// How much each query looks like each class: `[Q, 17]`, row-major, of queries that are not
    /// normalised yet; the scale is not capped here, as in the reference.
    pub fn logits(&self, queries: &Embeddings, logit_scale: f32) -> Vec<f32> {
        queries.normalized().similarity(&self.rows, logit_scale.exp())
    }
}
