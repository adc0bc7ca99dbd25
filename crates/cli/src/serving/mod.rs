//! The server's view of this program's models: where they come from, and how they are asked.

mod models;
mod segmenter;

pub use models::{Models, lasting};
