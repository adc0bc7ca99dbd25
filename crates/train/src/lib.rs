//! Training and evaluation of the network.
//!
//! ```text
//! dataset ─ sampler ─▶ augment + prompts ─▶ batch ─▶ network ─▶ loss ─▶ optimizer ─▶ state (checkpoint)
//!    └───▶ evaluate ◀─ model with its card ◀────────────────────────────────────────────┘
//! ```
//!
//! A run is a pure function of its description: every random draw follows from the seed and the
//! step, so that a run which was cut off goes on with the same losses.

mod augment;
mod batch;
mod begin;
mod card;
pub mod config;
pub mod dataset;
mod error;
pub mod evaluate;
mod init;
mod log;
mod loss;
pub mod ontology;
mod optimizer;
mod prompts;
mod random;
mod sampler;
pub mod sheet;
mod state;
mod trainer;
mod validate;

pub use config::{Overrides, TrainConfig, TrainConfigError};
pub use error::TrainError;
pub use loss::Terms;
pub use state::StateError;
pub use trainer::{
    Control, Event, LOG_FILE, MODEL_FILE, PICTURE_FOLDER, STATE_FILE, StepReport, Trainer,
};
pub use validate::{TargetValidation, Validation};
