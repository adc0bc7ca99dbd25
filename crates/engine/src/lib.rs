//! The MedImageParse network as a fused plan for CPUs.
//!
//! It answers what `medparse-network` answers, as fast as this processor can: weights packed once,
//! what follows a product done while it is in the cache, memory taken once and used again, and no
//! arithmetic that need not be done:
//!
//! * the mask features enter linear maps alone, so they are shrunk once for the attention masks,
//!   and multiplied at full size by the queries asked for;
//! * 3×3 convolutions run after Winograd; sentences end at their end token; keys and values of the
//!   cross-attention are made once for a picture.
//!
//! ```text
//! picture ─ backbone ─▶ 4 maps ─ pixel decoder ─▶ mask features, 3 levels ─▶ EncodedImage ─┐
//! token ids ─ text encoder ─▶ tokens, sentences ───────────────────────────────────────────▶ query decoder ─▶ masks, embeddings
//! ```
//!
//! The same input gives the same bytes on any number of threads. The crate knows the kernels and
//! weight files; it never sees a picture's file, a prompt's text or a socket.

mod attention;
mod backbone;
mod engine;
mod error;
mod feed_forward;
mod focal;
mod image;
mod linear;
mod load;
mod loader;
mod norm;
mod packed;
mod pixel_decoder;
mod position;
mod precision;
mod query_decoder;
mod rows;
mod stored;
mod text_encoder;
mod threads;
mod trace;
mod workspace;

pub use engine::{Engine, EngineOptions};
pub use error::EngineError;
pub use image::EncodedImage;
pub use medparse_kernels::{Isa, Threads, peak};
pub use packed::packed_precision;
pub use precision::{Precision, PrecisionError};
pub use query_decoder::Decoded;
pub use text_encoder::EncodedText;
pub use trace::{PartTime, StageSink, Trace};
