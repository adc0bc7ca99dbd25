//! The network in burn, on whatever device it lives.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use medparse_network::{EncodedImage, GroundingTokens, Keep, Network, Probe};

use super::EncodedPhrases;
use crate::selection::Embeddings;
use crate::tokenizer::Tokens;

/// A network on its device.
#[derive(Debug)]
pub struct BurnRuntime {
    network: Network,
    device: Device,
    /// Tells the network from others.
    identity: Arc<()>,
}

/// A picture, and the network that encoded it.
#[derive(Debug)]
pub(crate) struct Encoded {
    image: EncodedImage,
    by: Arc<()>,
}

/// The answers of the object queries.
pub(super) struct Answers {
    pub queries: Embeddings,
    pub presence: Option<Vec<f32>>,
    pub masks: Tensor<4>,
}

impl Answers {
    /// The masks of some queries as logits, one after the other.
    pub fn masks(&self, queries: &[usize]) -> Vec<f32> {
        let mask = |&query: &usize| values(self.masks.clone().narrow(1, query, 1));
        queries.iter().flat_map(mask).collect()
    }
}

impl BurnRuntime {
    /// Takes a network that lives on `device`.
    pub fn new(network: Network, device: Device) -> Self {
        Self { network, device, identity: Arc::new(()) }
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
    pub(super) fn encode_image(&self, planes: Vec<f32>, side: usize) -> Encoded {
        let image = Tensor::from_data(TensorData::new(planes, [1, 3, side, side]), &self.device);
        let image = self.network.encode_image(image, &mut Probe::none());
        Encoded { image, by: self.identity.clone() }
    }

    /// Whether this network encoded the picture.
    pub(super) fn has_encoded(&self, picture: &Encoded) -> bool {
        Arc::ptr_eq(&picture.by, &self.identity)
    }

    pub(super) fn encode_phrases(&self, phrases: &[Tokens]) -> EncodedPhrases {
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
    pub(super) fn decode(&self, picture: &Encoded, tokens: &Embeddings) -> Answers {
        let shape = [1, tokens.count(), tokens.width()];
        let data = TensorData::new(tokens.values().to_vec(), shape);
        let words =
            GroundingTokens { tokens: Tensor::from_data(data, &self.device), padding: None };
        let mut answers =
            self.network.decode(&picture.image, words, Keep::Last, &mut Probe::none());
        let heads = answers.pop().expect("the decoder answers at least once");
        let width = heads.class_embed.dims()[2];
        Answers {
            queries: Embeddings::new(values(heads.class_embed), width),
            presence: heads.presence.map(values),
            masks: heads.masks,
        }
    }

    pub(super) fn logit_scale(&self) -> f32 {
        self.network.logit_scale().into_scalar::<f32>()
    }
}

impl Encoded {
    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let values = |shape: [usize; 4]| shape.iter().product::<usize>();
        let levels = self.image.levels.iter().map(|level| values(level.dims()));
        (values(self.image.mask_features.dims()) + levels.sum::<usize>()) * size_of::<f32>()
    }
}

/// A tensor's values in C order.
fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("just converted to f32")
}
