//! The MedImageParse network in burn: what is read, trained, and run on a GPU.
//!
//! One struct per module of the checkpoint, its fields named as the checkpoint's keys, so that
//! the code, the weights and the reference can be read side by side. The crate knows tensors
//! and weights; it never sees a picture, a prompt's text or a socket.
//!
//! ```text
//! picture [B,3,S,S] ─ backbone ─▶ res2…res5 ─ pixel_decoder ─▶ mask features, 3 levels ─┐
//! token ids [n,T]   ─ lang_encoder ─▶ tokens, sentences ───────────────────────────────▶ predictor ─▶ masks, embeddings
//! ```

mod attention;
mod backbone;
mod keys;
mod load;
mod network;
mod ops;
mod parameters;
mod pixel_decoder;
mod position;
mod probe;
mod query_decoder;
mod text_encoder;

pub use medparse_config as config;
pub use medparse_config::{
    CLASS_BANK_KEY, ConfigError, ExpectedTensor, LoadError, Mismatch, NetworkConfig,
    expected_tensors, is_unused,
};
pub use network::{Network, SemSegHead};
pub use parameters::ParameterGradient;
pub use pixel_decoder::EncodedImage;
pub use probe::{Probe, StageSink};
pub use query_decoder::{GroundingTokens, Heads, Keep};
pub use text_encoder::EncodedText;
