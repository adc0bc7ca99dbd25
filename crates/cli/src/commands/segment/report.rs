//! What came of a picture, for machines and for people.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use medparse::{Interaction, Segmentation};
use medparse_imaging::{BoundingBox, Picture, grouped};
use serde::Serialize;

/// How the answers were made; the same for all pictures of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    /// The model's name.
    pub model: String,
    /// What computed.
    pub device: String,
    /// In which arithmetic.
    pub precision: &'static str,
    /// Whether phrases saw each other.
    pub interaction: Interaction,
    /// A pixel is in the mask where its probability is greater.
    pub threshold: f32,
}

/// What a report is made of.
pub struct Parts<'a> {
    pub image: &'a Path,
    pub picture: &'a Picture,
    pub settings: &'a Settings,
    pub seconds: f64,
    pub answers: &'a [Segmentation],
    pub masks: &'a [PathBuf],
    pub overlay: Option<PathBuf>,
    pub warnings: Vec<String>,
}

/// The JSON of one picture.
#[derive(Debug, Clone, Serialize)]
pub struct PictureReport {
    image: PathBuf,
    width: u32,
    height: u32,
    #[serde(flatten)]
    settings: Settings,
    seconds: f64,
    answers: Vec<AnswerReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overlay: Option<PathBuf>,
    warnings: Vec<String>,
}

/// The JSON of one phrase.
#[derive(Debug, Clone, Serialize)]
struct AnswerReport {
    prompt: String,
    category: String,
    area_px: u64,
    /// In pixels, the left upper corner and the size; null where the mask is empty.
    #[serde(rename = "box")]
    bounding_box: Option<BoxReport>,
    /// Of the mask's pixels; null where the mask is empty.
    mean_probability: Option<f64>,
    similarity: f32,
    truncated: bool,
    mask: PathBuf,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct BoxReport {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

impl From<BoundingBox> for BoxReport {
    fn from(b: BoundingBox) -> Self {
        Self { x: b.x, y: b.y, width: b.width, height: b.height }
    }
}

impl PictureReport {
    pub fn new(parts: Parts<'_>) -> Self {
        let answers = parts.answers.iter().zip(parts.masks).map(|(answer, mask)| AnswerReport {
            prompt: answer.prompt.clone(),
            category: answer.category.to_string(),
            area_px: answer.area,
            bounding_box: answer.bounding_box.map(BoxReport::from),
            mean_probability: answer.mean_probability,
            similarity: answer.similarity,
            truncated: answer.truncated,
            mask: mask.clone(),
        });
        Self {
            image: parts.image.into(),
            width: parts.picture.width(),
            height: parts.picture.height(),
            settings: parts.settings.clone(),
            seconds: parts.seconds,
            answers: answers.collect(),
            overlay: parts.overlay,
            warnings: parts.warnings,
        }
    }

    /// The lines for a person.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{}  {} × {}  {:.1} s",
            self.image.display(),
            self.width,
            self.height,
            self.seconds
        );
        let width = |of: fn(&AnswerReport) -> &str| {
            self.answers.iter().map(|answer| of(answer).chars().count()).max().unwrap_or(0)
        };
        let (prompts, categories) = (width(|a| &a.prompt), width(|a| &a.category));
        for answer in &self.answers {
            let _ = write!(
                text,
                "\n  {:prompts$}  {:categories$}  {:>12} px",
                answer.prompt,
                answer.category,
                grouped(answer.area_px)
            );
            match (answer.bounding_box, answer.mean_probability) {
                (Some(b), Some(p)) => {
                    let _ = write!(
                        text,
                        "  p {p:.2}  box {},{} {}×{}  {}",
                        b.x,
                        b.y,
                        b.width,
                        b.height,
                        answer.mask.display()
                    );
                }
                _ => text.push_str("  not found"),
            }
        }
        if let Some(overlay) = &self.overlay {
            let _ = write!(text, "\n  overlay: {}", overlay.display());
        }
        text
    }
}
