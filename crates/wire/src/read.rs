//! The reply as a client reads it.

use serde::Deserialize;
use thiserror::Error;

/// One row of a reply of `/score`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ScoreRow {
    /// A JSON string that holds an [`ImageFeatures`] object.
    pub image_features: String,
    /// One category for each sentence.
    pub text_features: Vec<String>,
}

/// The object inside `image_features`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ImageFeatures {
    /// The array's bytes in C order, as base64.
    pub data: String,
    /// The array's shape `[prompts, height, width]`.
    pub shape: [usize; 3],
    /// The array's element type as NumPy names it; `uint8`.
    pub dtype: String,
}

/// The masks of one row: values 0 and 255 in C order `[prompts, height, width]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskArray {
    /// `[prompts, height, width]`.
    pub shape: [usize; 3],
    /// The values.
    pub values: Vec<u8>,
}

/// Why a reply cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The reply or the object inside `image_features` is not the JSON that the contract describes.
    #[error("the reply is not the JSON of the contract: {0}")]
    Json(#[from] serde_json::Error),
    /// The element type is not `uint8`.
    #[error("the masks have the element type {0:?}; expected \"uint8\"")]
    ElementType(String),
    /// The mask data is not base64.
    #[error("the mask data is not base64")]
    Base64,
    /// The data does not fill the shape.
    #[error("the masks have {found} values, which do not fill their shape {shape:?}")]
    Length {
        /// Values found.
        found: usize,
        /// The shape.
        shape: [usize; 3],
    },
}

/// Reads the body of a reply of `/score`.
///
/// # Errors
/// [`ReadError::Json`] when the body is not a list of rows.
pub fn read_score_reply(body: &[u8]) -> Result<Vec<ScoreRow>, ReadError> {
    Ok(serde_json::from_slice(body)?)
}

impl ScoreRow {
    /// The masks of the row.
    ///
    /// # Errors
    /// A [`ReadError`] naming what the object inside `image_features` lacks.
    pub fn masks(&self) -> Result<MaskArray, ReadError> {
        let features: ImageFeatures = serde_json::from_str(&self.image_features)?;
        if features.dtype != "uint8" {
            return Err(ReadError::ElementType(features.dtype));
        }
        let values = base64_simd::forgiving_decode_to_vec(features.data.as_bytes())
            .map_err(|_| ReadError::Base64)?;
        let shape = features.shape;
        let wanted = shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side));
        if wanted != Some(values.len()) {
            return Err(ReadError::Length { found: values.len(), shape });
        }
        Ok(MaskArray { shape, values })
    }
}

impl MaskArray {
    /// The mask of one prompt, `[height, width]`, or nothing beyond the last.
    pub fn prompt(&self, prompt: usize) -> Option<&[u8]> {
        let [prompts, height, width] = self.shape;
        let size = height.checked_mul(width).filter(|_| prompt < prompts)?;
        self.values.get(prompt.checked_mul(size)?..)?.get(..size)
    }
}
