//! The sizes of a network of the BiomedParse family, and the tensors it reads from a checkpoint.
//!
//! What both ways of computing the network agree on: `medparse-network` (in burn, readable) and
//! `medparse-engine` (fused, fast). It knows no arithmetic.

mod mismatch;
mod sizes;
mod tensors;
mod yaml;

pub use mismatch::{LoadError, Mismatch};
pub use sizes::{
    BackboneConfig, ConfigError, NetworkConfig, PixelDecoderConfig, QueryDecoderConfig,
    TextEncoderConfig,
};
pub use tensors::{CLASS_BANK_KEY, ExpectedTensor, LEVELS, expected_tensors, is_unused};
