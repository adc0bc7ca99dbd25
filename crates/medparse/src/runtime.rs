//! The network behind plain numbers: what the rest of the library needs of it, and no tensors.
//!
//! Legend: Q object queries, n phrases, T tokens of all phrases together, C the shared width.

use burn::tensor::{Device, Int, Tensor, TensorData};
use medparse_network::{EncodedImage, GroundingTokens, Keep, Network, Probe};

use crate::picture::Size;
use crate::selection::Embeddings;
use crate::tokenizer::Tokens;

/// A network on its device.
#[derive(Debug)]
pub struct Runtime {
    network: Network,
    device: Device,
}

/// Phrases as the decoder and the selection see them.
pub(crate) struct EncodedPhrases {
    /// `[T, C]`: the rows of all phrases, start and end included, one after the other.
    pub tokens: Embeddings,
    /// `[n, C]`: one row per phrase.
    pub sentences: Embeddings,
}

/// The answers of the object queries.
pub(crate) struct Decoded {
    /// `[Q, C]`, not normalised.
    pub queries: Embeddings,
    masks: Tensor<4>,
}

impl Decoded {
    /// The size of a mask, a quarter of the model's square each way.
    pub(crate) fn mask_size(&self) -> Size {
        let [_, _, height, width] = self.masks.dims();
        Size { width, height }
    }

    /// The mask of one query as logits, row by row.
    pub(crate) fn mask_logits(&self, query: usize) -> Vec<f32> {
        values(self.masks.clone().narrow(1, query, 1))
    }
}

impl Runtime {
    /// Takes a network that lives on `device`.
    pub fn new(network: Network, device: Device) -> Self {
        Self { network, device }
    }

    /// The network itself.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Where it lives.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// `planes` is the normalised picture, `[3, side, side]`.
    pub(crate) fn encode_image(&self, planes: Vec<f32>, side: usize) -> EncodedImage {
        let image = Tensor::from_data(TensorData::new(planes, [1, 3, side, side]), &self.device);
        self.network.encode_image(image, &mut Probe::none())
    }

    pub(crate) fn encode_phrases(&self, phrases: &[Tokens]) -> EncodedPhrases {
        let longest = phrases.iter().map(|tokens| tokens.ids().len()).max().unwrap_or(0);
        let lengths: Vec<usize> = phrases.iter().map(|tokens| tokens.ids().len()).collect();
        let padded = phrases.iter().flat_map(|tokens| {
            // Attention is causal: what stands behind the end is never looked at.
            let end = tokens.ids().last().copied().unwrap_or(0);
            let padding = std::iter::repeat_n(end, longest - tokens.ids().len());
            tokens.ids().iter().copied().chain(padding).map(i64::from)
        });
        let ids = TensorData::new(padded.collect::<Vec<_>>(), [phrases.len(), longest]);
        let ids = Tensor::<2, Int>::from_data(ids, &self.device);
        let text = self.network.encode_text(ids, &lengths, &mut Probe::none());
        let width = text.sentences.dims()[1];
        let rows = values(text.tokens);
        let tokens = lengths.iter().enumerate().flat_map(|(phrase, &length)| {
            let start = phrase * longest * width;
            rows[start..start + length * width].iter().copied()
        });
        EncodedPhrases {
            tokens: Embeddings::new(tokens.collect(), width),
            sentences: Embeddings::new(values(text.sentences), width),
        }
    }

    /// Asks an encoded picture with the tokens `[T, C]` of one or more phrases.
    pub(crate) fn decode(&self, image: &EncodedImage, tokens: &Embeddings) -> Decoded {
        let shape = [1, tokens.count(), tokens.width()];
        let data = TensorData::new(tokens.values().to_vec(), shape);
        let words =
            GroundingTokens { tokens: Tensor::from_data(data, &self.device), padding: None };
        let mut answers = self.network.decode(image, words, Keep::Last, &mut Probe::none());
        let heads = answers.pop().expect("the decoder answers at least once");
        let width = heads.class_embed.dims()[2];
        Decoded { queries: Embeddings::new(values(heads.class_embed), width), masks: heads.masks }
    }

    /// The logarithm of the factor on similarities.
    pub fn logit_scale(&self) -> f32 {
        self.network.logit_scale().into_scalar::<f32>()
    }
}

/// A tensor's values in C order.
fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("just converted to f32")
}
