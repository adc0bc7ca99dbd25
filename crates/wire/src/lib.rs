//! The wire contract of a MedImageParse online endpoint, as pure types: what a request may look like, what a
//! reply looks like, and which sentence answers a request that breaks a rule.
//!
//! This crate does no I/O and knows neither the network nor pictures. Requests are read from a byte slice
//! without copying the pictures in them; replies are written chunk by chunk into a caller's buffer, so that
//! neither side ever holds a second copy of a row.

mod categories;
mod envelope;
mod error;
mod image;
mod json;
mod limits;
mod locate;
mod mlflow;
mod place;
mod prompts;
mod read;
mod reply;
mod rows;
mod score;
mod segment;
mod table;
mod v2;

pub use categories::CATEGORIES;
pub use envelope::{ErrorBody, ErrorDetail};
pub use error::{Fault, WireError};
pub use image::{Base64Fault, EncodedImage};
pub use json::Kind;
pub use limits::WireLimits;
pub use mlflow::parse_invocations;
pub use place::{Column, Place};
pub use prompts::split_sentences;
pub use read::{ImageFeatures, MaskArray, ReadError, ScoreRow, read_score_reply};
pub use reply::{Framing, ReplyEncoder};
pub use rows::{Row, ScoreInput};
pub use score::{parse_score, parse_score_query};
pub use segment::{
    BoundingBox, Fit, PictureReport, PromptReport, SegmentReply, SegmentRequest, SegmentTiming,
    Together, WarningReport,
};
pub use v2::{InferInput, ModelMetadata, ServerMetadata, TensorMetadata, V2Health, parse_infer};
