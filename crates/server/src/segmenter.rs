//! What the server asks of a model: a small trait, so that scoring can be tested and measured without a network.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use medparse_imaging::{Mask, Picture};
use medparse_wire::{Fit, Together};
use serde::Serialize;
use thiserror::Error;

/// One loaded model, shared by every request.
///
/// A question has two halves: the picture is encoded, which is slow and depends on it alone, and the sentences are asked
/// of the encoding. The server keeps encodings for the next question.
pub trait Segmenter: Send + Sync + 'static {
    /// What the model is.
    fn card(&self) -> &ModelCard;

    /// What the reader should know about these sentences before they are asked: cut at 77 tokens, outside the
    /// model's targets. Costs no more than tokenizing.
    fn review(&self, prompts: &[String]) -> Vec<PromptWarning>;

    /// Encodes a picture, brought to the model's square by `fit`, which is never [`Fit::Model`].
    ///
    /// # Errors
    /// [`SegmentError::Cancelled`] soon after `cancel` is cancelled; otherwise what went wrong.
    fn encode(
        &self,
        picture: &Picture,
        fit: Fit,
        cancel: &CancelToken,
    ) -> Result<EncodedPicture, SegmentError>;

    /// Answers every sentence in order, one call of `answer` each.
    ///
    /// The answers are handed over one at a time so that no more than one mask of full size need exist at once.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    fn ask(
        &self,
        question: &Question<'_>,
        answer: &mut dyn FnMut(Answer),
    ) -> Result<(), SegmentError>;
}

/// A picture as a model sees it.
pub struct EncodedPicture {
    /// What the model made of it; only the model that made it looks inside.
    pub value: Box<dyn Any + Send + Sync>,
    /// Its size in memory.
    pub bytes: usize,
}

impl fmt::Debug for EncodedPicture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncodedPicture").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// What a model is, as `/v2/models/{name}`, the catalog and every reply say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelCard {
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: String,
    /// Number format that runs: `f32`, `bf16` or `int8`.
    pub precision: String,
    /// How the model was shown pictures that are not square; never [`Fit::Model`].
    pub fit: Fit,
    /// One paragraph on what the model is for and where it came from.
    pub description: String,
    /// What the model was trained to find; empty where it does not say.
    pub targets: Vec<TargetGroup>,
}

/// What a model was trained to find in one kind of picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetGroup {
    /// The kind of picture, such as `CT-Abdomen`.
    pub modality: String,
    /// The targets, as sentences to ask.
    pub targets: Vec<String>,
}

/// An encoded picture and the sentences asked of it.
#[derive(Debug)]
pub struct Question<'a> {
    /// The picture, as [`Segmenter::encode`] of the same model made it.
    pub picture: &'a EncodedPicture,
    /// The sentences; at least one, none empty.
    pub prompts: &'a [String],
    /// Whether the sentences see each other.
    pub together: Together,
    /// Whether the answers carry probabilities.
    pub probabilities: Probabilities,
    /// Asks for an early end.
    pub cancel: &'a CancelToken,
}

/// Whether answers carry probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probabilities {
    /// Masks only.
    Omit,
    /// Masks and probabilities.
    Include,
}

/// The answer to one sentence.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The mask, of the picture's size.
    pub mask: Mask,
    /// One of [`medparse_wire::CATEGORIES`].
    pub category: &'static str,
    /// Cosine similarity of the sentence and the answering query, −1 to 1.
    pub similarity: f32,
    /// Probability that the object is in the picture, 0 to 1, where the model estimates it.
    pub presence: Option<f32>,
    /// Whether the sentence was longer than 77 tokens and was cut.
    pub truncated: bool,
    /// Probabilities times 255, one byte a pixel, C order `[height, width]`, where they were asked for.
    pub probabilities: Option<Vec<u8>>,
}

/// Something a reader should know about one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptWarning {
    /// Position of the sentence, counted from 0.
    pub prompt: usize,
    /// A stable code in CamelCase, such as `TextTruncated`.
    pub code: &'static str,
    /// One sentence that does not quote the prompt.
    pub message: String,
}

/// Why a question has no answer.
#[derive(Debug, Error)]
pub enum SegmentError {
    /// The question was cancelled.
    #[error("the question was cancelled")]
    Cancelled,
    /// The picture or the sentences cannot be used; the sentence is shown to the client.
    #[error("{0}")]
    Unusable(String),
    /// The model failed; the sentence is logged and not shown.
    #[error("{0}")]
    Failed(String),
}

/// Asks a running question for an early end; clones share one switch.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Asks for an early end.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether an early end was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error once an early end was asked for; stands between the stages of a question.
    ///
    /// # Errors
    /// [`SegmentError::Cancelled`].
    pub fn check(&self) -> Result<(), SegmentError> {
        if self.is_cancelled() { Err(SegmentError::Cancelled) } else { Ok(()) }
    }

    /// A guard that asks for an early end when it is dropped: a client that goes away drops its request.
    pub(crate) fn on_drop(&self) -> CancelOnDrop {
        CancelOnDrop(self.clone())
    }
}

#[derive(Debug)]
pub(crate) struct CancelOnDrop(CancelToken);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Where models come from.
pub trait ModelLoader: Send + Sync + 'static {
    /// Loads a model; called on a thread of its own, and may take minutes.
    ///
    /// # Errors
    /// A sentence for the deployment's status and log.
    fn load(&self, spec: &ModelSpec) -> Result<Arc<dyn Segmenter>, LoadError>;

    /// The models that can be deployed here.
    fn catalog(&self) -> Vec<CatalogEntry>;
}

/// What a deployment asks to be loaded; equal specs share one model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelSpec {
    /// A name of the catalog, a path, or `hub:owner/name`.
    pub model: String,
    /// `f32`, `bf16` or `int8`; the server's own default when absent.
    pub precision: Option<String>,
    /// Threads of the model; the server's own default when absent.
    pub threads: Option<usize>,
}

/// Why a model was not loaded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct LoadError(pub String);

/// A model that can be deployed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogEntry {
    /// What [`ModelSpec::model`] calls it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One paragraph.
    pub description: String,
}
