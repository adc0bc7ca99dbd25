//! A loaded model, and the two things one does with it: encode a picture, ask about it.

use std::ops::ControlFlow;
use std::time::Instant;

use medparse_engine::{Precision, Trace};
use medparse_imaging::{Mask, Picture};
use medparse_network::NetworkConfig;

use crate::bank::ClassBank;
use crate::card::{Description, ModelCard};
use crate::classes::{CATEGORIES, Category};
use crate::picture::{MapView, RgbView, ShapeError, Size};
use crate::postprocess::ProbabilityMap;
use crate::preprocess::{Fit, InputConfig, Normalization, Placement, preprocess};
use crate::prompts::Prompt;
use crate::runtime::{EncodedImage, EncodedPhrases, Runtime};
use crate::segmentation::{Interaction, SegmentOptions, Segmentation};
use crate::selection::{first_maximum, matched_queries, similarity_scale};
use crate::tokenizer::{Tokenizer, Tokens};

/// A model, ready to be asked; shared by reference between threads.
///
/// ```no_run
/// use medparse::{LoadOptions, Model, ModelSource, Prompt};
/// use medparse_imaging::Picture;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let source: ModelSource = "biomedparse_v1.pt".parse()?;
/// let model = Model::load(&source, &LoadOptions::default(), &mut |_| ())?;
/// let picture = Picture::open("slide.png")?;
/// let prompts = Prompt::split("neoplastic cells & inflammatory cells")?;
/// for answer in model.segment(&picture, &prompts)? {
///     println!("{}: {}, {} px", answer.prompt, answer.category, answer.area);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Model {
    runtime: Runtime,
    network: NetworkConfig,
    card: ModelCard,
    bank: ClassBank,
    fit: Fit,
    /// The logarithm of the factor on similarities.
    logit_scale: f32,
}

/// A picture as the model sees it; ask about it as often as you like.
#[derive(Debug, Clone)]
pub struct EncodedPicture {
    image: EncodedImage,
    placement: Placement,
}

impl EncodedPicture {
    /// Width and height of the picture itself, and so of every mask.
    pub fn size(&self) -> Size {
        self.placement.picture()
    }

    /// What it takes in memory.
    pub fn bytes(&self) -> usize {
        self.image.bytes()
    }
}

/// Why a picture can't be segmented.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// There is nothing to look for.
    #[error("no prompt: say what to look for, as in \"neoplastic cells & inflammatory cells\"")]
    NoPrompt,
    /// The picture's pixels do not fit its size.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The picture was encoded by another model.
    #[error("the picture was encoded by another model; encode it with this one first")]
    Foreign,
    /// Whoever asked does not wait any more.
    #[error("stopped before there was an answer")]
    Stopped,
    /// A mask could not be made.
    #[error(transparent)]
    Mask(#[from] medparse_imaging::Error),
}

impl Model {
    /// A model made of its parts.
    pub(crate) fn new(
        runtime: Runtime,
        description: Description,
        bank: impl FnOnce(&Runtime) -> ClassBank,
    ) -> Self {
        let logit_scale = runtime.logit_scale();
        let bank = bank(&runtime);
        let Description { network, card } = description;
        Self { runtime, network, fit: card.fit, card, bank, logit_scale }
    }

    /// What the model says of itself.
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// The sizes of its network.
    pub fn network(&self) -> &NetworkConfig {
        &self.network
    }

    /// The rows its categories are read from.
    pub fn class_bank(&self) -> &ClassBank {
        &self.bank
    }

    /// What computes it.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The precision it computes in.
    pub fn precision(&self) -> Precision {
        self.runtime.precision()
    }

    /// How it is shown pictures that are not square.
    pub fn fit(&self) -> Fit {
        self.fit
    }

    /// The same model, shown pictures another way than it was trained for.
    #[must_use]
    pub fn with_fit(mut self, fit: Fit) -> Self {
        self.fit = fit;
        self
    }

    /// Encodes a picture once, for any number of questions.
    ///
    /// # Errors
    /// When the picture is empty.
    pub fn encode(&self, picture: &Picture) -> Result<EncodedPicture, SegmentError> {
        self.encode_as(picture, self.fit)
    }

