//! The CLIP-style text encoder.
//!
//! Sentences run at their own length: attention is causal, so what stands behind the end token
//! never matters.
//!
//! Legend: n sentences, R tokens of all sentences, W the encoder's width, C the projection's.

use std::time::Instant;

use medparse_config::NetworkConfig;
use medparse_kernels::{Activation, Arena, Cpu};

use crate::attention::{Formats, MultiheadAttention, SelfAttention};
use crate::feed_forward::{FeedForward, FeedForwardShape};
use crate::linear::Linear;
use crate::loader::Loader;
use crate::norm::Norm;
use crate::precision::Precision;
use crate::stored::Vector;
use crate::trace::Trace;

/// Differs from the vision side's 1e-5.
const EPSILON: f32 = 1e-12;

/// The text encoder with its projection into the space of the queries.
#[derive(Debug)]
pub(crate) struct TextEncoder {
    width: usize,
    vocabulary: usize,
    token_embedding: Vector,
    positional_embedding: Vector,
    blocks: Vec<Block>,
    ln_final: Norm,
    lang_proj: Linear,
    logit_scale: Vector,
}

#[derive(Debug)]
struct Block {
    attention: MultiheadAttention,
    ln_1: Norm,
    mlp: FeedForward,
    ln_2: Norm,
}

/// The answer of the text encoder, projected and not normalised.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedText {
    /// Components of a row.
    pub width: usize,
    /// `[R, C]`: the rows of all sentences, one after the other.
    pub tokens: Vec<f32>,
    /// `[n, C]`: the row of each sentence's last token.
    pub sentences: Vec<f32>,
}

impl TextEncoder {
    pub fn load<E>(
        loader: &mut Loader<'_, E>,
        config: &NetworkConfig,
        precision: Precision,
    ) -> Result<Self, E> {
        let text = &config.text_encoder;
        let (width, projection) = (text.width, config.projection_width);
        let root = "sem_seg_head.predictor.lang_encoder";
        let encoder = format!("{root}.lang_encoder");
        let embedding = format!("{encoder}.token_embedding.weight");
        let token_embedding = loader.vector(&embedding, &[text.vocabulary, width])?;
        let places = format!("{encoder}.positional_embedding");
        let positional_embedding = loader.vector(&places, &[text.context_length, width])?;
        let blocks = (0..text.layers)
            .map(|layer| {
                let key = format!("{encoder}.resblocks.{layer}");
                Block::load(loader, &key, [width, text.heads], precision)
            })
            .collect::<Result<_, E>>()?;
        let ln_final = Norm::load(loader, &format!("{encoder}.ln_final"), width, EPSILON)?;
        let lang_proj = loader.projection(&format!("{root}.lang_proj"), [width, projection])?;
        Ok(Self {
            width,
            vocabulary: text.vocabulary,
            token_embedding,
            positional_embedding,
            blocks,
            ln_final,
            lang_proj,
            logit_scale: loader.vector(&format!("{root}.logit_scale"), &[])?,
        })
    }

    /// The logarithm of the factor on similarities.
    pub fn logit_scale(&self) -> f32 {
        self.logit_scale[0]
    }

    /// Tokens in the vocabulary, and the most of a sentence.
    pub fn limits(&self) -> [usize; 2] {
        [self.vocabulary, self.positional_embedding.len() / self.width]
    }

    /// Bytes that [`TextEncoder::forward`] takes of an arena.
    pub fn bytes(&self, cpu: &Cpu, sentences: &[&[u32]]) -> usize {
        let rows = sentences.iter().map(|ids| ids.len()).sum::<usize>();
        let scratch = self.blocks.iter().map(|block| block.bytes(cpu, sentences, rows));
        let scratch = scratch.fold(self.lang_proj.scratch(rows), usize::max);
        2 * Arena::bytes::<f32>(rows * self.width) + scratch
    }

