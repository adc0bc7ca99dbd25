//! One layer of the query decoder.

use medparse_config::NetworkConfig;
use medparse_kernels::{Activation, Arena, Cpu};

use crate::attention::{Formats, MultiheadAttention, SelfAttention};
use crate::feed_forward::{FeedForward, FeedForwardShape};
use crate::loader::Loader;
use crate::norm::{EPSILON, Norm};

/// What the queries do once for each level that they look at.
#[derive(Debug)]
pub(super) struct Layer {
    pub cross: MultiheadAttention,
    pub cross_norm: Norm,
    pub talk: MultiheadAttention,
    pub talk_norm: Norm,
    pub mlp: FeedForward,
    pub mlp_norm: Norm,
}

impl Layer {
    pub fn load<E>(
        loader: &mut Loader<'_, E>,
        config: &NetworkConfig,
        layer: usize,
        formats: Formats,
    ) -> Result<Self, E> {
        let sizes = &config.query_decoder;
        let (width, shape) = (sizes.hidden_width, [sizes.hidden_width, sizes.heads]);
        let alone = Formats { seen: formats.asked, ..formats };
        let root = "sem_seg_head.predictor.transformer";
        let cross = format!("{root}_cross_attention_layers.{layer}");
        let talk = format!("{root}_self_attention_layers.{layer}");
        let mlp = format!("{root}_ffn_layers.{layer}");
        let mlp_shape = FeedForwardShape {
            keys: [&format!("{mlp}.linear1"), &format!("{mlp}.linear2")],
            width,
            hidden: sizes.feed_forward_width,
            activation: Activation::Relu,
        };
        let attention = format!("{cross}.multihead_attn");
        Ok(Self {
            cross: MultiheadAttention::load(loader, &attention, shape, formats)?,
            cross_norm: Norm::load(loader, &format!("{cross}.norm"), width, EPSILON)?,
            talk: MultiheadAttention::load(loader, &format!("{talk}.self_attn"), shape, alone)?,
            talk_norm: Norm::load(loader, &format!("{talk}.norm"), width, EPSILON)?,
            mlp: FeedForward::load(loader, &mlp_shape, formats.asked)?,
            mlp_norm: Norm::load(loader, &format!("{mlp}.norm"), width, EPSILON)?,
        })
    }

    /// Objects and tokens look at each other, without a mask: `x = norm(x + attention)`.
    pub fn talk(
        &self,
        cpu: &Cpu,
        x: &mut [f32],
        (place, copy): (&[f32], &mut [f32]),
        mut arena: Arena<'_>,
    ) {
        copy.copy_from_slice(x);
        let placed = arena.take::<f32>(x.len());
        let sums = x.iter().zip(place);
        placed.iter_mut().zip(sums).for_each(|(to, (x, place))| *to = x + place);
        let seen = SelfAttention { batch: 1, placed, content: copy, blocked: None };
        self.talk.attend_to_selves(cpu, &seen, x, arena);
        self.talk_norm.in_place(cpu, x);
    }
}