    /// As [`Model::encode`], the picture brought to the model's square as `fit` says.
    ///
    /// # Errors
    /// When the picture is empty.
    pub fn encode_as(&self, picture: &Picture, fit: Fit) -> Result<EncodedPicture, SegmentError> {
        self.encode_traced(picture, fit, &mut Trace::none())
    }

    /// As [`Model::encode_as`], asking `stop` again and again whether to go on: on this machine's
    /// processor before each block of the backbone and each level of the pyramid, elsewhere before and
    /// after.
    ///
    /// # Errors
    /// [`SegmentError::Stopped`] where `stop` said so, and those of [`Model::encode`].
    pub fn encode_until(
        &self,
        picture: &Picture,
        fit: Fit,
        stop: &dyn Fn() -> bool,
    ) -> Result<EncodedPicture, SegmentError> {
        if stop() {
            return Err(SegmentError::Stopped);
        }
        let encoded = self.encode_traced(picture, fit, &mut Trace::until(stop))?;
        if stop() { Err(SegmentError::Stopped) } else { Ok(encoded) }
    }

    pub(crate) fn encode_traced(
        &self,
        picture: &Picture,
        fit: Fit,
        trace: &mut Trace<'_>,
    ) -> Result<EncodedPicture, SegmentError> {
        let start = Instant::now();
        let view = RgbView::of(picture)?;
        let config = InputConfig {
            side: self.network.image_size,
            fit,
            normalization: Normalization {
                mean: self.network.pixel_mean,
                std: self.network.pixel_std,
            },
        };
        let input = preprocess(&view, &config);
        trace.took("resize and normalise", start, 0);
        let image = self.runtime.encode_image(input.values, input.side, trace);
        Ok(EncodedPicture { image, placement: input.placement })
    }

    /// Encodes a picture and asks for all phrases together, as the reference does.
    ///
    /// # Errors
    /// When there is no prompt, or the picture is empty.
    pub fn segment(
        &self,
        picture: &Picture,
        prompts: &[Prompt],
    ) -> Result<Vec<Segmentation>, SegmentError> {
        self.segment_with(picture, prompts, &SegmentOptions::default())
    }

    /// As [`Model::segment`], with options.
    ///
    /// # Errors
    /// When there is no prompt, or the picture is empty.
    pub fn segment_with(
        &self,
        picture: &Picture,
        prompts: &[Prompt],
        options: &SegmentOptions,
    ) -> Result<Vec<Segmentation>, SegmentError> {
        self.segment_until(picture, prompts, options, &|| false)
    }

    /// As [`Model::segment_with`], asking `stop` while the picture is encoded, as [`Model::encode_until`] does.
    ///
    /// # Errors
    /// [`SegmentError::Stopped`] where `stop` said so, and those of [`Model::segment`].
    pub fn segment_until(
        &self,
        picture: &Picture,
        prompts: &[Prompt],
        options: &SegmentOptions,
        stop: &dyn Fn() -> bool,
    ) -> Result<Vec<Segmentation>, SegmentError> {
        if prompts.is_empty() {
            return Err(SegmentError::NoPrompt);
        }
        self.ask(&self.encode_until(picture, self.fit, stop)?, prompts, options)
    }

    /// Asks about an encoded picture; one answer per prompt, in their order.
    ///
    /// # Errors
    /// When there is no prompt.
    pub fn ask(
        &self,
        picture: &EncodedPicture,
        prompts: &[Prompt],
        options: &SegmentOptions,
    ) -> Result<Vec<Segmentation>, SegmentError> {
        let mut answers = Vec::with_capacity(prompts.len());
        self.ask_each(picture, prompts, options, &mut |answer| {
            answers.push(answer);
            ControlFlow::Continue(())
        })?;
        Ok(answers)
    }