    /// Encodes sentences of token ids, start and end included, each of which is in the vocabulary.
    pub fn forward(
        &self,
        cpu: &Cpu,
        sentences: &[&[u32]],
        mut arena: Arena<'_>,
        trace: &mut Trace<'_>,
    ) -> EncodedText {
        let start = Instant::now();
        let width = self.width;
        let rows = sentences.iter().map(|ids| ids.len()).sum::<usize>();
        let (x, y) = (arena.take::<f32>(rows * width), arena.take::<f32>(rows * width));
        let all = sentences.iter().flat_map(|ids| ids.iter().enumerate());
        for (x, (_, &id)) in x.chunks_exact_mut(width).zip(all.clone()) {
            x.copy_from_slice(&self.token_embedding[id as usize * width..][..width]);
        }
        trace.stage(|| "text.token_embedding_rows".into(), x);
        for (x, (place, _)) in x.chunks_exact_mut(width).zip(all) {
            let place = &self.positional_embedding[place * width..][..width];
            x.iter_mut().zip(place).for_each(|(x, place)| *x += place);
        }
        for (index, block) in self.blocks.iter().enumerate() {
            block.forward(cpu, sentences, [&mut *x, &mut *y], arena.rest());
            trace.stage(|| format!("text.resblocks.{index}"), x);
        }
        self.ln_final.in_place(cpu, x);
        trace.stage(|| "text.ln_final".into(), x);
        let projection = self.lang_proj.columns();
        let mut tokens = vec![0.0; rows * projection];
        self.lang_proj.rows(cpu, x, &mut tokens, arena);
        trace.stage(|| "text.token_emb".into(), &tokens);
        let mut end = 0;
        let ends = sentences.iter().flat_map(|ids| {
            end += ids.len();
            tokens[(end - 1) * projection..end * projection].iter().copied()
        });
        let ends: Vec<f32> = ends.collect();
        trace.stage(|| "text.class_emb".into(), &ends);
        let flop: u64 = self.blocks.iter().map(|block| block.flop(sentences)).sum();
        trace.took("text encoder", start, flop + self.lang_proj.flop(rows));
        EncodedText { width: projection, tokens, sentences: ends }
    }
}

impl Block {
    fn load<E>(
        loader: &mut Loader<'_, E>,
        key: &str,
        [width, heads]: [usize; 2],
        precision: Precision,
    ) -> Result<Self, E> {
        let formats = Formats { seen: precision, asked: precision };
        let attention = format!("{key}.attn");
        let shape = FeedForwardShape {
            keys: [&format!("{key}.mlp.c_fc"), &format!("{key}.mlp.c_proj")],
            width,
            hidden: 4 * width,
            activation: Activation::QuickGelu,
        };
        Ok(Self {
            attention: MultiheadAttention::load(loader, &attention, [width, heads], formats)?,
            ln_1: Norm::load(loader, &format!("{key}.ln_1"), width, EPSILON)?,
            mlp: FeedForward::load(loader, &shape, precision)?,
            ln_2: Norm::load(loader, &format!("{key}.ln_2"), width, EPSILON)?,
        })
    }

    fn flop(&self, sentences: &[&[u32]]) -> u64 {
        let each = sentences.iter().map(|ids| {
            let tokens = ids.len();
            let keys_and_values = 2 * self.attention.key.flop(tokens);
            self.attention.flop(tokens, tokens) + keys_and_values + self.mlp.flop(tokens)
        });
        each.sum()
    }

    fn bytes(&self, cpu: &Cpu, sentences: &[&[u32]], rows: usize) -> usize {
        let groups =
            groups(sentences).map(|(batch, tokens)| self.attention.bytes(cpu, batch, tokens));
        groups.fold(self.mlp.bytes(rows), usize::max)
    }

    /// A pre-norm block: `x += attention(ln_1(x))`, `x += mlp(ln_2(x))`; `y` is room for the norm.
    fn forward(
        &self,
        cpu: &Cpu,
        sentences: &[&[u32]],
        [x, y]: [&mut [f32]; 2],
        mut arena: Arena<'_>,
    ) {
        let width = self.attention.width();
        self.ln_1.rows(cpu, x, y);
        let mut first = 0;
        for (batch, tokens) in groups(sentences) {
            let range = first * width..(first + batch * tokens) * width;
            first += batch * tokens;
            let blocked = causal(batch, tokens);
            let content = &y[range.clone()];
            let seen = SelfAttention { batch, placed: content, content, blocked: Some(&blocked) };
            self.attention.attend_to_selves(cpu, &seen, &mut x[range], arena.rest());
        }
        self.ln_2.rows(cpu, x, y);
        self.mlp.add(cpu, y, x, arena);
    }
}

/// Runs of sentences of one length: how many, and the length.
fn groups(sentences: &[&[u32]]) -> impl Iterator<Item = (usize, usize)> {
    sentences.chunk_by(|a, b| a.len() == b.len()).map(|group| (group.len(), group[0].len()))
}

/// `[batch, tokens, tokens]`, true above the diagonal: a token does not see those behind it.
fn causal(batch: usize, tokens: usize) -> Vec<bool> {
    (0..batch * tokens * tokens).map(|i| i % tokens > i / tokens % tokens).collect()
}
