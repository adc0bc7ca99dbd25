//! What the library answers, and how one may ask.

use medparse_imaging::{BoundingBox, Mask};
use serde::Serialize;

use crate::classes::Category;
use crate::postprocess::{MASK_THRESHOLD, ProbabilityMap};

/// Whether phrases that are asked together see each other.
///
/// The reference feeds all phrases of one call into one self-attention, so that a mask changes
/// when another phrase is asked beside it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Interaction {
    /// All phrases of a call together, as the reference.
    #[default]
    Joint,
    /// Each phrase for itself.
    Independent,
}

/// How to ask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SegmentOptions {
    /// Whether phrases see each other.
    pub interaction: Interaction,
    /// A pixel belongs to the mask where its probability is strictly greater; 0..=1.
    pub threshold: f32,
    /// The mask is empty where the object is there with a probability below this; 0..=1.
    ///
    /// Models without a presence head, the reference's among them, take no notice.
    pub presence_threshold: Option<f32>,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        Self {
            interaction: Interaction::Joint,
            threshold: MASK_THRESHOLD,
            presence_threshold: None,
        }
    }
}

/// The answer to one phrase.
#[derive(Debug, Clone, PartialEq)]
pub struct Segmentation {
    /// The phrase, blanks stripped.
    pub prompt: String,
    /// Where the object is, at the picture's own size.
    pub mask: Mask,
    /// How probable each pixel is.
    pub probability: ProbabilityMap,
    /// What kind of object it is: the likeliest of the 16 categories.
    pub category: Category,
    /// The likeliest of 17 classes, "background" (16) included, as the reference computes it.
    pub class_with_background: usize,
    /// How alike the phrase and its query are: the cosine of their embeddings, -1..=1.
    pub similarity: f32,
    /// The object query that speaks for the phrase.
    pub query: usize,
    /// The smallest upright rectangle around the mask; none where the mask is empty.
    pub bounding_box: Option<BoundingBox>,
    /// Pixels of the mask.
    pub area: u64,
    /// Mean probability of the mask's pixels, 0..=1; none where the mask is empty.
    pub mean_probability: Option<f64>,
    /// How probable it is that the object is in the picture at all, 0..=1; none of models without a
    /// presence head.
    pub presence: Option<f64>,
    /// Whether the phrase was longer than the text encoder reads, so that its end was ignored.
    pub truncated: bool,
}
