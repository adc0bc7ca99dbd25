//! Masks from a medical picture and words.
//!
//! A [`Model`] takes a picture and phrases and answers with one [`Segmentation`] per phrase: where
//! the thing is, how sure that is, and what kind of thing it is. It runs models of the
//! MedImageParse/BiomedParse family (Zhao et al., "A foundation model for joint segmentation,
//! detection and recognition of biomedical objects across nine modalities", 2024) on this machine.
//!
//! ```
//! use medparse::{LoadOptions, Model, ModelSource, Prompt};
//! use medparse_imaging::procedural;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Model::load(&ModelSource::Bundled, &LoadOptions::default(), &mut |_| ())?;
//! let picture = procedural::cells(256, 192, 1)?.picture;
//! let prompts = Prompt::split("neoplastic cells & inflammatory cells")?;
//!
//! let answers = model.segment(&picture, &prompts)?;
//! assert_eq!(answers.len(), 2);
//! assert_eq!(answers[0].prompt, "neoplastic cells");
//! assert_eq!(answers[0].mask.dimensions(), (256, 192));
//! # Ok(())
//! # }
//! ```
//!
//! Most of the work depends on the picture alone: [`Model::encode`] does it once,
//! [`Model::ask`] then answers one question after another.
//!
//! Research software, not a medical device.

pub mod bank;
mod bank_cache;
pub mod card;
pub mod classes;
pub mod convert;
pub mod device;
pub mod load;
pub mod made;
pub mod measure;
pub mod modalities;
pub mod model;
pub mod parts;
pub mod picture;
pub mod postprocess;
pub mod prepare;
pub mod preprocess;
pub mod prompts;
pub mod recognition;
pub mod runtime;
pub mod scope;
pub mod segmentation;
pub mod selection;
mod simd;
pub mod sources;
pub mod tiles;
pub mod tokenizer;
pub mod verify;
pub mod volume;

pub use bank_cache::cache_folder;
pub use card::{ModelCard, PresenceCalibration, Provenance};
pub use classes::Category;
pub use load::{LoadOptions, LoadStep, ModelError};
pub use medparse_engine::{Precision, PrecisionError};
pub use model::{EncodedPicture, Model, SegmentError};
pub use prompts::Prompt;
pub use segmentation::{Interaction, SegmentOptions, Segmentation};
pub use sources::ModelSource;
