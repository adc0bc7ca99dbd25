//! The layers of the DETR encoder.

use medparse_config::NetworkConfig;
use medparse_kernels::{Activation, Arena, Cpu};

use crate::attention::{Formats, MultiheadAttention, SelfAttention};
use crate::feed_forward::{FeedForward, FeedForwardShape};
use crate::loader::Loader;
use crate::norm::{EPSILON, Norm};
use crate::precision::Precision;

/// A post-norm encoder layer with ReLU.
#[derive(Debug)]
pub(super) struct EncoderLayer {
    attention: MultiheadAttention,
    norm1: Norm,
    mlp: FeedForward,
    norm2: Norm,
}

impl EncoderLayer {
    pub fn load<E>(
        loader: &mut Loader<'_, E>,
        key: &str,
        config: &NetworkConfig,
        precision: Precision,
    ) -> Result<Self, E> {
        let sizes = &config.pixel_decoder;
        let width = sizes.conv_width;
        let formats = Formats { seen: precision, asked: precision };
        let attention = format!("{key}.self_attn");
        let shape = FeedForwardShape {
            keys: [&format!("{key}.linear1"), &format!("{key}.linear2")],
            width,
            hidden: sizes.feed_forward_width,
            activation: Activation::Relu,
        };
        Ok(Self {
            attention: MultiheadAttention::load(loader, &attention, [width, sizes.heads], formats)?,
            norm1: Norm::load(loader, &format!("{key}.norm1"), width, EPSILON)?,
            mlp: FeedForward::load(loader, &shape, precision)?,
            norm2: Norm::load(loader, &format!("{key}.norm2"), width, EPSILON)?,
        })
    }

    pub fn flop(&self, tokens: usize) -> u64 {
        let attention = self.attention.flop(tokens, tokens) + 2 * self.attention.key.flop(tokens);
        attention + self.mlp.flop(tokens)
    }

    pub fn bytes(&self, cpu: &Cpu, tokens: usize) -> usize {
        let copy = Arena::bytes::<f32>(tokens * self.attention.width());
        copy + self.attention.bytes(cpu, 1, tokens).max(self.mlp.bytes(tokens))
    }

    /// `placed` are the tokens with their places added.
    pub fn forward(&self, cpu: &Cpu, placed: &[f32], tokens: &mut [f32], mut arena: Arena<'_>) {
        let copy = arena.take::<f32>(tokens.len());
        copy.copy_from_slice(tokens);
        let seen = SelfAttention { batch: 1, placed, content: copy, blocked: None };
        self.attention.attend_to_selves(cpu, &seen, tokens, arena.rest());
        self.norm1.in_place(cpu, tokens);
        copy.copy_from_slice(tokens);
        self.mlp.add(cpu, copy, tokens, arena);
        self.norm2.in_place(cpu, tokens);
    }
}
