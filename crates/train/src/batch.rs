//! The pictures and prompts of one step, as tensors.
//!
//! Legend: B pictures, S side, n distinct phrases, T positions of the longest of them.

use std::collections::HashMap;

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use medparse::classes::{CLASS_COUNT, class_name};
use medparse::tokenizer::{Tokenizer, Tokens};
use medparse_network::{EncodedText, GroundingTokens};

use crate::prompts::Prompt;

/// One prompt to one picture of a batch, with its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// The picture's place in the batch.
    pub picture: usize,
    /// The phrase's place among the batch's phrases.
    pub phrase: usize,
    /// `[S, S]`, how much of each pixel is foreground; empty where nothing is.
    pub mask: Vec<f32>,
    /// The class of the bank, where known.
    pub category: Option<usize>,
    /// See [`Prompt::word`].
    pub word: Option<usize>,
}

impl Ask {
    /// Whether what is asked for is there.
    pub fn is_present(&self) -> bool {
        !self.mask.is_empty()
    }
}

/// The pictures and prompts of one step.
#[derive(Debug, Clone)]
pub struct Batch {
    /// `[B, 3, S, S]`, normalised.
    pub planes: Vec<f32>,
    /// Pictures.
    pub pictures: usize,
    /// Side of a picture in pixels.
    pub side: usize,
    /// All prompts, those of one picture in a row.
    pub asks: Vec<Ask>,
    /// The distinct phrases, the names of the classes first.
    phrases: Vec<Tokens>,
    by_text: HashMap<String, usize>,
}

impl Batch {
    /// A batch without pictures; `class_template` holds `{}` for a class's name.
    pub fn new(side: usize, class_template: &str) -> Self {
        let mut batch = Self {
            planes: Vec::new(),
            pictures: 0,
            side,
            asks: Vec::new(),
            phrases: Vec::new(),
            by_text: HashMap::new(),
        };
        let classes = (0..CLASS_COUNT).filter_map(class_name);
        let sentences = classes.map(|class| class_template.replace("{}", class));
        batch.phrases.extend(sentences.map(|sentence| Tokenizer::new().encode(&sentence)));
        batch
    }

    /// Adds a picture `[3, S, S]` and its prompts, each with its mask (see [`Ask::mask`]).
    pub fn push(&mut self, planes: &[f32], prompts: impl IntoIterator<Item = (Prompt, Vec<f32>)>) {
        self.planes.extend_from_slice(planes);
        for (prompt, mask) in prompts {
            let next = self.phrases.len();
            let phrase = *self.by_text.entry(prompt.phrase).or_insert_with_key(|text| {
                self.phrases.push(Tokenizer::new().encode(text));
                next
            });
            let (category, word) = (prompt.category, prompt.word);
            self.asks.push(Ask { picture: self.pictures, phrase, mask, category, word });
        }
        self.pictures += 1;
    }

    /// `[B, 3, S, S]`.
    pub(crate) fn image(&self, device: &Device) -> Tensor<4> {
        let shape = [self.pictures, 3, self.side, self.side];
        Tensor::from_data(TensorData::new(self.planes.clone(), shape), device)
    }

    /// `[n, T]` ids of the phrases, and the length of each.
    pub(crate) fn ids(&self, device: &Device) -> (Tensor<2, Int>, Vec<usize>) {
        let lengths: Vec<usize> = self.phrases.iter().map(|tokens| tokens.ids().len()).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let padded = self.phrases.iter().flat_map(|tokens| {
            // Attention is causal: what stands behind the end is never looked at.
            let end = tokens.ids().last().copied().unwrap_or(0);
            let padding = std::iter::repeat_n(end, longest - tokens.ids().len());
            tokens.ids().iter().copied().chain(padding).map(i64::from)
        });
        let data = TensorData::new(padded.collect::<Vec<_>>(), [self.phrases.len(), longest]);
        (Tensor::from_data(data, device), lengths)
    }

    /// The token rows of each picture's prompts, side by side, padded to the picture with most.
    pub(crate) fn words(&self, text: &EncodedText) -> GroundingTokens {
        let [phrases, longest, width] = text.tokens.dims();
        let mut rows: Vec<Vec<i64>> = vec![Vec::new(); self.pictures];
        for ask in &self.asks {
            let first = ask.phrase * longest;
            let length = self.phrases[ask.phrase].ids().len();
            rows[ask.picture].extend((first..first + length).map(|row| row as i64));
        }
        let most = rows.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let is_padding: Vec<bool> =
            rows.iter().flat_map(|row| (0..most).map(move |at| at >= row.len())).collect();
        let picked: Vec<i64> = rows
            .iter()
            .flat_map(|row| (0..most).map(move |at| row.get(at).copied().unwrap_or(0)))
            .collect();
        let device = text.tokens.device();
        let picked = TensorData::new(picked, [self.pictures * most]);
        let tokens = text
            .tokens
            .clone()
            .reshape([phrases * longest, width])
            .select(0, Tensor::<1, Int>::from_data(picked, &device))
            .reshape([self.pictures, most, width]);
        let padding = is_padding.contains(&true).then(|| {
            let data = TensorData::new(is_padding, [self.pictures, most]);
            Tensor::<2, Bool>::from_data(data, &device)
        });
        GroundingTokens { tokens, padding }
    }

    /// `[17, C]`: the classes' own rows.
    pub(crate) fn classes(text: &EncodedText) -> Tensor<2> {
        text.sentences.clone().narrow(0, 0, CLASS_COUNT)
    }
}

/// A tensor's values in C order.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("just converted to f32")
}
