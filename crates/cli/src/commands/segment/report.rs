//! What came of a picture, for machines and for people.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use medparse::{Interaction, Segmentation};
use medparse_imaging::{BoundingBox, Mask, grouped};
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
    /// A mask is empty where the object's presence is less probable; null where that was not asked.
    pub presence_threshold: Option<f32>,
}

/// What a report is made of.
pub struct Parts<'a> {
    pub image: &'a Path,
    /// mm along a row and down a column, where the file says so.
    pub spacing: Option<[f64; 2]>,
    pub settings: &'a Settings,
    pub seconds: f64,
    pub answers: &'a [Segmentation],
    /// On the file's own pixels.
    pub masks: &'a [Mask],
    pub paths: &'a [PathBuf],
    pub overlay: Option<PathBuf>,
    pub files: Vec<PathBuf>,
    pub warnings: Vec<String>,
}

/// The JSON of one picture.
#[derive(Debug, Clone, Serialize)]
pub struct PictureReport {
    image: PathBuf,
    width: u32,
    height: u32,
    /// mm between columns and rows; null where the file does not say.
    spacing_mm: Option<[f64; 2]>,
    #[serde(flatten)]
    settings: Settings,
    seconds: f64,
    answers: Vec<AnswerReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overlay: Option<PathBuf>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<PathBuf>,
    warnings: Vec<String>,
}

/// The JSON of one phrase.
#[derive(Debug, Clone, Serialize)]
struct AnswerReport {
    prompt: String,
    category: String,
    area_px: u64,
    /// Null where the pixels have no size.
    area_mm2: Option<f64>,
    /// Null where the mask is empty.
    #[serde(rename = "box")]
    bounding_box: Option<BoxReport>,
    /// Of the mask's pixels; null where the mask is empty.
    mean_probability: Option<f64>,
    similarity: f32,
    /// How probable it is that the object is there at all; null for models that do not say.
    presence: Option<f64>,
    truncated: bool,
    mask: PathBuf,
}

/// The JSON of a box, in pixels: the left upper corner and the size.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct BoxReport {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

impl From<BoundingBox> for BoxReport {
    fn from(b: BoundingBox) -> Self {
        Self { x: b.x, y: b.y, width: b.width, height: b.height }
    }
}

impl PictureReport {
    pub fn new(parts: Parts<'_>) -> Self {
        let pixel = parts.spacing.map(|[along, down]| along * down);
        let masks = parts.masks.iter().zip(parts.paths);
        let answers = parts.answers.iter().zip(masks).map(|(answer, (mask, path))| AnswerReport {
            prompt: answer.prompt.clone(),
            category: answer.category.to_string(),
            area_px: answer.area,
            area_mm2: pixel.map(|pixel| answer.area as f64 * pixel),
            bounding_box: mask.bounding_box().map(BoxReport::from),
            mean_probability: answer.mean_probability,
            similarity: answer.similarity,
            presence: answer.presence,
            truncated: answer.truncated,
            mask: path.clone(),
        });
        Self {
            image: parts.image.into(),
            width: parts.masks.first().map_or(0, Mask::width),
            height: parts.masks.first().map_or(0, Mask::height),
            spacing_mm: parts.spacing,
            settings: parts.settings.clone(),
            seconds: parts.seconds,
            answers: answers.collect(),
            overlay: parts.overlay,
            files: parts.files,
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
        for file in &self.files {
            let _ = write!(text, "\n  {}", file.display());
        }
        text
    }
}