    /// As [`Model::ask`], each answer handed over before the next is brought to the picture's
    /// size, where it is large; ends early where `answer` breaks off.
    ///
    /// # Errors
    /// When there is no prompt.
    pub fn ask_each(
        &self,
        picture: &EncodedPicture,
        prompts: &[Prompt],
        options: &SegmentOptions,
        answer: &mut dyn FnMut(Segmentation) -> ControlFlow<()>,
    ) -> Result<(), SegmentError> {
        if prompts.is_empty() {
            return Err(SegmentError::NoPrompt);
        }
        let together = match options.interaction {
            Interaction::Joint => prompts.len(),
            Interaction::Independent => 1,
        };
        for prompts in prompts.chunks(together) {
            let trace = &mut Trace::none();
            if self.ask_together(picture, prompts, options, (answer, trace))?.is_break() {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn ask_together(
        &self,
        picture: &EncodedPicture,
        prompts: &[Prompt],
        options: &SegmentOptions,
        (answer, trace): (&mut dyn FnMut(Segmentation) -> ControlFlow<()>, &mut Trace<'_>),
    ) -> Result<ControlFlow<()>, SegmentError> {
        let tokenizer = Tokenizer::new();
        let phrases: Vec<Tokens> =
            prompts.iter().map(|prompt| tokenizer.encode(prompt.as_str())).collect();
        let EncodedPhrases { tokens, sentences } = self.runtime.encode_phrases(&phrases, trace);
        let decoded =
            self.runtime.decode(&picture.image, &tokens, trace).ok_or(SegmentError::Foreign)?;
        let start = Instant::now();
        let scale = similarity_scale(self.logit_scale);
        let similarity = decoded.queries.normalized().similarity(&sentences.normalized(), scale);
        let matched = matched_queries(&similarity, prompts.len());
        let classes = self.bank.logits(&decoded.queries, self.logit_scale);
        let class_count = self.bank.rows().count();
        let masks = self.runtime.masks(&picture.image, &decoded, &matched);
        let masks = masks.ok_or(SegmentError::Foreign)?;
        trace.took("selection and mask products", start, 0);
        let mask_size = Size::square(self.network.image_size / 4);
        let mask_len = masks.len() / prompts.len();
        let calibration = self.card.presence.unwrap_or_default();
        for (index, query) in matched.into_iter().enumerate() {
            let class_logits = &classes[query * class_count..][..class_count];
            let found = Answer {
                prompt: &prompts[index],
                truncated: phrases[index].is_truncated(),
                query,
                similarity: similarity[query * prompts.len() + index] / scale,
                category: Category::at(first_maximum(&class_logits[..CATEGORIES.len()])),
                class_with_background: first_maximum(class_logits),
                presence: decoded
                    .presence
                    .as_ref()
                    .map(|logits| calibration.probability(logits[query])),
            };
            let logits = MapView::new(mask_size, &masks[index * mask_len..][..mask_len])?;
            let start = Instant::now();
            let found = found.into_segmentation(&logits, picture.placement, options)?;
            trace.took("masks at the picture's size", start, 0);
            if answer(found).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// What is known of an answer before its mask is brought to the picture's size.
struct Answer<'a> {
    prompt: &'a Prompt,
    truncated: bool,
    query: usize,
    similarity: f32,
    category: Category,
    class_with_background: usize,
    presence: Option<f64>,
}

impl Answer<'_> {
    fn into_segmentation(
        self,
        logits: &MapView<'_>,
        placement: Placement,
        options: &SegmentOptions,
    ) -> Result<Segmentation, SegmentError> {
        let probability = ProbabilityMap::from_logits(logits, &placement);
        let Size { width, height } = probability.size();
        let values = probability.values();
        let least = options.presence_threshold.map(f64::from);
        let is_absent = self.presence.zip(least).is_some_and(|(presence, least)| presence < least);
        // No probability is above this one.
        let threshold = if is_absent { f32::INFINITY } else { options.threshold };
        let mask = Mask::from_probabilities(width as u32, height as u32, values, threshold)?;
        let area = mask.area();
        Ok(Segmentation {
            prompt: self.prompt.as_str().to_owned(),
            bounding_box: mask.bounding_box(),
            mask,
            mean_probability: probability.mean_above(threshold),
            probability,
            category: self.category,
            class_with_background: self.class_with_background,
            similarity: self.similarity,
            query: self.query,
            area,
            presence: self.presence,
            truncated: self.truncated,
        })
    }
}
