//! `POST /api/v1/segment`: the page's own question, with probabilities, presence and geometry.

use serde::{Deserialize, Serialize};

/// The question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentRequest {
    /// The picture file as base64.
    pub image: String,
    /// The sentences, one answer each.
    pub prompts: Vec<String>,
    /// Whether the sentences see each other.
    #[serde(default)]
    pub together: Together,
    /// How the picture is brought to the model's square.
    #[serde(default)]
    pub fit: Fit,
    /// Whether the reply carries probabilities.
    #[serde(default = "yes")]
    pub probabilities: bool,
}

fn yes() -> bool {
    true
}

/// Whether the sentences of one question attend to each other in the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Together {
    /// Each sentence on its own: a further sentence never changes an earlier answer.
    #[default]
    Alone,
    /// All sentences as one list, as `/score` asks them.
    Joint,
}

/// How a picture is brought to the model's square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// As the model was trained.
    #[default]
    Model,
    /// Stretched, as `/score` does.
    Stretch,
    /// Padded with black to a square.
    Pad,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentReply {
    /// Name of the model that answered.
    pub model: String,
    /// Name of the deployment that answered.
    pub deployment: String,
    /// Whether the sentences saw each other.
    pub together: Together,
    /// How the picture was brought to the model's square; never `model`.
    pub fit: Fit,
    /// Number format that ran: `f32`, `bf16` or `int8`.
    pub precision: String,
    /// The picture as it was understood.
    pub picture: PictureReport,
    /// One answer for each sentence, in order.
    pub prompts: Vec<PromptReport>,
    /// What the reader should know about the answer.
    pub warnings: Vec<WarningReport>,
    /// Where the time went.
    pub timing: SegmentTiming,
}

/// The picture as it was understood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PictureReport {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Millimetres between the centres of neighbouring pixels, `[row, column]`, where the file says so.
    pub spacing_mm: Option<[f64; 2]>,
}

/// The answer to one sentence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromptReport {
    /// The sentence.
    pub prompt: String,
    /// One of the 16 categories.
    pub category: String,
    /// Cosine similarity of the sentence and the answering query, −1 to 1.
    pub similarity: f32,
    /// Probability that the object is in the picture, 0 to 1; `null` for models that do not estimate it.
    pub presence: Option<f32>,
    /// Foreground pixels at the threshold 0.5.
    pub area_px: u64,
    /// Foreground area in square millimetres, where the spacing is known.
    pub area_mm2: Option<f64>,
    /// The smallest box around the foreground; `null` when it is empty.
    pub bounding_box: Option<BoundingBox>,
    /// Whether the sentence was longer than 77 tokens and was cut.
    pub truncated: bool,
    /// Probabilities times 255, one byte a pixel, C order `[height, width]`, as base64; `null` when not asked for.
    pub probabilities: Option<String>,
}

/// A box in pixels; the upper bounds are exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundingBox {
    /// First column.
    pub x0: usize,
    /// First row.
    pub y0: usize,
    /// One past the last column.
    pub x1: usize,
    /// One past the last row.
    pub y1: usize,
}

/// A warning: a stable code and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarningReport {
    /// A stable code in CamelCase.
    pub code: String,
    /// One sentence.
    pub message: String,
}

/// Milliseconds by stage.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct SegmentTiming {
    /// Reading the picture.
    pub decode_ms: f64,
    /// Waiting for a place at the model.
    pub wait_ms: f64,
    /// The model: the picture.
    pub encode_ms: f64,
    /// The model: the sentences.
    pub ask_ms: f64,
    /// Whether the picture's encoding was already there.
    pub cached: bool,
}
