//! The network behind plain numbers: what the rest of the library needs of it, and no tensors.
//!
//! On this machine's processor the engine computes it, elsewhere burn.
//!
//! Legend: Q object queries, n phrases, T tokens of all phrases together, C the shared width.

mod burn;

use std::sync::Arc;

use medparse_engine::{Decoded as EngineAnswers, Engine, Precision, Trace};

pub use self::burn::BurnRuntime;
use crate::selection::Embeddings;
use crate::tokenizer::Tokens;

/// A network, and what computes it.
#[derive(Debug)]
pub enum Runtime {
    /// The fused plan for processors.
    Engine(Box<Engine>),
    /// The network in burn.
    Burn(Box<BurnRuntime>),
}

impl From<Engine> for Runtime {
    fn from(engine: Engine) -> Self {
        Self::Engine(engine.into())
    }
}

impl From<BurnRuntime> for Runtime {
    fn from(burn: BurnRuntime) -> Self {
        Self::Burn(burn.into())
    }
}

/// A picture as one of them encoded it.
#[derive(Debug, Clone)]
pub(crate) enum EncodedImage {
    Engine(Arc<medparse_engine::EncodedImage>),
    Burn(Arc<burn::Encoded>),
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
    /// `[Q]` logits, where the network has such a head.
    pub presence: Option<Vec<f32>>,
    masks: Masks,
}

/// What masks are made of.
enum Masks {
    Engine(EngineAnswers),
    Burn(Box<burn::Answers>),
}

impl EncodedImage {
    /// What it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Engine(image) => image.bytes(),
            Self::Burn(image) => image.bytes(),
        }
    }
}

impl Runtime {
    /// The precision it computes in.
    pub fn precision(&self) -> Precision {
        match self {
            Self::Engine(engine) => engine.precision(),
            Self::Burn(_) => Precision::F32,
        }
    }

    /// The logarithm of the factor on similarities.
    pub fn logit_scale(&self) -> f32 {
        match self {
            Self::Engine(engine) => engine.logit_scale(),
            Self::Burn(burn) => burn.logit_scale(),
        }
    }

    /// `planes` is the normalised picture, `[3, side, side]`.
    pub(crate) fn encode_image(
        &self,
        planes: Vec<f32>,
        side: usize,
        trace: &mut Trace<'_>,
    ) -> EncodedImage {
        match self {
            Self::Engine(engine) => {
                EncodedImage::Engine(engine.encode_image(&planes, trace).into())
            }
            Self::Burn(burn) => EncodedImage::Burn(burn.encode_image(planes, side).into()),
        }
    }

    pub(crate) fn encode_phrases(
        &self,
        phrases: &[Tokens],
        trace: &mut Trace<'_>,
    ) -> EncodedPhrases {
        match self {
            Self::Engine(engine) => {
                let ids: Vec<&[u32]> = phrases.iter().map(Tokens::ids).collect();
                let text = engine.encode_text(&ids, trace);
                EncodedPhrases {
                    tokens: Embeddings::new(text.tokens, text.width),
                    sentences: Embeddings::new(text.sentences, text.width),
                }
            }
            Self::Burn(burn) => burn.encode_phrases(phrases),
        }
    }

    /// Asks an encoded picture with the tokens `[T, C]` of one or more phrases; none where another
    /// network encoded it.
    pub(crate) fn decode(
        &self,
        image: &EncodedImage,
        tokens: &Embeddings,
        trace: &mut Trace<'_>,
    ) -> Option<Decoded> {
        match (self, image) {
            (Self::Engine(engine), EncodedImage::Engine(image)) if engine.has_encoded(image) => {
                let mut answers = engine.decode(image, tokens.values(), trace);
                let classes = std::mem::take(&mut answers.class_embed);
                Some(Decoded {
                    queries: Embeddings::new(classes, answers.width),
                    presence: answers.presence.take(),
                    masks: Masks::Engine(answers),
                })
            }
            (Self::Burn(burn), EncodedImage::Burn(image)) if burn.has_encoded(image) => {
                let mut answers = burn.decode(image, tokens);
                Some(Decoded {
                    queries: answers.queries.clone(),
                    presence: answers.presence.take(),
                    masks: Masks::Burn(answers.into()),
                })
            }
            _ => None,
        }
    }

    /// The masks of some queries as logits, one after the other, a quarter of the model's square
    /// each way; none where another network encoded the picture.
    pub(crate) fn masks(
        &self,
        image: &EncodedImage,
        decoded: &Decoded,
        queries: &[usize],
    ) -> Option<Vec<f32>> {
        match (self, image, &decoded.masks) {
            (Self::Engine(engine), EncodedImage::Engine(image), Masks::Engine(answers))
                if engine.has_encoded(image) =>
            {
                Some(engine.masks(image, answers, queries))
            }
            (Self::Burn(burn), EncodedImage::Burn(image), Masks::Burn(answers))
                if burn.has_encoded(image) =>
            {
                Some(answers.masks(queries))
            }
            _ => None,
        }
    }
}
